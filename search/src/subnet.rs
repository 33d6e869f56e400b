//! Sub-networks of a trained supernet, of any space: weights pruned to a candidate, statistics of its own (spec 02-4),
//! logits.

use crate::config::{ScorerKind, Statistics};
use crate::error::SearchError;
use crate::supernet::Halves;
use genas_data::{ImageSet, TrainLoader, normalized};
use genas_export::{Dim, ExportError, GraphOptions, classifier_model, nb201_supernet_model, supernet_model};
use genas_net::{
    BN_MOMENTUM, Devices, EvalNet, Feature, Interpreter, Layout, Mode, Nb201Path, Nb201Supernet, Path,
    Supernet, Tensors, Weights, cross_entropy, gradient, update_statistics,
};
use genas_runtime::{Provider, Session, SessionOptions};
use genas_space::Candidate;
use genas_space::nb201::Nb201Cell;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

/// Images per inference call: small batches stay in the cache (burn-notes.md).
const CHUNK: usize = 25;

/// A supernet: a network that has one sub-network per candidate.
pub trait WeightSharing: Clone + Debug + Send + Sync {
    /// What picks a sub-network.
    type Candidate: Copy + Debug + Send + Sync;

    /// Number of classes.
    fn n_classes(&self) -> usize;

    /// Images to the logits of a candidate's sub-network.
    fn subnet<I: Interpreter>(&self, i: &mut I, candidate: &Self::Candidate, x: &I::Value) -> I::Value;

    /// The parameters and buffers that it uses.
    fn subnet_layout(&self, candidate: &Self::Candidate) -> Layout;

    /// It as an ONNX file.
    fn subnet_model(
        &self,
        candidate: &Self::Candidate,
        weights: &Weights,
        options: &GraphOptions,
    ) -> Result<Vec<u8>, ExportError>;
}

impl WeightSharing for Supernet {
    type Candidate = Candidate;

    fn n_classes(&self) -> usize {
        self.classes
    }

    fn subnet<I: Interpreter>(&self, i: &mut I, candidate: &Candidate, x: &I::Value) -> I::Value {
        self.forward(i, Path::Candidate(candidate), x)
    }

    fn subnet_layout(&self, candidate: &Candidate) -> Layout {
        self.candidate_layout(candidate)
    }

    fn subnet_model(
        &self,
        candidate: &Candidate,
        weights: &Weights,
        options: &GraphOptions,
    ) -> Result<Vec<u8>, ExportError> {
        supernet_model(self, candidate, weights, options)
    }
}

impl WeightSharing for Nb201Supernet {
    type Candidate = Nb201Cell;

    fn n_classes(&self) -> usize {
        self.classes
    }

    fn subnet<I: Interpreter>(&self, i: &mut I, cell: &Nb201Cell, x: &I::Value) -> I::Value {
        self.forward(i, Nb201Path::Shared(cell), x)
    }

    fn subnet_layout(&self, cell: &Nb201Cell) -> Layout {
        self.cell_layout(cell)
    }

    fn subnet_model(
        &self,
        cell: &Nb201Cell,
        weights: &Weights,
        options: &GraphOptions,
    ) -> Result<Vec<u8>, ExportError> {
        nb201_supernet_model(self, cell, weights, options)
    }
}

/// A network of one cell has itself as its only sub-network, without the auxiliary head.
impl WeightSharing for EvalNet {
    type Candidate = ();

    fn n_classes(&self) -> usize {
        self.classes
    }

    fn subnet<I: Interpreter>(&self, i: &mut I, (): &(), x: &I::Value) -> I::Value {
        self.forward(i, x)
    }

    fn subnet_layout(&self, (): &()) -> Layout {
        EvalNet { auxiliary: false, ..self.clone() }.layout()
    }

    fn subnet_model(
        &self,
        (): &(),
        weights: &Weights,
        options: &GraphOptions,
    ) -> Result<Vec<u8>, ExportError> {
        classifier_model(self, weights, options)
    }
}

/// How BatchNorm statistics are built for a candidate (spec 02-4).
#[derive(Clone, Copy, Debug)]
pub struct Recalibration {
    /// Training images, rounded up to whole batches; 0 leaves the supernet's statistics.
    pub images: usize,
    /// Images per batch.
    pub batch_size: usize,
    /// How batches build the statistics.
    pub statistics: Statistics,
}

/// Images that candidates are recalibrated and measured with.
#[derive(Debug)]
pub struct Images {
    /// Training images, augmented; without them nothing can be recalibrated.
    loader: Option<TrainLoader>,
    /// Validation images, decoded and normalised.
    pixels: Vec<f32>,
    /// Their labels.
    pub(crate) labels: Vec<i64>,
    size: [usize; 2],
}

impl Images {
    /// The first `n` validation images, and `loader` for recalibration. There must be as many.
    pub fn new(halves: &Halves, n: usize, loader: TrainLoader) -> Self {
        Self::chosen(&halves.set, &halves.valid[..n], Some(loader))
    }

    /// These images of a set, and `loader` for recalibration if there is to be any.
    pub fn chosen(set: &ImageSet, positions: &[usize], loader: Option<TrainLoader>) -> Self {
        Self {
            loader,
            pixels: normalized(set, positions),
            labels: set.labels_at(positions),
            size: [set.height, set.width],
        }
    }

