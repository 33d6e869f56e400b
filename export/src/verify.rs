//! The proof that ONNX Runtime computes what burn computes.
//!
//! The same random images (uniform pixels, from one seed, normalised as the model wants them) go
//! through both. Logits may differ by 1e-4 times the largest logit, or 1e-4 if that is below one.

use crate::error::{ExportError, Result};
use crate::graph::LOGITS;
use crate::import::{network_of, weights_of};
use crate::metadata::{ModelFile, ModelInfo, read_model};
use genas_net::{Devices, EvalNet, Feature, Mode, Tensors, Weights};
use genas_runtime::{Provider, Session, SessionOptions};
use genas_space::Streams;
use rand::RngExt;
use std::path::Path;

/// Allowed difference of a logit over the largest logit.
pub const PARITY_TOLERANCE: f32 = 1e-4;
/// Images that are compared where the model does not fix their number.
pub(crate) const PARITY_BATCH: usize = 2;
const PARITY_SEED: u64 = 0;

/// How far ONNX Runtime is from burn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parity {
    /// Largest absolute difference of a logit; not finite if a logit is not.
    pub max_abs_error: f32,
    /// The largest difference that is allowed.
    pub allowed: f32,
}

impl Parity {
    /// Compares two lists of logits.
    pub fn between(found: &[f32], expected: &[f32]) -> Self {
        let largest = |values: &mut dyn Iterator<Item = f32>| {
            values.fold(0.0f32, |max, v| if v.is_finite() { max.max(v) } else { f32::INFINITY })
        };
        let max_abs_error = if found.len() == expected.len() {
            largest(&mut found.iter().zip(expected).map(|(a, b)| (a - b).abs()))
        } else {
            f32::INFINITY
        };
        let scale = largest(&mut expected.iter().map(|v| v.abs()));
        Self { max_abs_error, allowed: PARITY_TOLERANCE * scale.max(1.0) }
    }

    /// Whether the difference is allowed.
    pub fn holds(&self) -> bool {
        self.max_abs_error.is_finite() && self.max_abs_error <= self.allowed
    }

    /// An error unless the difference is allowed.
    pub(crate) fn check(self, what: &str, outcome: &'static str) -> Result<Self> {
        if self.holds() {
            return Ok(self);
        }
        let Self { max_abs_error: error, allowed } = self;
        Err(ExportError::Parity { what: what.to_owned(), error, allowed, outcome })
    }
}

/// Images and what burn says to them.
pub(crate) struct Reference {
    images: Vec<f32>,
    shape: [usize; 4],
    logits: Vec<f32>,
}

impl Reference {
    /// Computes with burn on the CPU.
    pub fn new(
        net: &EvalNet,
        weights: &Weights,
        info: &ModelInfo,
        batch: usize,
        size: [usize; 2],
    ) -> Result<Self> {
        check_weights(net, weights)?;
        let shape = [batch, 3, size[0], size[1]];
        let mut rng = Streams::new(PARITY_SEED).rng("parity", 0);
        let mut images = Vec::with_capacity(shape.iter().product());
        for _ in 0..batch {
            for (mean, std) in info.mean.iter().zip(info.std) {
                images.extend((0..size[0] * size[1]).map(|_| (rng.random::<f32>() - mean) / std));
            }
        }
        let logits = burn_logits(weights, &images, shape, |i, x| net.forward(i, x))?;
        Ok(Self { images, shape, logits })
    }

    /// Compares with a session.
    pub fn compare(&self, session: &mut Session) -> Result<Parity> {
        let outputs = session.run_f32(&self.images, &self.shape)?;
        let logits = outputs.into_iter().find(|o| o.name == LOGITS);
        Ok(Parity::between(&logits.map_or_else(Vec::new, |o| o.values), &self.logits))
    }
}

/// Logits of any network for normalised images, by burn on the CPU with running statistics.
pub(crate) fn burn_logits(
    weights: &Weights,
    images: &[f32],
    shape: [usize; 4],
    forward: impl FnOnce(&mut Tensors, &Feature) -> Feature,
) -> Result<Vec<f32>> {
    let device = Devices::cpu().plain();
    let mut tensors = Tensors::new(weights, device.clone(), Mode::Inference);
    let logits = forward(&mut tensors, &Feature::from_values(images.to_vec(), shape, &device));
    let logits = logits.tensor().into_data().try_to_vec::<f32>();
    logits
        .map_err(|e| ExportError::Info(format!("burn's logits cannot be read ({e:?}); report this as a bug")))
}

/// Refuses weights that lack what the network reads: burn would panic.
fn check_weights(net: &EvalNet, weights: &Weights) -> Result<()> {
    let read = EvalNet { auxiliary: false, ..net.clone() }.layout();
    for entry in read.entries() {
        let (name, expected) = (entry.name.clone(), entry.shape.clone());
        match weights.layout().get(&name) {
            Some(held) if held.shape == expected => {}
            Some(held) => return Err(ExportError::WeightShape { name, found: held.shape.clone(), expected }),
            None => return Err(ExportError::MissingWeight { name }),
        }
    }
    Ok(())
}

/// The CPU: its results do not depend on the machine's GPU, and burn's reference is computed there.
fn session_options() -> SessionOptions {
    SessionOptions { provider: Provider::Cpu, spinning: false, ..SessionOptions::default() }
}

/// Loads a file in ONNX Runtime.
pub(crate) fn open_file(path: &Path) -> Result<Session> {
    genas_runtime::ensure(&|_| ())?;
    Ok(Session::from_file(path, &session_options())?)
}

/// Loads a model from memory in ONNX Runtime.
pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Session> {
    genas_runtime::ensure(&|_| ())?;
    Ok(Session::from_bytes(bytes, &session_options())?)
}

/// Compares a classifier's file with burn: with the weights that it was written from, or else with
/// those in the file itself. An error if they disagree.
pub fn verify(path: &Path, weights: Option<&Weights>) -> Result<Parity> {
    let model = read_model(path)?;
    let file = ModelFile::of(path, &model)?;
    let net = network_of(path, &file)?;
    let own = match weights {
        Some(_) => None,
        None => Some(weights_of(path, &model, &file, &net)?),
    };
    let Some(weights) = weights.or(own.as_ref()) else {
        return Err(ExportError::Folded { path: path.to_owned() });
    };
    let mut session = open_file(path)?;
    let shape = session.inputs().first().map(|port| port.shape.clone()).unwrap_or_default();
    let [batch, _, height, width] = shape[..] else {
        return Err(ExportError::format(
            path,
            "its input is not a batch of images [batch, 3, height, width]",
        ));
    };
    let side = file.info.input_size;
    let size = [height.unwrap_or(side), width.unwrap_or(side)];
    let reference = Reference::new(&net, weights, &file.info, batch.unwrap_or(PARITY_BATCH), size)?;
    reference
        .compare(&mut session)?
        .check(&path.display().to_string(), "give the weights that it was exported from")
}
