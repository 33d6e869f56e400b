//! [`DeepLabConfig`]: every constant of DeepLab-v3's training and testing, with MMSegmentation's defaults
//! (`configs/deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024.py`; spec 06, section 5).

use genas_data::segmentation::SegmentationDataConfig;
use genas_export::{Segmentation, SlidingWindow};
use genas_net::{Average, DeepLabV3, Polynomial, Precision};
use serde::{Deserialize, Serialize};

use super::class_weights::ClassWeights;

/// All settings of a segmenter's fine-tuning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeepLabConfig {
    /// Seed of every random number.
    pub seed: u64,
    /// The network.
    pub model: ModelConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// Preparation of training images.
    pub data: SegmentationDataConfig,
    /// The optimiser and its schedule.
    pub solver: SolverConfig,
    /// How pictures are measured, in training and afterwards.
    pub test: TestConfig,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelConfig {
    /// Channels of each branch of the pooling pyramid, and of what joins them.
    pub channels: usize,
    /// Dilation of its 3x3 branches.
    pub rates: Vec<usize>,
    /// Pixels of the image per pixel of the last map: 8, 16 or 32.
    pub output_stride: usize,
    /// Maps are exactly those of the striding network, more densely; if not, a reduction cell that does not stride keeps the
    /// dilation before it.
    pub exact_dilation: bool,
    /// Rectify the backbone's maps first. A cell's output is not rectified, its consumer's task.
    pub relu_features: bool,
    /// Channels of the auxiliary head on the map before the last, which is trained and not exported; 0 for none.
    pub auxiliary_channels: usize,
    /// Probability that a channel before a classifier is dropped.
    pub dropout: f64,
    /// Standard deviation of the classifiers' initial weights.
    pub classifier_std: f64,
    /// Corners lie on corners when maps are resized: for crops of 769 pixels.
    pub align_corners: bool,
    /// Keep the backbone's BatchNorm statistics, scale and shift as they are.
    pub freeze_batch_norm: bool,
    /// Keep the weights up to stride 4 as they are: `stem0`.
    pub freeze_stem: bool,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            channels: 512,
            rates: vec![12, 24, 36],
            output_stride: 8,
            exact_dilation: true,
            relu_features: false,
            auxiliary_channels: 256,
            dropout: 0.1,
            classifier_std: 0.01,
            align_corners: false,
            freeze_batch_norm: false,
            freeze_stem: false,
        }
    }
}

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LossConfig {
    /// Weight of the auxiliary head's loss.
    pub auxiliary_weight: f64,
    /// Which pixels a mean is over.
    pub average: PixelAverage,
    /// What a pixel of each class counts: "none", "median-frequency", or a list of numbers.
    pub class_weights: ClassWeights,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            auxiliary_weight: 0.4,
            average: PixelAverage::default(),
            class_weights: ClassWeights::default(),
        }
    }
}

/// Which pixels the mean of the losses is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PixelAverage {
    /// All of them, ignored ones included (`avg_non_ignore=False`).
    #[default]
    All,
    /// Those with a label, by their weights.
    Labelled,
}

impl From<PixelAverage> for Average {
    fn from(average: PixelAverage) -> Self {
        match average {
            PixelAverage::All => Self::AllPlaces,
            PixelAverage::Labelled => Self::Counted,
        }
    }
}

/// The optimiser and its schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SolverConfig {
    /// Images per step.
    pub batch_size: usize,
    /// Steps.
    pub iterations: usize,
    /// Learning rate of the first step.
    pub learning_rate: f64,
    /// Learning rate behind the last.
    pub min_learning_rate: f64,
    /// Exponent of the way between; 1 is a straight line.
    pub power: f64,
    /// Of SGD.
    pub momentum: f64,
    /// Of all weights but those of normalisation layers.
    pub weight_decay: f64,
    /// Of normalisation layers.
    pub norm_weight_decay: f64,
    /// Largest global gradient norm; without one, gradients are not clipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Parts of a batch that are computed one after the other, their gradients added: for batches that do not fit into
    /// memory. BatchNorm normalises each part by itself, so that parts of fewer than 2 images are refused.
    pub accumulate: usize,
    /// Numbers that are computed with; the weights are kept in f32. bf16 is for GPUs.
    pub precision: Precision,
    /// Steps between two evaluations on the validation images; divides `iterations`.
    pub evaluate_every: usize,
    /// Keep the weights of every this many evaluations (0: the first, the best and the last).
    pub keep_every: usize,
}

impl Default for SolverConfig {
    fn default() -> Self {
        Self {
            batch_size: 8,
            iterations: 40_000,
            learning_rate: 0.01,
            min_learning_rate: 1e-4,
            power: 0.9,
            momentum: 0.9,
            weight_decay: 5e-4,
            norm_weight_decay: 5e-4,
            clip: None,
            accumulate: 1,
            precision: Precision::F32,
            evaluate_every: 4000,
            keep_every: 0,
        }
    }
}

impl SolverConfig {
    /// Learning rates by step.
    pub fn schedule(&self) -> Polynomial {
        Polynomial {
            base: self.learning_rate,
            min: self.min_learning_rate,
            power: self.power,
            steps: self.iterations,
        }
    }
}

