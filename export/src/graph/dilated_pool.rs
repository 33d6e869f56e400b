//! Pooling with dilation in a graph.
//!
//! ONNX's `AveragePool` has dilations from operator set 19 on only, and few programs compute them; a depthwise convolution
//! with ones is computed everywhere. Its sums are divided by the number of elements inside the image, which is the same
//! convolution of a map of ones.
//!
//! `MaxPool` has dilations, but ONNX Runtime refuses a padding that is not smaller than the window undilated. Then the map
//! is padded before it, with its own smallest value: that is never larger than a pixel of the image, and neither half
//! precision nor 8-bit integers meet a number that they cannot hold.

use super::{OnnxGraph, Value};
use crate::proto::{AttributeProto, f32_bytes};
use genas_net::Pool;

impl OnnxGraph<'_> {
    pub(super) fn dilated_mean(&mut self, pool: &Pool, x: Value) -> Value {
        let size = self.windowed("avg_pool", x, |s| pool.output_size(s));
        let channels = self.values[x.0].channels;
        let image = self.read(x);
        let sums = self.window_sums("avg_pool/sums", pool, channels, image);
        let size_of_x = self.part_of_shape(x, [2, 4]);
        let one_image = self.integers(&[1, 1]);
        let along = vec![AttributeProto::int("axis", 0)];
        let shape = self.operator("Concat", "avg_pool/ones_shape", &[&one_image, &size_of_x], along);
        let one = self.floats("one", &[1], &[1.0]);
        let ones = self.operator("Expand", "avg_pool/ones", &[&one, &shape], Vec::new()).into_name();
        let counts = self.window_sums("avg_pool/counts", pool, 1, ones);
        self.layer("Div", "avg_pool", vec![sums, counts], Vec::new(), (channels, size))
    }

    /// A map with a border that is no maximum.
    pub(super) fn with_lowest_border(&mut self, pool: &Pool, x: Value) -> String {
        let image = self.computed(x);
        let whole = vec![AttributeProto::int("keepdims", 0)];
        let least = self.operator("ReduceMin", "max_pool/least", &[&image], whole);
        let p = pool.padding as i64;
        let pads = self.integers(&[0, 0, p, p, 0, 0, p, p]);
        self.operator("Pad", "max_pool/pad", &[&image, &pads, &least], Vec::new()).into_name()
    }

    /// Sums of the pool's windows, of a tensor by its name.
    fn window_sums(&mut self, name: &str, pool: &Pool, channels: usize, input: String) -> String {
        let shape = [channels, 1, pool.kernel, pool.kernel];
        let ones = format!("constants.ones_{}x{channels}", pool.kernel);
        let ones =
            self.initializer(&ones.clone(), ones, &shape, || f32_bytes(&vec![1.0; shape.iter().product()]));
        let attributes = vec![
            AttributeProto::ints("kernel_shape", &shape[2..]),
            AttributeProto::ints("strides", &[pool.stride; 2]),
            AttributeProto::ints("pads", &[pool.padding; 4]),
            AttributeProto::ints("dilations", &[pool.dilation; 2]),
            AttributeProto::int("group", channels),
        ];
        self.node("Conv", self.node_name(name), vec![input, ones], attributes).0
    }
}
