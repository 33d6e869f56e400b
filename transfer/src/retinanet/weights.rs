//! Weights before training: the backbone's own, and Detectron2's initial values for the rest.

use std::sync::Arc;

use genas_net::{RetinaNet, Role, Weights};
use genas_space::Streams;
use rand::RngExt;
use rand_distr::{Distribution, Normal};

use super::config::ModelConfig;
use crate::error::{Result, TransferError};
use crate::fine_tuning;

/// Weights of `net` whose backbone is `backbone`'s: the pyramid uniform in `+-sqrt(3 / fan_in)` (Kaiming's bound with
/// slope 1), the heads normal with standard deviation [`ModelConfig::head_std`], biases 0, but the classifier's so that
/// every anchor is an object with probability [`ModelConfig::prior`]. Each entry draws from its own stream.
///
/// # Errors
///
/// If `backbone` lacks a part of the network.
pub fn initial_weights(
    net: &RetinaNet,
    backbone: &Weights,
    config: &ModelConfig,
    streams: &Streams,
) -> Result<Weights> {
    let neutral = Weights::neutral(Arc::new(net.layout()));
    fine_tuning::initial_weights(neutral, RetinaNet::BACKBONE, backbone, |entry, values| {
        let mut rng = streams.rng(&format!("init/{}", entry.name), 0);
        match entry.role {
            Role::ConvWeight if entry.name.starts_with("head.") => {
                let normal = Normal::new(0.0, config.head_std as f32).map_err(|e| {
                    TransferError::Request(format!("model.head-std is {}: {e}", config.head_std))
                })?;
                values.fill_with(|| normal.sample(&mut rng));
            }
            Role::ConvWeight => {
                let bound = (3.0 / entry.fan_in as f32).sqrt();
                values.fill_with(|| rng.random_range(-bound..bound));
            }
            _ if entry.name == "head.classes.output.bias" => values.fill(config.prior_bias() as f32),
            _ => {}
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_net::{EvalNet, NetworkKind};

    #[test]
    fn the_backbones_weights_are_taken_over_and_the_rest_is_detectron2s() {
        let genotype = genas_space::random_candidate(&mut Streams::new(3).rng("cell", 0)).genotype();
        let kind = NetworkKind::ImageNet;
        let backbone = EvalNet { kind, genotype, channels: 8, layers: 3, classes: 5, auxiliary: false };
        let net = RetinaNet {
            backbone: backbone.clone(),
            relu_features: false,
            batch_norm: false,
            channels: 64,
            head_convolutions: 1,
            anchors: 9,
            classes: 4,
        };
        let streams = Streams::new(9);
        // A classifier's weights, which hold more than a detector needs.
        let own = Weights::init(Arc::new(backbone.layout()), &streams);
        let config = ModelConfig::default();
        let weights = initial_weights(&net, &own, &config, &streams).unwrap();
        let get = |name: &str| weights.get(name).unwrap();
        assert_eq!(get("backbone.stem0.conv1.weight"), own.get("stem0.conv1.weight").unwrap());
        assert!(get("head.classes.output.bias").iter().all(|&b| (b + 4.59512).abs() < 1e-5));
        assert!(get("head.boxes.output.bias").iter().chain(get("fpn.p3.lateral.bias")).all(|&b| b == 0.0));
        let deviation = |name: &str| {
            let values = get(name);
            (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt()
        };
        assert!((deviation("head.classes.conv0.weight") / 0.01 - 1.0).abs() < 0.02);
        // Uniform in +-b has the deviation b / sqrt(3): with b = sqrt(3 / fan_in) 1 / sqrt(fan_in).
        assert!((deviation("fpn.p7.output.weight") * (64.0f32 * 9.0).sqrt() - 1.0).abs() < 0.02);
        let other = EvalNet { channels: 16, ..backbone };
        let other = Weights::init(Arc::new(other.layout()), &streams);
        let error = initial_weights(&net, &other, &config, &streams).unwrap_err().to_string();
        assert!(error.contains("stem0.conv1.weight"), "{error}");
    }
}
