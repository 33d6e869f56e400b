//! Which part of a network training leaves as it is.

use crate::layout::{Entry, Role};

/// Parts by the beginnings of their names, such as `backbone.stem0.`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freeze {
    /// Parameters that do not move, with the BatchNorms among them.
    pub parameters: Vec<String>,
    /// BatchNorms that normalise by their running statistics, which do not move, and neither do their scale and shift:
    /// Detectron2's `FrozenBatchNorm2d`.
    pub batch_norm: Vec<String>,
}

impl Freeze {
    /// Whether a parameter stays as it is.
    pub(crate) fn parameter(&self, entry: &Entry) -> bool {
        let norm = matches!(entry.role, Role::Gamma | Role::Beta);
        begins(&self.parameters, &entry.name) || (norm && begins(&self.batch_norm, &entry.name))
    }

    /// Whether the BatchNorm of this name stays as it is.
    pub(crate) fn batch_norm(&self, name: &str) -> bool {
        begins(&self.parameters, name) || begins(&self.batch_norm, name)
    }
}

fn begins(prefixes: &[String], name: &str) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
}
