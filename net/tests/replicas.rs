//! Two replicas on the CPU against one that has the whole batch, on the ImageNet network.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use genas_net::{
    AllReduce, Devices, Ema, EvalNet, Feature, Mode, NetError, NetworkKind, ReplicaBatchNorm, SgdConfig,
    StepReport, Tensors, Trainer, UnsampledOps, Weights, cross_entropy, run_replicas,
};
use genas_space::Streams;
use rand::RngExt;

const BATCH: usize = 8;
/// The smallest that the auxiliary head takes: it needs a map of 7x7 or 8x8.
const SIDE: usize = 193;
const CLASSES: usize = 5;
const LABELS: [i64; BATCH] = [3, 0, 4, 1, 2, 2, 0, 3];
/// Number of the first step's images: with this one, weights that differ by 1e-7 flip nothing in the first step.
const FIRST: u64 = 20;
/// Displacements are gradients: no momentum, no decay, no clipping.
const PLAIN: SgdConfig = SgdConfig {
    momentum: 0.0,
    nesterov: false,
    weight_decay: 0.0,
    norm_weight_decay: 0.0,
    clip: None,
    unsampled: UnsampledOps::ZeroFilled,
};
/// The published recipe's.
const PUBLISHED: SgdConfig = SgdConfig {
    momentum: 0.9,
    nesterov: false,
    weight_decay: 3e-5,
    norm_weight_decay: 3e-5,
    clip: Some(5.0),
    unsampled: UnsampledOps::ZeroFilled,
};

fn net() -> EvalNet {
    let genotype = genas_space::find("GENAS_FLATNESS_CIFAR100").unwrap().genotype();
    EvalNet {
        kind: NetworkKind::ImageNet,
        genotype,
        channels: 4,
        layers: 3,
        classes: CLASSES,
        auxiliary: true,
    }
}

fn trainer() -> Trainer {
    let mut weights = Weights::init(Arc::new(net().layout()), &Streams::new(7));
    let mut rng = Streams::new(7).rng("test/noise", 0);
    weights.parameters_mut().iter_mut().for_each(|p| *p += rng.random_range(-0.1..0.1));
    Trainer::new(weights)
}

/// The loss of some images of step `number`'s batch.
fn loss(i: &mut Tensors, number: u64, images: std::ops::Range<usize>) -> burn::tensor::Tensor<1> {
    let mut rng = Streams::new(7).rng("test/images", FIRST + number);
    let pixels: Vec<f32> = (0..BATCH * 3 * SIDE * SIDE).map(|_| rng.random_range(-2.0..2.0)).collect();
    let one = 3 * SIDE * SIDE;
    let part = pixels[images.start * one..images.end * one].to_vec();
    let x = Feature::from_values(part, [images.len(), 3, SIDE, SIDE], i.device());
    let labels = &LABELS[images];
    let (logits, auxiliary) = net().forward_with_auxiliary(i, &x);
    let auxiliary = cross_entropy(auxiliary.unwrap().tensor(), labels, 0.1);
    cross_entropy(logits.tensor(), labels, 0.1) + auxiliary.mul_scalar(0.4)
}

fn accumulate(trainer: &mut Trainer, images: std::ops::Range<usize>) -> Result<f64, NetError> {
    let mode = Mode::Train { drop_path: 0.0, rng: Box::new(Streams::new(0).rng("test/unused", 0)) };
    let (share, number) = (images.len() as f64 / BATCH as f64, trainer.state.step);
    trainer.accumulate(share, &Devices::cpu().recording(), mode, |i| loss(i, number, images))
}

/// Trains on the parts of each batch side by side; returns the last step's report and the trainers.
fn replicas(
    batch_norm: ReplicaBatchNorm,
    (sgd, rate, steps): (&SgdConfig, f64, usize),
    parts: &[std::ops::Range<usize>],
) -> Vec<(StepReport, Trainer)> {
    let devices = vec![Devices::cpu().recording(); parts.len()];
    run_replicas(&devices, |rank, _, replicas| {
        let mut trainer = trainer().with_ema(Ema { decay: 0.9 }).with_replicas(replicas, batch_norm);
        let mut report = None;
        for _ in 0..steps {
            accumulate(&mut trainer, parts[rank].clone())?;
            report = Some(trainer.apply(sgd, rate)?);
        }
        Ok::<_, NetError>((report.unwrap(), trainer))
    })
    .unwrap()
}

fn one(sgd: &SgdConfig, rate: f64, steps: usize) -> (StepReport, Trainer) {
    let mut trainer = trainer();
    let mut report = None;
    for _ in 0..steps {
        accumulate(&mut trainer, 0..BATCH).unwrap();
        report = Some(trainer.apply(sgd, rate).unwrap());
    }
    (report.unwrap(), trainer)
}

