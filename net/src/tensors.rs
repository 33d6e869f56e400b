//! The interpreter that computes with burn: training, batch statistics, inference.

use crate::error::NetError;
use crate::extension::{self, Scales};
use crate::freeze::Freeze;
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, FactorizedReduce, Linear, Pool, Probability};
use crate::layout::Scope;
use crate::ops::BN_EPS;
use crate::synchronised::{SharedBatch, Synchroniser};
use crate::weights::Weights;
use burn::tensor::Gradients;
use burn::tensor::module::{
    adaptive_avg_pool2d, avg_pool2d, batch_norm, batch_norm_train, conv2d, max_pool2d,
};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData, activation};
use genas_kernels::{resize, subsample::Grid};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// How a forward treats BatchNorm and drop path.
#[derive(Debug)]
pub enum Mode {
    /// Batch statistics, gradients, and branches dropped with probability `drop_path`.
    Train {
        /// Probability that a branch is dropped for one sample.
        drop_path: f64,
        /// Draws the masks.
        rng: Box<ChaCha8Rng>,
    },
    /// Batch statistics without gradients: BatchNorm recalibration.
    BatchStatistics,
    /// Running statistics.
    Inference,
    /// Running statistics, and gradients: how the loss of a network changes around its weights, whose statistics stand
    /// still.
    Gradients,
}

/// What convolutions, pools and the classifier's product compute with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision: the published runs.
    #[default]
    F32,
    /// bfloat16, on GPUs. Parameters, their gradients and the optimizer stay in single precision on the host (bfloat16's
    /// range is single precision's, so the loss needs no scaling), and so do BatchNorm, the average before the classifier,
    /// logits and loss.
    Bf16,
}

/// Statistics of one BatchNorm over one batch.
#[derive(Debug)]
pub struct BatchStats {
    /// Entry of the running mean in the layout; the running variance is the next one.
    pub mean_entry: usize,
    /// Batch mean `[channels]`.
    pub mean: Vec<f32>,
    /// Unbiased batch variance `[channels]`, which PyTorch's running variance uses.
    pub variance: Vec<f32>,
}

/// A feature map `[n, c, h, w]`, perhaps with a factor for each image (drop path) or a ReLU that its consumer applies.
#[derive(Clone, Debug)]
pub struct Feature {
    tensor: Tensor<4>,
    scales: Scales,
    rectify: bool,
}

impl Feature {
    /// A feature map from host values.
    pub fn from_values(values: Vec<f32>, shape: [usize; 4], device: &Device) -> Self {
        Tensor::from_data(TensorData::new(values, shape), device).into()
    }

    /// The map as a tensor.
    pub fn tensor(self) -> Tensor<4> {
        let rectify = self.rectify;
        let tensor = self.unrectified();
        if rectify { activation::relu(tensor) } else { tensor }
    }

    /// The map as a tensor to which the ReLU, if it has one, is not applied.
    fn unrectified(self) -> Tensor<4> {
        let Some(scales) = self.scales else { return self.tensor };
        let data = TensorData::new(scales.to_vec(), [scales.len(), 1, 1, 1]);
        let scales = Tensor::<4>::from_data(data, &self.tensor.device());
        let scales = if self.tensor.dtype() == DType::BF16 { scales.cast(FloatDType::BF16) } else { scales };
        self.tensor * scales
    }
}

impl From<Tensor<4>> for Feature {
    fn from(tensor: Tensor<4>) -> Self {
        Self { tensor, scales: None, rectify: false }
    }
}

/// A parameter as burn sees it.
#[derive(Clone, Debug)]
enum Leaf {
    One(Tensor<1>),
    Two(Tensor<2>),
    Four(Tensor<4>),
}

/// Computes a network with burn from host weights. Parameters go to the device when they are met.
#[derive(Debug)]
pub struct Tensors<'a> {
    weights: &'a Weights,
    device: Device,
    /// This project's own CPU kernels can be used.
    kernels: bool,
    mode: Mode,
    scope: Scope,
    leaves: HashMap<usize, Leaf>,
    stats: Vec<(usize, Tensor<1>, Tensor<1>, f64)>,
    synchroniser: Option<Arc<Synchroniser>>,
    precision: Precision,
    freeze: Arc<Freeze>,
}

