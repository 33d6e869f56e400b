//! This project's CPU kernels as a burn backend extension: forward and backward for flex.
//!
//! burn's generic convolution backward and its many-pass BatchNorm make training on the CPU three
//! times slower than PyTorch; these operations replace them there. Other devices use burn's own.
//!
//! The backward pass needs the operations' inputs, and those fill the memory of a training step. What is cheap to compute
//! again from what is kept anyway is not kept: the outputs of BatchNorm, of depthwise 3x3 convolutions and of subsampling.
//! They are memory-bound operations in burn's words, whatever its own strategy is; what is computed again has the same
//! bits.

use crate::layer::{Conv, Pool};
use crate::synchronised::SharedBatch;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
use burn::backend::autodiff::checkpoint::state::BackwardStates;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing as Recompute, CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    AutodiffBackend, Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{Device, Tensor, TensorData};
use genas_kernels::cross_entropy::{self, Average, Targets};
use genas_kernels::pool::PoolShape;
use genas_kernels::resize::{self as resizing, ResizeShape};
use genas_kernels::subsample::Grid;
use genas_kernels::{
    ConvShape, batch_norm, dense, depthwise, elementwise, focal, pointwise, pool, subsample as sub,
};
use std::marker::PhantomData;
use std::sync::Arc;

/// Whether the kernels run on this device.
pub(crate) fn supported(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the kernels know this convolution: square stride, and dense or depthwise.
pub(crate) fn conv_supported(conv: &Conv) -> bool {
    let depthwise = conv.groups == conv.c_in && conv.c_in == conv.c_out && conv.kernel[0] == conv.kernel[1];
    conv.stride[0] == conv.stride[1] && (conv.groups == 1 || depthwise)
}

/// Convolution, with a ReLU in front of it if `rectify`.
pub(crate) fn conv(conv: &Conv, x: Tensor<4>, weight: Tensor<4>, rectify: bool) -> Tensor<4> {
    // The dense kernel is the only one that does not apply the ReLU while it reads.
    let fused = !matches!(kind(conv), Kind::Dense);
    let x = if rectify && !fused { burn::tensor::activation::relu(x) } else { x };
    let rectify = rectify && fused;
    let geometry = ConvGeometry { conv: *conv, rectify };
    Tensor::from_dispatch(Dispatch::k_conv(x.into_dispatch(), weight.into_dispatch(), geometry))
}

/// The whole batch, where `x` is a replica's part of it.
pub(crate) type Whole = Option<Arc<SharedBatch>>;

/// BatchNorm by batch statistics: output, mean, biased variance.
pub(crate) fn batch_norm_train(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    whole: Whole,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (y, mean, variance) =
        Dispatch::k_batch_norm(x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch(), eps, whole);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// `x * scale + shift` with a constant scale and a shift per channel: a bias, or a BatchNorm whose statistics stand still.
pub(crate) fn channel_affine(x: Tensor<4>, scale: ChannelScale, shift: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::k_channel_affine(x.into_dispatch(), shift.into_dispatch(), scale))
}

/// A factor for each channel of a map; `None` is 1.
pub(crate) type ChannelScale = Option<Arc<[f32]>>;

/// Max pooling.
pub(crate) fn max_pool(pool: &Pool, x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::k_max_pool(x.into_dispatch(), *pool))
}

/// Average pooling, what is outside the image not counted.
pub(crate) fn avg_pool(pool: &Pool, x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::k_avg_pool(x.into_dispatch(), *pool))
}

/// The pixels of a grid, zero outside.
pub(crate) fn subsample(grid: Grid, x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::k_subsample(x.into_dispatch(), grid))
}

/// Bilinear resizing to a height and width.
pub(crate) fn resize(to: [usize; 2], align_corners: bool, x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::k_resize(x.into_dispatch(), to, align_corners))
}

/// A factor for each image of a map; `None` is 1.
pub(crate) type Scales = Option<Arc<[f32]>>;

