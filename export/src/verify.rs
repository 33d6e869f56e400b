//! The proof that ONNX Runtime computes what burn computes.
//!
//! The same random images (uniform pixels, from one seed, normalised as the model wants them) go
//! through both. Values of an output may differ by a tolerance times the largest value of that output, or
//! by the tolerance if that is below one. The tolerance is 1e-4 in 32 bits, and 5e-3 in half precision:
//! 16-bit numbers are rounded by up to 4.9e-4 of their size, weights and, at every node, activations. A model
//! in 8-bit integers is compared on images of its calibration when it is written: noise is nothing that it was
//! calibrated for. Its differences are measured as a whole, because single large values are cut off by design.

use crate::calibrate::Calibration;
use crate::error::{ExportError, Result};
use crate::import::{network_of, weights_of};
use crate::metadata::{ModelFile, ModelInfo, read_model};
use crate::models::{layout_of, read_outputs};
use crate::options::{ModelKind, Precision};
use crate::proto::ModelProto;
use genas_net::{Devices, EvalNet, Feature, Layout, Mode, Tensors, Weights};
use genas_runtime::{Optimization, Output, Provider, Session, SessionOptions};
use genas_space::Streams;
use rand::RngExt;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Allowed difference of a value over the output's largest, in 32 bits.
pub const PARITY_TOLERANCE: f32 = 1e-4;
/// Allowed difference of a value over the output's largest, in half precision.
pub const HALF_PARITY_TOLERANCE: f32 = 5e-3;
/// Allowed root mean square of the differences over that of an output, in 8-bit integers: what is beyond it was
/// destroyed. How much accuracy is lost is for a data set to say.
pub const INT8_PARITY_TOLERANCE: f32 = 0.5;
/// Images that are compared where the model does not fix their number.
pub(crate) const PARITY_BATCH: usize = 2;
const PARITY_SEED: u64 = 0;

/// How an output is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The largest difference of a value; allowed is a tolerance times the largest value, or times one if that is
    /// more.
    Largest,
    /// The root mean square of the differences over that of the values.
    RelativeRms,
}

impl Precision {
    /// How outputs are compared, and the tolerance.
    pub fn tolerance(self) -> (Measure, f32) {
        match self {
            Self::Fp32 => (Measure::Largest, PARITY_TOLERANCE),
            Self::Fp16 { .. } => (Measure::Largest, HALF_PARITY_TOLERANCE),
            Self::Int8 => (Measure::RelativeRms, INT8_PARITY_TOLERANCE),
        }
    }
}

/// How far one output of ONNX Runtime is from burn's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputParity {
    /// Its name.
    pub output: String,
    /// Largest absolute difference of a value; not finite if a value is not.
    pub max_abs_error: f32,
    /// Root mean square of the differences over that of burn's values.
    pub relative_rms_error: f32,
    /// Which of the two must not exceed `allowed`.
    pub measure: Measure,
    /// The largest difference that is allowed.
    pub allowed: f32,
}

impl OutputParity {
    /// Compares two lists of values.
    pub fn between(
        output: &str,
        found: &[f32],
        expected: &[f32],
        (measure, tolerance): (Measure, f32),
    ) -> Self {
        let largest = |values: &mut dyn Iterator<Item = f32>| {
            values.fold(0.0f32, |max, v| if v.is_finite() { max.max(v) } else { f32::INFINITY })
        };
        let squares =
            |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
        let differences = || found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        let (mut max_abs_error, mut relative_rms_error) = (f32::INFINITY, f32::INFINITY);
        if found.len() == expected.len() {
            max_abs_error = largest(&mut differences());
            let of_values = squares(&mut expected.iter().copied());
            let over = if of_values > 0.0 { of_values } else { 1.0 };
            relative_rms_error = (squares(&mut differences()) / over).sqrt() as f32;
        }
        let allowed = match measure {
            Measure::Largest => tolerance * largest(&mut expected.iter().map(|v| v.abs())).max(1.0),
            Measure::RelativeRms => tolerance,
        };
        let output = output.to_owned();
        Self { output, max_abs_error, relative_rms_error, measure, allowed }
    }

    /// The difference that counts.
    pub fn error(&self) -> f32 {
        match self.measure {
            Measure::Largest => self.max_abs_error,
            Measure::RelativeRms => self.relative_rms_error,
        }
    }

