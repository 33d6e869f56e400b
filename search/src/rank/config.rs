//! Settings of the NAS-Bench-201 laboratory, as TOML. Defaults are the published ones.

use crate::config::{DataConfig, LossAverage, Noise, Position, ScorerKind, Statistics, is_default};
use crate::error::SearchError;
use crate::noise::{Direction, NoiseScale};
use crate::rank::evolution::Nb201EvolutionConfig;
use crate::rank::hessian::PowerIteration;
use crate::rank::metrics::RankMetric;
use genas_net::UnsampledOps;
use genas_space::Streams;
use genas_train::settings;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A supernet, and how its cells are measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Nb201Config {
    /// Seed of every random stream.
    pub seed: Option<u64>,
    /// The images.
    pub data: DataConfig,
    /// Supernet training.
    pub supernet: Nb201SupernetConfig,
    /// What is measured of a cell.
    pub measure: MeasureConfig,
    /// Evolution in the space, where it is asked for.
    pub evolution: Nb201EvolutionConfig,
    /// The metrics; without any, every formula of everything that is measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<RankMetric>,
}

/// Which cells a step of supernet training takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paths {
    /// Each position of the network draws its own (RLNAS).
    #[default]
    PerCell,
    /// One for all positions.
    Shared,
}

/// Supernet training (spec 02-3: RLNAS).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Nb201SupernetConfig {
    /// Width of the first stage.
    pub channels: usize,
    /// Search cells per stage.
    pub cells_per_stage: usize,
    /// Paths of the steps.
    pub paths: Paths,
    /// Epochs.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// Learning rate at the end of the cosine.
    pub learning_rate_min: f64,
    /// SGD momentum.
    pub momentum: f32,
    /// Whether SGD looks ahead.
    pub nesterov: bool,
    /// Weight decay on every parameter.
    pub weight_decay: f32,
    /// Largest global gradient norm; without one gradients are not clipped.
    pub clip: Option<f64>,
    /// Treatment of operations off the sampled path.
    pub unsampled_ops: UnsampledOps,
    /// Keep the weights of every this many epochs (0: only the first and the last).
    pub keep_every: usize,
}

impl Default for Nb201SupernetConfig {
    fn default() -> Self {
        Self {
            channels: 16,
            cells_per_stage: 5,
            paths: Paths::PerCell,
            epochs: 250,
            batch_size: 64,
            learning_rate: 0.025,
            learning_rate_min: 0.001,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 5e-4,
            clip: None,
            unsampled_ops: UnsampledOps::ZeroFilled,
            keep_every: 0,
        }
    }
}

/// A noise that cells are measured under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NoiseConfig {
    /// What metrics call it.
    pub name: String,
    /// Noise levels, strictly increasing.
    pub sigmas: Vec<f64>,
    /// How the levels hang together.
    pub noise: Noise,
    /// What they are measured in.
    pub scale: NoiseScale,
    /// Which parameters are perturbed; `cells` leaves out stem, residual blocks, last BatchNorm and classifier.
    pub position: Position,
    /// Where it points. Settings that earlier versions lack are written only where they are set, so that what was measured
    /// then belongs to the same settings.
    #[serde(skip_serializing_if = "is_default")]
    pub direction: Direction,
    /// Validation images of a Hessian's gradients, the first so many; without a number [`HESSIAN_IMAGES`], or all if there
    /// are fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hessian_images: Option<usize>,
    /// Most products with a Hessian; without a number [`HESSIAN_ITERATIONS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hessian_iterations: Option<usize>,
    /// Length of the steps of its differences, in lengths of the weights; without a number [`HESSIAN_STEP`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hessian_step: Option<f64>,
    /// Independent draws.
    pub draws: usize,
    /// Recalibrate BatchNorm again after the noise.
    pub recalibrate: bool,
}

