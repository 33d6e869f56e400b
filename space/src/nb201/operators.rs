//! Random NAS-Bench-201 cells: samples, paths of supernet training, mutation and crossover
//! (spec 02-3 and 03-5).

use rand::{Rng, RngExt};

use super::cell::{NB201_EDGES, Nb201Cell, edges_of_node};
use super::index::NB201_CELLS;
use super::op::Nb201Op;
use crate::error::SpaceError;
use crate::sampling::choose;
use crate::streams::Streams;

/// A cell, uniform over all 15,625: what evolution begins with.
pub fn random_nb201(rng: &mut impl Rng) -> Nb201Cell {
    Nb201Cell(std::array::from_fn(|_| any_op(rng)))
}

/// A cell for a step of supernet training: uniform over those in which every node has an input that is
/// not `none`.
///
/// Node by node, the operations are drawn again until one is not `none`.
pub fn random_nb201_path(rng: &mut impl Rng) -> Nb201Cell {
    let mut cell = Nb201Cell([Nb201Op::None; NB201_EDGES]);
    for node in 1..=3 {
        let ops = &mut cell.0[edges_of_node(node)];
        while ops.iter().all(|&op| op == Nb201Op::None) {
            ops.fill_with(|| any_op(rng));
        }
    }
    cell
}

/// The path of a step through each of `n_cells` search cells, each drawn independently; a function of
/// the seed and the step alone. A supernet whose cells share one path takes the first.
pub fn nb201_paths_for_step(streams: &Streams, step: u64, n_cells: usize) -> Vec<Nb201Cell> {
    let mut rng = streams.rng("nb201/path", step);
    (0..n_cells).map(|_| random_nb201_path(&mut rng)).collect()
}

/// `n` different cells, uniform without replacement, in the order of drawing.
///
/// A smaller sample of the same seed is the beginning of a larger one, so scores can be added to.
pub fn sample_nb201(n: usize, streams: &Streams) -> Result<Vec<Nb201Cell>, SpaceError> {
    if n > NB201_CELLS {
        return Err(SpaceError::Nb201Sample(n));
    }
    choose((0..NB201_CELLS).collect(), n, &mut streams.rng("nb201/sample", 0))
        .into_iter()
        .map(Nb201Cell::from_index)
        .collect()
}

/// Replaces each operation with the given probability by a uniform one of the other four than `none`,
/// which may be the old one (RLNAS).
pub fn mutate_nb201(parent: &Nb201Cell, probability: f64, rng: &mut impl Rng) -> Nb201Cell {
    let mut child = *parent;
    for op in &mut child.0 {
        if rng.random::<f64>() < probability {
            *op = Nb201Op::ALL[rng.random_range(1..Nb201Op::ALL.len())];
        }
    }
    child
}

/// Takes each operation from either parent with probability 1/2.
pub fn crossover_nb201(a: &Nb201Cell, b: &Nb201Cell, rng: &mut impl Rng) -> Nb201Cell {
    Nb201Cell(std::array::from_fn(|edge| if rng.random_bool(0.5) { a.0[edge] } else { b.0[edge] }))
}

fn any_op(rng: &mut impl Rng) -> Nb201Op {
    Nb201Op::ALL[rng.random_range(0..Nb201Op::ALL.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn samples_are_seeded_without_replacement_and_nested() {
        let streams = Streams::new(1);
        let sample = sample_nb201(600, &streams).unwrap();
        assert_eq!(sample.iter().collect::<HashSet<_>>().len(), 600);
        assert_eq!(sample_nb201(100, &streams).unwrap(), sample[..100]);
        assert_ne!(sample_nb201(100, &Streams::new(2)).unwrap(), sample[..100]);
        let all = sample_nb201(NB201_CELLS, &streams).unwrap();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), NB201_CELLS);
        let error = sample_nb201(NB201_CELLS + 1, &streams).unwrap_err().to_string();
        assert!(error.contains("15626") && error.contains("at most"), "{error}");
        // Pinned: recorded scores are of these cells.
        let first: Vec<usize> = sample[..5].iter().map(Nb201Cell::index).collect();
        assert_eq!(first, [8163, 5771, 9013, 13177, 13339]);
    }

    /// How often each operation is on each edge, as a share of the draws.
    fn shares(n: u32, mut draw: impl FnMut() -> Nb201Cell) -> [[f64; 5]; NB201_EDGES] {
        let mut shares = [[0.0; 5]; NB201_EDGES];
        for _ in 0..n {
            for (edge, op) in draw().0.into_iter().enumerate() {
                shares[edge][usize::from(op.index())] += 1.0 / f64::from(n);
            }
        }
        shares
    }

    #[test]
    fn draws_follow_their_laws() {
        let mut rng = Streams::new(3).rng("test", 0);
        // Six standard deviations of a share of 1/2 in 20,000 draws are 0.021.
        let close =
            |share: f64, expected: f64| assert!((share - expected).abs() < 0.021, "{share} {expected}");
        for ops in shares(20_000, || random_nb201(&mut rng)) {
            for share in ops {
                close(share, 0.2);
            }
        }
        // Of the 5^j inputs of node j all `none` is left out.
        let paths = shares(20_000, || random_nb201_path(&mut rng));
        for (node, patterns) in [(1, 5.0), (2, 25.0), (3, 125.0)] {
            for edge in edges_of_node(node) {
                close(paths[edge][0], (patterns / 5.0 - 1.0) / (patterns - 1.0));
                close(paths[edge][3], patterns / 5.0 / (patterns - 1.0));
            }
        }
        let parent = Nb201Cell([Nb201Op::SkipConnect; NB201_EDGES]);
        for ops in shares(20_000, || mutate_nb201(&parent, 0.4, &mut rng)) {
            assert_eq!(ops[0], 0.0, "mutation never gives none");
            close(ops[1], 0.7);
            close(ops[4], 0.1);
        }
        let other = Nb201Cell([Nb201Op::AvgPool3x3; NB201_EDGES]);
        for ops in shares(20_000, || crossover_nb201(&parent, &other, &mut rng)) {
            close(ops[1], 0.5);
            assert!((ops[1] + ops[4] - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn paths_reach_the_output_and_depend_on_seed_and_step_only() {
        let streams = Streams::new(5);
        let paths = nb201_paths_for_step(&streams, 9, 15);
        assert_eq!(nb201_paths_for_step(&streams, 9, 1), paths[..1]);
        assert_ne!(nb201_paths_for_step(&streams, 10, 15), paths);
        assert!(paths.iter().collect::<HashSet<_>>().len() > 10, "cells differ");
        for step in 0..200 {
            for path in nb201_paths_for_step(&streams, step, 15) {
                for node in 1..=3 {
                    assert!(path.inputs(node).any(|(op, _)| op != Nb201Op::None));
                }
            }
        }
        // Pinned: an interrupted training continues with a later version.
        assert_eq!(
            paths[0].to_string(),
            "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|"
        );
    }

    #[test]
    fn probabilities_zero_and_one() {
        let mut rng = Streams::new(3).rng("test", 1);
        let parent = random_nb201(&mut rng);
        assert_eq!(mutate_nb201(&parent, 0.0, &mut rng), parent);
        assert!(mutate_nb201(&parent, 1.0, &mut rng).0.iter().all(|&op| op != Nb201Op::None));
        assert_eq!(crossover_nb201(&parent, &parent, &mut rng), parent);
    }
}
