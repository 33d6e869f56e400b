//! How a graph is written, and what a file holds.

use crate::calibrate::Calibration;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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

    /// Any number of images of any size, BatchNorm kept: what detectors take.
    pub fn any_size() -> Self {
        let [height, width] = ["height", "width"].map(Dim::dynamic);
        Self { height, width, ..Self::square(0) }
    }

    /// As [`square`](Self::square), but a fixed batch and BatchNorm folded: the fastest form, for
    /// models that stay in memory.
    pub fn scoring(batch: usize, side: usize) -> Self {
        Self { fold_bn: true, batch: Dim::Fixed(batch), ..Self::square(side) }
    }
}

/// What a file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelKind {
    /// Output [`LOGITS`](crate::LOGITS).
    #[default]
    Classifier,
    /// Outputs [`BACKBONE_OUTPUTS`](crate::BACKBONE_OUTPUTS), without the classifier (spec 06-2).
    Backbone(Features),
}

impl ModelKind {
    /// As the metadata key `kind` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classifier => "classifier",
            Self::Backbone(_) => "backbone",
        }
    }
}

/// Which feature maps a backbone gives. Everything that reads them inside the network starts with a ReLU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Features {
    /// As the cells compute them, negative values included.
    #[default]
    Raw,
    /// After a ReLU.
    Relu,
}

impl Features {
    /// As the metadata key `features` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Relu => "relu",
        }
    }
}

/// Number format of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    Fp32,
    /// 16-bit floating point, BatchNorm folded; inputs and outputs are 32-bit unless `half_io`.
    Fp16 {
        /// Whether inputs and outputs are 16-bit too.
        half_io: bool,
    },
    /// 8-bit integers with `QuantizeLinear` and `DequantizeLinear` on every edge, BatchNorm folded; inputs and
    /// outputs are 32-bit. Needs [`ExportOptions::calibration`].
    Int8,
}

/// How a quantised model writes what flows between its layers. Weights are signed and symmetric in any case, with
/// a scale for each output channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// Unsigned, with a zero point: the whole range is used. ONNX Runtime on x86 and OpenVINO compute every layer in
    /// integers.
    #[default]
    Uint8,
    /// Signed and symmetric, the zero point 0: what TensorRT takes.
    Int8,
}

impl Activations {
    /// As the metadata has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
        }
    }
}

impl Precision {
    /// As the metadata key `precision` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 { .. } => "fp16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Options of [`export_model`](crate::export_model).
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// What the file is for.
    pub kind: ModelKind,
    /// Its number format.
    pub precision: Precision,
    /// How its graph is written.
    pub graph: GraphOptions,
    /// For [`Precision::Int8`]: the ranges of the network's values, from [`calibrate`](crate::calibrate()).
    pub calibration: Option<Arc<Calibration>>,
}

impl ExportOptions {
    /// A classifier in 32 bits.
    pub fn classifier(graph: GraphOptions) -> Self {
        Self::new(ModelKind::Classifier, Precision::Fp32, graph)
    }

    /// Without calibration.
    pub fn new(kind: ModelKind, precision: Precision, graph: GraphOptions) -> Self {
        Self { kind, precision, graph, calibration: None }
    }
}