fn bits(weights: &Weights) -> Vec<u32> {
    weights.parameters().iter().chain(weights.buffers()).map(|v| v.to_bits()).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// L2 distance of two displacements from the initial weights, relative to the second.
fn off(found: &[f32], expected: &[f32]) -> f64 {
    let initial = trainer().weights;
    let difference = norm(found.iter().zip(expected).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    let moved = norm(expected.iter().zip(initial.parameters()).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    difference / moved
}

#[test]
fn synchronised_replicas_compute_what_one_would() {
    // Equal parts, unequal parts, three replicas.
    for parts in [vec![0..4, 4..8], vec![0..5, 5..8], vec![0..2, 2..4, 4..8]] {
        // Gradients, at a rate of 1; and the published recipe's step. A second one would amplify rounding: weights that
        // differ by 1e-7 are 1e-3 to 1e-1 apart after two, in one replica too, by ReLUs and maxima that flip.
        for (what, sgd, rate, steps) in [("gradients", &PLAIN, 1.0, 1), ("weights", &PUBLISHED, 0.5, 1)] {
            let (expected, whole) = one(sgd, rate, steps);
            let found = replicas(ReplicaBatchNorm::Synchronised, (sgd, rate, steps), &parts);
            let (report, first) = &found[0];
            let distance = off(first.weights.parameters(), whole.weights.parameters());
            let statistics = norm(
                first.weights.buffers().iter().zip(whole.weights.buffers()).map(|(&a, &b)| f64::from(a - b)),
            ) / norm(whole.weights.buffers().iter().map(|&b| f64::from(b)));
            println!(
                "{parts:?}, {what}: off by {distance:.1e}, statistics by {statistics:.1e}, gradient norm {}",
                report.gradient_norm
            );
            assert!(distance < 1e-5, "{what}: {distance}");
            assert!(statistics < 1e-6, "{what}: statistics off by {statistics}");
            assert!((report.loss / expected.loss - 1.0).abs() < 1e-6);
            assert!((report.gradient_norm / expected.gradient_norm - 1.0).abs() < 1e-5);
            for (other, trainer) in &found[1..] {
                assert_eq!(other, report);
                assert_eq!(bits(&trainer.weights), bits(&first.weights), "replicas stay equal");
                assert_eq!(bits(trainer.ema().unwrap()), bits(first.ema().unwrap()));
            }
        }
    }
}

#[test]
fn replicas_by_themselves_average_their_gradients() {
    for parts in [[0..4, 4..8], [0..6, 6..8]] {
        // By hand: the gradient of each part in a training of its own.
        let alone = parts.clone().map(|part| {
            let mut trainer = trainer();
            accumulate(&mut trainer, part).unwrap();
            trainer.apply(&PLAIN, 1.0).unwrap();
            trainer
        });
        let weight = parts[0].len() as f32 / BATCH as f32;
        let [first, second] = [&alone[0], &alone[1]].map(|t| t.weights.parameters());
        let mean: Vec<f32> = first.iter().zip(second).map(|(a, b)| weight * a + (1.0 - weight) * b).collect();
        let found = replicas(ReplicaBatchNorm::PerReplica, (&PLAIN, 1.0, 1), &parts);
        let distance = off(found[0].1.weights.parameters(), &mean);
        println!("{parts:?}: off by {distance:.1e}");
        assert!(distance < 1e-5, "{distance}");
        assert_eq!(found[0].1.weights.buffers(), alone[0].weights.buffers(), "statistics are replica 0's");
        assert_eq!(bits(&found[0].1.weights), bits(&found[1].1.weights));
        // Synchronised statistics would give something else.
        let other = replicas(ReplicaBatchNorm::Synchronised, (&PLAIN, 1.0, 1), &parts);
        assert!(off(other[0].1.weights.parameters(), &mean) > 1e-2);
    }
}

#[test]
fn replicas_give_the_same_bits_again() {
    for batch_norm in [ReplicaBatchNorm::PerReplica, ReplicaBatchNorm::Synchronised] {
        let run = || replicas(batch_norm, (&PUBLISHED, 0.5, 2), &[0..4, 4..8]);
        let (first, again) = (run(), run());
        assert_eq!(bits(&first[0].1.weights), bits(&again[0].1.weights), "{batch_norm:?}");
        assert_eq!(first[0].0, again[0].0);
    }
}

/// A replica that fails in its third step ends the training for all, and nobody's weights are spoiled.
#[test]
fn a_replica_that_fails_ends_all() {
    for batch_norm in [ReplicaBatchNorm::PerReplica, ReplicaBatchNorm::Synchronised] {
        let unspoiled = AtomicUsize::new(0);
        let devices = vec![Devices::cpu().recording(); 2];
        let body = |rank: usize, _: &burn::tensor::Device, replicas: Arc<dyn AllReduce>| {
            let mut trainer = trainer().with_replicas(replicas, batch_norm);
            let images = [0..4, 4..8][rank].clone();
            loop {
                let before = bits(&trainer.weights);
                if rank == 1 && trainer.state.step == 2 {
                    return Err(NetError::Device("out of memory".into()));
                }
                let result =
                    accumulate(&mut trainer, images.clone()).and_then(|_| trainer.apply(&PUBLISHED, 0.1));
                if let Err(error) = result {
                    unspoiled.fetch_add(usize::from(bits(&trainer.weights) == before), Ordering::Relaxed);
                    assert!(error.to_string().contains("replica 1 has ended"), "{error}");
                    return Err::<(), _>(error);
                }
            }
        };
        let error = run_replicas(&devices, body).unwrap_err();
        assert!(error.to_string().contains("out of memory"), "the cause, not its consequence: {error}");
        assert_eq!(unspoiled.into_inner(), 1);
    }
}

#[test]
fn replicas_of_different_steps_are_told() {
    let devices = vec![Devices::cpu().recording(); 2];
    let error = run_replicas(&devices, |rank, _, replicas| {
        let mut trainer = trainer().with_replicas(replicas, ReplicaBatchNorm::PerReplica);
        trainer.state.step = rank as u64;
        accumulate(&mut trainer, 0..4)?;
        trainer.apply(&PUBLISHED, 0.1)
    });
    assert!(error.unwrap_err().to_string().contains("same state"));
}