/// The sum of two maps of which each image has a factor.
pub(crate) fn add_scaled([a, b]: [Tensor<4>; 2], scales: [Scales; 2]) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::k_add_scaled(a.into_dispatch(), b.into_dispatch(), scales))
}

/// Mean cross-entropy of `[n, classes, h, w]`.
pub(crate) fn cross_entropy(logits: Tensor<4>, targets: MapTargets) -> Tensor<1> {
    let (loss, _, _) = Dispatch::k_cross_entropy(logits.into_dispatch(), targets);
    Tensor::from_dispatch(loss)
}

/// Sum of the sigmoid focal losses of `[n, anchors * classes, h, w]`.
pub(crate) fn focal(logits: Tensor<4>, targets: FocalTargets) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::k_focal(logits.into_dispatch(), targets))
}

/// What a detector's logits should say, see [`focal::Targets`].
#[derive(Clone, Debug)]
pub(crate) struct FocalTargets {
    pub labels: Arc<[i32]>,
    pub classes: usize,
    pub alpha: f32,
    pub gamma: f32,
}

impl FocalTargets {
    fn borrow(&self) -> focal::Targets<'_> {
        focal::Targets { labels: &self.labels, alpha: self.alpha, gamma: self.gamma }
    }

    fn shape(&self, logits: &FlexTensor) -> focal::Shape {
        let [n, channels, h, w] = dims4(logits);
        focal::Shape { n, anchors: channels / self.classes, classes: self.classes, hw: h * w }
    }
}

/// What the logits should say, see [`Targets`].
#[derive(Clone, Debug)]
pub(crate) struct MapTargets {
    pub labels: Arc<[i64]>,
    pub smoothing: f32,
    pub ignore: Option<i64>,
    pub weights: Option<Arc<[f32]>>,
    pub average: Average,
}

impl MapTargets {
    fn borrow(&self) -> Targets<'_> {
        Targets {
            labels: &self.labels,
            smoothing: self.smoothing,
            ignore: self.ignore,
            weights: self.weights.as_deref(),
            average: self.average,
        }
    }
}

/// A convolution and whether a ReLU stands before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvGeometry {
    conv: Conv,
    rectify: bool,
}