    /// All positions, in order.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.labels.len()).collect()
    }

    /// The pixels of some images, one after the other; without a copy where they lie so.
    fn gather(&self, positions: &[usize]) -> Cow<'_, [f32]> {
        let one = 3 * self.size[0] * self.size[1];
        let first = positions.first().map_or(0, |&p| p);
        if positions.iter().enumerate().all(|(n, &p)| p == first + n) {
            return Cow::Borrowed(&self.pixels[first * one..][..positions.len() * one]);
        }
        Cow::Owned(positions.iter().flat_map(|&p| &self.pixels[p * one..][..one]).copied().collect())
    }
}

/// The sub-networks of one trained supernet, and what computes them.
#[derive(Debug)]
pub struct Subnets<N> {
    /// The supernet.
    pub net: N,
    /// Its weights.
    pub trained: Weights,
    /// What computes logits.
    pub engine: ScorerKind,
    /// Devices of burn.
    pub devices: Devices,
    /// Provider of ONNX Runtime.
    pub provider: Provider,
}

impl<N: WeightSharing> Subnets<N> {
    /// A candidate's weights with statistics of its own. `draw` counts draws of recalibration batches.
    pub fn recalibrated(
        &self,
        candidate: &N::Candidate,
        images: &Images,
        recalibration: &Recalibration,
        draw: u64,
    ) -> Weights {
        let mut weights = self.trained.restrict(Arc::new(self.net.subnet_layout(candidate)));
        self.recalibrate(candidate, &mut weights, images, recalibration, draw);
        weights
    }

    /// Builds the statistics of a candidate's `weights` anew.
    ///
    /// # Panics
    ///
    /// If it is to be done on images that are not there ([`Images::chosen`]).
    pub fn recalibrate(
        &self,
        candidate: &N::Candidate,
        weights: &mut Weights,
        images: &Images,
        recalibration: &Recalibration,
        draw: u64,
    ) {
        let batches = recalibration.images.div_ceil(recalibration.batch_size);
        if batches == 0 {
            return;
        }
        let Some(loader) = &images.loader else {
            unreachable!("nothing is recalibrated without images for it")
        };
        weights.reset_statistics();
        for (n, batch) in loader.batches(draw, 0..batches).enumerate() {
            let mut i = Tensors::new(weights, self.devices.plain(), Mode::BatchStatistics);
            let [h, w] = images.size;
            let x = Feature::from_values(batch.images, [batch.n, 3, h, w], i.device());
            self.net.subnet(&mut i, candidate, &x);
            let momentum = match recalibration.statistics {
                Statistics::Ema => BN_MOMENTUM as f32,
                Statistics::Average => 1.0 / (n + 1) as f32,
            };
            let statistics = i.take_statistics();
            update_statistics(weights, &statistics, momentum);
        }
    }

    /// Logits of the validation images at `positions`, row by row.
    pub fn logits(
        &self,
        candidate: &N::Candidate,
        weights: &Weights,
        images: &Images,
        positions: &[usize],
    ) -> Result<Vec<f32>, SearchError> {
        let [h, w] = images.size;
        let chunks = positions.chunks(CHUNK).map(|chunk| (images.gather(chunk), [chunk.len(), 3, h, w]));
        let mut logits = Vec::with_capacity(positions.len() * self.net.n_classes());
        match self.engine {
            ScorerKind::Ort => {
                let options = GraphOptions {
                    batch: Dim::dynamic("batch"),
                    width: Dim::Fixed(w),
                    ..GraphOptions::scoring(CHUNK, h)
                };
                let model = self.net.subnet_model(candidate, weights, &options)?;
                let session =
                    SessionOptions { provider: self.provider, intra_threads: 1, ..Default::default() };
                let mut session = Session::from_bytes(&model, &session)?;
                let mut out = Vec::new();
                for (pixels, shape) in chunks {
                    session.run_f32_into(&pixels, &shape, &mut out)?;
                    logits.extend_from_slice(&out);
                }
            }
            ScorerKind::Burn => {
                let mut i = Tensors::new(weights, self.devices.plain(), Mode::Inference);
                for (pixels, shape) in chunks {
                    let x = Feature::from_values(pixels.into_owned(), shape, i.device());
                    let y = self.net.subnet(&mut i, candidate, &x).tensor();
                    logits.extend(y.into_data().try_to_vec::<f32>().unwrap_or_default());
                }
            }
        }
        Ok(logits)
    }

    /// Gradient of the mean loss of the validation images at `positions`, with the statistics of `weights`: a value for each
    /// of its parameters. By burn, in batches of `batch`.
    pub fn gradient(
        &self,
        candidate: &N::Candidate,
        weights: &Weights,
        images: &Images,
        positions: &[usize],
        batch: usize,
    ) -> Vec<f64> {
        let ([h, w], device) = (images.size, self.devices.recording());
        let mut sum = vec![0.0; weights.layout().n_parameters()];
        for chunk in positions.chunks(batch) {
            let labels: Vec<i64> = chunk.iter().map(|&p| images.labels[p]).collect();
            let pixels = images.gather(chunk).into_owned();
            let (_, part) = gradient(weights, &device, |i| {
                let x = Feature::from_values(pixels, [chunk.len(), 3, h, w], i.device());
                cross_entropy(self.net.subnet(i, candidate, &x).tensor(), &labels, 0.0)
            });
            let share = chunk.len() as f64 / positions.len() as f64;
            sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += share * f64::from(value));
        }
        sum
    }
}
