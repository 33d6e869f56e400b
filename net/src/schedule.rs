//! Learning-rate schedules, and drop path's.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Cosine annealing, constant inside an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    /// Rate at the start.
    pub base: f64,
    /// Rate at the end.
    pub min: f64,
    /// Length in epochs.
    pub epochs: usize,
    /// The published supernet training and the DARTS CIFAR recipe step the schedule before each
    /// epoch: epoch `e` uses the rate of `e + 1`, and the base rate is never used (spec 02-2).
    pub shifted: bool,
}

impl Cosine {
    /// Rate of an epoch, counted from 0.
    pub fn at(&self, epoch: usize) -> f64 {
        let e = (epoch + usize::from(self.shifted)) as f64;
        self.min + 0.5 * (self.base - self.min) * (1.0 + (PI * e / self.epochs as f64).cos())
    }
}

/// Falling as a power of what is left, per step: MMSegmentation's `poly` (spec 06-5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Polynomial {
    /// Rate of the first step.
    pub base: f64,
    /// Rate behind the last one.
    pub min: f64,
    /// 0.9 in DeepLab; 1 is a straight line.
    pub power: f64,
    /// Length in steps.
    pub steps: usize,
}

impl Polynomial {
    /// Rate of a step, counted from 0; the end's from there on.
    pub fn at(&self, step: usize) -> f64 {
        let left = self.steps.saturating_sub(step) as f64 / self.steps.max(1) as f64;
        (self.base - self.min) * left.powf(self.power) + self.min
    }
}

/// Epochs of the warm-up, and of the slow end of the linear schedule.
const LAST: usize = 5;

/// The smallest batch that PC-DARTS's warm-up applies to is larger than this.
const SMALL_BATCH: usize = 256;

/// How the first five epochs reach the schedule (spec 04-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarmUp {
    /// Fractions of the schedule's own rate.
    #[default]
    Genas,
    /// Fractions of the base rate, for batches of more than 256 images only.
    PcDarts,
}

/// A learning rate per epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Schedule {
    /// The published ImageNet runs': from the base rate straight down to 0 at five epochs before the end, and five epochs of
    /// a slower line that begins again where the first one was an epoch before its end (spec 04-2).
    ///
    /// Runs of at most five epochs would have no first line, and a division by zero: they take one straight line to 0 at
    /// their end, and the same warm-up.
    Linear {
        /// The first five epochs.
        #[serde(default)]
        warm_up: WarmUp,
    },
    /// [`Cosine`]; the published programs' option steps it before each epoch, down to 0.
    Cosine {
        /// Rate at the end.
        #[serde(default)]
        min: f64,
        /// See [`Cosine::shifted`].
        #[serde(default = "shifted")]
        shifted: bool,
    },
}

fn shifted() -> bool {
    true
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Linear { warm_up: WarmUp::default() }
    }
}

impl Schedule {
    /// Rate of an epoch, counted from 0, in a run of `epochs` with `batch` images per step.
    pub fn rate(&self, base_lr: f64, epoch: usize, epochs: usize, batch: usize) -> f64 {
        match *self {
            Self::Linear { warm_up } => {
                let fraction = (epoch + 1) as f64 / LAST as f64;
                match warm_up {
                    _ if epoch >= LAST => linear(base_lr, epoch, epochs),
                    WarmUp::Genas => linear(base_lr, epoch, epochs) * fraction,
                    WarmUp::PcDarts if batch > SMALL_BATCH => base_lr * fraction,
                    WarmUp::PcDarts => linear(base_lr, epoch, epochs),
                }
            }
            Self::Cosine { min, shifted } => Cosine { base: base_lr, min, epochs, shifted }.at(epoch),
        }
    }
}

/// The linear schedule without warm-up.
fn linear(base_lr: f64, epoch: usize, epochs: usize) -> f64 {
    let left = epochs.saturating_sub(epoch) as f64;
    if epochs <= LAST {
        return base_lr * left / epochs.max(1) as f64;
    }
    let main = epochs - LAST;
    if epoch < main {
        base_lr * (main - epoch) as f64 / main as f64
    } else {
        base_lr * left / (main * LAST) as f64
    }
}

