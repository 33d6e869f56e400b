//! How a graph is written.

use std::collections::BTreeMap;

/// Operator sets that can be written.
pub const OPSETS: std::ops::RangeInclusive<i64> = 13..=21;
/// Operator set that is written unless another is asked for.
pub const DEFAULT_OPSET: i64 = 17;

/// One dimension of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size, under this name.
    Dynamic(String),
}

impl Dim {
    /// Any size, under this name.
    pub fn dynamic(name: &str) -> Self {
        Dim::Dynamic(name.to_owned())
    }

    /// The size, if it is fixed.
    pub fn fixed(&self) -> Option<usize> {
        match self {
            Dim::Fixed(size) => Some(*size),
            Dim::Dynamic(_) => None,
        }
    }
}

/// Options of [`OnnxGraph`](crate::OnnxGraph).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphOptions {
    /// Operator set, one of [`OPSETS`].
    pub opset: i64,
    /// Whether BatchNorm is folded into the convolution before it. The weights of a folded model
    /// cannot be read back.
    pub fold_bn: bool,
    /// Images per run.
    pub batch: Dim,
    /// Image height.
    pub height: Dim,
    /// Image width.
    pub width: Dim,
    /// The model's `metadata_props`.
    pub metadata: BTreeMap<String, String>,
}

impl GraphOptions {
    /// Square images of a fixed size, any number of them, BatchNorm kept.
    pub fn square(side: usize) -> Self {
        Self {
            opset: DEFAULT_OPSET,
            fold_bn: false,
            batch: Dim::dynamic("batch"),
            height: Dim::Fixed(side),
            width: Dim::Fixed(side),
            metadata: BTreeMap::new(),
        }
    }

    /// As [`square`](Self::square), but a fixed batch and BatchNorm folded: the fastest form, for
    /// models that stay in memory.
    pub fn scoring(batch: usize, side: usize) -> Self {
        Self { fold_bn: true, batch: Dim::Fixed(batch), ..Self::square(side) }
    }
}
