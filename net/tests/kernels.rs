//! This project's CPU kernels inside whole networks against burn's own operations.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::Arc;

use burn::tensor::Device;
use genas_net::{
    Devices, EvalNet, Feature, Mode, Nb201Net, Nb201Path, Nb201Supernet, NetworkKind, Path, Precision,
    Supernet, Tensors, Weights, cross_entropy,
};
use genas_space::nb201::{Nb201Cell, nb201_paths_for_step};
use genas_space::{Candidate, Streams, random_candidate};
use rand::RngExt;

const BATCH: usize = 4;
const CLASSES: usize = 5;
const LABELS: [i64; BATCH] = [3, 0, 4, 1];

/// A network of any kind.
enum Net {
    Supernet(Supernet, Option<Candidate>),
    Eval(EvalNet),
    Nb201(Nb201Net),
    Nb201Supernet(Nb201Supernet, Option<Vec<Nb201Cell>>),
}

/// What one step computes: loss, gradients by entry, batch statistics by entry.
#[derive(PartialEq)]
struct Step {
    loss: f32,
    gradients: Vec<(usize, Vec<f32>)>,
    statistics: Vec<(usize, Vec<f32>, Vec<f32>)>,
}

impl Net {
    /// Random weights, with BatchNorm away from its initial 1 and 0.
    fn weights(&self) -> Weights {
        let layout = match self {
            Net::Supernet(net, _) => net.layout(),
            Net::Eval(net) => net.layout(),
            Net::Nb201(net) => net.layout(),
            Net::Nb201Supernet(net, _) => net.layout(),
        };
        let mut weights = Weights::init(Arc::new(layout), &Streams::new(7));
        let mut rng = Streams::new(7).rng("test/noise", 0);
        weights.parameters_mut().iter_mut().for_each(|p| *p += rng.random_range(-0.1..0.1));
        weights
    }

    fn step(&self, weights: &Weights, [h, w]: [usize; 2], kernels: bool) -> Step {
        let device: Device = Devices::cpu().recording();
        // Not every draw will do: with number 0 a value lies so near to a ReLU's zero or another maximum that burn
        // itself, given images that differ by 1e-7, finds a gradient that differs by 2.7e-2. With number 1 by 4e-6.
        let mut rng = Streams::new(7).rng("test/images", 1);
        let pixels = (0..BATCH * 3 * h * w).map(|_| rng.random_range(-2.0..2.0)).collect();
        let x = Feature::from_values(pixels, [BATCH, 3, h, w], &device);
        let drop_path = if matches!(self, Net::Eval(_)) { 0.2 } else { 0.0 };
        let mode = Mode::Train { drop_path, rng: Box::new(rng) };
        let mut i = Tensors::new(weights, device, mode);
        if !kernels {
            i = i.with_burn_operations();
        }
        let loss = match self {
            Net::Supernet(net, candidate) => {
                let path = candidate.as_ref().map_or(Path::All, Path::Candidate);
                cross_entropy(net.forward(&mut i, path, &x).tensor(), &LABELS, 0.0)
            }
            Net::Eval(net) => {
                let (logits, auxiliary) = net.forward_with_auxiliary(&mut i, &x);
                let auxiliary = cross_entropy(auxiliary.unwrap().tensor(), &LABELS, 0.1);
                cross_entropy(logits.tensor(), &LABELS, 0.1) + auxiliary.mul_scalar(0.4)
            }
            Net::Nb201(net) => cross_entropy(net.forward(&mut i, &x).tensor(), &LABELS, 0.0),
            Net::Nb201Supernet(net, cells) => {
                let path = cells.as_ref().map_or(Nb201Path::All, |cells| Nb201Path::PerCell(cells));
                cross_entropy(net.forward(&mut i, path, &x).tensor(), &LABELS, 0.0)
            }
        };
        let mut gradients = loss.backward();
        let mut found = Vec::new();
        i.visit_gradients(&mut gradients, |position, values| found.push((position, values.to_vec())));
        let statistics =
            i.take_statistics().into_iter().map(|s| (s.mean_entry, s.mean, s.variance)).collect();
        Step { loss: loss.into_scalar(), gradients: found, statistics }
    }

