//! [`Scale`]: how many images of the `shapes` set are written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// How many images are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// 1,000 + 200 CIFAR images: for tests.
    Tiny,
    /// 10,000 + 2,000 CIFAR images: learnable in minutes.
    Small,
    /// 50,000 + 10,000 CIFAR images, as the original.
    Full,
}

impl Scale {
    /// CIFAR images in the five training files together, and in the test file.
    pub(super) fn cifar(self) -> (usize, usize) {
        match self {
            Self::Tiny => (1_000, 200),
            Self::Small => (10_000, 2_000),
            Self::Full => (50_000, 10_000),
        }
    }

    /// Files per class: train, val, and each of the two shifted sets.
    pub(super) fn per_class(self) -> (usize, usize, usize) {
        match self {
            Self::Tiny => (20, 10, 10),
            Self::Small => (200, 50, 30),
            Self::Full => (1_000, 100, 100),
        }
    }

    /// COCO images: train and val.
    pub(super) fn coco(self) -> (usize, usize) {
        match self {
            Self::Tiny => (60, 20),
            Self::Small => (400, 100),
            Self::Full => (4_000, 500),
        }
    }

    /// Cityscapes frames: train and val.
    pub(super) fn cityscapes(self) -> (usize, usize) {
        match self {
            Self::Tiny => (24, 8),
            Self::Small => (240, 60),
            Self::Full => (2_400, 400),
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Full => "full",
        })
    }
}

impl FromStr for Scale {
    type Err = DataError;

    fn from_str(s: &str) -> Result<Self, DataError> {
        [Self::Tiny, Self::Small, Self::Full]
            .into_iter()
            .find(|scale| scale.to_string() == s)
            .ok_or_else(|| DataError::request(format!("no scale {s:?}"), "give tiny, small or full"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_names() {
        assert_eq!("small".parse::<Scale>().unwrap(), Scale::Small);
        assert!("huge".parse::<Scale>().unwrap_err().to_string().contains("tiny, small or full"));
    }
}