/// The differentiable operations, routed by burn to flex or to its autodiff decorator.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait Kernels: Backend {
    fn k_conv(x: FloatTensor<Self>, w: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self>;
    fn k_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        whole: Whole,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    fn k_channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: ChannelScale,
    ) -> FloatTensor<Self>;
    fn k_focal(x: FloatTensor<Self>, targets: FocalTargets) -> FloatTensor<Self>;
    fn k_max_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self>;
    fn k_avg_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self>;
    fn k_subsample(x: FloatTensor<Self>, grid: Grid) -> FloatTensor<Self>;
    fn k_resize(x: FloatTensor<Self>, to: [usize; 2], align_corners: bool) -> FloatTensor<Self>;
    fn k_add_scaled(a: FloatTensor<Self>, b: FloatTensor<Self>, scales: [Scales; 2]) -> FloatTensor<Self>;
    /// The mean loss, and of each place the largest logit and the logarithm of the sum of exponentials relative to it.
    fn k_cross_entropy(
        x: FloatTensor<Self>,
        targets: MapTargets,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Their gradients, on backends that have them.
pub(crate) trait KernelGradients: Kernels {
    /// Gradients of input and weight.
    fn conv_backward(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// The output of `k_batch_norm` again.
    fn batch_norm_again(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self>;
    /// Gradients of input, scale and shift.
    fn batch_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        g: FloatTensor<Self>,
        eps: f64,
        whole: Whole,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// Gradients of input and shift.
    fn channel_affine_backward(
        g: FloatTensor<Self>,
        scale: ChannelScale,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// Gradient of the logits.
    fn focal_backward(x: FloatTensor<Self>, g: FloatTensor<Self>, targets: FocalTargets)
    -> FloatTensor<Self>;
    /// Gradient of the input; `x` is the forward's input.
    fn max_pool_backward(x: FloatTensor<Self>, g: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self>;
    /// Gradient of the input of `size`.
    fn avg_pool_backward(size: [usize; 2], g: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self>;
    /// Gradient of the input of `size`.
    fn subsample_backward(size: [usize; 2], g: FloatTensor<Self>, grid: Grid) -> FloatTensor<Self>;
    /// Gradient of the input of `size`.
    fn resize_backward(size: [usize; 2], g: FloatTensor<Self>, align_corners: bool) -> FloatTensor<Self>;
    /// Gradient of one of the maps that `k_add_scaled` adds.
    fn scale(g: FloatTensor<Self>, scales: Scales) -> FloatTensor<Self>;
    /// Gradient of the logits.
    fn cross_entropy_backward(
        x: FloatTensor<Self>,
        max: FloatTensor<Self>,
        log_sum: FloatTensor<Self>,
        g: FloatTensor<Self>,
        targets: MapTargets,
    ) -> FloatTensor<Self>;
}

type FlexTensor = FloatTensor<Flex>;

fn make(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// Runs `body` on the tensor's values in row-major order.
fn with<R>(tensor: &FlexTensor, body: impl FnOnce(&[f32]) -> R) -> R {
    let contiguous = tensor.to_contiguous();
    body(contiguous.as_slice::<f32>().expect("kernels run on contiguous f32 tensors"))
}

fn dims4(tensor: &FlexTensor) -> [usize; 4] {
    tensor.shape().dims()
}

fn conv_shape(x: &FlexTensor, conv: &Conv) -> ConvShape {
    let [n, ci, h, w] = dims4(x);
    ConvShape {
        n,
        ci,
        h,
        w,
        co: conv.c_out,
        kh: conv.kernel[0],
        kw: conv.kernel[1],
        stride: conv.stride[0],
        pad_h: conv.padding[0],
        pad_w: conv.padding[1],
        dilation: conv.dilation,
        groups: conv.groups,
    }
}

fn pool_shape(planes: usize, [h, w]: [usize; 2], p: &Pool) -> PoolShape {
    PoolShape { planes, h, w, k: p.kernel, stride: p.stride, pad: p.padding, dilation: p.dilation }
}

fn map_shape(x: &FlexTensor) -> cross_entropy::Shape {
    let [n, classes, h, w] = dims4(x);
    cross_entropy::Shape { n, classes, hw: h * w }
}

/// Which kernel computes a convolution.
enum Kind {
    Depthwise,
    Pointwise,
    Dense,
}

fn kind(conv: &Conv) -> Kind {
    if conv.groups > 1 {
        Kind::Depthwise
    } else if conv.kernel == [1, 1] && conv.stride == [1, 1] && conv.padding == [0, 0] {
        Kind::Pointwise
    } else {
        Kind::Dense
    }
}

impl Kernels for Flex {
    fn k_conv(x: FlexTensor, w: FlexTensor, ConvGeometry { conv, rectify }: ConvGeometry) -> FlexTensor {
        let s = conv_shape(&x, &conv);
        let values = with(&x, |x| {
            with(&w, |w| match kind(&conv) {
                Kind::Depthwise => depthwise::forward(x, w, &s, rectify),
                Kind::Pointwise => pointwise::forward(x, w, s.n, s.ci, s.co, s.h * s.w, rectify),
                Kind::Dense => dense::forward(x, w, &s),
            })
        });
        make(values, [s.n, s.co, s.out_h(), s.out_w()])
    }

    fn k_batch_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        eps: f64,
        whole: Whole,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [n, c, h, w] = dims4(&x);
        let (hw, eps) = (h * w, eps as f32);
        let (y, mean, variance) = with(&x, |x| {
            with(&gamma, |gamma| {
                with(&beta, |beta| match &whole {
                    None => batch_norm::train_forward(x, gamma, beta, n, c, hw, eps),
                    Some(whole) => {
                        let moments = batch_norm::moments(x, n, c, hw);
                        let (mean, var) = whole.statistics(&moments, (n * hw) as f64);
                        let y = batch_norm::train_forward_again(x, gamma, beta, &mean, &var, n, c, hw, eps);
                        (y, mean, var)
                    }
                })
            })
        });
        (make(y, [n, c, h, w]), make(mean, [c]), make(variance, [c]))
    }

    fn k_channel_affine(x: FlexTensor, shift: FlexTensor, scale: ChannelScale) -> FlexTensor {
        let [n, c, h, w] = dims4(&x);
        let scale = scale.unwrap_or_else(|| vec![1.0; c].into());
        let y = with(&x, |x| with(&shift, |shift| batch_norm::affine(x, &scale, shift, n, c, h * w)));
        make(y, [n, c, h, w])
    }

    fn k_focal(x: FlexTensor, targets: FocalTargets) -> FlexTensor {
        let sum = with(&x, |values| focal::forward(values, &targets.borrow(), targets.shape(&x)));
        make(vec![sum as f32], [1])
    }

    fn k_max_pool(x: FlexTensor, p: Pool) -> FlexTensor {
        let [n, c, h, w] = dims4(&x);
        let s = pool_shape(n * c, [h, w], &p);
        make(with(&x, |x| pool::max_forward(x, &s).0), [n, c, s.out_h(), s.out_w()])
    }

    fn k_avg_pool(x: FlexTensor, p: Pool) -> FlexTensor {
        let [n, c, h, w] = dims4(&x);
        let s = pool_shape(n * c, [h, w], &p);
        make(with(&x, |x| pool::avg_forward(x, &s)), [n, c, s.out_h(), s.out_w()])
    }

    fn k_subsample(x: FlexTensor, grid: Grid) -> FlexTensor {
        let [n, c, h, w] = dims4(&x);
        let y = with(&x, |x| sub::forward(x, n * c, h, w, grid));
        make(y, [n, c, grid.out_len(h), grid.out_len(w)])
    }

    fn k_resize(x: FlexTensor, to: [usize; 2], align_corners: bool) -> FlexTensor {
        let [n, c, h, w] = dims4(&x);
        let s = ResizeShape { planes: n * c, from: [h, w], to, align_corners };
        make(with(&x, |x| resizing::forward(x, &s)), [n, c, to[0], to[1]])
    }

    fn k_add_scaled(a: FlexTensor, b: FlexTensor, scales: [Scales; 2]) -> FlexTensor {
        let [n, c, h, w] = dims4(&a);
        let scales = scales.each_ref().map(|s| s.as_deref());
        let y = with(&a, |a| with(&b, |b| elementwise::add_scaled([a, b], scales, n, c, h * w)));
        make(y, [n, c, h, w])
    }

    fn k_cross_entropy(x: FlexTensor, targets: MapTargets) -> (FlexTensor, FlexTensor, FlexTensor) {
        let s = map_shape(&x);
        let found = with(&x, |x| cross_entropy::forward(x, &targets.borrow(), s));
        let places = [s.n, s.hw];
        (make(vec![found.mean], [1]), make(found.max, places), make(found.log_sum, places))
    }
}

impl KernelGradients for Flex {
    fn conv_backward(
        x: FlexTensor,
        w: FlexTensor,
        g: FlexTensor,
        ConvGeometry { conv, rectify }: ConvGeometry,
    ) -> (FlexTensor, FlexTensor) {
        let s = conv_shape(&x, &conv);
        let (gx, gw) = with(&x, |x| {
            with(&w, |w| {
                with(&g, |g| {
                    let mask = rectify.then_some(x);
                    match kind(&conv) {
                        Kind::Depthwise => (
                            depthwise::backward_input(g, w, &s, mask),
                            depthwise::backward_weight(x, g, &s, rectify),
                        ),
                        Kind::Pointwise => pointwise::backward(x, w, g, s.n, s.ci, s.co, s.h * s.w, rectify),
                        Kind::Dense => (dense::backward_input(g, w, &s), dense::backward_weight(x, g, &s)),
                    }
                })
            })
        });
        (make(gx, [s.n, s.ci, s.h, s.w]), make(gw, conv.weight_shape()))
    }

    fn batch_norm_again(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        eps: f64,
    ) -> FlexTensor {
        let [n, c, h, w] = dims4(&x);
        let y = with(&x, |x| {
            with(&gamma, |gamma| {
                with(&beta, |beta| {
                    with(&mean, |mean| {
                        with(&variance, |variance| {
                            let eps = eps as f32;
                            batch_norm::train_forward_again(x, gamma, beta, mean, variance, n, c, h * w, eps)
                        })
                    })
                })
            })
        });
        make(y, [n, c, h, w])
    }

    fn batch_norm_backward(
        x: FlexTensor,
        gamma: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        g: FlexTensor,
        eps: f64,
        whole: Whole,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [n, c, h, w] = dims4(&x);
        let count = |sums: &mut [(f64, f64)]| match &whole {
            None => (n * h * w) as f64,
            Some(whole) => whole.gradients(sums),
        };
        let (gx, gg, gb) = with(&x, |x| {
            with(&g, |g| {
                with(&gamma, |gamma| {
                    with(&mean, |mean| {
                        with(&variance, |variance| {
                            let (hw, eps) = (h * w, eps as f32);
                            batch_norm::train_backward_in_part(
                                x, g, gamma, mean, variance, n, c, hw, eps, count,
                            )
                        })
                    })
                })
            })
        });
        (make(gx, [n, c, h, w]), make(gg, [c]), make(gb, [c]))
    }

    fn channel_affine_backward(g: FlexTensor, scale: ChannelScale) -> (FlexTensor, FlexTensor) {
        let [n, c, h, w] = dims4(&g);
        let moments = with(&g, |g| batch_norm::moments(g, n, c, h * w));
        let sums = moments.into_iter().map(|(mean, _)| (mean * (n * h * w) as f64) as f32).collect();
        let gx = match scale {
            None => g,
            Some(scale) => {
                let zeros = vec![0.0; c];
                make(with(&g, |g| batch_norm::affine(g, &scale, &zeros, n, c, h * w)), [n, c, h, w])
            }
        };
        (gx, make(sums, [c]))
    }

    fn focal_backward(x: FlexTensor, g: FlexTensor, targets: FocalTargets) -> FlexTensor {
        let scale = with(&g, |g| g[0]);
        let gx = with(&x, |values| focal::backward(values, &targets.borrow(), scale, targets.shape(&x)));
        make(gx, dims4(&x))
    }

    fn max_pool_backward(x: FlexTensor, g: FlexTensor, p: Pool) -> FlexTensor {
        let [n, c, h, w] = dims4(&x);
        let s = pool_shape(n * c, [h, w], &p);
        // Finding the maxima again is cheaper than keeping them: the input is saved anyway.
        let gx = with(&x, |x| with(&g, |g| pool::max_backward(g, &pool::max_forward(x, &s).1, &s)));
        make(gx, [n, c, h, w])
    }

    fn avg_pool_backward([h, w]: [usize; 2], g: FlexTensor, p: Pool) -> FlexTensor {
        let [n, c, _, _] = dims4(&g);
        make(with(&g, |g| pool::avg_backward(g, &pool_shape(n * c, [h, w], &p))), [n, c, h, w])
    }

    fn subsample_backward([h, w]: [usize; 2], g: FlexTensor, grid: Grid) -> FlexTensor {
        let [n, c, _, _] = dims4(&g);
        make(with(&g, |g| sub::backward(g, n * c, h, w, grid)), [n, c, h, w])
    }

    fn resize_backward([h, w]: [usize; 2], g: FlexTensor, align_corners: bool) -> FlexTensor {
        let [n, c, height, width] = dims4(&g);
        let s = ResizeShape { planes: n * c, from: [h, w], to: [height, width], align_corners };
        make(with(&g, |g| resizing::backward(g, &s)), [n, c, h, w])
    }

    fn scale(g: FlexTensor, scales: Scales) -> FlexTensor {
        let Some(scales) = scales else { return g };
        let [n, c, h, w] = dims4(&g);
        make(with(&g, |g| elementwise::scale(g, &scales, n, c, h * w)), [n, c, h, w])
    }

    fn cross_entropy_backward(
        x: FlexTensor,
        max: FlexTensor,
        log_sum: FlexTensor,
        g: FlexTensor,
        targets: MapTargets,
    ) -> FlexTensor {
        let (s, targets) = (map_shape(&x), targets.borrow());
        let scale = (f64::from(with(&g, |g| g[0])) / targets.divisor()) as f32;
        let gx = with(&x, |x| {
            with(&max, |max| {
                with(&log_sum, |log_sum| cross_entropy::backward(x, &targets, max, log_sum, scale, s))
            })
        });
        make(gx, dims4(&x))
    }
}

/// Backward of a one-input operation whose gradient needs its input.
#[derive(Debug)]
struct MaxPoolBackward;

impl<B: KernelGradients> Backward<B, 1> for MaxPoolBackward {
    type State = (NodeId, Pool);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, saved: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let x: FloatTensor<B> = saved.retrieve_node_output(ops.state.0);
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, B::max_pool_backward(x, g, ops.state.1));
        }
    }
}

#[derive(Debug)]
struct AvgPoolBackward;

impl<B: KernelGradients> Backward<B, 1> for AvgPoolBackward {
    type State = ([usize; 2], Pool);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, B::avg_pool_backward(ops.state.0, g, ops.state.1));
        }
    }
}

