//! Layers as plain descriptions: what an [`Interpreter`](crate::Interpreter) needs to know of each.

use serde::{Deserialize, Serialize};

/// A 2-d convolution without its weights. Weight shape `[c_out, c_in / groups, kernel[0], kernel[1]]`; bias `[c_out]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Stride, vertical and horizontal.
    pub stride: [usize; 2],
    /// Zero padding on each side, vertical and horizontal.
    pub padding: [usize; 2],
    /// Dilation of both axes.
    pub dilation: usize,
    /// Groups; `c_in` for a depthwise convolution.
    pub groups: usize,
    /// Whether a number is added to each output channel. A BatchNorm behind the convolution would take it away again.
    pub bias: bool,
}

impl Conv {
    /// A dense square convolution.
    pub fn dense(c_in: usize, c_out: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            c_in,
            c_out,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: 1,
            groups: 1,
            bias: false,
        }
    }

    /// The same with a bias.
    #[must_use]
    pub fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// A 1x1 convolution of stride 1.
    pub fn pointwise(c_in: usize, c_out: usize) -> Self {
        Self::dense(c_in, c_out, 1, 1, 0)
    }

    /// A square depthwise convolution that keeps the size at stride 1.
    pub fn depthwise(channels: usize, kernel: usize, stride: usize, dilation: usize) -> Self {
        Self {
            dilation,
            groups: channels,
            ..Self::dense(channels, channels, kernel, stride, dilation * (kernel - 1) / 2)
        }
    }

    /// `[c_out, c_in / groups, kh, kw]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.c_out, self.c_in / self.groups, self.kernel[0], self.kernel[1]]
    }

    /// Output height and width for an input of `size`, or `None` if the kernel does not fit.
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let one = |a: usize| {
            let span = self.dilation * (self.kernel[a] - 1) + 1;
            Some((size[a] + 2 * self.padding[a]).checked_sub(span)? / self.stride[a] + 1)
        };
        Some([one(0)?, one(1)?])
    }

    /// Multiply-accumulates that produce one output pixel of all channels.
    pub fn macs_per_pixel(&self) -> u64 {
        self.weight_shape().iter().map(|&d| d as u64).product()
    }
}

/// A square max or average pooling. Average pooling does not count what is outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Window side.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Padding on each side.
    pub padding: usize,
    /// Distance between neighbours in the window.
    pub dilation: usize,
}

impl Pool {
    /// Without dilation.
    pub fn new(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel, stride, padding, dilation: 1 }
    }

    /// A window of odd side that keeps the size at stride 1.
    pub fn same(kernel: usize, stride: usize, dilation: usize) -> Self {
        Self { kernel, stride, padding: dilation * (kernel - 1) / 2, dilation }
    }

    /// Output height and width, or `None` if the window does not fit.
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let conv = Conv::dense(1, 1, self.kernel, self.stride, self.padding);
        Conv { dilation: self.dilation, ..conv }.output_size(size)
    }
}

/// The two 1x1 convolutions of DARTS's FactorizedReduce, concatenated: `conv_1` reads the pixels `(s i, s j)`, `conv_2` the
/// pixels `(s i + shift, s j + shift)`, zero outside; `s` is the stride. Weight shapes `[c_out / 2, c_in, 1, 1]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactorizedReduce {
    /// Input channels.
    pub c_in: usize,
    /// Output channels. Even.
    pub c_out: usize,
    /// Stride: 2 for a reduction, 1 where dilation stands for one.
    pub stride: usize,
    /// Rows and columns between what the halves read.
    pub shift: usize,
}

impl FactorizedReduce {
    /// Halves the size, rounding up.
    pub fn halving(c_in: usize, c_out: usize) -> Self {
        Self { c_in, c_out, stride: 2, shift: 1 }
    }

    /// Output height and width.
    pub fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side.div_ceil(self.stride))
    }
}

/// Batch normalisation over the channel axis (eps [`crate::BN_EPS`], momentum [`crate::BN_MOMENTUM`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNorm {
    /// Channels.
    pub channels: usize,
    /// Whether scale and shift are parameters (false in NAS-Bench-201's search cells).
    pub affine: bool,
}

impl BatchNorm {
    /// With scale and shift.
    pub fn new(channels: usize) -> Self {
        Self { channels, affine: true }
    }
}

/// A fully connected layer with bias. Weight shape `[c_out, c_in]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Input features.
    pub c_in: usize,
    /// Output features.
    pub c_out: usize,
}

/// A probability: a number from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

impl Probability {
    /// `None` for what is no probability.
    pub fn new(value: f64) -> Option<Self> {
        // A sum with 0 leaves one zero of two.
        (0.0..=1.0).contains(&value).then_some(Self(value + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

// Never NaN, and with one zero only.
impl Eq for Probability {}

impl std::hash::Hash for Probability {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("a probability is from 0 to 1, not {value}"))
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> f64 {
        probability.0
    }
}