impl<'a> Tensors<'a> {
    /// `device` must record gradients (`Devices::recording`) for [`Mode::Train`] and [`Mode::Gradients`].
    pub fn new(weights: &'a Weights, device: Device, mode: Mode) -> Self {
        let kernels = extension::supported(&device);
        Self {
            weights,
            device,
            kernels,
            mode,
            scope: Scope::default(),
            leaves: HashMap::new(),
            stats: Vec::new(),
            synchroniser: None,
            precision: Precision::F32,
            freeze: Arc::default(),
        }
    }

    /// Keeps a part of the network as it is, also in training.
    #[must_use]
    pub fn with_freeze(mut self, freeze: Arc<Freeze>) -> Self {
        self.freeze = freeze;
        self
    }

    /// Computes in `precision`; an error on the CPU, whose kernels compute in single precision only.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, NetError> {
        if precision == Precision::Bf16 && self.kernels {
            return Err(NetError::Device(
                "bf16 is computed on GPUs only: take --device cuda, or precision f32".into(),
            ));
        }
        self.precision = precision;
        Ok(self)
    }

    /// In the precision of products.
    fn product<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => tensor,
            Precision::Bf16 if tensor.dtype() == DType::BF16 => tensor,
            Precision::Bf16 => tensor.cast(FloatDType::BF16),
        }
    }

    /// In single precision.
    fn single<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        match self.precision {
            Precision::F32 => tensor,
            Precision::Bf16 => tensor.cast(FloatDType::F32),
        }
    }

    /// Normalises by the statistics of all replicas' images. An error where the CPU kernels do not run: burn's own
    /// BatchNorm cannot be taken apart, and its gradient would not cross the replicas.
    pub(crate) fn synchronised(mut self, synchroniser: Arc<Synchroniser>) -> Result<Self, NetError> {
        if !self.kernels {
            return Err(NetError::Device(format!(
                "synchronised BatchNorm runs on the CPU only, not on {:?}; train with BatchNorm per replica there, as the published runs",
                self.device
            )));
        }
        self.synchroniser = Some(synchroniser);
        Ok(self)
    }

    /// Computes with burn's own operations everywhere: what the CPU kernels are tested against.
    #[doc(hidden)]
    #[must_use]
    pub fn with_burn_operations(mut self) -> Self {
        self.kernels = false;
        self
    }

    /// The device that this computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The batch statistics of every BatchNorm that was read, once.
    pub fn take_statistics(&mut self) -> Vec<BatchStats> {
        let host = |t: Tensor<1>| t.into_data().try_to_vec::<f32>().unwrap_or_default();
        self.stats
            .drain(..)
            .map(|(mean_entry, mean, variance, count)| {
                let unbiased = count as f32 / (count.max(2.0) - 1.0) as f32;
                let variance = host(variance).into_iter().map(|v| v * unbiased).collect();
                BatchStats { mean_entry, mean: host(mean), variance }
            })
            .collect()
    }

    /// Hands each parameter that got a gradient to `visit` (entry position, gradient values).
    pub fn visit_gradients(&self, gradients: &mut Gradients, mut visit: impl FnMut(usize, &[f32])) {
        let mut positions: Vec<_> = self.leaves.keys().copied().collect();
        positions.sort_unstable();
        for position in positions {
            let data = match &self.leaves[&position] {
                Leaf::One(t) => t.grad_remove(gradients).map(Tensor::into_data),
                Leaf::Two(t) => t.grad_remove(gradients).map(Tensor::into_data),
                Leaf::Four(t) => t.grad_remove(gradients).map(Tensor::into_data),
            };
            if let Some(values) = data.as_ref().and_then(|d| d.as_slice::<f32>().ok()) {
                visit(position, values);
            }
        }
    }

    fn add(&self, a: Feature, b: Feature) -> Feature {
        let scaled = a.scales.is_some() || b.scales.is_some();
        if !self.kernels || !scaled || a.rectify || b.rectify {
            // Without factors burn's addition is faster: it writes into the first map.
            return (a.tensor() + b.tensor()).into();
        }
        extension::add_scaled([a.tensor, b.tensor], [a.scales, b.scales]).into()
    }

    /// A BatchNorm by its running statistics as one factor and one shift per channel; if not `affine`, without its own
    /// scale and shift.
    fn fixed_batch_norm(&self, at: &str, bn: &BatchNorm, affine: bool) -> (Arc<[f32]>, Vec<f32>) {
        let part = |suffix: &str| self.weights.get(&format!("{at}.{suffix}")).map(<[f32]>::to_vec);
        let (ones, zeros) = (vec![1.0; bn.channels], vec![0.0; bn.channels]);
        let own = |suffix: &str| part(suffix).filter(|_| affine);
        let (gamma, beta) = (own("weight").unwrap_or(ones.clone()), own("bias").unwrap_or(zeros.clone()));
        let (mean, variance) = (part("running_mean").unwrap_or(zeros), part("running_var").unwrap_or(ones));
        let scale = gamma.iter().zip(&variance).map(|(g, v)| g / (v + BN_EPS as f32).sqrt());
        let scale: Arc<[f32]> = scale.collect();
        let shift = (0..bn.channels).map(|c| beta[c] - mean[c] * scale[c]).collect();
        (scale, shift)
    }

    fn position(&self, name: &str) -> usize {
        let name = self.scope.join(name);
        self.weights
            .layout()
            .position(&name)
            .unwrap_or_else(|| panic!("these weights belong to another network: they lack {name}"))
    }

    fn leaf<const D: usize>(&mut self, position: usize) -> Tensor<D> {
        let entry = &self.weights.layout().entries()[position];
        let data = TensorData::new(self.weights.slice(entry).to_vec(), entry.shape.clone());
        let tensor = Tensor::from_data(data, &self.device);
        let trained = entry.role.is_parameter() && !self.freeze.parameter(entry);
        let differentiates = matches!(self.mode, Mode::Train { .. } | Mode::Gradients);
        if differentiates && trained { tensor.require_grad() } else { tensor }
    }

    fn one(&mut self, name: &str) -> Tensor<1> {
        let position = self.position(name);
        if let Some(Leaf::One(t)) = self.leaves.get(&position) {
            return t.clone();
        }
        let tensor = self.leaf::<1>(position);
        self.leaves.insert(position, Leaf::One(tensor.clone()));
        tensor
    }

    fn two(&mut self, name: &str) -> Tensor<2> {
        let position = self.position(name);
        if let Some(Leaf::Two(t)) = self.leaves.get(&position) {
            return t.clone();
        }
        let tensor = self.leaf::<2>(position);
        self.leaves.insert(position, Leaf::Two(tensor.clone()));
        tensor
    }

    fn four(&mut self, name: &str) -> Tensor<4> {
        let position = self.position(name);
        if let Some(Leaf::Four(t)) = self.leaves.get(&position) {
            return t.clone();
        }
        let tensor = self.leaf::<4>(position);
        self.leaves.insert(position, Leaf::Four(tensor.clone()));
        tensor
    }
}

