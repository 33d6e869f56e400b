//! Steps of the published ImageNet recipe against PyTorch: `imagenet_step.py` says what, and recorded `imagenet_step.json`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::Arc;

use genas_net::{
    Devices, EvalNet, Feature, Mode, NetworkKind, ReplicaBatchNorm, Role, SgdConfig, Trainer, UnsampledOps,
    Weights, cross_entropy, run_replicas, torch_name,
};
use genas_space::Streams;
use serde_json::Value;

/// Of a tensor's displacement; of the loss and of the gradient norm of a sharp step.
const LIMIT: f64 = 1e-4;
/// Of the gradient norm in the second step at the published rate: PyTorch's single precision is off by up to 1e-3.
const AMPLIFIED: f64 = 3e-3;

fn recorded() -> Value {
    serde_json::from_str(include_str!("imagenet_step.json")).unwrap()
}

fn whole(value: &Value, name: &str) -> usize {
    value[name].as_u64().unwrap() as usize
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn net(about: &Value) -> EvalNet {
    EvalNet {
        kind: NetworkKind::ImageNet,
        genotype: genas_space::find("GENAS_FLATNESS_CIFAR100").unwrap().genotype(),
        channels: whole(about, "channels"),
        layers: whole(about, "layers"),
        classes: whole(about, "classes"),
        auxiliary: true,
    }
}

/// The numbers in [0, 1) of that name.
fn uniform(about: &Value, name: &str, n: usize) -> Vec<f64> {
    let hash = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let state = format!("{}/{name}", whole(about, "salt")).bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    let one = |index: u64| {
        let z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(state);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    };
    (1..=n as u64).map(one).collect()
}

fn initial(about: &Value) -> Weights {
    let layout = Arc::new(net(about).layout());
    let mut weights = Weights::neutral(layout.clone());
    for entry in layout.entries().iter().filter(|e| e.role.is_parameter()) {
        let uniform = uniform(about, &torch_name(&entry.name, &layout), entry.len());
        let fan_in: usize = entry.shape[1..].iter().product();
        let value = |u: f64| match entry.role {
            Role::Gamma => 0.2 * u + 1.0,
            Role::Beta | Role::LinearBias => 0.2 * u,
            _ => u / (fan_in as f64).sqrt(),
        };
        for (out, u) in weights.slice_mut(entry).iter_mut().zip(uniform) {
            *out = value(2.0 * u - 1.0) as f32;
        }
    }
    weights
}

/// One step on the batch of the trainer's step, in micro-batches; at the published settings.
fn step(trainer: &mut Trainer, about: &Value, rate: f64, images: std::ops::Range<usize>) -> [f64; 2] {
    let sgd = SgdConfig {
        momentum: 0.9,
        nesterov: false,
        weight_decay: 3e-5,
        norm_weight_decay: 3e-5,
        clip: Some(5.0),
        unsampled: UnsampledOps::ZeroFilled,
    };
    let (n, side, number) = (whole(about, "batch"), whole(about, "side"), trainer.state.step as usize);
    let one = 3 * side * side;
    let pixels = uniform(about, &format!("images.{number}"), n * one);
    let pixels = pixels[images.start * one..images.end * one].iter().map(|&p| p as f32).collect();
    let labels: Vec<i64> =
        images.clone().map(|image| ((3 * image + number) % whole(about, "classes")) as i64).collect();
    let mode = Mode::Train { drop_path: 0.0, rng: Box::new(Streams::new(0).rng("test/unused", 0)) };
    let share = images.len() as f64 / n as f64;
    trainer
        .accumulate(share, &Devices::cpu().recording(), mode, |i| {
            let x = Feature::from_values(pixels, [images.len(), 3, side, side], i.device());
            let (logits, auxiliary) = net(about).forward_with_auxiliary(i, &x);
            let auxiliary = cross_entropy(auxiliary.unwrap().tensor(), &labels, 0.1).mul_scalar(0.4);
            cross_entropy(logits.tensor(), &labels, 0.1) + auxiliary
        })
        .unwrap();
    let report = trainer.apply(&sgd, rate).unwrap();
    [report.loss, report.gradient_norm]
}

/// The largest difference of any tensor's figures, relative to the length of its displacement (or to a thousandth of the
/// whole displacement where that is longer).
fn largest_difference(weights: &Weights, initial: &Weights, figures: &Value) -> (f64, String) {
    let figures = figures.as_object().unwrap();
    let all = figures.values().map(|f| numbers(f)[0].powi(2)).sum::<f64>().sqrt();
    let layout = weights.layout();
    assert_eq!(figures.len(), layout.entries().len(), "every tensor is recorded");
    let mut worst = (0.0, String::new());
    for entry in layout.entries() {
        let (now, start) = (weights.slice(entry), initial.slice(entry));
        let moved: Vec<f64> = now.iter().zip(start).map(|(&a, &b)| f64::from(a) - f64::from(b)).collect();
        let expected = numbers(&figures[&torch_name(&entry.name, layout)]);
        let scale = expected[0].max(1e-3 * all);
        let length = moved.iter().map(|m| m * m).sum::<f64>().sqrt();
        // A sum of n differences is at most sqrt(n) times as long as they are.
        let sum = (moved.iter().sum::<f64>() - expected[1]) / (moved.len() as f64).sqrt();
        let values = (0..4).map(|k| f64::from(now[k * (now.len() - 1) / 3]) - expected[2 + k]);
        for off in [length - expected[0], sum].into_iter().chain(values) {
            if off.abs() / scale > worst.0 {
                worst = (off.abs() / scale, entry.name.clone());
            }
        }
    }
    worst
}

/// Compares the steps of all runs; `train` does one step and returns loss, gradient norm.
fn assert_steps(what: &str, mut train: impl FnMut(&mut Trainer, &Value, f64) -> [f64; 2]) {
    let about = recorded();
    let initial = initial(&about);
    for run in about["runs"].as_array().unwrap() {
        let rate = run["rate"].as_f64().unwrap();
        let mut trainer = Trainer::new(initial.clone());
        for number in 0..2 {
            let report = train(&mut trainer, &about, rate);
            let figures = &run["tensors"][number];
            let limits = if figures.is_null() { [LIMIT, AMPLIFIED] } else { [LIMIT; 2] };
            for ((name, found), limit) in ["loss", "gradient_norm"].into_iter().zip(report).zip(limits) {
                let expected = run[name][number].as_f64().unwrap();
                let off = (found / expected - 1.0).abs();
                println!("{what}, rate {rate}, step {number}: {name} off by {off:.1e}");
                assert!(off < limit, "{what}, step {number}: {name} is {found}, not {expected}");
            }
            if !figures.is_null() {
                let (off, name) = largest_difference(&trainer.weights, &initial, figures);
                println!("{what}, rate {rate}, step {number}: tensors off by at most {off:.1e} ({name})");
                assert!(off < LIMIT, "{what}, step {number}: {name} is off by {off}");
            }
        }
    }
}

#[test]
fn steps_of_the_imagenet_recipe_are_those_of_pytorch() {
    assert_steps("one replica", |trainer, about, rate| step(trainer, about, rate, 0..whole(about, "batch")));
}

#[test]
fn two_replicas_with_synchronised_batch_norm_step_like_pytorch() {
    let about = recorded();
    let start = initial(&about);
    let run = &about["runs"][1];
    let rate = run["rate"].as_f64().unwrap();
    let half = whole(&about, "batch") / 2;
    let trained = run_replicas(&vec![Devices::cpu().recording(); 2], |rank, _, replicas| {
        let mut trainer = Trainer::new(start.clone()).with_replicas(replicas, ReplicaBatchNorm::Synchronised);
        for number in 0..2 {
            let [loss, norm] = step(&mut trainer, &about, rate, rank * half..(rank + 1) * half);
            for (name, found) in [("loss", loss), ("gradient_norm", norm)] {
                let expected = run[name][number].as_f64().unwrap();
                assert!((found / expected - 1.0).abs() < LIMIT, "{name} is {found}, not {expected}");
            }
        }
        Ok::<_, genas_net::NetError>(trainer.weights)
    });
    for weights in trained.unwrap() {
        let (off, name) = largest_difference(&weights, &start, &run["tensors"][1]);
        println!("two replicas: tensors off by at most {off:.1e} ({name})");
        assert!(off < LIMIT, "{name} is off by {off}");
    }
}
