//! Learning-rate schedules, and drop path's.

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
    fn drop_path_grows_from_zero() {
        assert_eq!(drop_path_probability(0.2, 0, 600), 0.0);
        assert!((drop_path_probability(0.2, 300, 600) - 0.1).abs() < 1e-15);
    }
}
