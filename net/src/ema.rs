//! An exponential moving average of the weights, as timm's `ModelEmaV3` with `use_warmup` (not part of the published
//! recipes).
//!
//! The average of update `n = 1, 2, ...` keeps the part `min(decay, 1 - n^(-2/3))` of itself: the first update copies the
//! weights, and the initial ones are soon forgotten. BatchNorm's running statistics are averaged like parameters, which
//! is timm's default: the average lies between weights of many steps, and the newest statistics belong to the newest
//! weights only. (`ModelEmaV2` is the same without warm-up: it starts from the initial weights and always keeps `decay`.)

use crate::weights::Weights;
use serde::{Deserialize, Serialize};

/// An average of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ema {
    /// The part of itself that the average keeps in an update once it is warm, such as 0.9999.
    pub decay: f64,
}

impl Ema {
    /// The part of itself that the average keeps in an update, counted from 1.
    pub fn decay_at(&self, update: u64) -> f64 {
        (1.0 - (update as f64).powf(-2.0 / 3.0)).min(self.decay).max(0.0)
    }
}

/// Settings and age of an average.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct EmaState {
    pub(crate) ema: Ema,
    updates: u64,
}

/// The averaged weights.
#[derive(Debug)]
pub(crate) struct Average {
    pub(crate) state: EmaState,
    pub(crate) weights: Weights,
}

impl Average {
    pub(crate) fn new(ema: Ema, weights: &Weights) -> Self {
        Self { state: EmaState { ema, updates: 0 }, weights: weights.clone() }
    }

    /// Moves towards `weights`.
    pub(crate) fn update(&mut self, weights: &Weights) {
        self.state.updates += 1;
        let weight = (1.0 - self.state.ema.decay_at(self.state.updates)) as f32;
        let (parameters, buffers) = self.weights.parts_mut();
        genas_kernels::average::lerp(parameters, weights.parameters(), weight);
        genas_kernels::average::lerp(buffers, weights.buffers(), weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decay_rises_to_its_setting() {
        // timm 1.0's formula for ModelEmaV3(model, decay=0.9999, use_warmup=True).get_decay(n), by hand.
        let ema = Ema { decay: 0.9999 };
        for (update, decay) in
            [(1, 0.0), (2, 0.370039), (3, 0.519250), (1000, 0.99), (999_999, 0.9999), (2_000_000, 0.9999)]
        {
            assert!((ema.decay_at(update) - decay).abs() < 1e-6, "update {update}: {}", ema.decay_at(update));
        }
    }
}
