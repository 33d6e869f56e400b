//! Uniform cells, raw vectors, and the repair that makes a raw vector a cell.
//!
//! Port of `check_cand` of RLNAS and GeNAS. A cell is valid when node j has exactly j `none` edges.
//! Repair is itself random, and a repaired vector of independent uniform integers follows exactly the
//! uniform law over valid cells: [`random_edges`] draws from that law directly.

use rand::{Rng, RngExt};

use crate::candidate::{CANDIDATE_LEN, Candidate, halves};
use crate::edges::{N_EDGES, N_NODES, edge_index, node_edges};
use crate::streams::Streams;

/// One cell, uniform over all valid ones.
///
/// Per node the draws are: first source, second source, operation of each.
pub fn random_edges(rng: &mut impl Rng) -> [u8; N_EDGES] {
    let mut edges = [0; N_EDGES];
    for node in 0..N_NODES {
        let n_sources = node + 2;
        let first = rng.random_range(0..n_sources);
        let second = (first + rng.random_range(1..n_sources)) % n_sources;
        for source in [first, second] {
            edges[edge_index(node, source)] = live_op(rng);
        }
    }
    edges
}

/// Both cells, each uniform over all valid ones, normal first.
pub fn random_candidate(rng: &mut impl Rng) -> Candidate {
    Candidate { normal: random_edges(rng), reduce: random_edges(rng) }
}

/// 28 independent uniform integers 0 to 7: what the evolution draws before repair.
pub fn raw_random(rng: &mut impl Rng) -> [u8; CANDIDATE_LEN] {
    std::array::from_fn(|_| rng.random_range(0..8))
}

/// Makes a cell of a raw vector: where a node has too many live edges, uniformly chosen ones become
/// `none`; where it has too few, uniformly chosen `none` edges get a uniform operation.
///
/// A valid cell is returned unchanged, and nothing is drawn for it.
pub fn repair(raw: &[u8; N_EDGES], rng: &mut impl Rng) -> [u8; N_EDGES] {
    let mut edges = *raw;
    for node in 0..N_NODES {
        let (dead, live): (Vec<usize>, Vec<usize>) = node_edges(node).partition(|&edge| edges[edge] == 0);
        if dead.len() < node {
            for edge in choose(live, node - dead.len(), rng) {
                edges[edge] = 0;
            }
        } else {
            let missing = dead.len() - node;
            for edge in choose(dead, missing, rng) {
                edges[edge] = live_op(rng);
            }
        }
    }
    edges
}

/// [`repair`] for both halves, normal first.
pub fn repair_candidate(raw: &[u8; CANDIDATE_LEN], rng: &mut impl Rng) -> Candidate {
    let (normal, reduce) = halves(raw);
    Candidate { normal: repair(&normal, rng), reduce: repair(&reduce, rng) }
}

/// The path that supernet training takes in a step: a function of the seed and the step alone.
pub fn path_for_step(streams: &Streams, step: u64) -> Candidate {
    random_candidate(&mut streams.rng("path", step))
}

fn live_op(rng: &mut impl Rng) -> u8 {
    rng.random_range(1..8)
}

/// `n` of the items, uniform without replacement.
pub(crate) fn choose(mut items: Vec<usize>, n: usize, rng: &mut impl Rng) -> Vec<usize> {
    for position in 0..n {
        let other = rng.random_range(position..items.len());
        items.swap(position, other);
    }
    items.truncate(n);
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::EdgeVector;
    use std::collections::HashMap;

    #[test]
    fn repaired_vectors_are_valid_and_valid_vectors_stay() {
        let streams = Streams::new(1);
        let mut rng = streams.rng("test", 0);
        for _ in 0..5000 {
            let candidate = repair_candidate(&raw_random(&mut rng), &mut rng);
            candidate.validate().unwrap();
            let before = rng.clone();
            assert_eq!(repair_candidate(&candidate.to_ints(), &mut rng), candidate);
            assert_eq!(rng, before, "a valid cell must not consume random numbers");
            EdgeVector(random_edges(&mut rng)).validate().unwrap();
        }
        EdgeVector(repair(&[0; 14], &mut rng)).validate().unwrap();
        EdgeVector(repair(&[7; 14], &mut rng)).validate().unwrap();
    }

    #[test]
    fn repair_changes_only_what_it_must() {
        let mut rng = Streams::new(2).rng("test", 0);
        for _ in 0..2000 {
            let raw: [u8; 14] = std::array::from_fn(|_| rng.random_range(0..8));
            let cell = repair(&raw, &mut rng);
            for node in 0..N_NODES {
                let edges = node_edges(node);
                let dead = raw[edges.clone()].iter().filter(|&&op| op == 0).count();
                let changed: Vec<usize> = edges.filter(|&edge| raw[edge] != cell[edge]).collect();
                assert_eq!(changed.len(), dead.abs_diff(node));
                assert!(changed.iter().all(|&edge| (raw[edge] == 0) == (dead > node)));
            }
        }
    }

    /// Pearson's statistic of a node's patterns against the uniform law. Its mean is the number of
    /// patterns less 1 and its variance twice that; five deviations of slack never fail by chance,
    /// and the seed is fixed anyway.
    fn assert_uniform(node: usize, mut draw: impl FnMut() -> [u8; 14]) {
        let n_patterns = (node + 2) * (node + 1) / 2 * 49;
        let n_draws = n_patterns * 60;
        let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
        for _ in 0..n_draws {
            *counts.entry(draw()[node_edges(node)].to_vec()).or_default() += 1;
        }
        assert_eq!(counts.len(), n_patterns, "every pattern occurs, and no other");
        let expected = n_draws as f64 / n_patterns as f64;
        let statistic: f64 = counts.values().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
        let freedom = (n_patterns - 1) as f64;
        let slack = 5.0 * (2.0 * freedom).sqrt();
        assert!(
            (statistic - freedom).abs() < slack,
            "node {node}: {statistic} for {freedom} degrees of freedom"
        );
    }

    #[test]
    fn both_samplers_are_uniform_over_valid_cells() {
        let streams = Streams::new(3);
        for node in 0..N_NODES {
            let mut rng = streams.rng("direct", node as u64);
            assert_uniform(node, || random_edges(&mut rng));
            let mut rng = streams.rng("repaired", node as u64);
            assert_uniform(node, || {
                let raw = std::array::from_fn(|_| rng.random_range(0..8));
                repair(&raw, &mut rng)
            });
        }
    }

    #[test]
    fn a_path_depends_on_seed_and_step_only() {
        let streams = Streams::new(5);
        assert_eq!(path_for_step(&streams, 9), path_for_step(&Streams::new(5), 9));
        assert_ne!(path_for_step(&streams, 9), path_for_step(&streams, 10));
        assert_ne!(path_for_step(&streams, 9), path_for_step(&Streams::new(6), 9));
        // Pinned: an interrupted training continues with a later version.
        assert_eq!(
            path_for_step(&Streams::new(1), 0).to_string(),
            "7,4,7,5,0,1,0,4,0,2,0,0,0,1,5,7,0,5,6,0,1,0,6,0,0,1,0,4"
        );
    }
}
