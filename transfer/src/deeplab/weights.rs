//! Weights before training: the backbone's own, and MMSegmentation's initial values for the rest.

use std::sync::Arc;

use genas_net::{DeepLabV3, Role, Weights};
use genas_space::Streams;
use rand_distr::{Distribution, Normal};

use crate::error::{Result, TransferError};
use crate::fine_tuning;

/// Weights of `net` whose backbone is `backbone`'s: the heads' convolutions normal with variance 2 / fan_out (`ConvModule`:
/// Kaiming, mode `fan_out`), their classifiers normal with standard deviation `classifier_std`, biases 0. Each entry draws
/// from its own stream.
///
/// # Errors
///
/// If `backbone` lacks a part of the network, or `classifier_std` is no deviation.
pub fn initial_weights(
    net: &DeepLabV3,
    backbone: &Weights,
    classifier_std: f64,
    streams: &Streams,
) -> Result<Weights> {
    let neutral = Weights::neutral(Arc::new(net.layout()));
    fine_tuning::initial_weights(neutral, DeepLabV3::BACKBONE, backbone, |entry, values| {
        if entry.role != Role::ConvWeight {
            return Ok(());
        }
        let deviation = if entry.name.ends_with("classifier.weight") {
            classifier_std
        } else {
            // [c_out, c_in, k, k], of which fan_in is the last three.
            let [c_out, c_in] = [entry.shape[0], entry.shape[1]];
            (2.0 / (c_out * entry.fan_in / c_in) as f64).sqrt()
        };
        let normal = Normal::new(0.0, deviation as f32)
            .map_err(|e| TransferError::Request(format!("model.classifier-std is {classifier_std}: {e}")))?;
        let mut rng = streams.rng(&format!("init/{}", entry.name), 0);
        values.fill_with(|| normal.sample(&mut rng));
        Ok(())
    })
}
