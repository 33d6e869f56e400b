//! Steps of NAS-Bench-201 networks against PyTorch's double precision, by kernels and by burn's own operations.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use genas_kernels::sgd::Sgd;
use genas_net::{
    Devices, Feature, Layout, Mode, Nb201Net, Nb201Path, Nb201Supernet, Role, Tensors, Weights,
    cross_entropy, update_statistics,
};
use genas_space::Streams;
use genas_space::nb201::Nb201Cell;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

/// What `nb201_torch.py` recorded.
#[derive(Deserialize)]
struct Recorded {
    labels: Vec<i64>,
    shape: [usize; 4],
    channels: usize,
    classes: usize,
    cases: Vec<Case>,
    /// Weights after each step of SGD.
    nesterov: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Case {
    supernet: bool,
    cells: Vec<Nb201Cell>,
    loss: f64,
    logits: Vec<f64>,
    gradient_norms: HashMap<String, f64>,
    /// Sums of running mean and running variance after the step, by BatchNorm.
    statistics: HashMap<String, [f64; 2]>,
}

/// Numbers from -1 to 1 that Python makes too.
fn pattern(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 4729) % 10007) as f32 / 5003.0 - 1.0).collect()
}

fn weights(layout: Layout) -> Weights {
    let mut weights = Weights::neutral(Arc::new(layout));
    for entry in weights.layout().clone().entries().iter().filter(|e| e.role.is_parameter()) {
        let values = pattern(entry.len(), entry.name.bytes().map(usize::from).sum());
        let value = |v: f32| match entry.role {
            Role::Gamma => 1.0 + 0.5 * v,
            Role::ConvWeight => 2.0 / (entry.fan_in as f32).sqrt() * v,
            _ => 0.5 * v,
        };
        weights.slice_mut(entry).iter_mut().zip(values).for_each(|(w, v)| *w = value(v));
    }
    weights
}

#[test]
fn steps_are_those_of_pytorch() {
    let recorded: Recorded = serde_json::from_str(include_str!("nb201.json")).unwrap();
    let Recorded { labels, shape, channels, classes, cases, .. } = recorded;
    for case in cases {
        let supernet = Nb201Supernet { channels, cells_per_stage: 1, classes };
        let net = Nb201Net { cell: case.cells[0], channels, cells_per_stage: 1, classes };
        let mut weights = weights(if case.supernet { supernet.layout() } else { net.layout() });
        for kernels in [true, false] {
            let what = format!("{:?}, kernels {kernels}", case.cells);
            let device = Devices::cpu().recording();
            let mode = Mode::Train { drop_path: 0.0, rng: Box::new(Streams::new(0).rng("masks", 0)) };
            let mut i = Tensors::new(&weights, device.clone(), mode);
            if !kernels {
                i = i.with_burn_operations();
            }
            let x = Feature::from_values(pattern(shape.iter().product(), 11), shape, &device);
            let logits = match case.supernet {
                true => supernet.forward(&mut i, Nb201Path::PerCell(&case.cells), &x),
                false => net.forward(&mut i, &x),
            };
            let loss = cross_entropy(logits.clone().tensor(), &labels, 0.0);
            let mut gradients = loss.clone().backward();
            let loss = f64::from(loss.into_scalar::<f32>());
            assert!((loss / case.loss - 1.0).abs() < 1e-5, "{what}: loss {loss}, not {}", case.loss);
            let logits = logits.tensor().into_data().try_to_vec::<f32>().unwrap();
            for (found, want) in logits.iter().zip(&case.logits) {
                assert!((f64::from(*found) - want).abs() < 2e-5, "{what}: logit {found}, not {want}");
            }
            let mut norms = HashMap::new();
            i.visit_gradients(&mut gradients, |position, values| {
                let square: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
                norms.insert(weights.layout().entries()[position].name.clone(), square.sqrt());
            });
            assert!(norms.keys().all(|name| case.gradient_norms.contains_key(name)), "{what}");
            for (name, want) in &case.gradient_norms {
                // What leads nowhere has a gradient of zeros in PyTorch and none here.
                let found = norms.get(name).copied().unwrap_or(0.0);
                assert!((found - want).abs() < 1e-4 * want + 2e-6, "{what}: {name} {found}, not {want}");
            }
            let statistics = i.take_statistics();
            assert_eq!(statistics.len(), case.statistics.len(), "{what}");
            let mut moved = weights.clone();
            update_statistics(&mut moved, &statistics, 0.1);
            for (name, want) in &case.statistics {
                for (part, want) in ["running_mean", "running_var"].into_iter().zip(want) {
                    let found: f32 = moved.get(&format!("{name}.{part}")).unwrap().iter().sum();
                    let off = (f64::from(found) - want).abs();
                    assert!(off < 1e-5 * want.abs().max(1.0), "{what}: {name}.{part} {found}, not {want}");
                }
            }
        }
        // The weights are the recorded ones, not the layout's neutral ones.
        assert!(weights.parameters_mut().iter().any(|p| *p < 0.0));
    }
}

#[test]
fn sgd_with_nesterov_is_that_of_pytorch() {
    let recorded: Recorded = serde_json::from_str(include_str!("nb201.json")).unwrap();
    let (mut weights, mut velocity) = (pattern(5, 1), vec![0.0; 5]);
    let sgd = Sgd { lr: 0.025, momentum: 0.9, weight_decay: 5e-4, nesterov: true };
    for (n, expected) in recorded.nesterov.iter().enumerate() {
        genas_kernels::sgd::step(&mut weights, &pattern(5, 20 + n), &mut velocity, 1.0, sgd);
        for (found, want) in weights.iter().zip(expected) {
            assert!((f64::from(*found) - want).abs() < 1e-6, "step {n}: {found}, not {want}");
        }
    }
    assert_eq!(recorded.nesterov.len(), 4);
}

/// `none` gives exactly zeros and skip_connect exactly its input, in all ways of computing.
#[test]
fn none_is_zero_and_skip_is_the_identity() {
    let net =
        |text: &str| Nb201Net { cell: text.parse().unwrap(), channels: 4, cells_per_stage: 2, classes: 3 };
    let none = net("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|");
    let skip = net("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|");
    let through = net("|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|");
    let weights = weights(none.layout());
    assert_eq!(weights.parameters().len(), skip.layout().n_parameters());
    let shape = [2, 3, 8, 8];
    let run = |net: &Nb201Net, seed: usize, kernels: bool, mode: Mode| {
        let device = Devices::cpu().plain();
        let mut i = Tensors::new(&weights, device.clone(), mode);
        if !kernels {
            i = i.with_burn_operations();
        }
        let x = Feature::from_values(pattern(shape.iter().product(), seed), shape, &device);
        net.forward(&mut i, &x).tensor().into_data().try_to_vec::<f32>().unwrap()
    };
    for kernels in [true, false] {
        for mode in [|| Mode::Inference, || Mode::BatchStatistics] {
            // Cells of zeros: the image is not seen.
            assert_eq!(run(&none, 1, kernels, mode()), run(&none, 2, kernels, mode()));
            assert_eq!(run(&skip, 1, kernels, mode()), run(&through, 1, kernels, mode()));
            assert_ne!(run(&skip, 1, kernels, mode()), run(&skip, 2, kernels, mode()));
        }
    }
}
