//! `--cell`: a name of the zoo, a written form of a genotype, or a file with one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use genas_figure::{AnyCell, NamedCell};
use genas_space::nb201::{NB201_EDGES, find_nb201, parse_nb201};
use genas_space::{Genotype, parse_cell, zoo};

/// No file of a genotype is larger.
const LARGEST_FILE: u64 = 1 << 20;

/// Reads a cell as a user gives it. A file that exists is read first.
pub fn resolve(text: &str) -> Result<Genotype> {
    let path = Path::new(text);
    if path.is_file() {
        return read(path);
    }
    if path.is_dir() {
        let inner = path.join("genotype.json");
        if inner.is_file() {
            return read(&inner);
        }
        bail!("{text} is a directory without genotype.json; give a cell or a genotype file");
    }
    // What looks like a file's name is not searched for in the zoo.
    let named = path.extension().is_some_and(|e| e == "json" || e == "txt");
    if named && !text.contains(['{', '(', ',']) {
        bail!("{text}: there is no such file; give a genotype file, a name of `genas zoo` or 28 integers");
    }
    parse_cell(text).with_context(|| format!("--cell {}", shortened(text)))
}

/// Reads a cell of either space as a user gives it, with a name for pictures.
pub fn resolve_any(text: &str) -> Result<NamedCell> {
    let named = |name: &str, cell| Ok(NamedCell { name: name.to_owned(), cell });
    let trimmed = text.trim();
    // One integer is an official index, six are the operations; 28 are a candidate of the DARTS space.
    let integers = trimmed.split(',').all(|part| part.trim().parse::<u32>().is_ok());
    let nb201 = trimmed.starts_with('|') || integers && trimmed.split(',').count() <= NB201_EDGES;
    if let Some(entry) = find_nb201(trimmed) {
        return named(entry.name, AnyCell::Nb201(entry.cell()));
    }
    if nb201 && !Path::new(text).exists() {
        let cell = parse_nb201(trimmed).with_context(|| format!("--cell {}", shortened(text)))?;
        return named("", AnyCell::Nb201(cell));
    }
    let name = match zoo::find(trimmed) {
        Some(entry) => entry.name,
        // A written form says itself what it is.
        None if trimmed.contains([',', '(', '{']) => "",
        None => text,
    };
    named(name, AnyCell::Darts(resolve(text)?))
}

/// Reads a genotype file, such as `RUN/genotype.json`.
pub fn read(path: &Path) -> Result<Genotype> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > LARGEST_FILE {
        bail!("{}: {size} bytes are no genotype", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_cell(text.trim()).with_context(|| format!("{}: no genotype", path.display()))
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