    /// Kernels and burn agree on loss, statistics and every gradient.
    fn assert_agreement(&self, what: &str, size: [usize; 2]) {
        let weights = self.weights();
        let (ours, burns) = (self.step(&weights, size, true), self.step(&weights, size, false));
        let loss = f64::from(ours.loss / burns.loss - 1.0).abs();
        assert!(loss < 1e-5, "{what}: loss {} against {}", ours.loss, burns.loss);

        assert_eq!(ours.statistics.len(), burns.statistics.len());
        let mut worst_statistic = 0.0f64;
        for (a, b) in ours.statistics.iter().zip(&burns.statistics) {
            assert_eq!(a.0, b.0);
            worst_statistic = worst_statistic.max(deviation(&a.1, &b.1, 1.0)).max(deviation(&a.2, &b.2, 1.0));
        }
        assert!(worst_statistic < 1e-5, "{what}: statistics differ by {worst_statistic}");

        let all: Vec<f32> = burns.gradients.iter().flat_map(|(_, g)| g).copied().collect();
        let floor = 1e-3 * norm(&all);
        let entries = weights.layout().entries();
        assert_eq!(ours.gradients.len(), burns.gradients.len());
        let mut worst = (0.0, "");
        for ((a, ours), (b, burns)) in ours.gradients.iter().zip(&burns.gradients) {
            assert_eq!(a, b);
            let off = deviation(ours, burns, floor);
            if off > worst.0 {
                worst = (off, &entries[*a].name);
            }
        }
        println!(
            "{what}: {} gradients, worst {:.1e} ({}); loss {loss:.1e}, statistics {worst_statistic:.1e}",
            ours.gradients.len(),
            worst.0,
            worst.1
        );
        assert!(worst.0 < 1e-4, "{what}: gradient of {} differs by {}", worst.1, worst.0);
    }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
}

/// L2 norm of the difference over that of `b`, or over `floor` where `b` is smaller.
fn deviation(a: &[f32], b: &[f32], floor: f64) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(b).max(floor)
}

fn supernet(candidate: Option<Candidate>) -> Net {
    Net::Supernet(Supernet { channels: 4, layers: 3, classes: CLASSES }, candidate)
}

fn eval(cell: &str) -> Net {
    let genotype = genas_space::find(cell).unwrap().genotype();
    let kind = NetworkKind::Cifar;
    Net::Eval(EvalNet { kind, genotype, channels: 4, layers: 3, classes: CLASSES, auxiliary: true })
}

#[test]
fn a_path_of_the_supernet() {
    let candidate = random_candidate(&mut Streams::new(1).rng("test/path", 0));
    supernet(Some(candidate)).assert_agreement("supernet path, 32x32", [32, 32]);
    supernet(Some(candidate)).assert_agreement("supernet path, 33x31", [33, 31]);
}

#[test]
fn all_operations_of_the_supernet() {
    supernet(None).assert_agreement("whole supernet, 33x31", [33, 31]);
}

#[test]
fn networks_with_auxiliary_head() {
    eval("GENAS_FLATNESS_CIFAR100").assert_agreement("GENAS_FLATNESS_CIFAR100, 32x32", [32, 32]);
    // 7x7 and 1x7 convolutions, pools and a `none` edge of their own; an odd size.
    eval("AmoebaNet").assert_agreement("AmoebaNet, 33x31", [33, 31]);
}