#[derive(Debug)]
struct ResizeBackward;

impl<B: KernelGradients> Backward<B, 1> for ResizeBackward {
    type State = ([usize; 2], bool);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, B::resize_backward(ops.state.0, g, ops.state.1));
        }
    }
}

#[derive(Debug)]
struct SubsampleBackward;

impl<B: KernelGradients> Backward<B, 1> for SubsampleBackward {
    type State = ([usize; 2], Grid);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, B::subsample_backward(ops.state.0, g, ops.state.1));
        }
    }
}

#[derive(Debug)]
struct AddScaledBackward;

impl<B: KernelGradients> Backward<B, 2> for AddScaledBackward {
    type State = [Scales; 2];

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        for (parent, scales) in ops.parents.into_iter().zip(ops.state) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, B::scale(g.clone(), scales));
            }
        }
    }
}

#[derive(Debug)]
struct ChannelAffineBackward;

impl<B: KernelGradients> Backward<B, 2> for ChannelAffineBackward {
    type State = ChannelScale;

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (gx, gs) = B::channel_affine_backward(g, ops.state);
        for (parent, gradient) in ops.parents.into_iter().zip([gx, gs]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct FocalBackward;

impl<B: KernelGradients> Backward<B, 1> for FocalBackward {
    type State = (NodeId, FocalTargets);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, saved: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (x, targets) = ops.state;
        let x: FloatTensor<B> = saved.retrieve_node_output(x);
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, B::focal_backward(x, g, targets));
        }
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: KernelGradients> Backward<B, 1> for CrossEntropyBackward {
    type State = (NodeId, B::FloatTensorPrimitive, B::FloatTensorPrimitive, MapTargets);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, saved: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (x, max, log_sum, targets) = ops.state;
        let x: FloatTensor<B> = saved.retrieve_node_output(x);
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, B::cross_entropy_backward(x, max, log_sum, g, targets));
        }
    }
}

