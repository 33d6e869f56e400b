//! [`Reader`]: files of a run, read with patience. What cannot be used is kept as a fault and named in the report.

use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Fault, Part};

/// Files of a report are no larger: search.jsonl of a thousand candidates has one megabyte.
const LARGEST: u64 = 512 << 20;

/// Reads files below a folder, and collects what is wrong with them.
#[derive(Debug)]
pub struct Reader {
    root: PathBuf,
    faults: RefCell<Vec<Fault>>,
}

impl Reader {
    /// Of the files in a folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), faults: RefCell::default() }
    }

    /// Where a file is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// Whether there is a file or a folder.
    pub fn has(&self, file: &str) -> bool {
        self.path(file).exists()
    }

    /// Notes what is wrong with a file.
    pub fn fault(&self, file: &str, reason: impl Into<String>) -> Fault {
        let fault = Fault { file: file.to_owned(), reason: reason.into() };
        self.faults.borrow_mut().push(fault.clone());
        fault
    }

    /// What was wrong with files that were read.
    pub fn faults(&self) -> Vec<Fault> {
        self.faults.borrow().clone()
    }

    /// The bytes of a file.
    pub fn bytes(&self, file: &str) -> Part<Vec<u8>> {
        let path = self.path(file);
        match fs::metadata(&path) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Part::Absent;
            }
            Ok(about) if about.len() > LARGEST => {
                return Part::Damaged(
                    self.fault(file, format!("{} bytes are too many to read", about.len())),
                );
            }
            _ => {}
        }
        match fs::read(&path) {
            Ok(bytes) => Part::Present(bytes),
            Err(e) => Part::Damaged(self.fault(file, format!("cannot be read: {e}"))),
        }
    }

    /// The text of a file. Bytes that are no text are named and shown as `�`.
    pub fn text(&self, file: &str) -> Part<String> {
        self.bytes(file).map(|bytes| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => {
                self.fault(file, format!("is not UTF-8 text from byte {} on", e.utf8_error().valid_up_to()));
                String::from_utf8_lossy(e.as_bytes()).into_owned()
            }
        })
    }

    /// The value of a JSON file.
    pub fn json<T: DeserializeOwned>(&self, file: &str) -> Part<T> {
        match self.text(file) {
            Part::Present(text) => match serde_json::from_str(&text) {
                Ok(value) => Part::Present(value),
                Err(e) => Part::Damaged(self.fault(file, format!("is damaged: {e}"))),
            },
            Part::Absent => Part::Absent,
            Part::Damaged(fault) => Part::Damaged(fault),
        }
    }

    /// The lines of a file of JSON lines that can be read. A file without any is damaged, unless it is empty.
    pub fn lines<T: DeserializeOwned>(&self, file: &str) -> Part<Vec<T>> {
        let text = match self.text(file) {
            Part::Present(text) => text,
            Part::Absent => return Part::Absent,
            Part::Damaged(fault) => return Part::Damaged(fault),
        };
        let (mut lines, mut broken, mut total) = (Vec::new(), Vec::new(), 0);
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            total += 1;
            match serde_json::from_str(line) {
                Ok(value) => lines.push(value),
                Err(e) => broken.push((n + 1, e)),
            }
        }
        let Some((first, error)) = broken.first() else { return Part::Present(lines) };
        let fault = self.fault(
            file,
            match broken.len() {
                1 if *first == total => {
                    format!("its last line, {first}, is cut off or damaged and left out ({error})")
                }
                1 => format!("line {first} is damaged and left out ({error})"),
                n => format!(
                    "{n} of {total} lines are damaged and left out, the first is line {first} ({error})"
                ),
            },
        );
        if lines.is_empty() { Part::Damaged(fault) } else { Part::Present(lines) }
    }

    /// Names of the files in a folder with this ending, sorted.
    pub fn list(&self, folder: &str, ending: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let files = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Those of a write that did not end begin with a dot.
            let wanted = name.ends_with(ending) && !name.starts_with('.') && entry.path().is_file();
            wanted.then(|| if folder.is_empty() { name } else { format!("{folder}/{name}") })
        });
        let mut files: Vec<String> = files.collect();
        files.sort();
        files
    }
}

/// A finite number of an object.
pub fn number(value: &Value, key: &str) -> Option<f64> {
    value.get(key)?.as_f64().filter(|number| number.is_finite())
}

/// A text of an object.
pub fn string(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A reader of these files, in a folder that lives as long as the first value.
    pub fn folder(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Reader) {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let reader = Reader::new(dir.path());
        (dir, reader)
    }

    #[test]
    fn damage_is_named_and_the_rest_is_read() {
        let (_dir, files) = folder(&[
            ("cut.jsonl", b"{\"a\":1}\n{\"a\":2}\n{\"a\""),
            ("none.jsonl", b"garbage\nmore"),
            ("empty.jsonl", b""),
            ("latin.txt", b"caf\xe9"),
            ("bad.json", b"{"),
            ("folder/x.txt", b""),
        ]);
        let lines = files.lines::<Value>("cut.jsonl");
        assert_eq!(lines.get().map(Vec::len), Some(2));
        assert!(matches!(files.lines::<Value>("none.jsonl"), Part::Damaged(_)));
        assert_eq!(files.lines::<Value>("empty.jsonl"), Part::Present(vec![]));
        assert_eq!(files.text("latin.txt"), Part::Present("caf\u{fffd}".to_owned()));
        assert!(matches!(files.json::<Value>("bad.json"), Part::Damaged(_)));
        assert!(matches!(files.bytes("folder"), Part::Damaged(_)));
        assert!(files.json::<Value>("nowhere.json").is_absent() && files.bytes("bad.json/x").is_absent());
        let faults = files.faults();
        let named: Vec<&str> = faults.iter().map(|f| f.file.as_str()).collect();
        assert_eq!(named, ["cut.jsonl", "none.jsonl", "latin.txt", "bad.json", "folder"]);
        assert!(
            faults[0].reason.contains("last line, 3") && faults[1].reason.contains("2 of 2"),
            "{faults:?}"
        );
        assert_eq!(files.list("folder", ".txt"), ["folder/x.txt"]);
        assert!(files.list("nowhere", ".txt").is_empty());
    }
}
