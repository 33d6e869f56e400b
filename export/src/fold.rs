//! BatchNorm as an affine map of channels, and its folding into a convolution. Computed in f64.

use crate::proto::f32_bytes;
use genas_net::BN_EPS;

/// Inference BatchNorm: `y = scale * x + shift` per channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelAffine {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

impl ChannelAffine {
    /// From the four vectors of a BatchNorm; `affine` holds gamma and beta, if it has them.
    pub fn new(affine: Option<(&[f32], &[f32])>, mean: &[f32], variance: &[f32]) -> Self {
        let mut folded =
            Self { scale: Vec::with_capacity(mean.len()), shift: Vec::with_capacity(mean.len()) };
        for (c, (&mean, &variance)) in mean.iter().zip(variance).enumerate() {
            let (gamma, beta) = affine.map_or((1.0, 0.0), |(g, b)| (f64::from(g[c]), f64::from(b[c])));
            let scale = gamma / (f64::from(variance) + BN_EPS).sqrt();
            folded.scale.push(scale);
            folded.shift.push(beta - f64::from(mean) * scale);
        }
        folded
    }

    /// A convolution's weights, output channel first, scaled; as bytes.
    pub fn scaled_bytes(&self, weights: &[f32]) -> Vec<u8> {
        let per_channel = (weights.len() / self.scale.len().max(1)).max(1);
        let mut scaled = weights.to_vec();
        for (row, scale) in scaled.chunks_exact_mut(per_channel).zip(&self.scale) {
            for value in row {
                *value = (f64::from(*value) * scale) as f32;
            }
        }
        f32_bytes(&scaled)
    }

    /// Of the first half of the channels, and of the second.
    pub fn halves(mut self) -> [Self; 2] {
        let half = self.scale.len() / 2;
        let second = Self { scale: self.scale.split_off(half), shift: self.shift.split_off(half) };
        [self, second]
    }

    /// The convolution's bias.
    pub fn bias(&self) -> Vec<f32> {
        self.shift.iter().map(|&b| b as f32).collect()
    }
}