/// Images of a Hessian. The paper does not say.
pub const HESSIAN_IMAGES: usize = 256;
/// PyHessian's most products with a Hessian.
pub const HESSIAN_ITERATIONS: usize = 100;
/// A step whose eigenvalues are steady: at a hundredth of it they were off by 4 to 27 % on four cells, by the few kinks
/// that it happens to cross (docs/nasbench201.md).
pub const HESSIAN_STEP: f64 = 1e-3;
/// PyHessian's share of an eigenvalue by which it may still change.
const HESSIAN_TOLERANCE: f64 = 1e-3;

/// The paper's (spec 02-5), with one draw as published.
impl Default for NoiseConfig {
    fn default() -> Self {
        Self {
            name: "noise".to_owned(),
            sigmas: vec![2e-3, 1e-2, 2e-2],
            noise: Noise::Cumulative,
            scale: NoiseScale::Absolute,
            position: Position::All,
            direction: Direction::Random,
            hessian_images: None,
            hessian_iterations: None,
            hessian_step: None,
            draws: 1,
            recalibrate: false,
        }
    }
}

impl NoiseConfig {
    /// When the search for a Hessian's eigenvector ends.
    pub fn power(&self) -> PowerIteration {
        let iterations = self.hessian_iterations.unwrap_or(HESSIAN_ITERATIONS);
        PowerIteration { iterations, tolerance: HESSIAN_TOLERANCE }
    }

    /// Rejects settings that cannot work, naming them.
    fn check(&self, measured: &MeasureConfig) -> Result<(), String> {
        let Self { name, sigmas, draws, .. } = self;
        let increasing = sigmas.windows(2).all(|w| w[0] < w[1]);
        if sigmas.is_empty() || !increasing || !sigmas.iter().all(|s| *s > 0.0 && s.is_finite()) {
            return Err(format!(
                "the sigmas of the noise {name} must be positive and strictly increasing, not {sigmas:?}"
            ));
        }
        if *draws == 0 {
            return Err(format!("the noise {name} has 0 draws, but needs at least 1"));
        }
        if self.recalibrate && measured.recalibration_images == 0 {
            return Err(format!(
                "the noise {name} recalibrates, but measure.recalibration-images is 0; set both or neither"
            ));
        }
        let hessian =
            [("hessian-images", self.hessian_images), ("hessian-iterations", self.hessian_iterations)];
        if self.direction == Direction::Random {
            let set = hessian.iter().find(|(_, value)| value.is_some()).map(|(setting, _)| *setting);
            return match set.or(self.hessian_step.map(|_| "hessian-step")) {
                None => Ok(()),
                Some(setting) => Err(format!(
                    "the noise {name} has {setting}, but its direction is random; set direction = \"hessian\", or take it out"
                )),
            };
        }
        if *draws > 1 {
            return Err(format!(
                "the noise {name} has {draws} draws, but a cell has one Hessian direction; set draws = 1"
            ));
        }
        if let Some((setting, _)) = hessian.iter().find(|(_, value)| *value == Some(0)) {
            return Err(format!("{setting} of the noise {name} must be at least 1"));
        }
        if let Some(step) = self.hessian_step.filter(|step| !(*step > 0.0 && step.is_finite())) {
            return Err(format!("hessian-step of the noise {name} is {step}, but must be positive"));
        }
        let (images, there) = (self.hessian_images.unwrap_or(0), measured.validation_images);
        if images > there {
            return Err(format!(
                "hessian-images of the noise {name} is {images}, but measure.validation-images is {there}; lower the one, or \
                 raise the other"
            ));
        }
        Ok(())
    }
}

/// What is measured of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MeasureConfig {
    /// The noises, each under its name; may be empty.
    pub noises: Vec<NoiseConfig>,
    /// The same noise and the same recalibration batches for every cell. The published code draws anew for each.
    pub common_random_numbers: bool,
    /// Training images that recalibrate BatchNorm, rounded up to whole batches; 0 skips it.
    pub recalibration_images: usize,
    /// How they build the statistics.
    pub recalibration_statistics: Statistics,
    /// Validation images per loss.
    pub validation_images: usize,
    /// What the losses and accuracies are of the first so many of these images alone, increasing: to see how many it takes.
    /// They cost nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fewer_images: Vec<usize>,
    /// Batch of recalibration, and of the average of batch means.
    pub batch_size: usize,
    /// Average of the losses.
    pub loss_average: LossAverage,
    /// What computes the losses.
    pub scorer: ScorerKind,
}