/// Drop path rises linearly with the epoch (DARTS: `p * epoch / epochs`).
pub fn drop_path_probability(probability: f64, epoch: usize, epochs: usize) -> f64 {
    probability * epoch as f64 / epochs as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_the_published_supernet_training() {
        // Spec 02-2: 0.001 + 0.012 * (1 + cos(pi * (e + 1) / 250)).
        let cosine = Cosine { base: 0.025, min: 0.001, epochs: 250, shifted: true };
        assert!((cosine.at(0) - 0.02499905).abs() < 5e-9);
        assert!((cosine.at(124) - 0.013).abs() < 1e-12);
        assert!((cosine.at(249) - 0.001).abs() < 1e-15);
        let standard = Cosine { shifted: false, ..cosine };
        assert_eq!(standard.at(0), 0.025);
    }

    #[test]
    fn polynomial_falls_from_base_to_minimum() {
        let poly = Polynomial { base: 0.01, min: 1e-4, power: 0.9, steps: 40_000 };
        assert_eq!(poly.at(0), 0.01);
        assert!((poly.at(20_000) - (0.0099 * 0.5f64.powf(0.9) + 1e-4)).abs() < 1e-15);
        assert!((1..=40_000).all(|step| poly.at(step) < poly.at(step - 1)));
        assert_eq!((poly.at(40_000), poly.at(50_000)), (1e-4, 1e-4));
        let line = Polynomial { power: 1.0, min: 0.0, ..poly };
        assert!((line.at(10_000) - 0.0075).abs() < 1e-15);
    }

    #[test]
    fn drop_path_grows_from_zero() {
        assert_eq!(drop_path_probability(0.2, 0, 600), 0.0);
        assert!((drop_path_probability(0.2, 300, 600) - 0.1).abs() < 1e-15);
    }

    #[test]
    fn rates_of_the_published_imagenet_trainings() {
        // Spec 04-2, both tables.
        let common = [
            (5, 0.489796),
            (100, 0.295918),
            (244, 0.00204082),
            (245, 0.00204082),
            (246, 0.00163265),
            (249, 0.000408163),
        ];
        let genas = [(0, 0.1), (1, 0.199184), (2, 0.297551), (3, 0.395102), (4, 0.491837)];
        let pc_darts = [(0, 0.1), (1, 0.2), (2, 0.3), (3, 0.4), (4, 0.5)];
        for (warm_up, first) in [(WarmUp::Genas, genas), (WarmUp::PcDarts, pc_darts)] {
            let schedule = Schedule::Linear { warm_up };
            for (epoch, rate) in first.into_iter().chain(common) {
                let found = schedule.rate(0.5, epoch, 250, 1024);
                assert!((found / rate - 1.0).abs() < 3e-6, "{warm_up:?}, epoch {epoch}: {found}, not {rate}");
            }
        }
        // PC-DARTS warms up for large batches only.
        let schedule = Schedule::Linear { warm_up: WarmUp::PcDarts };
        assert_eq!(schedule.rate(0.5, 0, 250, 256), 0.5);
        assert_eq!(schedule.rate(0.5, 0, 250, 257), 0.1);
    }

    #[test]
    fn other_lengths_keep_the_shape() {
        let genas = Schedule::Linear { warm_up: WarmUp::Genas };
        // 250 and 245 replaced by 30 and 25.
        assert!((genas.rate(0.5, 10, 30, 1024) - 0.5 * 15.0 / 25.0).abs() < 1e-15);
        assert!((genas.rate(0.5, 25, 30, 1024) - 0.5 / 25.0).abs() < 1e-15);
        assert!((genas.rate(0.5, 29, 30, 1024) - 0.5 / 125.0).abs() < 1e-15);
        for epochs in 1..=12 {
            for warm_up in [WarmUp::Genas, WarmUp::PcDarts] {
                for epoch in 0..epochs {
                    let rate = Schedule::Linear { warm_up }.rate(0.5, epoch, epochs, 1024);
                    assert!(rate > 0.0 && rate <= 0.5, "epoch {epoch} of {epochs}, {warm_up:?}: {rate}");
                }
            }
        }
        assert_eq!(genas.rate(0.5, 1, 4, 1024), 0.5 * 0.75 * 0.4);
    }

    #[test]
    fn schedules_are_read_from_settings() {
        let read = |text: &str| serde_json::from_str::<Schedule>(text);
        let linear = read(r#"{"kind": "linear", "warm-up": "pc-darts"}"#);
        assert!(matches!(linear, Ok(Schedule::Linear { warm_up: WarmUp::PcDarts })), "{linear:?}");
        assert!(matches!(read(r#"{"kind": "linear"}"#), Ok(Schedule::Linear { warm_up: WarmUp::Genas })));
        let cosine = read(r#"{"kind": "cosine"}"#);
        assert!(matches!(cosine, Ok(Schedule::Cosine { min: 0.0, shifted: true })), "{cosine:?}");
        let rate = Schedule::Cosine { min: 0.0, shifted: true }.rate(0.5, 249, 250, 1024);
        assert!(rate.abs() < 1e-15);
        assert!(read(r#"{"kind": "linear", "min": 0.1}"#).is_err(), "unknown keys are refused");
    }
}
