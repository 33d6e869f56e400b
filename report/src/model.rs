//! A run's folder as plain values. Reading never fails on what a file holds: what cannot be used is a [`Fault`].

pub mod commands;
pub mod curves;
pub mod evaluations;
pub mod exports;
pub mod files;
pub mod landscape;
pub mod missing;
pub mod ranking;
pub mod retrained;
pub mod search;
pub mod settings;
pub mod transferred;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{ReportError, Result};
use commands::Command;
use curves::Curves;
use evaluations::Evaluated;
use exports::Export;
use files::Reader;
use landscape::Landscape;
use missing::Missing;
use ranking::Ranked;
use retrained::Retrained;
use search::{Search, Winner};
use settings::Settings;
use transferred::Transferred;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// The file, in the run's folder.
    pub file: String,
    /// What is wrong, and what it means.
    pub reason: String,
}

/// What a file, or a few, say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part<T> {
    /// It is there. A part of it may be damaged: that is among [`Run::faults`].
    Present(T),
    /// There is no such file.
    #[default]
    Absent,
    /// There is one, and it cannot be used.
    Damaged(Fault),
}

impl<T> Part<T> {
    /// What it says, if it can be used.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Damaged(_) => None,
        }
    }

    /// Whether there is no file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Another value made of it.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Part<U> {
        match self {
            Self::Present(value) => Part::Present(change(value)),
            Self::Absent => Part::Absent,
            Self::Damaged(fault) => Part::Damaged(fault),
        }
    }
}

/// What a folder is the run of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A search of a cell, and what came after it.
    Search,
    /// A ranking of NAS-Bench-201's cells.
    Ranking,
    /// Trainings and measurements of a cell that came from elsewhere.
    Training,
}

/// Everything that a run's folder says.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its folder's name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// What it is the run of.
    pub kind: Kind,
    /// `config.toml`.
    pub settings: Part<Settings>,
    /// `supernet/training.csv`.
    pub supernet: Part<Curves>,
    /// `search.jsonl`, `search.json`, `top.json`.
    pub search: Search,
    /// `genotype.json`.
    pub winner: Part<Winner>,
    /// `retrain/`.
    pub retrained: Retrained,
    /// `evaluate.jsonl`.
    pub evaluations: Part<Vec<Evaluated>>,
    /// `coco/`.
    pub coco: Transferred,
    /// `cityscapes/`.
    pub cityscapes: Transferred,
    /// `result.json`, `scores.csv`, `cells.jsonl` of a ranking.
    pub ranked: Ranked,
    /// `landscape/`.
    pub landscape: Landscape,
    /// ONNX files, and what stands beside them.
    pub exports: Vec<Export>,
    /// `commands.jsonl`.
    pub commands: Part<Vec<Command>>,
    /// What a finished run would have.
    pub missing: Vec<Missing>,
    /// What is damaged.
    pub faults: Vec<Fault>,
}

impl Run {
    /// Reads the folder of a run.
    ///
    /// # Errors
    ///
    /// If it is none: a folder that is not there, or that holds no file of a run.
    pub fn read(path: &Path) -> Result<Self> {
        let refuse = |reason: String| Err(ReportError::NoRun { path: path.to_owned(), reason });
        if !path.is_dir() {
            return refuse("there is no such folder; give the one that --out named".to_owned());
        }
        let files = Reader::new(path);
        let Some(kind) = kind(&files) else {
            let inner = path.join("run");
            return refuse(if inner.join("config.toml").is_file() {
                format!("is not a run, but holds one: give {}", inner.display())
            } else {
                "holds no file of a run; give the folder that --out named".to_owned()
            });
        };
        let ranking = kind == Kind::Ranking;
        let mut run = Self {
            name: name(path),
            path: path.to_owned(),
            kind,
            settings: Settings::read(&files, "config.toml"),
            supernet: Curves::read(&files, "supernet/training.csv"),
            search: Search::read(&files),
            winner: Winner::read(&files),
            retrained: Retrained::read(&files),
            evaluations: evaluations::read(&files),
            coco: Transferred::coco(&files),
            cityscapes: Transferred::cityscapes(&files),
            ranked: if ranking { Ranked::read(&files) } else { Ranked::default() },
            landscape: Landscape::read(&files),
            exports: exports::read(&files),
            commands: commands::read(&files),
            missing: Vec::new(),
            faults: Vec::new(),
        };
        run.missing = missing::of(&run, &files);
        run.faults = files.faults();
        Ok(run)
    }

    /// The folder of a file of the run, or the file.
    pub fn at(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }
}

/// What a folder is the run of; none if it holds nothing of one.
fn kind(files: &Reader) -> Option<Kind> {
    let any = |names: &[&str]| names.iter().any(|name| files.has(name));
    if any(&["cells.jsonl", "scores.csv", "scatter"]) {
        return Some(Kind::Ranking);
    }
    if any(&["search.jsonl", "supernet", "genotype.json", "top.json"]) {
        return Some(Kind::Search);
    }
    // A run whose supernet has not begun is told apart by its settings.
    if files.has("config.toml") {
        let text = std::fs::read_to_string(files.path("config.toml")).unwrap_or_default();
        return Some(if text.contains("[measure]") { Kind::Ranking } else { Kind::Search });
    }
    // Data sets have folders of these names too.
    let inside = ["retrain", "coco", "cityscapes"].iter().any(|folder| {
        ["config.toml", "training.csv", "result.json", "final.safetensors"]
            .iter()
            .any(|name| files.has(&format!("{folder}/{name}")))
    });
    (inside || any(&["landscape", "evaluate.jsonl"])).then_some(Kind::Training)
}

/// The name of a folder, whatever way it is written; with its parent's if it is only called `run`.
fn name(path: &Path) -> String {
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let last = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let name = last(&canonical);
    match canonical.parent() {
        Some(parent) if name == "run" => format!("{}/{name}", last(parent)),
        _ => name,
    }
}