#[derive(Debug)]
struct ConvBackward;

impl<B: KernelGradients> Backward<B, 2> for ConvBackward {
    type State = (NodeId, NodeId, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, saved: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (x, w, geometry) = ops.state;
        let x: FloatTensor<B> = saved.retrieve_node_output(x);
        let w: FloatTensor<B> = saved.retrieve_node_output(w);
        let (gx, gw) = B::conv_backward(x, w, g, geometry);
        for (parent, gradient) in ops.parents.into_iter().zip([gx, gw]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct BatchNormBackward;

impl<B: KernelGradients> Backward<B, 3> for BatchNormBackward {
    type State = (NodeId, NodeId, B::FloatTensorPrimitive, B::FloatTensorPrimitive, f64, Whole);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, saved: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (x, gamma, mean, variance, eps, whole) = ops.state;
        let x: FloatTensor<B> = saved.retrieve_node_output(x);
        let gamma: FloatTensor<B> = saved.retrieve_node_output(gamma);
        let (gx, gg, gb) = B::batch_norm_backward(x, gamma, mean, variance, g, eps, whole);
        for (parent, gradient) in ops.parents.into_iter().zip([gx, gg, gb]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct ConvAgain<B> {
    x: NodeId,
    w: NodeId,
    geometry: ConvGeometry,
    backend: PhantomData<fn() -> B>,
}

impl<B: KernelGradients> RetroForward for ConvAgain<B> {
    fn forward(&self, states: &mut BackwardStates, output: NodeId) {
        let x = states.get_state::<FloatTensor<B>>(&self.x);
        let w = states.get_state::<FloatTensor<B>>(&self.w);
        states.save(output, B::k_conv(x, w, self.geometry));
    }
}

#[derive(Debug)]
struct BatchNormAgain<B: KernelGradients> {
    x: NodeId,
    gamma: NodeId,
    beta: NodeId,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    eps: f64,
}

impl<B: KernelGradients> RetroForward for BatchNormAgain<B> {
    fn forward(&self, states: &mut BackwardStates, output: NodeId) {
        let x = states.get_state::<FloatTensor<B>>(&self.x);
        let gamma = states.get_state::<FloatTensor<B>>(&self.gamma);
        let beta = states.get_state::<FloatTensor<B>>(&self.beta);
        let (mean, variance) = (self.mean.clone(), self.variance.clone());
        states.save(output, B::batch_norm_again(x, gamma, beta, mean, variance, self.eps));
    }
}

#[derive(Debug)]
struct SubsampleAgain<B> {
    x: NodeId,
    grid: Grid,
    backend: PhantomData<fn() -> B>,
}

impl<B: KernelGradients> RetroForward for SubsampleAgain<B> {
    fn forward(&self, states: &mut BackwardStates, output: NodeId) {
        let x = states.get_state::<FloatTensor<B>>(&self.x);
        states.save(output, B::k_subsample(x, self.grid));
    }
}

impl<B: KernelGradients, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn k_conv(x: FloatTensor<Self>, w: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        let prepared = ConvBackward.prepare::<Recompute>([x.node(), w.node()]);
        // 5x5 too would save 11 % more of a step's memory (C = 36, 20 cells) for 7 % of its processor time.
        let cheap = matches!(kind(&geometry.conv), Kind::Depthwise) && geometry.conv.kernel == [3, 3];
        let prepared = if cheap {
            let again = ConvAgain::<B> { x: x.id(), w: w.id(), geometry, backend: PhantomData };
            prepared.memory_bound().retro_forward(again).parents([&x, &w])
        } else {
            prepared.compute_bound()
        };
        match prepared.stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&x), prepared.checkpoint(&w), geometry);
                prepared.finish(state, B::k_conv(x.into_primitive(), w.into_primitive(), geometry))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::k_conv(x.into_primitive(), w.into_primitive(), geometry))
            }
        }
    }

    fn k_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        whole: Whole,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (y, mean, variance) = {
            let [x, gamma, beta] = [&x, &gamma, &beta].map(|t| t.primitive().clone());
            B::k_batch_norm(x, gamma, beta, eps, whole.clone())
        };
        let again = BatchNormAgain::<B> {
            x: x.id(),
            gamma: gamma.id(),
            beta: beta.id(),
            mean: mean.clone(),
            variance: variance.clone(),
            eps,
        };
        let y = match BatchNormBackward
            .prepare::<Recompute>([x.node(), gamma.node(), beta.node()])
            .memory_bound()
            .retro_forward(again)
            .parents([&x, &gamma, &beta])
            .stateful()
        {
            OpsKind::Tracked(mut prepared) => {
                let (saved_x, saved_gamma) = (prepared.checkpoint(&x), prepared.checkpoint(&gamma));
                prepared.finish((saved_x, saved_gamma, mean.clone(), variance.clone(), eps, whole), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        };
        (y, Self::from_inner(mean), Self::from_inner(variance))
    }

    fn k_channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: ChannelScale,
    ) -> FloatTensor<Self> {
        match ChannelAffineBackward.prepare::<C>([x.node(), shift.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let y = B::k_channel_affine(x.into_primitive(), shift.into_primitive(), scale.clone());
                prepared.finish(scale, y)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::k_channel_affine(x.into_primitive(), shift.into_primitive(), scale))
            }
        }
    }

    fn k_focal(x: FloatTensor<Self>, targets: FocalTargets) -> FloatTensor<Self> {
        match FocalBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&x), targets.clone());
                prepared.finish(state, B::k_focal(x.into_primitive(), targets))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::k_focal(x.into_primitive(), targets)),
        }
    }

    fn k_max_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        match MaxPoolBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&x), pool);
                prepared.finish(state, B::k_max_pool(x.into_primitive(), pool))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::k_max_pool(x.into_primitive(), pool)),
        }
    }

    fn k_avg_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        let [_, _, h, w] = x.shape().dims();
        match AvgPoolBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                prepared.finish(([h, w], pool), B::k_avg_pool(x.into_primitive(), pool))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::k_avg_pool(x.into_primitive(), pool)),
        }
    }

    fn k_resize(x: FloatTensor<Self>, to: [usize; 2], align_corners: bool) -> FloatTensor<Self> {
        let [_, _, h, w] = x.shape().dims();
        match ResizeBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let y = B::k_resize(x.into_primitive(), to, align_corners);
                prepared.finish(([h, w], align_corners), y)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::k_resize(x.into_primitive(), to, align_corners))
            }
        }
    }

    fn k_subsample(x: FloatTensor<Self>, grid: Grid) -> FloatTensor<Self> {
        let [_, _, h, w] = x.shape().dims();
        let again = SubsampleAgain::<B> { x: x.id(), grid, backend: PhantomData };
        match SubsampleBackward
            .prepare::<Recompute>([x.node()])
            .memory_bound()
            .retro_forward(again)
            .parents([&x])
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                prepared.finish(([h, w], grid), B::k_subsample(x.into_primitive(), grid))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::k_subsample(x.into_primitive(), grid)),
        }
    }

    fn k_add_scaled(a: FloatTensor<Self>, b: FloatTensor<Self>, scales: [Scales; 2]) -> FloatTensor<Self> {
        match AddScaledBackward.prepare::<C>([a.node(), b.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let y = B::k_add_scaled(a.into_primitive(), b.into_primitive(), scales.clone());
                prepared.finish(scales, y)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::k_add_scaled(a.into_primitive(), b.into_primitive(), scales))
            }
        }
    }

    fn k_cross_entropy(
        x: FloatTensor<Self>,
        targets: MapTargets,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (loss, max, log_sum) = B::k_cross_entropy(x.primitive().clone(), targets.clone());
        let loss = match CrossEntropyBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&x), max.clone(), log_sum.clone(), targets);
                prepared.finish(state, loss)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(loss),
        };
        (loss, Self::from_inner(max), Self::from_inner(log_sum))
    }
}
