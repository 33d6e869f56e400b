//! What a model can be evaluated on.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Result, TransferError};
use crate::imagenet::{self, Subset};

/// What a model is evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum EvalSet {
    /// The test images of CIFAR-10.
    Cifar10,
    /// The test images of CIFAR-100.
    Cifar100,
    /// Folders of images: those in `val/` if there is one.
    Folder,
    /// ImageNet's validation images in 1000 class folders.
    ImageNet,
    /// ImageNet-V2: the folders' names are class numbers.
    ImageNetV2,
    /// ImageNet-A: only the scores of its 200 classes count.
    ImageNetA,
    /// ImageNet-O: images of strange classes are told from ImageNet's by the scores of 200 classes.
    ImageNetO,
}

impl EvalSet {
    const ALL: [Self; 7] = [
        Self::ImageNet,
        Self::ImageNetV2,
        Self::ImageNetA,
        Self::ImageNetO,
        Self::Folder,
        Self::Cifar10,
        Self::Cifar100,
    ];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Folder => "folder",
            Self::ImageNet => "imagenet",
            Self::ImageNetV2 => "imagenet-v2",
            Self::ImageNetA => "imagenet-a",
            Self::ImageNetO => "imagenet-o",
        }
    }

    /// The classes that alone count, where they are not all.
    pub(crate) fn subset(self) -> Option<&'static Subset> {
        match self {
            Self::ImageNetA => Some(&imagenet::A),
            Self::ImageNetO => Some(&imagenet::O),
            _ => None,
        }
    }

    /// Whether a model can be shown its images without a thought to their labels.
    pub fn can_ignore_labels(self) -> bool {
        self.subset().is_none() && self != Self::ImageNetV2
    }
}

impl From<EvalSet> for &'static str {
    fn from(set: EvalSet) -> Self {
        set.name()
    }
}

impl fmt::Display for EvalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EvalSet {
    type Err = TransferError;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|set| set.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            TransferError::Request(format!("no set {text:?}; give one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_names() {
        for set in EvalSet::ALL {
            assert_eq!(set.to_string().parse::<EvalSet>().unwrap(), set);
        }
        let error = "imagenet-r".parse::<EvalSet>().unwrap_err().to_string();
        assert!(error.contains("imagenet-r") && error.contains("imagenet-v2"), "{error}");
    }
}
