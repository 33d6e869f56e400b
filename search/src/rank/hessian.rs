//! The direction in which a cell's validation loss curves most: its Hessian's eigenvector of the largest absolute
//! eigenvalue, by power iteration (paper Table 7, which cites PyHessian and gives no details; spec 02-5).
//!
//! PyHessian's iteration: a normal start, `v / (|v| + 1e-6)`, and an end when `v'Hv` changes by less than a thousandth.
//! Deviation: products with the Hessian are central differences of gradients, `(g(theta + e v) - g(theta - e v)) / 2e`,
//! where PyHessian differentiates twice.

use std::ops::Range;

use genas_net::Weights;
use genas_space::Streams;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::config::Position;
use crate::noise::perturbed_entries;

/// What power iteration found.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigenpair {
    /// The largest absolute eigenvalue, with its sign.
    pub value: f64,
    /// Its eigenvector, of length 1.
    pub vector: Vec<f64>,
    /// Products with the matrix.
    pub iterations: usize,
    /// Whether it ended because the eigenvalue stood still.
    pub converged: bool,
}

/// When power iteration ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerIteration {
    /// At the latest after so many products.
    pub iterations: usize,
    /// When the eigenvalue changes by less than this share of it.
    pub tolerance: f64,
}

impl PowerIteration {
    /// For the symmetric matrix that `product` multiplies with. Sums are in a fixed order.
    ///
    /// # Errors
    /// Those of `product`.
    pub fn run<E>(
        self,
        start: &[f64],
        mut product: impl FnMut(&[f64]) -> Result<Vec<f64>, E>,
    ) -> Result<Eigenpair, E> {
        let mut pair = Eigenpair { value: 0.0, vector: normalized(start), iterations: 0, converged: false };
        while pair.iterations < self.iterations && !pair.converged {
            let image = product(&pair.vector)?;
            let value = dot(&image, &pair.vector);
            let change = (value - pair.value).abs() / (pair.value.abs() + 1e-6);
            pair.converged = pair.iterations > 0 && change < self.tolerance;
            pair.vector = normalized(&image);
            pair.value = value;
            pair.iterations += 1;
        }
        Ok(pair)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn normalized(vector: &[f64]) -> Vec<f64> {
    let length = dot(vector, vector).sqrt() + 1e-6;
    vector.iter().map(|v| v / length).collect()
}

/// What is recorded of the eigenvector that a noise followed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curvature {
    /// The eigenvalue.
    pub eigenvalue: f64,
    /// Products with the Hessian.
    pub iterations: usize,
    /// Whether the eigenvalue stood still by then.
    pub converged: bool,
}

/// The eigenvector of a loss's Hessian in the parameters of `position`, as a value for each parameter of `weights` (zero for
/// the others), and what is recorded of it. `gradient` is the loss's at other weights of the same layout.
///
/// `step` is the length of the steps on both sides of the weights, in lengths of the weights that are perturbed. The loss has
/// kinks, where rectifiers open. A short step sees the curvature between them, as PyHessian does, but is thrown off by the few
/// kinks that it happens to cross; a long one sees what the loss does on average.
///
/// The start is drawn from streams of the parameters' names, counted by `draw`.
///
/// # Errors
/// Those of `gradient`.
pub fn sharpest_direction<E>(
    weights: &Weights,
    position: Position,
    power: PowerIteration,
    step: f64,
    streams: &Streams,
    draw: u64,
    mut gradient: impl FnMut(&Weights) -> Result<Vec<f64>, E>,
) -> Result<(Vec<f64>, Curvature), E> {
    let (mut start, mut ranges): (Vec<f64>, Vec<Range<usize>>) = Default::default();
    for entry in perturbed_entries(weights.layout(), position) {
        let mut rng = streams.rng(&format!("hessian/{}", entry.name), draw);
        start.extend((0..entry.len()).map(|_| -> f64 { StandardNormal.sample(&mut rng) }));
        ranges.push(entry.range());
    }
    let part = |values: &[f64]| -> Vec<f64> {
        ranges.iter().flat_map(|range| &values[range.clone()]).copied().collect()
    };
    let whole = |part: &[f64]| {
        let (mut values, mut rest) = (vec![0.0; weights.layout().n_parameters()], part);
        for range in &ranges {
            let (one, others) = rest.split_at(range.len());
            values[range.clone()].copy_from_slice(one);
            rest = others;
        }
        values
    };
    let parameters: Vec<f64> = weights.parameters().iter().map(|&p| f64::from(p)).collect();
    let own = part(&parameters);
    let step = step * dot(&own, &own).sqrt().max(1e-3);
    let pair = power.run(&start, |vector| {
        let direction = whole(vector);
        let mut side = |sign: f64| gradient(&weights.moved(&direction, sign * step)).map(|g| part(&g));
        let (ahead, behind) = (side(1.0)?, side(-1.0)?);
        Ok(ahead.iter().zip(&behind).map(|(a, b)| (a - b) / (2.0 * step)).collect())
    })?;
    let Eigenpair { value, vector, iterations, converged } = pair;
    Ok((whole(&vector), Curvature { eigenvalue: value, iterations, converged }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn times(matrix: &[[f64; 3]; 3]) -> impl FnMut(&[f64]) -> Result<Vec<f64>, Infallible> {
        |v| Ok(matrix.iter().map(|row| dot(row, v)).collect())
    }

    const POWER: PowerIteration = PowerIteration { iterations: 100, tolerance: 1e-12 };

    /// Eigenvalues 1, 2 and 4 of vectors (1, -1, 1), (1, 0, -1) and (1, 2, 1).
    const MATRIX: [[f64; 3]; 3] = [[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]];

    #[test]
    fn a_known_matrix() {
        let pair = POWER.run(&[1.0, 0.3, -0.2], times(&MATRIX)).unwrap();
        assert!((pair.value - 4.0).abs() < 1e-5 && pair.converged, "{pair:?}");
        for (found, want) in pair.vector.iter().zip([1.0, 2.0, 1.0]) {
            assert!((found.abs() - want / 6f64.sqrt()).abs() < 1e-5, "{pair:?}");
        }
        // The largest in size, also where it is negative.
        let negative = MATRIX.map(|row| row.map(|v| -v));
        assert!((POWER.run(&[1.0, 0.3, -0.2], times(&negative)).unwrap().value + 4.0).abs() < 1e-5);
        // A start that has no part in it finds the next.
        assert!((POWER.run(&[1.0, 0.0, -1.0], times(&MATRIX)).unwrap().value - 2.0).abs() < 1e-5);
    }

    #[test]
    fn when_it_ends() {
        let start = [1.0, 0.3, -0.2];
        let loose = PowerIteration { tolerance: 1e-3, ..POWER }.run(&start, times(&MATRIX)).unwrap();
        assert!(loose.converged && (3..20).contains(&loose.iterations), "{loose:?}");
        let short = PowerIteration { iterations: 2, ..POWER }.run(&start, times(&MATRIX)).unwrap();
        assert!(!short.converged && short.iterations == 2, "{short:?}");
        // Of no parameters, and of a loss that does not curve.
        let none = POWER.run(&[], |_| Ok::<_, Infallible>(Vec::new())).unwrap();
        assert_eq!((none.value, none.vector.len()), (0.0, 0));
        let flat = POWER.run(&start, |v| Ok::<_, Infallible>(vec![0.0; v.len()])).unwrap();
        assert_eq!((flat.value, &flat.vector[..]), (0.0, &[0.0; 3][..]));
        let error = POWER.run(&start, |_| Err("no")).unwrap_err();
        assert_eq!(error, "no");
    }
}
