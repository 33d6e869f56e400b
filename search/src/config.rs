//! Every setting of a run, as TOML. Defaults are the paper's; a key that does not exist is an error.

use crate::error::SearchError;
use crate::metric::Metric;
use crate::noise::NoiseScale;
use crate::race::RacingConfig;
pub use crate::retrain::config::RetrainConfig;
use genas_net::{NetworkKind, UnsampledOps};
use genas_space::MutateScope;
use genas_train::settings;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A run's settings. `configs/` holds presets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Seed of every random stream of the run.
    pub seed: Option<u64>,
    /// The images.
    pub data: DataConfig,
    /// Supernet training.
    pub supernet: SupernetConfig,
    /// How a candidate is scored.
    pub metric: MetricConfig,
    /// The evolutionary loop.
    pub evolution: EvolutionConfig,
    /// Scoring on fewer images where the ranking allows it.
    pub racing: RacingConfig,
    /// Training of a found cell.
    pub retrain: RetrainConfig,
}

/// How images become training and validation halves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DataConfig {
    /// Side to which images of an ImageFolder are brought; CIFAR images are 32.
    pub image_size: usize,
    /// JSON file with the lists `train` and `valid`; without one the training set is permuted by
    /// the seed and halved (spec 02-1).
    pub split: Option<std::path::PathBuf>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { image_size: 32, split: None }
    }
}

/// Supernet training (spec 02-2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SupernetConfig {
    /// Width of the first cell.
    pub channels: usize,
    /// Number of cells.
    pub layers: usize,
    /// Epochs.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// Learning rate at the end of the cosine.
    pub learning_rate_min: f64,
    /// Step the schedule before each epoch, as the published code.
    pub shifted_schedule: bool,
    /// SGD momentum.
    pub momentum: f32,
    /// Weight decay on every parameter.
    pub weight_decay: f32,
    /// Largest global gradient norm.
    pub clip: f64,
    /// Treatment of operations off the sampled path.
    pub unsampled_ops: UnsampledOps,
    /// Keep the weights of every this many epochs (0: only the first and the last).
    pub keep_every: usize,
}

impl Default for SupernetConfig {
    fn default() -> Self {
        Self {
            channels: 16,
            layers: 8,
            epochs: 250,
            batch_size: 64,
            learning_rate: 0.025,
            learning_rate_min: 0.001,
            shifted_schedule: true,
            momentum: 0.9,
            weight_decay: 3e-4,
            clip: 5.0,
            unsampled_ops: UnsampledOps::ZeroFilled,
            keep_every: 0,
        }
    }
}

/// Which Gaussian noise each step of the flatness metric adds (spec 02-5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// Increments of standard deviation `sigma_i - sigma_(i-1)` on one copy: the published code.
    #[default]
    Cumulative,
    /// `N(0, sigma_i^2)` around the trained weights for each i: the paper's equation 4.
    Independent,
    /// One direction for all sigmas: `theta + sigma_i * z`.
    CommonDirection,
}

/// Which parameters the noise reaches (Table 7 of the paper).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// Every parameter on the candidate's path.
    #[default]
    All,
    /// Parameters of the cells only: not the stem's nor the classifier's.
    Cells,
}

/// How running statistics are built from the recalibration batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistics {
    /// Moving average of momentum 0.1 from (0, 1), as published.
    #[default]
    Ema,
    /// Plain average over the batches.
    Average,
}

/// How the loss of the validation images is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossAverage {
    /// Mean of the batches' means, so that a short last batch weighs more: the published code.
    #[default]
    Batches,
    /// Mean over the images.
    Samples,
}

/// What computes the validation losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScorerKind {
    /// ONNX Runtime on an in-memory export of the perturbed candidate.
    #[default]
    Ort,
    /// burn.
    Burn,
}

/// How a candidate is scored (spec 02-4 to 02-7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MetricConfig {
    /// The metric.
    pub name: Metric,
    /// Noise levels, strictly increasing.
    pub sigmas: Vec<f64>,
    /// Kind of noise.
    pub noise: Noise,
    /// What noise levels are measured in. Written only where it is set: journals of earlier versions lack it.
    #[serde(skip_serializing_if = "is_default")]
    pub scale: NoiseScale,
    /// Weight of the first term, `|L_1 / sigma_1|`.
    pub alpha: f64,
    /// Added to the sum before it is inverted.
    pub eps: f64,
    /// Which parameters are perturbed.
    pub position: Position,
    /// The same noise and the same recalibration batches for every candidate.
    pub common_random_numbers: bool,
    /// Weight of `flatness / sigma_1` in a combined metric.
    pub gamma: f64,
    /// Weight of the accuracy in `angle+accuracy` and `angle+noisy-accuracy`.
    pub gamma_accuracy: f64,
    /// Use BatchNorm's scale and shift for dil_conv in the angle, where the published code takes
    /// the scale twice.
    pub fix_dil_bn: bool,
    /// Training images that recalibrate BatchNorm, rounded up to whole batches; 0 skips it.
    pub recalibration_images: usize,
    /// How they build the statistics.
    pub recalibration_statistics: Statistics,
    /// Validation images per loss.
    pub validation_images: usize,
    /// Batch of recalibration, and of the average of batch means.
    pub batch_size: usize,
    /// Average of the losses.
    pub loss_average: LossAverage,
    /// What computes the losses.
    pub scorer: ScorerKind,
}

