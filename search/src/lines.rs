//! [`Lines`]: a file of JSON lines that a killed process leaves usable.

use crate::error::SearchError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A file of JSON lines, open for appending by any thread.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    file: Mutex<File>,
}

impl Lines {
    /// Opens or creates the file, and reads what it holds. A last line that a killed process left unfinished is cut off.
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>), SearchError> {
        let (known, whole) = parse(path)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(SearchError::io(path, "write"))?;
        file.set_len(whole as u64).map_err(SearchError::io(path, "write"))?;
        Ok((Self { path: path.to_owned(), file: Mutex::new(file) }, known))
    }

    /// What the file holds, without touching it; nothing if it is not there. An unfinished last line does not count.
    pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, SearchError> {
        Ok(parse(path)?.0)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends lines and makes sure that they are on disk.
    pub fn append(&self, lines: &[impl Serialize]) -> Result<(), SearchError> {
        let mut text = String::new();
        for line in lines {
            text +=
                &serde_json::to_string(line).map_err(|e| SearchError::format(&self.path, e.to_string()))?;
            text.push('\n');
        }
        let mut file = self.file.lock().unwrap_or_else(|e| e.into_inner());
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(SearchError::io(&self.path, "write"))
    }
}

/// The lines that are whole, and how many bytes they are.
fn parse<T: DeserializeOwned>(path: &Path) -> Result<(Vec<T>, usize), SearchError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(SearchError::io(path, "read")(e)),
    };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let line = |(n, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            SearchError::format(
                path,
                format!("line {} is damaged ({e}); remove it, or use another --out", n + 1),
            )
        })
    };
    Ok((text[..whole].lines().enumerate().map(line).collect::<Result<_, _>>()?, whole))
}
