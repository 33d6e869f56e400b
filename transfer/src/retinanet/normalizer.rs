//! [`Normalizer`]: what the losses are divided by, a moving average of the number of positive anchors.

use serde::{Deserialize, Serialize};

use super::config::LossConfig;

/// Part of the training state: it must survive an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalizer {
    /// The divisor.
    pub value: f64,
}

impl Normalizer {
    /// Before the first step.
    pub fn new(config: &LossConfig) -> Self {
        Self { value: config.normalizer_start }
    }

    /// Takes in the positive anchors of all images of a step, at least one, and gives the divisor of this step.
    pub fn update(&mut self, positives: usize, config: &LossConfig) -> f64 {
        let momentum = config.normalizer_momentum;
        self.value = momentum * self.value + (1.0 - momentum) * positives.max(1) as f64;
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_slowly_and_never_to_zero() {
        let config = LossConfig::default();
        let mut normalizer = Normalizer::new(&config);
        // .9 * 100 + .1 * 200; .9 * 110 + .1 * 1
        for (positives, want) in [(200, 110.0), (0, 99.1), (1, 89.29)] {
            assert!((normalizer.update(positives, &config) - want).abs() < 1e-12);
        }
        for _ in 0..1000 {
            normalizer.update(0, &config);
        }
        assert!((normalizer.value - 1.0).abs() < 1e-12);
    }
}