/// How pictures are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TestConfig {
    /// Width and height that pictures are resized to fit into; without, they are measured as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<[usize; 2]>,
    /// Sliding inference: `crop` and `stride`, each width and height. Without, a picture is one piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<SlidingWindow>,
    /// Sides are filled up to a multiple of this, so that the backbone's maps lie where the classes are.
    pub divisor: usize,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self { scale: None, window: None, divisor: DeepLabV3::DIVISOR }
    }
}

impl From<&TestConfig> for Segmentation {
    fn from(test: &TestConfig) -> Self {
        Self { within: test.scale, window: test.window.clone(), divisor: test.divisor }
    }
}

impl DeepLabConfig {
    /// What is wrong with the settings, naming the first that is. What depends on the classes is checked with them.
    ///
    /// # Errors
    ///
    /// The setting, its value and what it must be.
    pub fn check(&self) -> Result<(), String> {
        let (m, l, s, t) = (&self.model, &self.loss, &self.solver, &self.test);
        let positive = |[width, height]: [usize; 2]| width > 0 && height > 0;
        let fraction = |v: f64| (0.0..=1.0).contains(&v);
        let rules = [
            (m.channels > 0, "model.channels must be above 0"),
            (!m.rates.contains(&0), "model.rates must be above 0"),
            ((0.0..1.0).contains(&m.dropout), "model.dropout must be at least 0 and below 1"),
            (m.classifier_std >= 0.0, "model.classifier-std must not be negative"),
            (
                l.auxiliary_weight >= 0.0 && l.auxiliary_weight.is_finite(),
                "loss.auxiliary-weight must not be negative",
            ),
            (s.iterations > 0, "solver.iterations must be above 0"),
            (
                s.accumulate > 0 && s.batch_size / s.accumulate >= 2,
                "solver.batch-size must be at least 2 for each of solver.accumulate parts: the pooled branch is one \
                 pixel, which BatchNorm normalises over the images",
            ),
            (
                s.min_learning_rate >= 0.0 && s.learning_rate > 0.0 && s.learning_rate >= s.min_learning_rate,
                "0 <= solver.min-learning-rate <= solver.learning-rate, and the latter above 0, must hold",
            ),
            (s.power > 0.0, "solver.power must be above 0"),
            (
                fraction(s.momentum) && s.weight_decay >= 0.0 && s.norm_weight_decay >= 0.0,
                "solver.momentum must lie between 0 and 1, weight decay not below 0",
            ),
            (
                s.evaluate_every > 0 && s.iterations.is_multiple_of(s.evaluate_every),
                "solver.evaluate-every must divide solver.iterations",
            ),
            (s.clip.is_none_or(|clip| clip > 0.0), "solver.clip must be above 0"),
            (t.scale.is_none_or(positive), "test.scale must be a width and a height above 0"),
            (
                t.window.as_ref().is_none_or(|window| positive(window.crop) && positive(window.stride)),
                "test.window must have a crop and a stride above 0",
            ),
            (t.divisor > 0, "test.divisor must be above 0"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err((*rule).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_are_those_of_mmsegmentation() {
        let config = DeepLabConfig::default();
        config.check().unwrap();
        let rate = |step| config.solver.schedule().at(step);
        // PolyLR(eta_min=1e-4, power=0.9, end=40000)
        assert_eq!((rate(0), rate(40_000)), (0.01, 1e-4));
        assert!((rate(10_000) - (0.0099 * 0.75f64.powf(0.9) + 1e-4)).abs() < 1e-15);
        let text = serde_json::to_value(&config).unwrap();
        assert_eq!(text["loss"]["class-weights"], "none");
        assert_eq!(text["loss"]["average"], "all");
        assert_eq!(serde_json::from_value::<DeepLabConfig>(text).unwrap(), config);
        let given = json!({"loss": {"class-weights": [1.0, 2.5]}, "test": {"window": {"crop": [9, 8], "stride": [6, 5]}}});
        let given: DeepLabConfig = serde_json::from_value(given).unwrap();
        assert_eq!(given.loss.class_weights, ClassWeights::Given(vec![1.0, 2.5]));
        assert_eq!(Segmentation::from(&given.test).window.unwrap().crop, [9, 8]);
    }

    #[test]
    fn wrong_settings_are_named() {
        for (settings, part) in [
            (json!({"model": {"rates": [6, 0]}}), "model.rates"),
            (json!({"model": {"dropout": 1.0}}), "model.dropout"),
            (json!({"loss": {"auxiliary-weight": -1.0}}), "loss.auxiliary-weight"),
            (json!({"solver": {"batch-size": 1}}), "solver.batch-size"),
            (json!({"solver": {"batch-size": 3, "accumulate": 2}}), "solver.accumulate"),
            (json!({"solver": {"min-learning-rate": 0.1}}), "solver.min-learning-rate"),
            (json!({"solver": {"evaluate-every": 7}}), "solver.evaluate-every"),
            (json!({"test": {"scale": [0, 5]}}), "test.scale"),
            (json!({"test": {"divisor": 0}}), "test.divisor"),
        ] {
            let config: DeepLabConfig = serde_json::from_value(settings).unwrap();
            let wrong = config.check().unwrap_err();
            assert!(wrong.contains(part), "{wrong}");
        }
        let unknown = serde_json::from_value::<DeepLabConfig>(json!({"model": {"output_stride": 8}}));
        assert!(unknown.unwrap_err().to_string().contains("output-stride"));
    }
}
