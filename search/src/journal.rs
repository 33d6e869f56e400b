//! `search.jsonl`: one line per scored candidate. It is the whole state of a search: an interrupted
//! one is repeated with these scores in place of work, and arrives where it was.

use crate::error::SearchError;
use crate::evolution::Task;
use crate::lines::Lines;
use crate::metric::Score;
use crate::race::Standing;
use genas_net::CostReport;
use genas_space::Candidate;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// One scored candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Line {
    /// Position in the order of the whole search.
    pub index: u64,
    /// Generation, from 0.
    pub generation: usize,
    /// The candidate.
    pub candidate: Candidate,
    /// What was maximised; null if scoring failed.
    pub score: Option<f64>,
    /// Why scoring failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The generation whose race this line comes from, with `--racing`. A parent races again in later generations
    /// and then has a line for each; the number of generations stands for the final, which finds the winner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raced_in: Option<usize>,
    /// How far the race measured it: the score is partial, an estimate, if `images` is less than `of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<Standing>,
    /// The score's parts.
    pub parts: Score,
    /// Cost of the candidate's path through the supernet.
    pub cost: CostReport,
    /// Wall time.
    pub seconds: f64,
    /// Settings, data and supernet that the score belongs to (a hash).
    pub settings: String,
}

/// The file, open for appending, and what it held.
#[derive(Debug)]
pub struct Journal {
    lines: Lines,
    known: HashMap<(u64, Option<usize>), Line>,
}

impl Journal {
    /// Opens or creates the file. A last line that a killed process left unfinished is cut off.
    /// Lines of other `settings` are an error.
    pub fn open(path: &Path, settings: &str) -> Result<Self, SearchError> {
        let (lines, held) = Lines::open::<Line>(path)?;
        if held.iter().any(|line| line.settings != settings) {
            return Err(SearchError::format(
                path,
                "holds scores of other settings, data or supernet; use the same configuration, or another --out",
            ));
        }
        let known = held.into_iter().map(|line| ((line.index, line.raced_in), line)).collect();
        Ok(Self { lines, known })
    }

    /// Number of candidates that the file held when it was opened.
    pub fn known(&self) -> usize {
        self.known.keys().map(|(index, _)| index).collect::<HashSet<_>>().len()
    }

    /// Sum of the wall times of these scores.
    pub fn known_seconds(&self) -> f64 {
        self.known.values().map(|l| l.seconds).sum()
    }

    /// The score of a task, if the file held it: its own, or that of the race of a generation.
    pub fn find(&self, task: &Task, raced_in: Option<usize>) -> Result<Option<&Line>, SearchError> {
        match self.known.get(&(task.index, raced_in)) {
            Some(line) if line.candidate != task.candidate => Err(SearchError::format(
                self.lines.path(),
                format!(
                    "candidate {} is not the one that this configuration draws; use another --out",
                    task.index
                ),
            )),
            found => Ok(found),
        }
    }

    /// Appends a line and makes sure that it is on disk.
    pub fn append(&self, line: &Line) -> Result<(), SearchError> {
        self.append_all(std::slice::from_ref(line))
    }

    /// Appends lines and makes sure that they are on disk.
    pub fn append_all(&self, lines: &[Line]) -> Result<(), SearchError> {
        self.lines.append(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::{Streams, random_candidate};
    use std::fs::OpenOptions;
    use std::io::Write;

    fn line(index: u64) -> Line {
        Line {
            index,
            generation: 0,
            candidate: random_candidate(&mut Streams::new(1).rng("test", index)),
            score: Some(1.5),
            failure: None,
            raced_in: None,
            race: None,
            parts: Score { accuracy: Some(0.25), ..Default::default() },
            cost: CostReport::default(),
            seconds: 0.5,
            settings: "a".into(),
        }
    }

    #[test]
    fn survives_a_kill_and_refuses_other_settings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("search.jsonl");
        let journal = Journal::open(&path, "a").unwrap();
        journal.append(&line(0)).unwrap();
        journal.append(&line(1)).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"index\":2,").unwrap();
        let journal = Journal::open(&path, "a").unwrap();
        assert_eq!(journal.known(), 2);
        journal.append(&line(2)).unwrap();
        let journal = Journal::open(&path, "a").unwrap();
        assert_eq!(journal.known(), 3);
        let task = |n: u64| Task { index: n, generation: 0, candidate: line(n).candidate };
        assert_eq!(journal.find(&task(1), None).unwrap(), Some(&line(1)));
        assert_eq!(journal.find(&task(7), None).unwrap(), None);
        assert!(journal.find(&Task { index: 1, ..task(0) }, None).is_err());
        assert!(Journal::open(&path, "b").unwrap_err().to_string().contains("other settings"));
    }

    #[test]
    fn scores_round_trip_exactly() {
        // serde_json's default parser is off by one bit in some of these.
        let mut value = line(0);
        for n in 1..2000 {
            value.score = Some(1.0 / (2000.0 + 0.1 * f64::from(n)));
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap().score, value.score);
        }
    }
}
