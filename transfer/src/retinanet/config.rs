//! [`RetinaNetConfig`]: every constant of RetinaNet and of its training; the defaults are Detectron2's
//! `Base-RetinaNet` with `RetinaNet_R_50_FPN_1x` (spec 06, section 3).

use genas_data::coco::DetectionDataConfig;
use genas_export::Detection;
use genas_net::{Precision, RetinaNet};
use serde::{Deserialize, Serialize};

use super::anchors::Anchors;

/// RetinaNet and how it is trained and tested.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetinaNetConfig {
    /// Seed of every random stream of the training.
    pub seed: u64,
    /// The network.
    pub model: ModelConfig,
    /// Its anchors.
    pub anchors: AnchorConfig,
    /// Which anchors are positive.
    pub matcher: MatcherConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// Preparation of images.
    pub data: DetectionDataConfig,
    /// The optimiser and its schedule.
    pub solver: SolverConfig,
    /// From numbers to objects.
    pub test: TestConfig,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelConfig {
    /// Channels of the feature pyramid and of the heads.
    pub channels: usize,
    /// 3x3 convolutions of each head before its last.
    pub head_convolutions: usize,
    /// What an untrained network thinks how likely an anchor is an object; sets the classifier's bias.
    pub prior: f64,
    /// Standard deviation of the heads' initial weights.
    pub head_std: f64,
    /// Rectify the backbone's features first. A cell's output is not rectified, its consumer's task.
    pub relu_features: bool,
    /// BatchNorm in pyramid and heads, each level its own: for small networks that are trained from little, on batches
    /// of several images. Detectron2 has none there by default.
    pub batch_norm: bool,
    /// Keep the backbone's BatchNorm statistics, scale and shift as they are.
    pub freeze_batch_norm: bool,
    /// Keep the weights up to stride 4 as they are (FREEZE_AT 2): `stem0`.
    pub freeze_stem: bool,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            channels: 256,
            head_convolutions: 4,
            prior: 0.01,
            head_std: 0.01,
            relu_features: false,
            batch_norm: false,
            freeze_batch_norm: true,
            freeze_stem: true,
        }
    }
}

impl ModelConfig {
    /// Initial bias of the classifier: the logit of [`Self::prior`].
    pub fn prior_bias(&self) -> f64 {
        -((1.0 - self.prior) / self.prior).ln()
    }
}

/// Anchors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AnchorConfig {
    /// Pixels between centres, for each level of the pyramid.
    pub strides: Vec<usize>,
    /// Square root of the area in pixels, for each level.
    pub sizes: Vec<f64>,
    /// Factors on the size, within a level.
    pub scales: Vec<f64>,
    /// Height over width.
    pub ratios: Vec<f64>,
    /// First centre, in strides.
    pub offset: f64,
}

impl Default for AnchorConfig {
    fn default() -> Self {
        Self {
            strides: vec![8, 16, 32, 64, 128],
            sizes: vec![32.0, 64.0, 128.0, 256.0, 512.0],
            scales: vec![1.0, 2f64.powf(1.0 / 3.0), 2f64.powf(2.0 / 3.0)],
            ratios: vec![0.5, 1.0, 2.0],
            offset: 0.0,
        }
    }
}

/// Which anchors are positive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MatcherConfig {
    /// Below this IoU with every object an anchor is background.
    pub background_below: f32,
    /// From this IoU on it is positive; between the two it is not trained.
    pub foreground_from: f32,
    /// The best anchors of an object are positive whatever their IoU.
    pub low_quality: bool,
}

impl Default for MatcherConfig {
    fn default() -> Self {
        Self { background_below: 0.4, foreground_from: 0.5, low_quality: true }
    }
}

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LossConfig {
    /// Weight of positives in the focal loss, against one minus it.
    pub focal_alpha: f64,
    /// Exponent that quietens easy anchors.
    pub focal_gamma: f64,
    /// Where smooth L1 turns from square to straight; 0 is plain L1.
    pub smooth_l1_beta: f64,
    /// Weights of the four box numbers (dx, dy, dw, dh).
    pub box_weights: [f32; 4],
    /// First divisor of the losses.
    pub normalizer_start: f64,
    /// What stays of the divisor in a step.
    pub normalizer_momentum: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            focal_alpha: 0.25,
            focal_gamma: 2.0,
            smooth_l1_beta: 0.0,
            box_weights: [1.0; 4],
            normalizer_start: 100.0,
            normalizer_momentum: 0.9,
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
    /// Learning rate after the warm-up.
    pub learning_rate: f64,
    /// Steps after which the rate falls.
    pub milestones: Vec<usize>,
    /// Factor by which it falls.
    pub decay: f64,
    /// Steps of linear warm-up.
    pub warmup_iterations: usize,
    /// Factor on the rate in the first step.
    pub warmup_factor: f64,
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
    /// memory.
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
            batch_size: 16,
            iterations: 90_000,
            learning_rate: 0.01,
            milestones: vec![60_000, 80_000],
            decay: 0.1,
            warmup_iterations: 1000,
            warmup_factor: 1e-3,
            momentum: 0.9,
            weight_decay: 1e-4,
            norm_weight_decay: 0.0,
            clip: None,
            accumulate: 1,
            precision: Precision::F32,
            evaluate_every: 5000,
            keep_every: 0,
        }
    }
}

