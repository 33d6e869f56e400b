//! The crate's error: every message names the file or the argument, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The layouts that [`crate::open`] recognises, as error messages list them.
pub const LAYOUTS: &str = "CIFAR-10 binary (data_batch_1.bin .. data_batch_5.bin, test_batch.bin), \
     CIFAR-100 binary (train.bin, test.bin), \
     ImageNet16 (train_data_batch_1 .. train_data_batch_10, val_data), \
     ImageFolder (train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg directly; jpg, jpeg, png), \
     tar shards (train*.tar and val*.tar with NAME.jpg and NAME.cls), \
     COCO (annotations/instances_val2017.json and val2017/*.jpg), \
     Cityscapes (leftImg8bit/val/CITY/*.png and gtFine/val/CITY/*_labelIds.png), \
     images and labels (train/*.jpg and trainannot/*.png, or images/train/*.jpg and labels/train/*.png)";

/// What can go wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}; check that it exists and its permissions", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `create`, `rename`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The data set's folder is not there.
    #[error("no such folder: {}; give a data set in one of these layouts: {LAYOUTS}", path.display())]
    Missing {
        /// The folder that was asked for.
        path: PathBuf,
    },
    /// The folder is there, but holds no layout that is known.
    #[error("{}: not a data set that genas recognises ({found}); it reads {LAYOUTS}", path.display())]
    UnknownLayout {
        /// The folder that was asked for.
        path: PathBuf,
        /// What was found there instead.
        found: String,
    },
    /// A file or folder of a known layout is incomplete or contradicts the layout.
    #[error("{}: {problem}; {remedy}", path.display())]
    Broken {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// An image file could not be decoded.
    #[error("{}: {reason}; replace the file or remove it from the data set", path.display())]
    Decode {
        /// The image file.
        path: PathBuf,
        /// The decoder's reason.
        reason: String,
    },
    /// The data is fine, but what was asked of it is not possible.
    #[error("{problem}; {remedy}")]
    Request {
        /// What was asked.
        problem: String,
        /// What to ask instead.
        remedy: String,
    },
}

impl DataError {
    /// An I/O error of `action` on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// A broken file or folder.
    pub(crate) fn broken(path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Broken { path: path.to_owned(), problem: problem.into(), remedy: remedy.into() }
    }

    /// An image that cannot be decoded.
    pub(crate) fn decode(path: &Path, reason: impl ToString) -> Self {
        Self::Decode { path: path.to_owned(), reason: reason.to_string() }
    }

    /// A request that cannot be met.
    pub(crate) fn request(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Request { problem: problem.into(), remedy: remedy.into() }
    }

    /// The file, folder or argument that the error is about, and the reason without its path.
    pub(crate) fn into_parts(self) -> (PathBuf, String) {
        match self {
            Self::Io { action, path, source } => (path, format!("cannot {action}: {source}")),
            Self::Missing { path } => (path, "no such folder".to_owned()),
            Self::UnknownLayout { path, found } => (path, format!("not recognised ({found})")),
            Self::Broken { path, problem, remedy } => (path, format!("{problem}; {remedy}")),
            Self::Decode { path, reason } => (path, reason),
            Self::Request { problem, remedy } => (PathBuf::new(), format!("{problem}; {remedy}")),
        }
    }
}
