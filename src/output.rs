//! The result on stdout, and errors on stderr.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use genas_net::atomic_write;
use serde::Serialize;

/// Prints results: one JSON object, or text for people.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    json: bool,
}

impl Printer {
    /// For JSON or for people.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints the result of the verb: `value` for programs, or what `text` gives for people.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let mut text = if self.json { serde_json::to_string_pretty(value)? } else { text() };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

/// `error: ...`, and a line for every cause that says something new.
pub fn print_error(error: &anyhow::Error) {
    // Nobody is left to tell if stderr is closed.
    let _ = io::stderr().lock().write_all(describe(error).as_bytes());
}

fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        let head = if text.is_empty() { "error" } else { "Cause" };
        if !cause.is_empty() && !text.contains(&cause) {
            text.push_str(&format!("{head}: {}\n", cause.trim_end()));
        }
    }
    text
}

/// Columns aligned to the left, or to the right where every cell below the head is a number.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |n: usize| {
        let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count());
        cells.chain([head[n].chars().count()]).max().unwrap_or(0)
    };
    let is_number = |cell: &String| cell.parse::<f64>().is_ok() || cell == "-" || cell.is_empty();
    let numeric = |n: usize| rows.iter().filter_map(|row| row.get(n)).all(is_number);
    let columns: Vec<(usize, bool)> = (0..head.len()).map(|n| (width(n), numeric(n))).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&columns).map(|(cell, &(width, numeric))| {
            if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A Markdown table that reads well as it is.
pub fn markdown(head: &[&str], rows: &[Vec<String>]) -> String {
    let rule: Vec<String> = head.iter().map(|_| "---".to_owned()).collect();
    let escaped = rows.iter().map(|row| row.iter().map(|cell| cell.replace('|', "\\|")).collect());
    let lines: Vec<Vec<String>> = std::iter::once(rule).chain(escaped).collect();
    let width = |n: usize| {
        let cells = lines.iter().filter_map(|line| line.get(n)).map(|cell| cell.chars().count());
        cells.chain([head[n].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).map(|(cell, &width)| match cell {
            "---" => format!(" {} |", "-".repeat(width)),
            cell => format!(" {cell:<width$} |"),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let mut text = line(&mut head.iter().copied());
    for cells in &lines {
        text.push_str(&line(&mut cells.iter().map(String::as_str)));
    }
    text
}

/// Writes rows of text as a CSV file, whole or not at all.
pub fn write_csv<const N: usize>(
    path: &Path,
    head: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(&row)?;
    }
    let bytes = writer.into_inner().with_context(|| path.display().to_string())?;
    Ok(atomic_write(path, &bytes)?)
}

/// `name  value` lines.
pub fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

/// A fraction as percent; `-` where there is none.
pub fn percent(fraction: Option<f64>) -> String {
    fraction.map_or("-".to_owned(), |f| format!("{:.1}", 100.0 * f))
}

/// A count with separators: 5,195,205.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn causes_are_not_said_twice() {
        let error = anyhow!("no such file").context("x.toml: cannot read: no such file").context("search");
        assert_eq!(describe(&error), "error: search\nCause: x.toml: cannot read: no such file\n");
    }

    #[test]
    fn tables_align() {
        let rows = [vec!["a".to_owned(), "1.5".to_owned()], vec!["long".to_owned(), "12".to_owned()]];
        assert_eq!(table(&["name", "ms"], &rows), "name   ms\na     1.5\nlong   12\n");
        let text = "| name | ms  |\n| ---- | --- |\n| a    | 1.5 |\n| long | 12  |\n";
        assert_eq!(markdown(&["name", "ms"], &rows), text);
        assert_eq!(grouped(5195205), "5,195,205");
        assert_eq!(grouped(12), "12");
    }
}
