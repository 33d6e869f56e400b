//! `commands.jsonl`: what was done in the run's folder. A line when a verb begins, and another when it ends.

use serde::{Deserialize, Serialize};

use super::Part;
use super::files::Reader;

/// The file, in the run's folder.
pub const FILE: &str = "commands.jsonl";

/// Verbs that work in a run's folder.
const VERBS: [&str; 10] = [
    "quickstart",
    "supernet",
    "search",
    "retrain",
    "export",
    "evaluate",
    "rank",
    "landscape",
    "reproduce",
    "transfer",
];

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A verb began.
    Began(Began),
    /// It ended.
    Ended(Ended),
}

/// How a verb began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// Ties the two lines of a command together.
    pub id: String,
    /// Arguments, the program's name left out.
    pub command: Vec<String>,
    /// The folder in which it was given.
    pub directory: String,
    /// The version of genas.
    pub genas: String,
    /// Threads that it had.
    pub threads: usize,
    /// Seconds since 1970.
    pub began: u64,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// As in [`Began::id`].
    pub id: String,
    /// Wall time in seconds.
    pub seconds: f64,
    /// How.
    pub outcome: Outcome,
}

/// How a command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what it was to do.
    Done,
    /// It was interrupted, and saved its state.
    Interrupted,
    /// It failed.
    Failed,
}

/// A command and its end, if it came to one: a process that was killed left none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Command {
    /// Its beginning.
    #[serde(flatten)]
    pub began: Began,
    /// Wall time in seconds.
    pub seconds: Option<f64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

impl Command {
    /// As it would be typed into a shell.
    pub fn typed(&self) -> String {
        let words = self.began.command.iter().map(|word| quoted(word));
        std::iter::once("genas".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// The verb among arguments, which flags may precede.
pub fn verb(words: &[String]) -> Option<&str> {
    let known = |word: &&str| VERBS.contains(word);
    words.iter().map(String::as_str).find(known)
}

/// A word as a POSIX shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Reads the file.
pub fn read(files: &Reader) -> Part<Vec<Command>> {
    files.lines::<Line>(FILE).map(|lines| {
        let mut commands: Vec<Command> = Vec::new();
        for line in lines {
            match line {
                Line::Began(began) => commands.push(Command { began, seconds: None, outcome: None }),
                Line::Ended(ended) => {
                    let open = commands.iter_mut().rev().find(|command| command.began.id == ended.id);
                    if let Some(command) = open {
                        (command.seconds, command.outcome) = (Some(ended.seconds), Some(ended.outcome));
                    }
                }
            }
        }
        commands
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::files::tests::folder;

    #[test]
    fn commands_are_tied_to_their_ends() {
        let began = |id: &str, word: &str| {
            Line::Began(Began {
                id: id.to_owned(),
                command: vec!["search".to_owned(), word.to_owned()],
                directory: "/".to_owned(),
                genas: "1".to_owned(),
                threads: 2,
                began: 5,
            })
        };
        let ended = Line::Ended(Ended { id: "a".to_owned(), seconds: 1.5, outcome: Outcome::Done });
        let lines = [began("a", "it's"), began("b", ""), ended].map(|l| serde_json::to_string(&l).unwrap());
        let (_dir, files) = folder(&[(FILE, lines.join("\n").as_bytes())]);
        let commands = read(&files);
        let commands = commands.get().unwrap();
        assert_eq!((commands[0].seconds, commands[0].outcome), (Some(1.5), Some(Outcome::Done)));
        assert_eq!((commands[1].seconds, commands[1].outcome), (None, None));
        assert_eq!(commands[0].typed(), r"genas search 'it'\''s'");
        assert_eq!(commands[1].typed(), "genas search ''");
        assert_eq!(quoted("metric.name=angle+flatness"), "metric.name=angle+flatness");
        assert_eq!(quoted("a b"), "'a b'");
        let words = ["--threads", "1", "rank", "--out", "search"].map(str::to_owned);
        assert_eq!((verb(&words), verb(&[])), (Some("rank"), None));
    }
}