    /// Whether the difference is allowed.
    pub fn holds(&self) -> bool {
        self.error().is_finite() && self.error() <= self.allowed
    }
}

impl fmt::Display for OutputParity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.measure {
            Measure::Largest => {
                write!(f, "`{}` by {:.1e} (allowed: {:.1e})", self.output, self.max_abs_error, self.allowed)
            }
            Measure::RelativeRms => write!(
                f,
                "`{}` by {:.1} % of its root mean square (allowed: {:.0} %)",
                self.output,
                100.0 * self.relative_rms_error,
                100.0 * self.allowed
            ),
        }
    }
}

/// How far ONNX Runtime is from burn, output by output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parity {
    /// Every output, once for each size of images that was compared.
    pub outputs: Vec<OutputParity>,
}

impl Parity {
    /// Largest absolute difference of all values.
    pub fn max_abs_error(&self) -> f32 {
        self.outputs.iter().map(|output| output.max_abs_error).fold(0.0, f32::max)
    }

    /// Largest of the outputs' root mean squares of differences, each over that of the output.
    pub fn relative_rms_error(&self) -> f32 {
        self.outputs.iter().map(|output| output.relative_rms_error).fold(0.0, f32::max)
    }

    /// Whether all differences are allowed.
    pub fn holds(&self) -> bool {
        self.outputs.iter().all(OutputParity::holds)
    }

    /// An error unless all differences are allowed.
    pub(crate) fn check(self, what: &str, outcome: &'static str) -> Result<Self> {
        let Some(bad) = self.outputs.iter().find(|output| !output.holds()) else { return Ok(self) };
        Err(ExportError::Parity { what: what.to_owned(), output: bad.to_string(), outcome })
    }
}

/// What is compared: images, and what burn says to them.
pub(crate) struct Reference {
    images: Vec<f32>,
    shape: [usize; 4],
    outputs: Vec<Output>,
}

impl Reference {
    /// Computes with burn on the CPU.
    pub fn new(
        net: &EvalNet,
        kind: ModelKind,
        weights: &Weights,
        info: &ModelInfo,
        shape: [usize; 4],
    ) -> Result<Self> {
        Self::of_images(net, kind, weights, noise(info.mean, info.std, shape), shape)
    }

    /// Of what is known already.
    pub fn of_outputs(images: Vec<f32>, shape: [usize; 4], outputs: Vec<Output>) -> Self {
        Self { images, shape, outputs }
    }

    /// Of given images, normalised.
    pub fn of_images(
        net: &EvalNet,
        kind: ModelKind,
        weights: &Weights,
        images: Vec<f32>,
        shape: [usize; 4],
    ) -> Result<Self> {
        let outputs = burn_outputs(weights, &images, shape, |i, x| read_outputs(net, kind, i, x))?;
        Ok(Self { images, shape, outputs })
    }

    /// The images that a model was calibrated with, repeated where it takes more.
    pub fn of_calibration(
        net: &EvalNet,
        kind: ModelKind,
        weights: &Weights,
        calibration: &Calibration,
        batch: Option<usize>,
    ) -> Result<Self> {
        let Calibration { sample, side, .. } = calibration;
        let len = 3 * side * side;
        let batch = batch.unwrap_or(sample.len() / len);
        let images = sample.iter().copied().cycle().take(batch * len).collect();
        Self::of_images(net, kind, weights, images, [batch, 3, *side, *side])
    }

    /// One reference for each size that is compared: the sizes that the model fixes or was trained for, and
    /// an odd, smaller one along the axes that are free.
    pub fn all(
        net: &EvalNet,
        kind: ModelKind,
        weights: &Weights,
        info: &ModelInfo,
        [batch, height, width]: [Option<usize>; 3],
    ) -> Result<Vec<Self>> {
        check_weights(net, kind, weights)?;
        let (batch, side) = (batch.unwrap_or(PARITY_BATCH), info.input_size);
        let mut shapes = vec![[batch, 3, height.unwrap_or(side), width.unwrap_or(side)]];
        let odd = [height.unwrap_or((side / 2) | 1), width.unwrap_or((side * 3 / 4) | 1)];
        if height.is_none() || width.is_none() {
            shapes.push([batch, 3, odd[0], odd[1]]);
        }
        shapes.into_iter().map(|shape| Self::new(net, kind, weights, info, shape)).collect()
    }

    /// The images and their shape.
    pub fn images(&self) -> (&[f32], &[usize]) {
        (&self.images, &self.shape)
    }