impl SolverConfig {
    /// Three times the iterations, as Detectron2's `3x` (270,000, falling at 210,000 and 250,000).
    pub fn three_times() -> Self {
        Self { iterations: 270_000, milestones: vec![210_000, 250_000], ..Self::default() }
    }

    /// Learning rate of a step, counted from 0.
    pub fn rate(&self, iteration: usize) -> f64 {
        let fallen = self.milestones.iter().filter(|&&m| iteration >= m).count() as i32;
        let warm = if iteration < self.warmup_iterations {
            let alpha = iteration as f64 / self.warmup_iterations as f64;
            self.warmup_factor * (1.0 - alpha) + alpha
        } else {
            1.0
        };
        self.learning_rate * warm * self.decay.powi(fallen)
    }
}

/// From numbers to objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TestConfig {
    /// The shorter side in pixels.
    pub shorter_side: usize,
    /// The longer side in pixels, at most.
    pub longer_side: usize,
    /// Scores must lie above this.
    pub score_above: f32,
    /// Pairs of anchor and class that each level passes on, at most.
    pub top_per_level: usize,
    /// Of two boxes of a class that overlap more, the better stays.
    pub nms_iou: f32,
    /// Objects per image, at most.
    pub max_detections: usize,
    /// An object is larger than its anchor by this factor at most.
    pub max_scale: f32,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self {
            shorter_side: 800,
            longer_side: 1333,
            score_above: 0.05,
            top_per_level: 1000,
            nms_iou: 0.5,
            max_detections: 100,
            max_scale: 1000.0 / 16.0,
        }
    }
}

impl RetinaNetConfig {
    /// What a detector's file needs of it.
    pub fn detection(&self) -> Detection {
        let (anchors, test) = (Anchors::new(&self.anchors), &self.test);
        Detection {
            strides: self.anchors.strides.clone(),
            anchors: (0..anchors.levels()).map(|level| anchors.cell(level).1.to_vec()).collect(),
            offset: self.anchors.offset,
            box_weights: self.loss.box_weights,
            max_scale: test.max_scale,
            score_above: test.score_above,
            top_per_level: test.top_per_level,
            nms_iou: test.nms_iou,
            max_detections: test.max_detections,
            shorter_side: test.shorter_side,
            longer_side: test.longer_side,
            divisor: self.data.divisor,
        }
    }

    /// Anchors at every place of a feature map.
    pub fn anchors_per_cell(&self) -> usize {
        self.anchors.scales.len() * self.anchors.ratios.len()
    }