impl Default for MetricConfig {
    fn default() -> Self {
        Self {
            name: Metric::Flatness,
            sigmas: vec![1e-3, 3e-3, 6e-3],
            noise: Noise::Cumulative,
            scale: NoiseScale::Absolute,
            alpha: 1.0,
            eps: 1e-5,
            position: Position::All,
            common_random_numbers: false,
            gamma: 16.0,
            gamma_accuracy: 1.0,
            fix_dil_bn: false,
            recalibration_images: 850,
            recalibration_statistics: Statistics::Ema,
            validation_images: 25_000,
            batch_size: 64,
            loss_average: LossAverage::Batches,
            scorer: ScorerKind::Ort,
        }
    }
}

/// For settings that are written only where they are set.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The evolutionary loop (spec 03).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct EvolutionConfig {
    /// Generations that are scored.
    pub generations: usize,
    /// Candidates per generation.
    pub population: usize,
    /// Best candidates that breed.
    pub parents: usize,
    /// Children by mutation.
    pub mutations: usize,
    /// Children by crossover.
    pub crossovers: usize,
    /// Probability that a gene mutates.
    pub mutation_probability: f64,
    /// Genes that mutate.
    pub mutation_scope: MutateScope,
    /// Draws per operator and generation after which it gives up.
    pub max_proposals: usize,
    /// Limits on the cost of the network that a candidate will become.
    pub bounds: Option<Bounds>,
}

impl Default for EvolutionConfig {
    fn default() -> Self {
        Self {
            generations: 20,
            population: 50,
            parents: 10,
            mutations: 25,
            crossovers: 25,
            mutation_probability: 0.1,
            mutation_scope: MutateScope::Normal,
            max_proposals: 100_000,
            bounds: None,
        }
    }
}

/// Limits on cost; candidates outside are not scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bounds {
    /// Network whose cost is limited.
    pub network: NetworkKind,
    /// Its width.
    pub channels: usize,
    /// Its number of cells; the published number by default.
    pub layers: Option<usize>,
    /// Fewest FLOPs (the paper's count).
    pub min_flops: Option<f64>,
    /// Most FLOPs (the paper's count).
    pub max_flops: Option<f64>,
    /// Fewest parameters.
    pub min_params: Option<f64>,
    /// Most parameters.
    pub max_params: Option<f64>,
}