impl Default for MeasureConfig {
    fn default() -> Self {
        Self {
            noises: vec![NoiseConfig::default()],
            common_random_numbers: false,
            recalibration_images: 850,
            recalibration_statistics: Statistics::Ema,
            validation_images: 25_000,
            fewer_images: Vec::new(),
            batch_size: 64,
            loss_average: LossAverage::Batches,
            scorer: ScorerKind::Ort,
        }
    }
}

impl MeasureConfig {
    /// The noise of that name.
    pub fn noise(&self, name: &str) -> Option<&NoiseConfig> {
        self.noises.iter().find(|noise| noise.name == name)
    }
}

impl Nb201Config {
    /// Reads and checks a file, with `key.key=value` overrides applied.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, SearchError> {
        let config: Self = settings::read(path, overrides)?;
        config.check().map_err(|reason| SearchError::format(path, reason))?;
        Ok(config)
    }

    /// The random streams; seed 1 where none is given, as published.
    pub fn streams(&self) -> Streams {
        Streams::new(self.seed.unwrap_or(1))
    }

    /// The metrics that cells are ranked by.
    pub fn ranked_by(&self) -> Vec<RankMetric> {
        if self.metrics.is_empty() { RankMetric::all(&self.measure) } else { self.metrics.clone() }
    }

    /// Rejects settings that cannot work, naming them.
    pub fn check(&self) -> Result<(), String> {
        let (s, m) = (&self.supernet, &self.measure);
        let positive = [
            ("supernet.channels", s.channels),
            ("supernet.cells-per-stage", s.cells_per_stage),
            ("supernet.epochs", s.epochs),
            ("supernet.batch-size", s.batch_size),
            ("measure.batch-size", m.batch_size),
            ("measure.validation-images", m.validation_images),
            ("data.image-size", self.data.image_size),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        if !self.data.image_size.is_multiple_of(4) {
            return Err(format!(
                "data.image-size is {}, but must be divisible by 4: the network halves it twice",
                self.data.image_size
            ));
        }
        let wrong =
            |name: &str, value: f64, must: &str| Err(format!("{name} is {value}, but must be {must}"));
        if !(s.learning_rate > 0.0 && s.learning_rate.is_finite()) {
            return wrong("supernet.learning-rate", s.learning_rate, "positive");
        }
        if !(0.0..=s.learning_rate).contains(&s.learning_rate_min) {
            return wrong(
                "supernet.learning-rate-min",
                s.learning_rate_min,
                "from 0 to supernet.learning-rate",
            );
        }
        if !(0.0..1.0).contains(&s.momentum) {
            return wrong("supernet.momentum", s.momentum.into(), "in [0, 1)");
        }
        if !(s.weight_decay >= 0.0 && s.weight_decay.is_finite()) {
            return wrong("supernet.weight-decay", s.weight_decay.into(), "0 or more");
        }
        if let Some(clip) = s.clip.filter(|clip| clip.is_nan() || *clip <= 0.0) {
            return wrong("supernet.clip", clip, "positive; leave it out to clip nothing");
        }
        for (n, noise) in m.noises.iter().enumerate() {
            let name = &noise.name;
            if name.is_empty() || m.noises[..n].iter().any(|other| other.name == *name) {
                return Err(format!(
                    "measure.noises needs a name of its own for each, not {name:?} for number {}",
                    n + 1
                ));
            }
            noise.check(m)?;
        }
        let fewer = &m.fewer_images;
        if !fewer.windows(2).all(|w| w[0] < w[1])
            || !fewer.iter().all(|n| (1..m.validation_images).contains(n))
        {
            return Err(format!(
                "measure.fewer-images must increase, from 1 to less than measure.validation-images ({}), not {fewer:?}",
                m.validation_images
            ));
        }
        self.evolution.check()?;
        for (n, metric) in self.metrics.iter().enumerate() {
            let name = &metric.name;
            if name.is_empty()
                || name.contains([',', '"', '\n'])
                || ["index", "architecture", "truth"].contains(&name.as_str())
            {
                return Err(format!("metrics: {name:?} is no name for a column"));
            }
            if self.metrics[..n].iter().any(|other| other.name == *name) {
                return Err(format!("metrics: two are called {name:?}"));
            }
            metric.check(m)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_published_and_round_trip() {
        let config = Nb201Config::default();
        config.check().unwrap();
        assert_eq!(settings::parse::<Nb201Config>(&settings::to_toml(&config), &[]).unwrap(), config);
        let (s, m) = (&config.supernet, &config.measure);
        assert_eq!((s.epochs, s.weight_decay, s.nesterov, s.clip), (250, 5e-4, true, None));
        assert_eq!(m.noise("noise").unwrap().sigmas, [2e-3, 1e-2, 2e-2]);
    }

    /// A run that an earlier version measured is gone on with.
    #[test]
    fn settings_of_later_versions_are_written_where_they_are_set() {
        let text = settings::to_toml(&Nb201Config::default());
        for later in ["direction", "hessian", "fewer"] {
            assert!(!text.contains(later), "{text}");
        }
        let noise = NoiseConfig { direction: Direction::Hessian, ..Default::default() };
        assert!(settings::to_toml(&noise).contains("direction = \"hessian\""));
    }

    #[test]
    fn files_are_read_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nb201.toml");
        std::fs::write(&path, "[supernet]\nepochs = 9").unwrap();
        let set = |text: &str| [text.to_owned()];
        let config = Nb201Config::read(&path, &set("supernet.paths=shared")).unwrap();
        assert_eq!((config.supernet.epochs, config.supernet.paths), (9, Paths::Shared));
        let error = Nb201Config::read(&path, &set("supernet.epochs=0")).unwrap_err().to_string();
        assert!(error.contains("nb201.toml: supernet.epochs must be at least 1"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| {
            settings::parse::<Nb201Config>(text, &[]).and_then(|config| config.check()).unwrap_err()
        };
        for (text, part) in [
            ("[supernet]\nlayers = 8", "layers"),
            ("[supernet]\ncells-per-stage = 0", "supernet.cells-per-stage must be at least 1"),
            ("[supernet]\nclip = 0.0", "supernet.clip is 0"),
            ("[supernet]\nlearning-rate-min = 0.1", "learning-rate-min is 0.1"),
            ("[data]\nimage-size = 30", "divisible by 4"),
            ("[[measure.noises]]\nsigmas = [2e-2, 1e-2]", "strictly increasing"),
            ("[[measure.noises]]\ndraws = 0", "0 draws"),
            (
                "[[measure.noises]]\n[[measure.noises]]",
                "a name of its own for each, not \"noise\" for number 2",
            ),
            (
                "[measure]\nrecalibration-images = 0\n[[measure.noises]]\nrecalibrate = true",
                "set both or neither",
            ),
            ("[[measure.noises]]\ndirection = 'hessian'\ndraws = 2", "one Hessian direction; set draws = 1"),
            ("[[measure.noises]]\ndirection = 'hessian'\nhessian-iterations = 0", "must be at least 1"),
            ("[[measure.noises]]\ndirection = 'hessian'\nhessian-images = 25001", "is 25001, but"),
            ("[[measure.noises]]\ndirection = 'hessian'\nhessian-step = 0.0", "is 0, but must be positive"),
            ("[[measure.noises]]\nhessian-step = 1e-3", "has hessian-step, but its direction is random"),
            ("[[measure.noises]]\nhessian-images = 5", "has hessian-images, but its direction is random"),
            ("[measure]\nfewer-images = [50, 20]", "measure.fewer-images must increase"),
            ("[measure]\nfewer-images = [25000]", "less than measure.validation-images (25000)"),
        ] {
            let error = error(text);
            assert!(error.contains(part), "{error}");
        }
    }
}