    /// What is wrong with the settings, naming the first that is.
    ///
    /// # Errors
    ///
    /// The setting, its value and what it must be.
    pub fn check(&self) -> Result<(), String> {
        let (a, m, l, d, s, t) =
            (&self.anchors, &self.matcher, &self.loss, &self.data, &self.solver, &self.test);
        let positive = |list: &[f64]| !list.is_empty() && list.iter().all(|v| v.is_finite() && *v > 0.0);
        let fraction = |v: f64| (0.0..=1.0).contains(&v);
        let rules = [
            (self.model.channels > 0, "model.channels must be above 0"),
            (self.model.prior > 0.0 && self.model.prior < 1.0, "model.prior must lie between 0 and 1"),
            (self.model.head_std >= 0.0, "model.head-std must not be negative"),
            (a.strides == RetinaNet::STRIDES, "anchors.strides must be the pyramid's: 8, 16, 32, 64, 128"),
            (a.sizes.len() == a.strides.len(), "anchors.sizes needs one size for each of anchors.strides"),
            (positive(&a.sizes), "anchors.sizes must be above 0"),
            (positive(&a.scales), "anchors.scales must be above 0"),
            (positive(&a.ratios), "anchors.ratios must be above 0"),
            ((0.0..1.0).contains(&a.offset), "anchors.offset must be at least 0 and below 1"),
            (
                0.0 <= m.background_below
                    && m.background_below <= m.foreground_from
                    && m.foreground_from <= 1.0,
                "0 <= matcher.background-below <= matcher.foreground-from <= 1 must hold",
            ),
            (fraction(l.focal_alpha), "loss.focal-alpha must lie between 0 and 1"),
            (l.focal_gamma >= 0.0, "loss.focal-gamma must not be negative"),
            (l.smooth_l1_beta >= 0.0, "loss.smooth-l1-beta must not be negative"),
            (l.box_weights.iter().all(|&w| w > 0.0), "loss.box-weights must be above 0"),
            (l.normalizer_start > 0.0, "loss.normalizer-start must be above 0"),
            (fraction(l.normalizer_momentum), "loss.normalizer-momentum must lie between 0 and 1"),
            (
                !d.shorter_sides.is_empty() && !d.shorter_sides.contains(&0),
                "data.shorter-sides must be above 0, and at least one",
            ),
            (
                d.shorter_sides.iter().all(|&side| side <= d.longer_side),
                "data.longer-side must be at least as large as data.shorter-sides",
            ),
            (fraction(d.flip), "data.flip must lie between 0 and 1"),
            (d.divisor > 0 && d.divisor.is_multiple_of(32), "data.divisor must be a multiple of 32"),
            (s.batch_size > 0 && s.iterations > 0, "solver.batch-size and solver.iterations must be above 0"),
            (s.learning_rate > 0.0, "solver.learning-rate must be above 0"),
            (
                s.evaluate_every > 0 && s.iterations.is_multiple_of(s.evaluate_every),
                "solver.evaluate-every must divide solver.iterations",
            ),
            (
                s.accumulate > 0 && s.accumulate <= s.batch_size,
                "solver.accumulate must lie between 1 and solver.batch-size",
            ),
            (s.clip.is_none_or(|clip| clip > 0.0), "solver.clip must be above 0"),
            (s.milestones.is_sorted(), "solver.milestones must rise"),
            (
                0 < t.shorter_side && t.shorter_side <= t.longer_side,
                "0 < test.shorter-side <= test.longer-side must hold",
            ),
            (fraction(t.score_above.into()), "test.score-above must lie between 0 and 1"),
            (fraction(t.nms_iou.into()), "test.nms-iou must lie between 0 and 1"),
            (t.max_scale > 1.0, "test.max-scale must be above 1"),
            (
                t.top_per_level > 0 && t.max_detections > 0,
                "test.top-per-level and test.max-detections must be above 0",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err((*rule).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_are_those_of_detectron2() {
        let config = RetinaNetConfig::default();
        config.check().unwrap();
        assert_eq!(config.anchors_per_cell(), 9);
        assert!((config.model.prior_bias() + 4.59511985).abs() < 1e-8);
        assert!((config.test.max_scale.ln() - 4.135_166_6).abs() < 1e-6);
        let three = SolverConfig::three_times();
        assert_eq!((three.iterations, &three.milestones[..]), (270_000, &[210_000, 250_000][..]));
        // WarmupMultiStepLR: 1e-3 of the rate first, the whole after 1000 steps
        for (iteration, want) in
            [(0, 1e-5), (500, 0.5005e-2), (1000, 1e-2), (59_999, 1e-2), (60_000, 1e-3), (80_000, 1e-4)]
        {
            assert!((config.solver.rate(iteration) / want - 1.0f64).abs() < 1e-12, "{iteration}");
        }
        let text = serde_json::to_value(&config).unwrap();
        assert_eq!(text["matcher"]["background-below"].as_f64().unwrap() as f32, 0.4);
        assert_eq!(serde_json::from_value::<RetinaNetConfig>(text).unwrap(), config);
    }

    #[test]
    fn wrong_settings_are_named() {
        for (settings, part) in [
            (json!({"anchors": {"sizes": [32.0]}}), "anchors.sizes"),
            (json!({"anchors": {"ratios": [0.0]}}), "anchors.ratios"),
            (json!({"matcher": {"background-below": 0.6}}), "matcher.background-below"),
            (json!({"data": {"shorter-sides": []}}), "data.shorter-sides"),
            (json!({"data": {"longer-side": 700}}), "data.longer-side"),
            (json!({"data": {"divisor": 16}}), "multiple of 32"),
            (json!({"solver": {"milestones": [3, 2]}}), "solver.milestones"),
            (json!({"test": {"nms-iou": 1.5}}), "test.nms-iou"),
        ] {
            let config: RetinaNetConfig = serde_json::from_value(settings).unwrap();
            let wrong = config.check().unwrap_err();
            assert!(wrong.contains(part), "{wrong}");
        }
        let unknown = serde_json::from_value::<RetinaNetConfig>(json!({"loss": {"focal_alpha": 0.3}}));
        assert!(unknown.unwrap_err().to_string().contains("focal-alpha"));
    }
}