    /// Compares with a session.
    fn compare(&self, session: &mut Session, tolerance: (Measure, f32)) -> Result<Vec<OutputParity>> {
        let found = session.run_f32(&self.images, &self.shape)?;
        let values = |name: &str| found.iter().find(|o| o.name == name).map_or(&[][..], |o| &o.values);
        let between = |expected: &Output| {
            OutputParity::between(&expected.name, values(&expected.name), &expected.values, tolerance)
        };
        Ok(self.outputs.iter().map(between).collect())
    }
}

/// Random pixels, normalised: the images of every comparison.
pub(crate) fn noise(mean: [f32; 3], std: [f32; 3], shape: [usize; 4]) -> Vec<f32> {
    let [batch, _, height, width] = shape;
    let mut rng = Streams::new(PARITY_SEED).rng("parity", 0);
    let mut images = Vec::with_capacity(shape.iter().product());
    for _ in 0..batch {
        for (mean, std) in mean.iter().zip(std) {
            images.extend((0..height * width).map(|_| (rng.random::<f32>() - mean) / std));
        }
    }
    images
}

/// Compares all references with a session.
pub(crate) fn compare(
    references: &[Reference],
    session: &mut Session,
    tolerance: (Measure, f32),
) -> Result<Parity> {
    let mut parity = Parity::default();
    for reference in references {
        parity.outputs.extend(reference.compare(session, tolerance)?);
    }
    Ok(parity)
}

/// Named outputs of any network for normalised images, by burn on the CPU with running statistics.
pub(crate) fn burn_outputs(
    weights: &Weights,
    images: &[f32],
    shape: [usize; 4],
    forward: impl FnOnce(&mut Tensors, &Feature) -> Vec<(&'static str, Feature)>,
) -> Result<Vec<Output>> {
    let device = Devices::cpu().plain();
    let mut tensors = Tensors::new(weights, device.clone(), Mode::Inference);
    let outputs = forward(&mut tensors, &Feature::from_values(images.to_vec(), shape, &device));
    let host = |(name, map): (&str, Feature)| {
        let tensor = map.tensor();
        let shape = tensor.dims().to_vec();
        let values = tensor.into_data().try_to_vec::<f32>().map_err(|e| {
            ExportError::Info(format!("burn's `{name}` cannot be read ({e:?}); report this as a bug"))
        })?;
        Ok(Output { name: name.to_owned(), shape, values })
    };
    outputs.into_iter().map(host).collect()
}

/// Refuses weights that lack what the network reads: burn would panic.
pub(crate) fn check_weights(net: &EvalNet, kind: ModelKind, weights: &Weights) -> Result<()> {
    check_layout(&layout_of(net, kind), weights)
}

/// Refuses weights that lack an entry.
pub(crate) fn check_layout(needed: &Layout, weights: &Weights) -> Result<()> {
    for entry in needed.entries() {
        let (name, expected) = (entry.name.clone(), entry.shape.clone());
        match weights.layout().get(&name) {
            Some(held) if held.shape == expected => {}
            Some(held) => return Err(ExportError::WeightShape { name, found: held.shape.clone(), expected }),
            None if name.starts_with("classifier.") => return Err(ExportError::NoClassifier),
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

/// A model as ONNX Runtime rewrites it for the CPU: layers fused, memory layouts as they were.
pub(crate) fn optimized(bytes: &[u8]) -> Result<ModelProto> {
    genas_runtime::ensure(&|_| ())?;
    let folder = tempfile::tempdir().map_err(ExportError::io(&std::env::temp_dir(), "write to"))?;
    let path = folder.path().join("optimized.onnx");
    let (optimization, save_optimized) = (Optimization::Extended, Some(path.clone()));
    Session::from_bytes(bytes, &SessionOptions { optimization, save_optimized, ..session_options() })?;
    read_model(&path)
}

/// Loads a model from memory in ONNX Runtime.
pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Session> {
    genas_runtime::ensure(&|_| ())?;
    Ok(Session::from_bytes(bytes, &session_options())?)
}

/// Compares a file with burn: with the weights that it was written from, or else with those in the file
/// itself. An error if they disagree.
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
    let references = Reference::all(&net, file.kind, weights, &file.info, [batch, height, width])?;
    compare(&references, &mut session, file.precision.tolerance())?
        .check(&path.display().to_string(), "give the weights that it was exported from")
}