impl Interpreter for Tensors<'_> {
    type Value = Feature;

    fn scope<R>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> R) -> R {
        let mark = self.scope.enter(name);
        let result = body(self);
        self.scope.leave(mark);
        result
    }

    fn conv(&mut self, name: &str, conv: &Conv, x: &Feature) -> Feature {
        let weight = self.four(&format!("{name}.weight"));
        let bias = conv.bias.then(|| self.one(&format!("{name}.bias")));
        if self.kernels && extension::conv_supported(conv) {
            let y = extension::conv(conv, x.clone().unrectified(), weight, x.rectify);
            return match bias {
                Some(bias) => extension::channel_affine(y, None, bias).into(),
                None => y.into(),
            };
        }
        let options = ConvOptions::new(conv.stride, conv.padding, [conv.dilation; 2], conv.groups);
        let (weight, bias) = (self.product(weight), bias.map(|bias| self.product(bias)));
        conv2d(self.product(x.clone().tensor()), weight, bias, options).into()
    }

    fn batch_norm(&mut self, name: &str, bn: &BatchNorm, x: &Feature) -> Feature {
        let x = self.single(x.clone().tensor());
        let at = self.scope.join(name);
        let trains = matches!(self.mode, Mode::Train { .. });
        let differentiates = matches!(self.mode, Mode::Gradients);
        let fixed =
            differentiates || matches!(self.mode, Mode::Inference) || (trains && self.freeze.batch_norm(&at));
        if fixed && self.kernels {
            // Where scale and shift have gradients they are steps of their own.
            let own = differentiates && bn.affine;
            let (scale, shift) = self.fixed_batch_norm(&at, bn, !own);
            let shift = Tensor::from_data(TensorData::new(shift, [bn.channels]), &self.device);
            let y = extension::channel_affine(x, Some(scale), shift);
            if !own {
                return y.into();
            }
            let gamma = self.one(&format!("{name}.weight")).reshape([1, bn.channels, 1, 1]);
            return extension::channel_affine(y * gamma, None, self.one(&format!("{name}.bias"))).into();
        }
        let (gamma, beta) = if bn.affine {
            (self.one(&format!("{name}.weight")), self.one(&format!("{name}.bias")))
        } else {
            (Tensor::ones([bn.channels], &self.device), Tensor::zeros([bn.channels], &self.device))
        };
        if fixed {
            let mean = self.one(&format!("{name}.running_mean"));
            let variance = self.one(&format!("{name}.running_var"));
            return self.product(batch_norm(x, gamma, beta, mean, variance, BN_EPS)).into();
        }
        let [n, _, h, w] = x.dims();
        let entry = self.position(&format!("{name}.running_mean"));
        let whole = self.synchroniser.clone().map(|s| Arc::new(SharedBatch::new(s, self.stats.len())));
        let (y, mean, variance) = if self.kernels {
            extension::batch_norm_train(x, gamma, beta, BN_EPS, whole.clone())
        } else {
            let out = batch_norm_train(x, gamma, beta, BN_EPS);
            (out.output, out.mean, out.variance)
        };
        let count = whole.map_or((n * h * w) as f64, |whole| whole.count());
        self.stats.push((entry, mean, variance, count));
        self.product(y).into()
    }

    fn relu(&mut self, x: &Feature) -> Feature {
        Feature { rectify: true, ..x.clone() }
    }

    fn max_pool(&mut self, pool: &Pool, x: &Feature) -> Feature {
        if self.kernels {
            return extension::max_pool(pool, x.clone().tensor()).into();
        }
        let options = MaxPoolOptions::new([pool.kernel; 2]).with_stride([pool.stride; 2]);
        let options = options.with_padding([pool.padding; 2]).with_dilation([pool.dilation; 2]);
        max_pool2d(x.clone().tensor(), options).into()
    }

    fn avg_pool(&mut self, pool: &Pool, x: &Feature) -> Feature {
        if self.kernels {
            return extension::avg_pool(pool, x.clone().tensor()).into();
        }
        if pool.dilation > 1 {
            return dilated_mean(pool, x.clone().tensor()).into();
        }
        let options = AvgPoolOptions::new([pool.kernel; 2]).with_stride([pool.stride; 2]);
        let options = options.with_padding([pool.padding; 2]).with_count_include_pad(false);
        avg_pool2d(x.clone().tensor(), options).into()
    }

    fn sum(&mut self, xs: &[Feature]) -> Feature {
        let mut terms = xs.iter().cloned();
        let first = terms.next().expect("a sum has terms");
        terms.fold(first, |a, b| self.add(a, b))
    }

    fn zeros(&mut self, x: &Feature) -> Feature {
        x.clone().tensor().mul_scalar(0.0).into()
    }

    fn concat(&mut self, xs: &[Feature]) -> Feature {
        // Resized maps are in single precision.
        Tensor::cat(xs.iter().map(|x| self.product(x.clone().tensor())).collect(), 1).into()
    }

    fn factorized_reduce(&mut self, reduce: &FactorizedReduce, x: &Feature) -> Feature {
        let (w1, w2) = (self.four("conv_1.weight"), self.four("conv_2.weight"));
        if self.kernels {
            // Each half is a 1x1 convolution of every pixel, or every second one, from its own on.
            let map = x.clone().unrectified();
            let half = |offset, w: Tensor<4>| {
                let conv = Conv::pointwise(reduce.c_in, w.dims()[0]);
                let grid = Grid { stride: reduce.stride, offset };
                let all = grid == Grid { stride: 1, offset: 0 };
                let seen = if all { map.clone() } else { extension::subsample(grid, map.clone()) };
                extension::conv(&conv, seen, w, x.rectify)
            };
            return Tensor::cat(vec![half(0, w1), half(reduce.shift, w2)], 1).into();
        }
        let stride = [reduce.stride; 2];
        let (weight, options) = if reduce.shift == 0 {
            let weight = Tensor::cat(vec![self.product(w1), self.product(w2)], 0);
            (weight, ConvOptions::new(stride, [0, 0], [1, 1], 1))
        } else {
            // One 2x2 convolution whose taps (0, 0) and (1, 1) hold the two halves.
            let tap = |w: Tensor<4>, top: usize| self.product(w).pad((top, 1 - top, top, 1 - top), 0.0);
            let weight = Tensor::cat(vec![tap(w1, 0), tap(w2, 1)], 0);
            let shift = reduce.shift;
            (weight, ConvOptions::new_with_padding(stride, [(0, shift); 2], [shift; 2], 1))
        };
        conv2d(self.product(x.clone().tensor()), weight, None, options).into()
    }

    fn upsample(&mut self, x: &Feature) -> Feature {
        let x = x.clone().tensor();
        let [n, c, h, w] = x.dims();
        let squares = x.reshape([n, c, h, 1, w, 1]).expand([n, c, h, 2, w, 2]);
        squares.reshape([n, c, 2 * h, 2 * w]).into()
    }

    fn resize(&mut self, x: &Feature, like: &Feature, align_corners: bool) -> Feature {
        let [_, _, h, w] = like.tensor.dims();
        let x = self.single(x.clone().tensor());
        if self.kernels {
            return extension::resize([h, w], align_corners, x).into();
        }
        // burn's bilinear interpolation has no gradient on GPUs; products with two matrices have.
        let [_, _, rows, columns] = x.dims();
        let matrix = |from: usize, to: usize| {
            let values = resize::matrix(from, to, align_corners);
            Tensor::<4>::from_data(TensorData::new(values, [1, 1, to, from]), &self.device)
        };
        matrix(rows, h).matmul(x.matmul(matrix(columns, w).transpose())).into()
    }

    fn global_avg_pool(&mut self, x: &Feature) -> Feature {
        adaptive_avg_pool2d(self.single(x.clone().tensor()), [1, 1]).into()
    }

    fn linear(&mut self, name: &str, linear: &Linear, x: &Feature) -> Feature {
        let (weight, bias) = (self.two(&format!("{name}.weight")), self.one(&format!("{name}.bias")));
        let (x, weight) = (self.product(x.clone().tensor()), self.product(weight));
        let n = x.dims()[0];
        let y = x.reshape([n, linear.c_in]).matmul(weight.transpose());
        let y = self.single(y) + bias.reshape([1, linear.c_out]);
        y.reshape([n, linear.c_out, 1, 1]).into()
    }

    fn drop_path(&mut self, x: Feature) -> Feature {
        let Mode::Train { drop_path, rng } = &mut self.mode else { return x };
        if *drop_path <= 0.0 {
            return x;
        }
        let keep = 1.0 - *drop_path;
        let x = x.tensor();
        let n = x.dims()[0];
        let scales = (0..n).map(|_| if rng.random_bool(keep) { (1.0 / keep) as f32 } else { 0.0 }).collect();
        Feature { tensor: x, scales: Some(scales), rectify: false }
    }

    fn dropout(&mut self, probability: Probability, x: Feature) -> Feature {
        let Mode::Train { rng, .. } = &mut self.mode else { return x };
        if probability.get() <= 0.0 {
            return x;
        }
        let keep = 1.0 - probability.get();
        let x = x.tensor();
        let [n, c, _, _] = x.dims();
        let factors = (0..n * c).map(|_| if rng.random_bool(keep) { (1.0 / keep) as f32 } else { 0.0 });
        let factors =
            Tensor::<4>::from_data(TensorData::new(factors.collect::<Vec<_>>(), [n, c, 1, 1]), &self.device);
        let factors = if x.dtype() == DType::BF16 { factors.cast(FloatDType::BF16) } else { factors };
        (x * factors).into()
    }
}

/// Average pooling with a dilated window in burn's operations, which have none: sums by a depthwise convolution with ones,
/// over as many elements as are inside the image.
fn dilated_mean(pool: &Pool, x: Tensor<4>) -> Tensor<4> {
    let [_, c, h, w] = x.dims();
    let (kernel, dtype) = ([pool.kernel; 2], x.dtype());
    let options = |groups| ConvOptions::new([pool.stride; 2], [pool.padding; 2], [pool.dilation; 2], groups);
    let ones = |shape: [usize; 4]| {
        let ones = Tensor::<4>::ones(shape, &x.device());
        if dtype == DType::BF16 { ones.cast(FloatDType::BF16) } else { ones }
    };
    let counts = conv2d(ones([1, 1, h, w]), ones([1, 1, kernel[0], kernel[1]]), None, options(1));
    conv2d(x.clone(), ones([c, 1, kernel[0], kernel[1]]), None, options(c)) / counts
}
