//! A detector's step: kernels against burn's own operations, and what freezing leaves as it is.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::Arc;

use genas_net::{
    AnchorLabels, Devices, EvalNet, Feature, Freeze, Mode, NetworkKind, RetinaNet, SgdConfig, Tensors,
    Trainer, UnsampledOps, Weights, sigmoid_focal_loss, smooth_l1_at,
};
use genas_space::{Streams, random_candidate};
use rand::RngExt;

const SIZE: [usize; 2] = [64, 96];
const BATCH: usize = 2;

fn net() -> RetinaNet {
    let genotype = random_candidate(&mut Streams::new(3).rng("cell", 0)).genotype();
    let kind = NetworkKind::ImageNet;
    let backbone = EvalNet { kind, genotype, channels: 8, layers: 5, classes: 1, auxiliary: false };
    RetinaNet {
        backbone,
        relu_features: false,
        batch_norm: false,
        channels: 12,
        head_convolutions: 1,
        anchors: 3,
        classes: 4,
    }
}

/// Random weights, with BatchNorm away from its initial state.
fn weights(net: &RetinaNet) -> Weights {
    let mut weights = Weights::init(Arc::new(net.layout()), &Streams::new(7));
    let mut rng = Streams::new(7).rng("test/noise", 0);
    let (parameters, buffers) = weights.parts_mut();
    parameters.iter_mut().for_each(|p| *p += rng.random_range(-0.1..0.1));
    buffers.iter_mut().for_each(|b| *b += rng.random_range(-0.2..0.2));
    weights
}

fn images(draw: u64) -> Vec<f32> {
    let mut rng = Streams::new(7).rng("test/images", draw);
    (0..BATCH * 3 * SIZE[0] * SIZE[1]).map(|_| rng.random_range(-2.0..2.0)).collect()
}

fn mode() -> Mode {
    Mode::Train { drop_path: 0.0, rng: Box::new(Streams::new(7).rng("unused", 0)) }
}

/// Loss of made-up labels.
macro_rules! loss {
    ($net:expr, $i:expr, $images:expr) => {{
        let x = Feature::from_values($images, [BATCH, 3, SIZE[0], SIZE[1]], $i.device());
        let levels = $net.forward($i, &x).into_iter().zip(RetinaNet::level_sizes(SIZE));
        let losses = levels.map(|(maps, [h, w])| {
            let labels = (0..BATCH * $net.anchors * h * w).map(|n| (n * n % 11) as i32 % 6 - 2);
            let labels = AnchorLabels { labels: labels.collect(), classes: $net.classes };
            let places: Vec<i64> = (0..(BATCH * $net.anchors * 4 * h * w) as i64).step_by(3).collect();
            let targets: Vec<f32> = places.iter().map(|p| (p % 7) as f32 / 3.0 - 1.0).collect();
            sigmoid_focal_loss(maps.logits.tensor(), &labels, 0.25, 2.0)
                + smooth_l1_at(maps.deltas.tensor(), &places, &targets, 0.1)
        });
        losses.reduce(|a, b| a + b).unwrap().mul_scalar(0.01)
    }};
}

/// Loss and gradients, by the entry's name.
fn step(freeze: Freeze, kernels: bool) -> (f32, Vec<(String, Vec<f32>)>, usize) {
    let net = net();
    let weights = weights(&net);
    let device = Devices::cpu().recording();
    let mut i = Tensors::new(&weights, device, mode()).with_freeze(Arc::new(freeze));
    if !kernels {
        i = i.with_burn_operations();
    }
    let loss = loss!(net, &mut i, images(1));
    let mut gradients = loss.backward();
    let mut found = Vec::new();
    i.visit_gradients(&mut gradients, |position, values| {
        found.push((weights.layout().entries()[position].name.clone(), values.to_vec()));
    });
    (loss.into_scalar(), found, i.take_statistics().len())
}

fn detectron2() -> Freeze {
    Freeze { parameters: vec!["backbone.stem0.".to_owned()], batch_norm: vec!["backbone.".to_owned()] }
}

#[test]
fn kernels_and_burn_agree() {
    for freeze in [Freeze::default(), detectron2()] {
        let (loss, gradients, statistics) = step(freeze.clone(), true);
        let (want, wanted, wanted_statistics) = step(freeze.clone(), false);
        assert!((loss - want).abs() < 1e-5 * want.abs(), "{loss} {want}");
        assert_eq!(gradients.len(), wanted.len());
        assert_eq!(statistics, wanted_statistics);
        for ((name, values), (other, wanted)) in gradients.iter().zip(&wanted) {
            assert_eq!(name, other);
            let size = wanted.iter().fold(1e-4f32, |m, v| m.max(v.abs()));
            let worst = values.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
            assert!(worst / size < 1e-3, "{name}: {worst} of {size}, {freeze:?}");
        }
    }
}

#[test]
fn frozen_parts_have_no_gradient() {
    let (_, all, statistics) = step(Freeze::default(), true);
    let (_, some, frozen_statistics) = step(detectron2(), true);
    assert!(statistics > 10 && frozen_statistics == 0);
    let norm = |name: &str| name.contains(".bn") && name.starts_with("backbone.");
    let expected: Vec<&String> = all
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !norm(name) && !name.starts_with("backbone.stem0."))
        .collect();
    assert_eq!(some.iter().map(|(name, _)| name).collect::<Vec<_>>(), expected);
    assert!(some.iter().any(|(name, _)| name == "backbone.stem1.conv.weight"));
}

#[test]
fn frozen_parts_do_not_move() {
    let net = net();
    let before = weights(&net);
    let mut trainer = Trainer::new(before.clone()).with_freeze(detectron2());
    let device = Devices::cpu().recording();
    let sgd = SgdConfig {
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.1,
        norm_weight_decay: 0.1,
        clip: None,
        unsampled: UnsampledOps::ZeroFilled,
    };
    for draw in 0..2 {
        trainer.step(&sgd, 1e-3, &device, mode(), |i| loss!(net, i, images(draw))).unwrap();
    }
    for entry in before.layout().entries() {
        let frozen = !entry.role.is_parameter()
            || entry.name.starts_with("backbone.stem0.")
            || (entry.name.contains(".bn") && entry.name.starts_with("backbone."));
        assert_eq!(before.slice(entry) == trainer.weights.slice(entry), frozen, "{}", entry.name);
    }
    // Without weight decay of their own, BatchNorms decay no more.
    let mut plain = Trainer::new(before.clone());
    let only_decay = SgdConfig { weight_decay: 0.0, norm_weight_decay: 0.0, ..sgd };
    let decays = |trainer: &mut Trainer, sgd: &SgdConfig| {
        trainer.step(sgd, 1e-3, &device, mode(), |i| loss!(net, i, images(0))).unwrap();
        trainer.weights.clone()
    };
    let without = decays(&mut plain, &only_decay);
    let with = decays(&mut Trainer::new(before), &SgdConfig { norm_weight_decay: 0.1, ..only_decay });
    for entry in without.layout().entries().iter().filter(|e| e.role.is_parameter()) {
        let norm = matches!(entry.role, genas_net::Role::Gamma | genas_net::Role::Beta);
        assert_eq!(without.slice(entry) != with.slice(entry), norm, "{}", entry.name);
    }
}
