//! The run directory: what is where, and whose it is.

use crate::config::Config;
use crate::error::SearchError;
use genas_net::atomic_write;
use genas_train::directory::{hex, lock};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A directory that holds everything that a run made.
#[derive(Debug)]
pub struct RunDir {
    root: PathBuf,
    /// Held while this process writes here; gone with the process, however it ends.
    _lock: Option<File>,
}

impl RunDir {
    /// Opens `root` for a run of `config`, creating it. A directory that belongs to another
    /// configuration is refused; `RUN/config.toml` records whose it is.
    pub fn open(root: &Path, config: &Config) -> Result<Self, SearchError> {
        let run = Self { root: root.to_owned(), _lock: Some(lock(root)?) };
        let path = run.config();
        let text = config.to_toml();
        match std::fs::read_to_string(&path) {
            Ok(old) if Config::parse(&old, &[]).as_ref() == Ok(config) => {}
            Ok(_) => {
                return Err(SearchError::format(
                    &path,
                    "this run directory belongs to another configuration; use that one, or another --out",
                ));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let header = format!(
                    "# genas {}: the resolved configuration of this run\n",
                    env!("CARGO_PKG_VERSION")
                );
                atomic_write(&path, (header + &text).as_bytes())?;
            }
            Err(e) => return Err(SearchError::io(&path, "read")(e)),
        }
        Ok(run)
    }

    /// A directory that an earlier run made, with its configuration under `overrides`.
    pub fn existing(root: &Path, overrides: &[String]) -> Result<(Self, Config), SearchError> {
        let run = Self { root: root.to_owned(), _lock: None };
        let config = Config::read(&run.config(), overrides)?;
        Ok((run, config))
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Weights before training.
    pub fn initial(&self) -> PathBuf {
        self.root.join("supernet/epoch_0.safetensors")
    }

    /// Weights after training.
    pub fn trained(&self) -> PathBuf {
        self.root.join("supernet/final.safetensors")
    }

    /// One line per scored candidate.
    pub fn journal(&self) -> PathBuf {
        self.root.join("search.jsonl")
    }

    /// The winner.
    pub fn genotype(&self) -> PathBuf {
        self.root.join("genotype.json")
    }

    /// What the search found, and how long it took.
    pub fn result(&self) -> PathBuf {
        self.root.join("search.json")
    }

    /// The ten best.
    pub fn top(&self) -> PathBuf {
        self.root.join("top.json")
    }

    /// Weights of the retrained network.
    pub fn retrained(&self) -> PathBuf {
        self.root.join("retrain/final.safetensors")
    }
}

/// A hash that tells data sets apart, over the images and labels of a set.
pub fn data_fingerprint(set: &genas_data::ImageSet) -> String {
    let mut hash = Sha256::new();
    hash.update(&set.pixels);
    set.labels.iter().for_each(|l| hash.update(l.to_le_bytes()));
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_writer_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::default();
        let first = RunDir::open(dir.path(), &config).unwrap();
        let error = RunDir::open(dir.path(), &config).unwrap_err().to_string();
        assert!(error.contains(&dir.path().display().to_string()) && error.contains("at work"), "{error}");
        // Reading needs no lock.
        RunDir::existing(dir.path(), &[]).unwrap();
        drop(first);
        RunDir::open(dir.path(), &config).unwrap();
    }
}
