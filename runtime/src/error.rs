//! What can go wrong between genas and ONNX Runtime, and what to do about it.

use std::{io, path::PathBuf};

use crate::wheels::VERSION;

/// The result of this crate's functions.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;

/// A failure to install, load or run ONNX Runtime. Every message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No ONNX Runtime library was found, and none may be installed here.
    #[error("ONNX Runtime is not installed: {remedy}")]
    NotInstalled {
        /// What to run.
        remedy: String,
    },

    /// The pinned library could not be fetched.
    #[error("cannot install ONNX Runtime {VERSION}: {reason}: {remedy}")]
    Install {
        /// What went wrong.
        reason: String,
        /// What to do.
        remedy: String,
    },

    /// A file is not the pinned wheel that it should be.
    #[error(
        "{} is not a pinned ONNX Runtime {VERSION} wheel, or not the whole of one (its SHA-256 is {found}, \
         wanted {wanted}): download the wheel again with `{download}`",
        wheel.display()
    )]
    Checksum {
        /// The file that was checked.
        wheel: PathBuf,
        /// Its SHA-256.
        found: String,
        /// The pinned SHA-256 that would have been accepted.
        wanted: String,
        /// The command that fetches the right file.
        download: String,
    },

    /// A file or directory could not be read or written.
    #[error("cannot {action} {}: check the path, its permissions and the free space", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// A library was found and could not be loaded.
    #[error("cannot load ONNX Runtime from {}: {reason}: {remedy}", library.display())]
    Load {
        /// The library.
        library: PathBuf,
        /// What the loader said.
        reason: String,
        /// What to do.
        remedy: String,
    },

    /// A provider's name could not be read.
    #[error("unknown provider `{given}`: use auto, cpu, cuda, cuda:N or tensorrt")]
    ProviderName {
        /// What was given.
        given: String,
    },

    /// The asked-for provider cannot work on this machine.
    #[error("provider {provider} is not available: {reason}: {remedy}")]
    Provider {
        /// The provider that was asked for.
        provider: String,
        /// Why it cannot work.
        reason: String,
        /// What to do.
        remedy: String,
    },

    /// A file that should hold an ONNX model does not.
    #[error(
        "{model} is not an ONNX model ({reason}): give a file that `genas export --onnx` or another ONNX exporter wrote"
    )]
    NotOnnx {
        /// The file, or `<memory>`.
        model: String,
        /// What the parser said.
        reason: String,
    },

    /// ONNX Runtime refused a model.
    #[error("cannot load model {model}: {reason}")]
    Model {
        /// The file, or `<memory>`.
        model: String,
        /// What ONNX Runtime said.
        reason: String,
    },

    /// The values given do not fit what the model takes or gives.
    #[error("{model}: {reason}")]
    Mismatch {
        /// The file, or `<memory>`.
        model: String,
        /// What differs, with names and shapes.
        reason: String,
    },

    /// A model failed while running.
    #[error("{model} failed while running on {provider}: {reason}")]
    Run {
        /// The file, or `<memory>`.
        model: String,
        /// Where it ran.
        provider: String,
        /// What ONNX Runtime said.
        reason: String,
    },
}

impl RuntimeError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The problem and its remedy apart from each other, for tables.
    pub(crate) fn problem_and_remedy(&self) -> (String, Option<String>) {
        match self {
            Self::NotInstalled { remedy } => ("not installed".to_owned(), Some(remedy.clone())),
            Self::Install { reason, remedy } | Self::Provider { reason, remedy, .. } => {
                (reason.clone(), Some(remedy.clone()))
            }
            Self::Load { library, reason, remedy } => {
                (format!("{}: {reason}", library.display()), Some(remedy.clone()))
            }
            other => (other.to_string(), None),
        }
    }
}