#[test]
fn nas_bench_201_networks() {
    let cell = "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|";
    let net = Nb201Net { cell: cell.parse().unwrap(), channels: 4, cells_per_stage: 2, classes: CLASSES };
    Net::Nb201(net).assert_agreement("NAS-Bench-201 network, 32x32", [32, 32]);
    let net = Nb201Supernet { channels: 4, cells_per_stage: 2, classes: CLASSES };
    let paths = nb201_paths_for_step(&Streams::new(1), 0, net.n_cells());
    Net::Nb201Supernet(net, Some(paths)).assert_agreement("NAS-Bench-201 path, 16x24", [16, 24]);
    Net::Nb201Supernet(net, None).assert_agreement("whole NAS-Bench-201 supernet, 16x16", [16, 16]);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let net = supernet(Some(random_candidate(&mut Streams::new(2).rng("test/path", 0))));
    let weights = net.weights();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| net.step(&weights, [32, 32], true))
    };
    let once = on(1);
    assert!(once == net.step(&weights, [32, 32], true), "the global pool gives other bits");
    assert!(once == on(1), "a second run gives other bits");
    assert!(once == on(3), "three threads give other bits than one");
}

/// bfloat16 on the CPU with burn's own operations: the path that GPUs take.
#[test]
fn bf16_is_near_f32_and_leaves_gradients_in_f32() {
    let net = eval("GENAS_FLATNESS_CIFAR100");
    let weights = net.weights();
    let Net::Eval(eval) = &net else { unreachable!() };
    let run = |precision| {
        let device: Device = Devices::cpu().recording();
        let mut rng = Streams::new(7).rng("test/images", 1);
        let pixels = (0..BATCH * 3 * 32 * 32).map(|_| rng.random_range(-2.0..2.0)).collect();
        let x = Feature::from_values(pixels, [BATCH, 3, 32, 32], &device);
        let mode = Mode::Train { drop_path: 0.2, rng: Box::new(rng) };
        let mut i =
            Tensors::new(&weights, device, mode).with_burn_operations().with_precision(precision).unwrap();
        let (logits, auxiliary) = eval.forward_with_auxiliary(&mut i, &x);
        let auxiliary = cross_entropy(auxiliary.unwrap().tensor(), &LABELS, 0.1);
        let loss = cross_entropy(logits.tensor(), &LABELS, 0.1) + auxiliary.mul_scalar(0.4);
        let mut gradients = loss.backward();
        let mut found = Vec::new();
        i.visit_gradients(&mut gradients, |position, values| found.push((position, values.to_vec())));
        let statistics = i.take_statistics();
        assert!(statistics.iter().all(|s| s.mean.len() == s.variance.len() && !s.mean.is_empty()));
        (f64::from(loss.into_scalar::<f32>()), found)
    };
    let (single, half) = (run(Precision::F32), run(Precision::Bf16));
    assert!((half.0 / single.0 - 1.0).abs() < 2e-2, "loss {} against {}", half.0, single.0);
    let flat = |g: &[(usize, Vec<f32>)]| g.iter().flat_map(|(_, g)| g).copied().collect::<Vec<f32>>();
    assert_eq!(single.1.len(), half.1.len(), "every parameter has a gradient in f32");
    let (a, b) = (flat(&half.1), flat(&single.1));
    let dot: f64 = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    let cosine = dot / (norm(&a) * norm(&b));
    println!("bf16: loss off by {:.1e}, cosine of the gradients {cosine:.4}", half.0 / single.0 - 1.0);
    // bfloat16 rounds by up to 2e-3, weights and every map; in single precision, weights that are off by 2e-3 alone leave a
    // cosine of 0.969, by 4e-3 0.953, by 8e-3 0.913: this network is small, and ReLUs and maxima flip.
    assert!(cosine > 0.9 && (norm(&a) / norm(&b) - 1.0).abs() < 0.1, "{cosine}");
    // With our kernels it is refused, not quietly computed in f32.
    let refused =
        Tensors::new(&weights, Devices::cpu().plain(), Mode::Inference).with_precision(Precision::Bf16);
    assert!(refused.unwrap_err().to_string().contains("precision f32"));
}
