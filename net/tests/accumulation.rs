//! Steps of several micro-batches, and averaged weights.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::PathBuf;
use std::sync::Arc;

use genas_net::{
    Devices, Ema, EvalNet, Feature, Mode, NetError, Network, NetworkKind, SgdConfig, Trainer, UnsampledOps,
    Weights, WeightsFile, cross_entropy,
};
use genas_space::Streams;
use rand::RngExt;
use serde_json::json;

const SGD: SgdConfig = SgdConfig {
    momentum: 0.9,
    nesterov: false,
    weight_decay: 3e-4,
    norm_weight_decay: 3e-4,
    clip: Some(5.0),
    unsampled: UnsampledOps::ZeroFilled,
};
const RATE: f64 = 0.05;

fn net() -> EvalNet {
    let genotype = genas_space::find("GENAS_FLATNESS_CIFAR10").unwrap().genotype();
    EvalNet { kind: NetworkKind::Cifar, genotype, channels: 2, layers: 3, classes: 4, auxiliary: false }
}

fn trainer() -> Trainer {
    Trainer::new(Weights::init(Arc::new(net().layout()), &Streams::new(3)))
}

fn mode() -> Mode {
    Mode::Train { drop_path: 0.0, rng: Box::new(Streams::new(0).rng("test/unused", 0)) }
}

/// Adds a micro-batch of random images, `scale` times as large.
fn accumulate(trainer: &mut Trainer, share: f64, number: u64, scale: f32) -> Result<f64, NetError> {
    let mut rng = Streams::new(5).rng("test/images", number);
    let pixels: Vec<f32> = (0..4 * 3 * 16 * 16).map(|_| scale * rng.random_range(-1.0f32..1.0)).collect();
    trainer.accumulate(share, &Devices::cpu().recording(), mode(), |i| {
        let x = Feature::from_values(pixels, [4, 3, 16, 16], i.device());
        cross_entropy(net().forward(i, &x).tensor(), &[0, 1, 2, 3], 0.1)
    })
}

fn step(trainer: &mut Trainer, number: u64) {
    accumulate(trainer, 1.0, number, 1.0).unwrap();
    trainer.apply(&SGD, RATE).unwrap();
}

fn bits(weights: &Weights) -> Vec<u32> {
    weights.parameters().iter().chain(weights.buffers()).map(|v| v.to_bits()).collect()
}

fn about() -> WeightsFile {
    WeightsFile { network: Network::Eval(net()), extra: serde_json::Map::new() }
}

fn file(test: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("accumulation").join(test);
    let _ = std::fs::remove_dir_all(&dir);
    dir.join("state.safetensors")
}

/// Largest difference, relative to the largest expected value.
fn off(found: &[f32], expected: &[f32]) -> f32 {
    let scale = expected.iter().fold(0.0f32, |a, &b| a.max(b.abs()));
    found.iter().zip(expected).fold(0.0f32, |a, (f, e)| a.max((f - e).abs())) / scale
}

#[test]
fn a_batch_in_equal_halves_is_the_batch() {
    let (mut whole, mut halves) = (trainer(), trainer());
    step(&mut whole, 0);
    for _ in 0..2 {
        accumulate(&mut halves, 0.5, 0, 1.0).unwrap();
    }
    halves.apply(&SGD, RATE).unwrap();
    assert_eq!(whole.weights.parameters(), halves.weights.parameters(), "halves are exact in binary");
    assert_eq!((halves.state.step, halves.state.step_in_epoch), (1, 1));
    // The running statistics have moved twice: x = 1 - (1 - 0.1)^2 of the way instead of 0.1.
    let (initial, way) = (trainer().weights, 0.19 / 0.1);
    let expected: Vec<f32> =
        whole.weights.buffers().iter().zip(initial.buffers()).map(|(w, i)| i + way * (w - i)).collect();
    assert!(off(halves.weights.buffers(), &expected) < 1e-6);
}

