//! The metrics that rank cells, each computed from a cell's [measurements](CellMeasurement); higher is better.

use crate::flatness::flatness;
use crate::noise::Direction;
use crate::rank::config::MeasureConfig;
use crate::rank::measure::{CellMeasurement, FewerImages, NoiseMeasurement};
use serde::{Deserialize, Serialize};

/// What a metric computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Formula {
    /// Parameters of the benchmark's network: needs no training.
    Params,
    /// FLOPs of the benchmark's network: needs no training.
    Flops,
    /// The angle in radians.
    Angle,
    /// The negative validation loss without noise.
    Loss,
    /// The accuracy without noise, a fraction.
    Accuracy,
    /// Flatness, of the losses' means over the draws (paper equation 4).
    Flatness,
    /// `angle / pi + gamma / sigma_1 * flatness`.
    AngleFlatness,
    /// `accuracy + gamma / sigma_1 * flatness`.
    AccuracyFlatness,
    /// The negative loss under noise.
    NoisyLoss,
    /// The accuracy under noise, a fraction.
    NoisyAccuracy,
    /// `angle / pi + accuracy under noise`: the paper's sum of angle and accuracy, with the accuracy under noise.
    AngleNoisyAccuracy,
    /// By how much noise raises the loss, negative.
    LossIncrease,
    /// The Hessian's largest eigenvalue in size, negative; of a noise whose direction is the Hessian's.
    Sharpness,
}

impl Formula {
    /// Whether it is of one noise.
    pub fn needs_noise(self) -> bool {
        use Formula::*;
        match self {
            Params | Flops | Angle | Loss | Accuracy => false,
            Flatness | AngleFlatness | AccuracyFlatness | NoisyLoss | NoisyAccuracy | AngleNoisyAccuracy
            | LossIncrease | Sharpness => true,
        }
    }
}

/// A metric with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RankMetric {
    /// Its name in tables.
    pub name: String,
    /// What it computes.
    pub formula: Formula,
    /// Name of the noise that it is of, where its formula needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<String>,
    /// The level that a loss or accuracy under noise is of; without one the mean over all levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Only the first so many draws; without a number all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draws: Option<usize>,
    /// Losses and accuracies of so many validation images, one of [`MeasureConfig::fewer_images`]; without a number of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_images: Option<usize>,
    /// Weight of the first term of flatness, `|L_1 / sigma_1|`; 0 leaves the slopes.
    #[serde(default = "one")]
    pub alpha: f64,
    /// Added to flatness's sum before it is inverted.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Weight of flatness in a combined metric.
    #[serde(default = "gamma")]
    pub gamma: f64,
}

fn one() -> f64 {
    1.0
}

fn eps() -> f64 {
    1e-5
}

fn gamma() -> f64 {
    16.0
}

impl RankMetric {
    /// A metric without noise.
    pub fn plain(name: &str, formula: Formula) -> Self {
        let name = name.to_owned();
        Self {
            name,
            formula,
            noise: None,
            sigma: None,
            draws: None,
            validation_images: None,
            alpha: one(),
            eps: eps(),
            gamma: gamma(),
        }
    }

    /// A metric of a noise.
    pub fn of_noise(name: &str, formula: Formula, noise: &str) -> Self {
        Self { noise: Some(noise.to_owned()), ..Self::plain(name, formula) }
    }

    /// Every formula with its default settings: those of a noise for each noise that is measured, named
    /// `flatness/NOISE`. Those of fewer images are made where they are asked for only.
    pub fn all(measured: &MeasureConfig) -> Vec<Self> {
        let plain = [
            ("params", Formula::Params),
            ("flops", Formula::Flops),
            ("angle", Formula::Angle),
            ("loss", Formula::Loss),
            ("accuracy", Formula::Accuracy),
        ];
        let noisy = [
            ("flatness", Formula::Flatness),
            ("angle+flatness", Formula::AngleFlatness),
            ("accuracy+flatness", Formula::AccuracyFlatness),
            ("noisy-loss", Formula::NoisyLoss),
            ("noisy-accuracy", Formula::NoisyAccuracy),
            ("angle+noisy-accuracy", Formula::AngleNoisyAccuracy),
            ("loss-increase", Formula::LossIncrease),
        ];
        let plain = plain.map(|(name, formula)| Self::plain(name, formula)).into_iter();
        let of_noises = measured.noises.iter().flat_map(|noise| {
            let sharpness = [("sharpness", Formula::Sharpness)];
            let sharpness = sharpness.into_iter().filter(|_| noise.direction == Direction::Hessian);
            noisy.into_iter().chain(sharpness).map(|(name, formula)| {
                Self::of_noise(&format!("{name}/{}", noise.name), formula, &noise.name)
            })
        });
        plain.chain(of_noises).collect()
    }

