//! The metrics, and how their parts combine (spec 02-7).

use crate::config::MetricConfig;
use crate::flatness::flatness;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a search maximises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// Flatness of the loss surface.
    #[default]
    Flatness,
    /// Angle between the initial and the trained weights, in radians.
    Angle,
    /// Top-1 accuracy, a fraction.
    Accuracy,
    /// `angle / pi + gamma / sigma_1 * flatness`.
    AngleFlatness,
    /// `accuracy + gamma / sigma_1 * flatness`.
    AccuracyFlatness,
    /// `angle / pi + gamma_accuracy * accuracy`.
    AngleAccuracy,
    /// `angle / pi + gamma_accuracy * accuracy under noise`, the mean over the noise levels. Not the paper's: the variant that
    /// ranked best in docs/results/nasbench201.md, with noise in proportion to filters.
    AngleNoisyAccuracy,
}

/// The metrics with their names.
const NAMES: [(&str, Metric); 7] = [
    ("flatness", Metric::Flatness),
    ("angle", Metric::Angle),
    ("accuracy", Metric::Accuracy),
    ("angle+flatness", Metric::AngleFlatness),
    ("accuracy+flatness", Metric::AccuracyFlatness),
    ("angle+accuracy", Metric::AngleAccuracy),
    ("angle+noisy-accuracy", Metric::AngleNoisyAccuracy),
];

impl Metric {
    /// Names of all metrics.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// Whether the validation losses under noise are needed.
    pub fn needs_flatness(self) -> bool {
        matches!(self, Self::Flatness | Self::AngleFlatness | Self::AccuracyFlatness)
    }

    /// Whether the accuracies under noise are needed.
    pub fn needs_noisy_accuracy(self) -> bool {
        self == Self::AngleNoisyAccuracy
    }

    /// Whether the validation accuracy is needed.
    pub fn needs_accuracy(self) -> bool {
        matches!(self, Self::Accuracy | Self::AccuracyFlatness | Self::AngleAccuracy)
    }

    /// Whether the initial weights are needed.
    pub fn needs_angle(self) -> bool {
        matches!(self, Self::Angle | Self::AngleFlatness | Self::AngleAccuracy | Self::AngleNoisyAccuracy)
    }

    /// Whether images are needed.
    pub fn needs_data(self) -> bool {
        self != Self::Angle
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, metric)| *metric).ok_or_else(|| {
            format!("{text:?} is not a metric: {}", Metric::names().collect::<Vec<_>>().join(", "))
        })
    }
}

impl TryFrom<String> for Metric {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> String {
        metric.to_string()
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, m)| m == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// The angle and what it was computed from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AngleScore {
    /// The angle.
    pub radians: f64,
    /// The angle over pi: the part in combined metrics.
    pub over_pi: f64,
    /// Length of the vectors.
    pub vector_length: u64,
}

/// The flatness and what it was computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlatnessScore {
    /// The flatness.
    pub score: f64,
    /// Validation loss per noise level.
    pub losses: Vec<f64>,
    /// Noise levels.
    pub sigmas: Vec<f64>,
}

/// The accuracy under noise and what it was computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoisyAccuracyScore {
    /// The mean over the noise levels, a fraction.
    pub score: f64,
    /// Validation accuracy per noise level.
    pub accuracies: Vec<f64>,
    /// Noise levels.
    pub sigmas: Vec<f64>,
}

/// What one pass over the validation images yields for each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// 1 if the candidate names the label, else 0.
    Hit,
    /// The loss at the noise level of this position.
    Loss(usize),
    /// 1 if the candidate names the label at the noise level of this position, else 0.
    NoisyHit(usize),
}

impl MetricConfig {
    /// Number of passes over the validation images.
    pub fn columns(&self) -> usize {
        let noisy = self.name.needs_flatness() || self.name.needs_noisy_accuracy();
        usize::from(self.name.needs_accuracy()) + if noisy { self.sigmas.len() } else { 0 }
    }

    /// The pass at a position below [`MetricConfig::columns`].
    pub fn column(&self, position: usize) -> Column {
        match usize::from(self.name.needs_accuracy()) {
            1 if position == 0 => Column::Hit,
            _ if self.name.needs_noisy_accuracy() => Column::NoisyHit(position),
            hits => Column::Loss(position - hits),
        }
    }

