//! The direction in which a cell's loss curves most, against a whole Hessian in double precision (hessian.py).

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use genas_net::{
    Devices, Feature, Mode, Nb201Path, Nb201Supernet, Role, Tensors, Weights, cross_entropy, gradient,
};
use genas_search::config::Position;
use genas_search::rank::hessian::{Curvature, PowerIteration, sharpest_direction};
use genas_space::Streams;
use genas_space::nb201::Nb201Cell;
use serde::Deserialize;

#[derive(Deserialize)]
struct Recorded {
    channels: usize,
    classes: usize,
    shape: [usize; 4],
    labels: Vec<i64>,
    cell: Nb201Cell,
    loss: f64,
    gradient: HashMap<String, Vec<f64>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    position: Position,
    /// The largest in size.
    eigenvalues: [f64; 3],
    /// Of the first.
    vector: HashMap<String, Vec<f64>>,
}

impl Recorded {
    fn read() -> Self {
        serde_json::from_str(include_str!("hessian.json")).unwrap()
    }

    fn weights(&self) -> Weights {
        let Self { channels, classes, .. } = *self;
        let net = Nb201Supernet { channels, cells_per_stage: 1, classes };
        let mut weights = Weights::neutral(Arc::new(net.cell_layout(&self.cell)));
        for entry in weights.layout().clone().entries() {
            let values = pattern(entry.len(), entry.name.bytes().map(usize::from).sum());
            let value = |v: f32| match entry.role {
                Role::Gamma | Role::RunningVar => 1.0 + 0.5 * v,
                Role::ConvWeight => 2.0 / (entry.fan_in as f32).sqrt() * v,
                _ => 0.5 * v,
            };
            weights.slice_mut(entry).iter_mut().zip(values).for_each(|(w, v)| *w = value(v));
        }
        weights
    }

    /// Loss and gradient, by kernels or by burn's own operations.
    fn gradient(&self, weights: &Weights, kernels: bool) -> (f64, Vec<f64>) {
        let Self { channels, classes, shape, .. } = *self;
        let net = Nb201Supernet { channels, cells_per_stage: 1, classes };
        let forward = |i: &mut Tensors| {
            let x = Feature::from_values(pattern(shape.iter().product(), 11), shape, i.device());
            cross_entropy(net.forward(i, Nb201Path::Shared(&self.cell), &x).tensor(), &self.labels, 0.0)
        };
        let device = Devices::cpu().recording();
        if kernels {
            let (loss, values) = gradient(weights, &device, forward);
            return (loss, values.into_iter().map(f64::from).collect());
        }
        let mut i = Tensors::new(weights, device, Mode::Gradients).with_burn_operations();
        let loss = forward(&mut i);
        let mut gradients = loss.clone().backward();
        let mut values = vec![0.0; weights.layout().n_parameters()];
        i.visit_gradients(&mut gradients, |position, part| {
            let whole = &mut values[weights.layout().entries()[position].range()];
            whole.iter_mut().zip(part).for_each(|(value, part)| *value = f64::from(*part));
        });
        (f64::from(loss.into_scalar::<f32>()), values)
    }

    fn sharpest(&self, position: Position) -> (Vec<f64>, Curvature) {
        let power = PowerIteration { iterations: 300, tolerance: 1e-5 };
        let gradient = |weights: &Weights| Ok::<_, Infallible>(self.gradient(weights, true).1);
        // At a step of 3e-4 the eigenvalue is 4 % too large, at 1e-5 it is right to 3e-6, and at 1e-6 to 1e-4, because the
        // differences are of gradients in single precision.
        let step = 1e-5;
        sharpest_direction(&self.weights(), position, power, step, &Streams::new(1), 0, gradient).unwrap()
    }
}

/// Numbers from -1 to 1 that Python makes too.
fn pattern(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 4729) % 10007) as f32 / 5003.0 - 1.0).collect()
}

#[test]
fn gradients_with_running_statistics_are_those_of_jax() {
    let recorded = Recorded::read();
    let weights = recorded.weights();
    for kernels in [true, false] {
        let (loss, values) = recorded.gradient(&weights, kernels);
        assert!((loss / recorded.loss - 1.0).abs() < 1e-5, "loss {loss}, not {}", recorded.loss);
        let parameters = weights.layout().entries().iter().filter(|e| e.role.is_parameter());
        let mut compared = 0;
        for entry in parameters {
            for (found, want) in values[entry.range()].iter().zip(&recorded.gradient[&entry.name]) {
                assert!(
                    (found - want).abs() < 2e-5 * (1.0 + want.abs()),
                    "{}: {found}, not {want}",
                    entry.name
                );
                compared += 1;
            }
        }
        assert_eq!(compared, values.len());
    }
}

#[test]
fn the_sharpest_direction_is_the_hessians_first_eigenvector() {
    let recorded = Recorded::read();
    let layout = recorded.weights().layout().clone();
    for case in &recorded.cases {
        let (direction, curvature) = recorded.sharpest(case.position);
        let [first, second, _] = case.eigenvalues;
        assert!(first.abs() > 1.1 * second.abs(), "the script's case has no one direction");
        assert!(curvature.converged, "{curvature:?}");
        let off = (curvature.eigenvalue / first - 1.0).abs();
        assert!(off < 1e-3, "{:?}: {curvature:?}, not {first}", case.position);
        let (mut product, mut square) = (0.0, 0.0);
        for entry in layout.entries().iter().filter(|e| e.role.is_parameter()) {
            let found = &direction[entry.range()];
            square += found.iter().map(|v| v * v).sum::<f64>();
            match case.vector.get(&entry.name) {
                Some(want) => product += found.iter().zip(want).map(|(a, b)| a * b).sum::<f64>(),
                None => assert!(found.iter().all(|v| *v == 0.0), "{} is not perturbed", entry.name),
            }
        }
        assert!((square - 1.0).abs() < 1e-5, "{square}");
        assert!(product.abs() > 0.999, "{:?}: cosine {product}", case.position);
    }
}

#[test]
fn threads_change_nothing() {
    let recorded = Recorded::read();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| recorded.sharpest(Position::All))
    };
    let (one, three) = (run(1), run(3));
    assert!(one.0 == three.0 && one.1 == three.1, "{:?} {:?}", one.1, three.1);
}