    /// Rejects what cannot be computed from what is measured.
    pub fn check(&self, measured: &MeasureConfig) -> Result<(), String> {
        let wrong = |reason: String| Err(format!("the metric {:?} {reason}", self.name));
        let of_images =
            !matches!(self.formula, Formula::Params | Formula::Flops | Formula::Angle | Formula::Sharpness);
        if let Some(images) = self.validation_images {
            if !of_images {
                return wrong("is of no validation images; take validation-images out".to_owned());
            }
            if !measured.fewer_images.contains(&images) {
                return wrong(format!(
                    "is of {images} validation images, which is none of measure.fewer-images ({:?})",
                    measured.fewer_images
                ));
            }
        }
        if !self.formula.needs_noise() {
            return match (&self.noise, self.sigma, self.draws) {
                (None, None, None) => Ok(()),
                _ => wrong("is of no noise; take noise, sigma and draws out".to_owned()),
            };
        }
        let known = || measured.noises.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
        let Some(name) = &self.noise else { return wrong(format!("needs a noise: one of {}", known())) };
        let Some(noise) = measured.noise(name) else {
            return wrong(format!("is of the noise {name:?}, which is not measured: {}", known()));
        };
        if self.formula == Formula::Sharpness && noise.direction != Direction::Hessian {
            return wrong(format!(
                "is of the noise {name}, whose direction is random; it needs one of the Hessian"
            ));
        }
        if let Some(sigma) = self.sigma.filter(|sigma| !noise.sigmas.contains(sigma)) {
            return wrong(format!("is of sigma {sigma}; the noise {name} has {:?}", noise.sigmas));
        }
        if let Some(draws) = self.draws.filter(|draws| *draws == 0 || *draws > noise.draws) {
            return wrong(format!(
                "takes {draws} draws; the noise {name} has {}, and 1 is the least",
                noise.draws
            ));
        }
        if ![self.alpha, self.eps, self.gamma].iter().all(|v| v.is_finite() && *v >= 0.0) {
            return wrong("needs alpha, eps and gamma of 0 or more".to_owned());
        }
        Ok(())
    }

    /// The score of a cell; NaN where the noise was not measured.
    pub fn score(&self, cell: &CellMeasurement) -> f64 {
        let noise = cell.noises.iter().find(|n| Some(&n.name) == self.noise.as_ref());
        let of_noise = |formula: &dyn Fn(&NoiseMeasurement) -> f64| noise.map_or(f64::NAN, formula);
        let flatness = || {
            of_noise(&|noise| flatness(&noise.sigmas, &self.means(self.losses(noise)), self.alpha, self.eps))
        };
        let (loss, accuracy) = self.plain_parts(cell);
        let noisy_loss = || of_noise(&|noise| self.at_level(noise, self.losses(noise)));
        let noisy_accuracy = || of_noise(&|noise| self.at_level(noise, self.accuracies(noise)));
        let weighted = || of_noise(&|noise| self.gamma / noise.sigmas[0]) * flatness();
        match self.formula {
            Formula::Params => cell.params as f64,
            Formula::Flops => cell.flops as f64,
            Formula::Angle => cell.angle.radians,
            Formula::Loss => -loss,
            Formula::Accuracy => accuracy,
            Formula::Flatness => flatness(),
            Formula::AngleFlatness => cell.angle.over_pi + weighted(),
            Formula::AccuracyFlatness => accuracy + weighted(),
            Formula::NoisyLoss => -noisy_loss(),
            Formula::NoisyAccuracy => noisy_accuracy(),
            Formula::AngleNoisyAccuracy => cell.angle.over_pi + noisy_accuracy(),
            Formula::LossIncrease => loss - noisy_loss(),
            Formula::Sharpness => {
                of_noise(&|noise| noise.curvature.map_or(f64::NAN, |curves| -curves.eigenvalue.abs()))
            }
        }
    }

