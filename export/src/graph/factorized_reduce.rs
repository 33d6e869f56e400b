//! FactorizedReduce in a graph: `conv_1` on the even pixels of an image, `conv_2` on the odd ones (spec 01-A1).
//!
//! With BatchNorm kept it is one convolution with 2x2 kernels: `conv_1` in tap (0, 0) and `conv_2` in tap (1, 1).
//! That is the fewest nodes, and the weights can be read back. Half of its work is with zeros, though, and it made
//! a folded ImageNet network 1.5 % slower than the slices and two convolutions that other exporters write.
//!
//! With BatchNorm folded, the odd pixels are picked by a depthwise 2x2 convolution, which costs next to nothing, and
//! both halves are 1x1 convolutions: 1 to 4 % faster than with slices (benches/runs).
//!
//! Neither has a slice, and both pad an odd size at the bottom and the right.
//!
//! Where dilation stands for the stride, taps are as far apart as the halves are shifted; unshifted halves are two 1x1
//! convolutions in any case.

use super::{Convolution, FACTORIZED_HALVES, FACTORIZED_REDUCE, OnnxGraph, Producer, Value, WeightSource};
use crate::fold::ChannelAffine;
use crate::proto::f32_bytes;
use genas_net::FactorizedReduce;

/// How the names of the kernels that pick odd pixels, or shifted ones, begin. Such a convolution only moves numbers.
pub(crate) const ODD_PIXELS: &str = "constants.odd_pixels_";

impl OnnxGraph<'_> {
    /// As one convolution, which is written when something reads it if BatchNorms are folded.
    pub(super) fn reduce(&self, reduce: &FactorizedReduce, x: Value) -> Convolution {
        let FactorizedReduce { c_in, c_out, stride, shift } = *reduce;
        Convolution {
            path: self.path_of(FACTORIZED_REDUCE),
            node_name: self.node_name(FACTORIZED_REDUCE),
            input: x,
            weight_shape: [c_out, c_in, 2, 2],
            source: WeightSource::FactorizedReduce(FACTORIZED_HALVES.map(|half| self.path_of(half))),
            strides: [stride; 2],
            pads: [0, 0, shift, shift],
            dilation: shift,
            groups: 1,
            bias: false,
        }
    }

    /// Writes it in halves, with the BatchNorm that it takes over if there is one.
    pub(super) fn write_in_halves(
        &mut self,
        whole: &Convolution,
        names: &[String; 2],
        fold: Option<(&str, ChannelAffine)>,
    ) -> (String, usize) {
        let [c_out, c_in, ..] = whole.weight_shape;
        let inputs = if whole.pads == [0; 4] {
            [(whole.input, whole.strides); 2]
        } else {
            [(whole.input, whole.strides), (self.odd_pixels(whole, c_in), [1, 1])]
        };
        let folds = match fold {
            Some((bn, affine)) => affine.halves().map(|half| Some((bn, half))),
            None => [None, None],
        };
        let mut halves = Vec::new();
        for ((name, fold), (input, strides)) in names.iter().zip(folds).zip(inputs) {
            let path = name.trim_end_matches(".weight").to_owned();
            let half = Convolution {
                node_name: format!("{}/{}", whole.node_name, path.rsplit('.').next().unwrap_or(&path)),
                path,
                input,
                weight_shape: [c_out / 2, c_in, 1, 1],
                source: WeightSource::Own,
                strides,
                pads: [0; 4],
                dilation: 1,
                groups: 1,
                bias: false,
            };
            halves.push(self.write_convolution(&half, fold).0);
        }
        self.node("Concat", format!("{}/concat", whole.node_name), halves, vec![super::axis(1)])
    }

    /// The pixels of odd rows and columns, or shifted ones: those that a kernel with a one in tap (1, 1) sees.
    fn odd_pixels(&mut self, whole: &Convolution, channels: usize) -> Value {
        let name = format!("{ODD_PIXELS}{channels}");
        let shape = [channels, 1, 2, 2];
        let kernel = self
            .initializer(&name.clone(), name, &shape, || f32_bytes(&[0.0, 0.0, 0.0, 1.0].repeat(channels)));
        let pick = Convolution {
            path: String::new(),
            node_name: format!("{}/odd_pixels", whole.node_name),
            input: whole.input,
            weight_shape: shape,
            source: WeightSource::Own,
            strides: whole.strides,
            pads: whole.pads,
            dilation: whole.dilation,
            groups: channels,
            bias: false,
        };
        let inputs = vec![self.read(whole.input), kernel];
        let (output, node) = self.node("Conv", pick.node_name.clone(), inputs, pick.attributes());
        let size = self.values[whole.input.0].size;
        let size = size.map(|size| size.map(|axis| axis.map(|s| s.div_ceil(whole.strides[0]))));
        self.value(output, Producer::Node(node), channels, size)
    }
}