impl Config {
    /// Reads and checks a file, with `key.key=value` overrides applied.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, SearchError> {
        let config: Self = settings::read(path, overrides)?;
        config.check().map_err(|reason| SearchError::format(path, reason))?;
        Ok(config)
    }

    /// Parses and checks TOML text, with `key.key=value` overrides applied.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, String> {
        let config: Self = settings::parse(text, overrides)?;
        config.check()?;
        Ok(config)
    }

    /// Rejects settings that cannot work, naming them.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("supernet.channels", self.supernet.channels),
            ("supernet.layers", self.supernet.layers),
            ("supernet.epochs", self.supernet.epochs),
            ("supernet.batch-size", self.supernet.batch_size),
            ("metric.batch-size", self.metric.batch_size),
            ("metric.validation-images", self.metric.validation_images),
            ("evolution.generations", self.evolution.generations),
            ("evolution.population", self.evolution.population),
            ("evolution.parents", self.evolution.parents),
            ("retrain.channels", self.retrain.channels),
            ("retrain.layers", self.retrain.layers),
            ("retrain.epochs", self.retrain.epochs),
            ("retrain.batch-size", self.retrain.batch_size),
            ("retrain.evaluate-every", self.retrain.evaluate_every),
            ("data.image-size", self.data.image_size),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        for (name, width) in
            [("supernet.channels", self.supernet.channels), ("retrain.channels", self.retrain.channels)]
        {
            if !width.is_multiple_of(2) {
                return Err(format!("{name} is {width}, but must be even: FactorizedReduce halves it"));
            }
        }
        let sigmas = &self.metric.sigmas;
        let increasing = sigmas.windows(2).all(|w| w[0] < w[1]);
        if sigmas.is_empty() || !increasing || !sigmas.iter().all(|s| *s > 0.0 && s.is_finite()) {
            return Err(format!("metric.sigmas must be positive and strictly increasing, not {sigmas:?}"));
        }
        for (section, rate, momentum, decay, clip) in [
            (
                "supernet",
                self.supernet.learning_rate,
                self.supernet.momentum,
                self.supernet.weight_decay,
                self.supernet.clip,
            ),
            (
                "retrain",
                self.retrain.learning_rate,
                self.retrain.momentum,
                self.retrain.weight_decay,
                self.retrain.clip,
            ),
        ] {
            let wrong = |name: &str, value: f64, must: &str| {
                Err(format!("{section}.{name} is {value}, but must be {must}"))
            };
            if !(rate > 0.0 && rate.is_finite()) {
                return wrong("learning-rate", rate, "positive");
            }
            if !(0.0..1.0).contains(&momentum) {
                return wrong("momentum", momentum.into(), "in [0, 1)");
            }
            if !(decay >= 0.0 && decay.is_finite()) {
                return wrong("weight-decay", decay.into(), "0 or more");
            }
            if clip.is_nan() || clip <= 0.0 {
                return wrong("clip", clip, "positive; inf does not clip");
            }
        }
        let e = &self.evolution;
        if e.mutations + e.crossovers > e.population {
            return Err(format!(
                "evolution.mutations ({}) and evolution.crossovers ({}) exceed evolution.population ({})",
                e.mutations, e.crossovers, e.population
            ));
        }
        if !(0.0..=1.0).contains(&e.mutation_probability) {
            return Err(format!(
                "evolution.mutation-probability is {}, not a probability",
                e.mutation_probability
            ));
        }
        let r = &self.racing;
        if r.enabled && !self.metric.common_random_numbers {
            return Err("racing.enabled needs metric.common-random-numbers = true: candidates are compared \
                        image by image, under the same noise"
                .into());
        }
        if r.enabled && !self.metric.name.needs_data() {
            return Err(format!("racing saves images, and the metric {} measures none", self.metric.name));
        }
        if !(r.standard_errors > 0.0 && r.standard_errors.is_finite()) {
            return Err(format!("racing.standard-errors is {}, but must be positive", r.standard_errors));
        }
        if !(r.budget > 0.0 && r.budget <= 1.0) {
            return Err(format!("racing.budget is {}, but must be in (0, 1]", r.budget));
        }
        if r.first_images < 100 {
            return Err(format!(
                "racing.first-images is {}, but must be at least 100: fewer give no standard error to rely on",
                r.first_images
            ));
        }
        self.retrain.check()
    }

    /// As TOML text, every setting written out.
    pub fn to_toml(&self) -> String {
        settings::to_toml(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_papers_and_round_trip() {
        let config = Config::parse("", &[]).unwrap();
        assert_eq!((config.supernet.epochs, config.evolution.population), (250, 50));
        assert_eq!(Config::parse(&config.to_toml(), &[]).unwrap(), config);
        // Journals of earlier versions are gone on with.
        assert!(!config.to_toml().contains("scale"));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str, set: &[&str]| {
            Config::parse(text, &set.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap_err()
        };
        assert!(error("[racing]\nenabled = true", &[]).contains("common-random-numbers"));
        assert!(error("", &["racing.first-images=20"]).contains("at least 100"));
        assert!(error("epocs = 3", &[]).contains("epocs"));
        assert!(error("[metric]\nsigmas = [2e-3, 1e-3]", &[]).contains("strictly increasing"));
        assert!(error("[supernet]\nchannels = 15", &[]).contains("even"));
        assert!(error("", &["supernet.epocs=3"]).contains("epocs"));
        assert!(error("", &["supernet.epochs"]).contains("VALUE"));
        assert!(error("", &["retrain.learning-rate=nan"]).contains("positive"));
        assert!(error("", &["supernet.momentum=1.0"]).contains("[0, 1)"));
        assert!(error("[evolution]\npopulation = 10", &[]).contains("population"));
    }

    #[test]
    fn overrides_reach_any_depth() {
        let set = [
            "supernet.epochs=3".to_owned(),
            "metric.name=angle".to_owned(),
            "metric.sigmas=[1e-3, 2e-3]".to_owned(),
        ];
        let config = Config::parse("[supernet]\nepochs = 9", &set).unwrap();
        assert_eq!(config.supernet.epochs, 3);
        assert_eq!(config.metric.name, Metric::Angle);
        assert_eq!(config.metric.sigmas, [1e-3, 2e-3]);
    }
}