    /// Loss and accuracy without noise; NaN where they are of images that were not measured.
    fn plain_parts(&self, cell: &CellMeasurement) -> (f64, f64) {
        let Some(images) = self.validation_images else { return (cell.loss, cell.accuracy) };
        let found = cell.fewer.iter().find(|fewer| fewer.images == images);
        found.map_or((f64::NAN, f64::NAN), |fewer| (fewer.loss, fewer.accuracy))
    }

    fn losses<'m>(&self, noise: &'m NoiseMeasurement) -> &'m [Vec<f64>] {
        self.of_images(noise).map_or(&noise.losses, |fewer| &fewer.loss)
    }

    fn accuracies<'m>(&self, noise: &'m NoiseMeasurement) -> &'m [Vec<f64>] {
        self.of_images(noise).map_or(&noise.accuracies, |fewer| &fewer.accuracy)
    }

    /// What was measured on fewer images, if the metric is of these. [`RankMetric::check`] has seen that they are there.
    fn of_images<'m>(&self, noise: &'m NoiseMeasurement) -> Option<&'m FewerImages<Vec<Vec<f64>>>> {
        let images = self.validation_images?;
        noise.fewer.iter().find(|fewer| fewer.images == images)
    }

    /// Means over the draws, per level.
    fn means(&self, levels: &[Vec<f64>]) -> Vec<f64> {
        let draws = self.draws.unwrap_or(usize::MAX);
        levels.iter().map(|level| mean(&level[..draws.min(level.len())])).collect()
    }

    /// The mean over the draws of one level, or of all.
    fn at_level(&self, noise: &NoiseMeasurement, levels: &[Vec<f64>]) -> f64 {
        let means = self.means(levels);
        match self.sigma {
            None => mean(&means),
            Some(sigma) => {
                noise.sigmas.iter().zip(means).find(|(s, _)| **s == sigma).map_or(f64::NAN, |(_, mean)| mean)
            }
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::AngleScore;
    use crate::rank::config::NoiseConfig;
    use crate::rank::hessian::Curvature;

    fn cell() -> CellMeasurement {
        CellMeasurement {
            cell: genas_space::nb201::nb201_zoo()[0].cell(),
            params: 7,
            flops: 11,
            angle: AngleScore { radians: 1.5, over_pi: 0.5, vector_length: 3 },
            loss: 0.75,
            accuracy: 0.25,
            fewer: vec![FewerImages { images: 10, loss: 0.5, accuracy: 0.125 }],
            noises: vec![NoiseMeasurement {
                name: "n".to_owned(),
                sigmas: vec![0.5, 1.0],
                losses: vec![vec![1.0, 3.0], vec![2.0, 6.0]],
                accuracies: vec![vec![0.25, 0.5], vec![0.0, 0.25]],
                fewer: vec![FewerImages {
                    images: 10,
                    loss: vec![vec![2.0, 6.0], vec![4.0, 12.0]],
                    accuracy: vec![vec![0.5, 1.0], vec![0.0, 0.5]],
                }],
                curvature: Some(Curvature { eigenvalue: -3.0, iterations: 4, converged: true }),
            }],
        }
    }

    #[test]
    fn formulae() {
        let plain = |formula| RankMetric::plain("m", formula).score(&cell());
        assert_eq!(plain(Formula::Params), 7.0);
        assert_eq!(plain(Formula::Flops), 11.0);
        assert_eq!(plain(Formula::Angle), 1.5);
        assert_eq!(plain(Formula::Loss), -0.75);
        assert_eq!(plain(Formula::Accuracy), 0.25);
        let noisy = |formula| RankMetric { eps: 0.0, ..RankMetric::of_noise("m", formula, "n") };
        let score = |metric: RankMetric| metric.score(&cell());
        // Mean losses 2 and 4: depth 4, slope 4.
        assert_eq!(score(noisy(Formula::Flatness)), 0.125);
        assert_eq!(score(RankMetric { alpha: 0.0, ..noisy(Formula::Flatness) }), 0.25);
        // Of the first draw 1 and 2: depth 2, slope 2.
        assert_eq!(score(RankMetric { draws: Some(1), ..noisy(Formula::Flatness) }), 0.25);
        assert_eq!(score(noisy(Formula::AngleFlatness)), 0.5 + 16.0 / 0.5 * 0.125);
        assert_eq!(
            score(RankMetric { gamma: 2.0, ..noisy(Formula::AccuracyFlatness) }),
            0.25 + 2.0 / 0.5 * 0.125
        );
        assert_eq!(score(noisy(Formula::NoisyLoss)), -3.0);
        assert_eq!(score(RankMetric { sigma: Some(1.0), ..noisy(Formula::NoisyLoss) }), -4.0);
        assert_eq!(score(RankMetric { sigma: Some(0.5), ..noisy(Formula::NoisyAccuracy) }), 0.375);
        assert_eq!(score(RankMetric { sigma: Some(0.5), ..noisy(Formula::AngleNoisyAccuracy) }), 0.5 + 0.375);
        assert_eq!(score(RankMetric { sigma: Some(0.5), ..noisy(Formula::LossIncrease) }), -1.25);
        assert_eq!(score(noisy(Formula::Sharpness)), -3.0);
        assert!(RankMetric::of_noise("m", Formula::Flatness, "other").score(&cell()).is_nan());
        // Of ten images losses are twice as large under noise.
        let ten = |metric: RankMetric| score(RankMetric { validation_images: Some(10), ..metric });
        assert_eq!(ten(noisy(Formula::Flatness)), 0.0625);
        assert_eq!(ten(noisy(Formula::NoisyLoss)), -6.0);
        assert_eq!(ten(noisy(Formula::NoisyAccuracy)), 0.5);
        assert_eq!(ten(noisy(Formula::LossIncrease)), 0.5 - 6.0);
        assert_eq!(ten(RankMetric::plain("m", Formula::Accuracy)), 0.125);
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        let noise =
            NoiseConfig { name: "n".to_owned(), sigmas: vec![0.5, 1.0], draws: 2, ..Default::default() };
        let measured = MeasureConfig { noises: vec![noise], ..Default::default() };
        let all = RankMetric::all(&measured);
        assert_eq!(all.len(), 12);
        assert_eq!(all[5].name, "flatness/n");
        for metric in &all {
            metric.check(&measured).unwrap();
            assert!(metric.score(&cell()).is_finite(), "{metric:?}");
            let json = serde_json::to_string(metric).unwrap();
            assert_eq!(serde_json::from_str::<RankMetric>(&json).unwrap(), *metric);
        }
        let flat = || RankMetric::of_noise("m", Formula::NoisyLoss, "n");
        for (metric, part) in [
            (RankMetric::of_noise("m", Formula::Loss, "n"), "is of no noise"),
            (RankMetric::plain("m", Formula::Flatness), "needs a noise: one of n"),
            (RankMetric::of_noise("m", Formula::Flatness, "o"), "\"o\", which is not measured: n"),
            (RankMetric { sigma: Some(0.7), ..flat() }, "sigma 0.7; the noise n has [0.5, 1.0]"),
            (RankMetric { validation_images: Some(7), ..flat() }, "none of measure.fewer-images ([])"),
            (
                RankMetric { validation_images: Some(7), ..RankMetric::plain("m", Formula::Angle) },
                "is of no validation images",
            ),
            (RankMetric::of_noise("m", Formula::Sharpness, "n"), "it needs one of the Hessian"),
            (RankMetric { draws: Some(3), ..flat() }, "takes 3 draws; the noise n has 2"),
            (RankMetric { alpha: f64::NAN, ..flat() }, "0 or more"),
        ] {
            let error = metric.check(&measured).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
