//! What a network needs from whoever reads it.

use crate::layer::{BatchNorm, Conv, FactorizedReduce, Linear, Pool, Probability};

/// A reader of network wiring: tensors, cost, parameter declaration, an ONNX graph.
///
/// Parameters are found by name: the scopes around a layer joined with `.`, the layer's name, then
/// `weight`, `bias`, `running_mean` or `running_var`. A name is used by one layer only, unless
/// layers really share their parameters.
pub trait Interpreter {
    /// One feature map (or its shape, or its name).
    type Value: Clone;

    /// Names what `body` reads: `cells.3`, then `edges.0`, and so on.
    fn scope<R>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> R) -> R
    where
        Self: Sized;

    /// Convolution, with a bias if it has one.
    fn conv(&mut self, name: &str, conv: &Conv, x: &Self::Value) -> Self::Value;

    /// Batch normalisation.
    fn batch_norm(&mut self, name: &str, bn: &BatchNorm, x: &Self::Value) -> Self::Value;

    /// `max(x, 0)`.
    fn relu(&mut self, x: &Self::Value) -> Self::Value;

    /// Max pooling.
    fn max_pool(&mut self, pool: &Pool, x: &Self::Value) -> Self::Value;

    /// Average pooling, what is outside the image not counted.
    fn avg_pool(&mut self, pool: &Pool, x: &Self::Value) -> Self::Value;

    /// Sum of one or more maps of the same shape.
    fn sum(&mut self, xs: &[Self::Value]) -> Self::Value;

    /// A map of zeros, of the shape of `x`; `x` has a gradient of zeros.
    fn zeros(&mut self, x: &Self::Value) -> Self::Value;

    /// Concatenation of channels.
    fn concat(&mut self, xs: &[Self::Value]) -> Self::Value;

    /// The two 1x1 convolutions of [`FactorizedReduce`], named `conv_1` and `conv_2`.
    fn factorized_reduce(&mut self, reduce: &FactorizedReduce, x: &Self::Value) -> Self::Value;

    /// Every pixel four times, as a square: the size is doubled.
    fn upsample(&mut self, x: &Self::Value) -> Self::Value;

    /// Bilinear resizing to the size of `like`, as PyTorch's `interpolate`: the middles of the corner pixels lie on each
    /// other if `align_corners`, the corners of the images if not.
    fn resize(&mut self, x: &Self::Value, like: &Self::Value, align_corners: bool) -> Self::Value;

    /// Mean over the pixels: `[n, c, h, w]` to `[n, c, 1, 1]`.
    fn global_avg_pool(&mut self, x: &Self::Value) -> Self::Value;

    /// Fully connected layer on a map whose channels times pixels are its inputs.
    fn linear(&mut self, name: &str, linear: &Linear, x: &Self::Value) -> Self::Value;

    /// Stochastic depth of one branch: identity unless training.
    fn drop_path(&mut self, x: Self::Value) -> Self::Value {
        x
    }

    /// Dropout of whole channels (PyTorch's `Dropout2d`): identity unless training.
    fn dropout(&mut self, _probability: Probability, x: Self::Value) -> Self::Value {
        x
    }
}
