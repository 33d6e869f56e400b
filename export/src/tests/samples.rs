//! Random networks, weights and images.

use crate::verify::burn_outputs;
use crate::{ModelInfo, OutputParity, Precision};
use genas_net::{EvalNet, Feature, Layout, NetworkKind, Role, Supernet, Tensors, Weights};
use genas_space::{Candidate, Streams, random_candidate};
use rand::RngExt;
use std::sync::Arc;

pub fn candidate(seed: u64) -> Candidate {
    random_candidate(&mut Streams::new(seed).rng("cell", 0))
}

pub fn eval_net(kind: NetworkKind, layers: usize, seed: u64) -> EvalNet {
    EvalNet { kind, genotype: candidate(seed).genotype(), channels: 8, layers, classes: 7, auxiliary: false }
}

pub fn supernet() -> Supernet {
    Supernet { channels: 8, layers: 5, classes: 6 }
}

/// Weights as of a trained network: BatchNorms that do something, and logits that depend on the image.
pub fn weights(layout: Layout, seed: u64) -> Weights {
    let streams = Streams::new(seed);
    let mut weights = Weights::init(Arc::new(layout), &streams);
    for entry in weights.layout().clone().entries() {
        let range = match entry.role {
            Role::Gamma => 0.5..1.5,
            Role::Beta | Role::RunningMean => -0.3..0.3,
            Role::RunningVar => 0.05..0.5,
            _ => continue,
        };
        let mut rng = streams.rng(&entry.name, 1);
        for value in weights.slice_mut(entry) {
            *value = rng.random_range(range.clone());
        }
    }
    weights
}

pub fn images(shape: [usize; 4], seed: u64) -> Vec<f32> {
    let mut rng = Streams::new(seed).rng("images", 0);
    (0..shape.iter().product::<usize>()).map(|_| rng.random_range(-2.0..2.0)).collect()
}

pub fn info(net: &EvalNet) -> ModelInfo {
    ModelInfo {
        class_names: (0..net.classes).map(|n| format!("class \"{n}\", é")).collect(),
        mean: [0.485, 0.456, 0.1],
        std: [0.229, 0.224, 0.3],
        input_size: EvalNet::default_image_size(net.kind),
        training_data: "random numbers".to_owned(),
        source_run: "runs/a test".to_owned(),
    }
}

/// What burn computes, in the order that `forward` gives.
pub fn burn_values(
    weights: &Weights,
    images: &[f32],
    shape: [usize; 4],
    forward: impl FnOnce(&mut Tensors, &Feature) -> Vec<Feature>,
) -> Vec<Vec<f32>> {
    let named =
        |i: &mut Tensors, x: &Feature| forward(i, x).into_iter().map(|value| ("value", value)).collect();
    burn_outputs(weights, images, shape, named).unwrap().into_iter().map(|output| output.values).collect()
}

/// The comparison of 32-bit values.
pub fn parity(found: &[f32], expected: &[f32]) -> OutputParity {
    OutputParity::between("value", found, expected, Precision::Fp32.tolerance())
}
