//! A small segmenter with random weights, for tests: DeepLab-v3 on a backbone of three cells.

use std::path::Path;
use std::sync::Arc;

use genas_export::{Segmentation, SegmenterForm, SegmenterInfo, segmenter_model};
use genas_net::{
    AuxiliaryHead, DeepLabV3, EvalNet, Network, NetworkKind, Probability, Weights, WeightsFile, write_weights,
};
use genas_space::{Streams, random_candidate};
use serde_json::{Value, json};

/// The segmenter, with an auxiliary head.
pub fn network(classes: usize) -> DeepLabV3 {
    let genotype = random_candidate(&mut Streams::new(3).rng("cell", 0)).genotype();
    let kind = NetworkKind::ImageNet;
    DeepLabV3 {
        backbone: EvalNet { kind, genotype, channels: 4, layers: 3, classes: 2, auxiliary: false },
        output_stride: 8,
        exact_dilation: true,
        relu_features: false,
        channels: 8,
        rates: vec![1, 2, 3],
        classes,
        auxiliary: Some(AuxiliaryHead { channels: 4 }),
        dropout: Probability::default(),
        align_corners: false,
    }
}

/// Random weights of it, whose classes differ from pixel to pixel.
pub fn weights(net: &DeepLabV3, seed: u64) -> Weights {
    let mut weights = Weights::init(Arc::new(net.layout()), &Streams::new(seed));
    for entry in weights.layout().clone().entries() {
        if entry.name == "head.classifier.weight" {
            weights.slice_mut(entry).iter_mut().for_each(|value| *value *= 100.0);
        }
    }
    weights
}

/// Classes `class 0`, `class 1`, ..., whose label ids are 10, 20, ...; pictures as they are, filled up to multiples of 32.
pub fn info(classes: usize) -> SegmenterInfo {
    SegmenterInfo {
        class_names: (0..classes).map(|n| format!("class {n}")).collect(),
        label_ids: (1..=classes as u8).map(|n| 10 * n).collect(),
        colors: (0..classes as u8).map(|n| [40 * n, 128, 255 - n]).collect(),
        class_table: String::new(),
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        segmentation: Segmentation { within: None, window: None, divisor: 32 },
        training_data: "none".to_owned(),
        source_run: "none".to_owned(),
    }
}

/// Its file, for pictures of any size.
pub fn model(info: &SegmenterInfo, form: SegmenterForm) -> Vec<u8> {
    let net = network(info.class_names.len());
    let options = genas_export::GraphOptions::any_size();
    segmenter_model(&net, &weights(&net, 5), info, form, &options).unwrap()
}

/// Its weights as a training writes them, with the auxiliary head.
pub fn write_trained(path: &Path, info: &SegmenterInfo) {
    let net = network(info.class_names.len());
    let held = weights(&net, 5);
    let Value::Object(mut extra) = json!(info) else { unreachable!("a description is an object") };
    extra.insert("backbone".to_owned(), "imagenet.onnx".into());
    write_weights(path, &held, &WeightsFile { network: Network::DeepLabV3(net), extra }).unwrap();
}
