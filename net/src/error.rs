//! Errors of this crate.

use std::path::{Path, PathBuf};

/// What can go wrong with networks, weights and devices.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A file could not be read or written.
    #[error("{path}: cannot {action}: {source}{advice}", path = path.display(), advice = advice(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `write`, ...
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else than expected.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A device was asked for that is not there.
    #[error("{0}")]
    Device(String),
    /// Replicas of a training do not go together.
    #[error("data-parallel training: {0}")]
    Replica(String),
    /// Training produced a number that is not finite.
    #[error(
        "the {what} became {value} at step {step}: the run stops before the weights are spoiled; try a lower learning rate or gradient clipping"
    )]
    NotFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The value.
        value: f64,
        /// Step of the run.
        step: u64,
    },
}

/// What to do about an error of the system.
fn advice(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; make room and give the same command again, with --resume where the verb has it: what was there is whole"
        }
        _ => "",
    }
}

impl NetError {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| NetError::Io { path, action, source }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        NetError::Format { path: path.to_owned(), reason: reason.into() }
    }
}