#[test]
fn micro_batches_weigh_by_their_shares() {
    let plain = SgdConfig { momentum: 0.0, weight_decay: 0.0, norm_weight_decay: 0.0, clip: None, ..SGD };
    let displacement = |shares: &[(f64, u64)]| {
        let mut trainer = trainer();
        let before = trainer.weights.parameters().to_vec();
        let losses: Vec<f64> =
            shares.iter().map(|&(share, n)| accumulate(&mut trainer, share, n, 1.0).unwrap()).collect();
        let report = trainer.apply(&plain, RATE).unwrap();
        let moved = trainer.weights.parameters().iter().zip(&before).map(|(a, b)| a - b).collect::<Vec<_>>();
        (moved, losses, report)
    };
    let (first, first_loss, _) = displacement(&[(1.0, 0)]);
    let (second, second_loss, _) = displacement(&[(1.0, 1)]);
    let expected: Vec<f32> = first.iter().zip(&second).map(|(a, b)| 0.75 * a + 0.25 * b).collect();
    let loss = 0.75 * first_loss[0] + 0.25 * second_loss[0];
    let norm = expected.iter().map(|d| (f64::from(*d) / RATE).powi(2)).sum::<f64>().sqrt();
    // Parts of the batch, and numbers of images.
    for shares in [[(0.75, 0), (0.25, 1)], [(96.0, 0), (32.0, 1)]] {
        let (moved, losses, report) = displacement(&shares);
        assert!(off(&moved, &expected) < 1e-5, "{}", off(&moved, &expected));
        assert_eq!([losses[0], losses[1]], [first_loss[0], second_loss[0]]);
        assert!((report.loss - loss).abs() < 1e-12, "{} is not {loss}", report.loss);
        assert!((report.gradient_norm / norm - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_failed_micro_batch_ends_its_step_and_changes_nothing() {
    let path = file("failed");
    let mut trainer = trainer().with_ema(Ema { decay: 0.9 });
    step(&mut trainer, 0);
    trainer.save(&path, &about(), "run", &json!(null)).unwrap();
    let before = std::fs::read(&path).unwrap();
    accumulate(&mut trainer, 0.5, 1, 1.0).unwrap();
    let error = accumulate(&mut trainer, 0.5, 2, f32::NAN).unwrap_err();
    assert!(matches!(error, NetError::NotFinite { what: "loss", step: 1, .. }), "{error:?}");
    trainer.save(&path, &about(), "run", &json!(null)).unwrap();
    assert!(
        std::fs::read(&path).unwrap() == before,
        "weights, statistics, average and momentum are as before"
    );
    let (mut other, _) = Trainer::load(&path, Arc::new(net().layout()), "run").unwrap();
    step(&mut trainer, 3);
    step(&mut other, 3);
    assert_eq!(bits(&trainer.weights), bits(&other.weights), "nothing is left of the failed step");
}

#[test]
fn averaged_weights_follow_and_survive_a_restart() {
    let path = file("ema");
    let ema = Ema { decay: 0.5 };
    let mut straight = trainer().with_ema(ema);
    step(&mut straight, 0);
    assert_eq!(bits(straight.ema().unwrap()), bits(&straight.weights), "the first update copies");
    let first = straight.weights.clone();
    step(&mut straight, 1);
    let keep = 1.0 - 2f64.powf(-2.0 / 3.0);
    assert!((ema.decay_at(2) - keep).abs() < 1e-15);
    for (average, (old, new)) in [
        (straight.ema().unwrap().parameters(), (first.parameters(), straight.weights.parameters())),
        (straight.ema().unwrap().buffers(), (first.buffers(), straight.weights.buffers())),
    ] {
        let mix = |(o, n): (&f32, &f32)| (keep * f64::from(*o) + (1.0 - keep) * f64::from(*n)) as f32;
        let expected: Vec<f32> = old.iter().zip(new).map(mix).collect();
        assert!(off(average, &expected) < 1e-6);
        assert_ne!(average, new);
    }
    straight.save(&path, &about(), "run", &json!(null)).unwrap();
    let (mut loaded, _) = Trainer::load(&path, Arc::new(net().layout()), "run").unwrap();
    for _ in 0..2 {
        assert_eq!(bits(loaded.ema().unwrap()), bits(straight.ema().unwrap()));
        step(&mut straight, 2);
        step(&mut loaded, 2);
        loaded = loaded.with_ema(ema);
    }
    assert_eq!(bits(loaded.ema().unwrap()), bits(straight.ema().unwrap()));
    assert_ne!(bits(loaded.ema().unwrap()), bits(&loaded.weights));
    // The average does not touch the training, and a state without one is loaded without one.
    let mut without = trainer();
    [0, 1, 2, 2].into_iter().for_each(|n| step(&mut without, n));
    assert_eq!(bits(&without.weights), bits(&straight.weights));
    without.save(&path, &about(), "run", &json!(null)).unwrap();
    let (loaded, _) = Trainer::load(&path, Arc::new(net().layout()), "run").unwrap();
    assert!(loaded.ema().is_none());
    assert_eq!(bits(loaded.with_ema(ema).ema().unwrap()), bits(&without.weights));
}
