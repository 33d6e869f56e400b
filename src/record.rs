//! `RUN/commands.jsonl`: what was done in a run's folder, so that a report can say how to do it again and how long it took.
//!
//! A line when a verb begins to write to the run, and another when it ends. A process that is killed leaves the first.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use genas_report::model::commands::{Began, Ended, FILE, Line, Outcome};
use serde::Serialize;

/// A verb at work in a run's folder.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    id: String,
    clock: Instant,
}

impl Record {
    /// Writes that a verb begins, with the arguments of this process.
    pub fn begin(run: &Path, threads: usize, clock: Instant) -> Result<Self> {
        let path = run.join(FILE);
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{}-{}", began.as_nanos(), std::process::id());
        let directory = std::env::current_dir().unwrap_or_default();
        let line = Line::Began(Began {
            id: id.clone(),
            command: std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect(),
            directory: directory.display().to_string(),
            genas: env!("CARGO_PKG_VERSION").to_owned(),
            threads,
            began: began.as_secs(),
        });
        append(&path, &line)?;
        Ok(Self { path, id, clock })
    }

    /// Writes how it ended.
    pub fn end(&self, outcome: Outcome) -> Result<()> {
        let seconds = self.clock.elapsed().as_secs_f64();
        append(&self.path, &Line::Ended(Ended { id: self.id.clone(), seconds, outcome }))
    }
}

/// Appends a value as a line of JSON, in one write: of processes that write at the same time, each has its own line. A line
/// that was cut off before it is left alone.
pub fn append(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    let cannot = || format!("{}: cannot write", path.display());
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).with_context(cannot)?;
    if file.seek(SeekFrom::End(-1)).is_ok() {
        let mut last = [0];
        file.read_exact(&mut last).with_context(cannot)?;
        if last != *b"\n" {
            line.insert(0, '\n');
        }
    }
    file.write_all(line.as_bytes()).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        append(&path, &1).unwrap();
        append(&path, &2).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"cut").unwrap();
        append(&path, &3).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n{\"cut\n3\n");
    }
}