    /// The score of these averages of the columns.
    pub fn score(&self, angle: Option<AngleScore>, means: &[f64]) -> Score {
        let mut score = Score { angle, ..Default::default() };
        let (mut losses, mut hits) = (Vec::new(), Vec::new());
        for (n, &mean) in means.iter().enumerate() {
            match self.column(n) {
                Column::Hit => score.accuracy = Some(mean),
                Column::Loss(_) => losses.push(mean),
                Column::NoisyHit(_) => hits.push(mean),
            }
        }
        if !hits.is_empty() {
            let value = hits.iter().sum::<f64>() / hits.len() as f64;
            let sigmas = self.sigmas.clone();
            score.noisy_accuracy = Some(NoisyAccuracyScore { score: value, accuracies: hits, sigmas });
        }
        if !losses.is_empty() {
            let value = flatness(&self.sigmas, &losses, self.alpha, self.eps);
            score.flatness = Some(FlatnessScore { score: value, losses, sigmas: self.sigmas.clone() });
        }
        score
    }
}

/// The parts of a score that were computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The angle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub angle: Option<AngleScore>,
    /// Top-1 accuracy as a fraction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The flatness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flatness: Option<FlatnessScore>,
    /// The accuracy under noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noisy_accuracy: Option<NoisyAccuracyScore>,
}

impl Score {
    /// The number that the search maximises; NaN if a part is missing or not finite.
    pub fn combined(&self, config: &MetricConfig) -> f64 {
        let angle = self.angle.map_or(f64::NAN, |a| a.radians);
        let over_pi = self.angle.map_or(f64::NAN, |a| a.over_pi);
        let accuracy = self.accuracy.unwrap_or(f64::NAN);
        let flatness = self.flatness.as_ref().map_or(f64::NAN, |f| f.score);
        let noisy = self.noisy_accuracy.as_ref().map_or(f64::NAN, |n| n.score);
        let weighted = config.gamma / config.sigmas[0] * flatness;
        match config.name {
            Metric::Flatness => flatness,
            Metric::Angle => angle,
            Metric::Accuracy => accuracy,
            Metric::AngleFlatness => over_pi + weighted,
            Metric::AccuracyFlatness => accuracy + weighted,
            Metric::AngleAccuracy => over_pi + config.gamma_accuracy * accuracy,
            Metric::AngleNoisyAccuracy => over_pi + config.gamma_accuracy * noisy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations() {
        let score = Score {
            angle: Some(AngleScore { radians: 1.0, over_pi: 0.25, vector_length: 10 }),
            accuracy: Some(0.5),
            flatness: Some(FlatnessScore { score: 1e-3, losses: vec![], sigmas: vec![] }),
            noisy_accuracy: Some(NoisyAccuracyScore { score: 0.125, accuracies: vec![], sigmas: vec![] }),
        };
        let value = |name| score.combined(&MetricConfig { name, gamma_accuracy: 2.0, ..Default::default() });
        assert_eq!(value(Metric::Flatness), 1e-3);
        assert_eq!(value(Metric::Angle), 1.0);
        assert_eq!(value(Metric::Accuracy), 0.5);
        assert_eq!(value(Metric::AngleFlatness), 0.25 + 16.0);
        assert_eq!(value(Metric::AccuracyFlatness), 0.5 + 16.0);
        assert_eq!(value(Metric::AngleAccuracy), 0.25 + 2.0 * 0.5);
        assert_eq!(value(Metric::AngleNoisyAccuracy), 0.25 + 2.0 * 0.125);
        assert!(Score::default().combined(&MetricConfig::default()).is_nan());
    }

    #[test]
    fn accuracies_under_noise_are_columns() {
        let config =
            MetricConfig { name: Metric::AngleNoisyAccuracy, sigmas: vec![0.1, 0.2], ..Default::default() };
        let columns: Vec<Column> = (0..config.columns()).map(|n| config.column(n)).collect();
        assert_eq!(columns, [Column::NoisyHit(0), Column::NoisyHit(1)]);
        let angle = AngleScore { radians: 1.0, over_pi: 0.25, vector_length: 10 };
        let score = config.score(Some(angle), &[0.5, 0.25]);
        assert_eq!((score.combined(&config), score.accuracy, score.flatness.is_none()), (0.625, None, true));
    }

    #[test]
    fn names_round_trip() {
        for name in Metric::names() {
            assert_eq!(name.parse::<Metric>().unwrap().to_string(), name);
        }
        assert!("sharpness".parse::<Metric>().unwrap_err().contains("angle+flatness"));
    }
}
