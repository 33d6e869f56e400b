//! A training's directory: one writer at a time, and hashes that say whose it is.

use crate::error::TrainError;
use genas_net::atomic_write;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Creates a directory and keeps other processes from writing to it as long as the result lives.
pub fn lock(directory: &Path) -> Result<File, TrainError> {
    let file = std::fs::create_dir_all(directory)
        .and_then(|()| File::create(directory.join(".lock")))
        .map_err(|e| TrainError::format(directory, format!("cannot write here ({e}); give another --out")))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TrainError::format(
            directory,
            "another genas is at work in this directory; wait for it, or use another --out",
        )),
        // A file system without locks: go on as before there were any.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// A hash that tells settings apart: hex of the first 16 bytes of SHA-256 over the JSON.
pub fn fingerprint(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    hex(&Sha256::digest(&json))
}

/// The same over a file's bytes.
pub fn file_fingerprint(path: &Path) -> Result<String, TrainError> {
    let bytes = std::fs::read(path).map_err(TrainError::io(path, "read"))?;
    Ok(hex(&Sha256::digest(&bytes)))
}

/// The first 16 bytes of a digest, in hex.
pub fn hex(digest: &[u8]) -> String {
    digest[..16].iter().map(|b| format!("{b:02x}")).collect()
}

/// Writes a value as JSON, indented.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|e| TrainError::format(path, e.to_string()))?;
    text.push('\n');
    Ok(atomic_write(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_writer_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("run");
        let first = lock(&place).unwrap();
        let error = lock(&place).unwrap_err().to_string();
        assert!(error.contains(&place.display().to_string()) && error.contains("at work"), "{error}");
        drop(first);
        lock(&place).unwrap();
    }
}
