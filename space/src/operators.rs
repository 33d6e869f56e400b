//! Mutation and crossover of candidates, before repair.
//!
//! Evolution drops a raw tuple that it has seen before it repairs it, so the operators return raw
//! integers and leave [`crate::sampling::repair_candidate`] to the caller.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::candidate::{CANDIDATE_LEN, Candidate};
use crate::edges::N_EDGES;

/// Which cells mutation may change.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MutateScope {
    /// The normal cell only: what the code of RLNAS and GeNAS does, whose loop ends after 14 genes.
    #[default]
    Normal,
    /// Both cells.
    Both,
}

impl MutateScope {
    /// How many of the 28 genes, from the first, may change.
    fn n_genes(self) -> usize {
        match self {
            MutateScope::Normal => N_EDGES,
            MutateScope::Both => CANDIDATE_LEN,
        }
    }
}

/// Replaces each gene of the scope with the given probability by a uniform integer 0 to 7, which may
/// be `none` or the old value.
pub fn mutate_raw(
    parent: &Candidate,
    probability: f64,
    scope: MutateScope,
    rng: &mut impl Rng,
) -> [u8; CANDIDATE_LEN] {
    let mut child = parent.to_ints();
    for gene in &mut child[..scope.n_genes()] {
        if rng.random::<f64>() < probability {
            *gene = rng.random_range(0..8);
        }
    }
    child
}

/// Takes each of the 28 genes from either parent with probability 1/2.
pub fn crossover_raw(a: &Candidate, b: &Candidate, rng: &mut impl Rng) -> [u8; CANDIDATE_LEN] {
    let (a, b) = (a.to_ints(), b.to_ints());
    std::array::from_fn(|gene| if rng.random_bool(0.5) { a[gene] } else { b[gene] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::{random_candidate, repair_candidate};
    use crate::streams::Streams;

    #[test]
    fn normal_scope_never_touches_the_reduction_cell() {
        let mut rng = Streams::new(1).rng("test", 0);
        for _ in 0..2000 {
            let parent = random_candidate(&mut rng);
            let raw = mutate_raw(&parent, 0.5, MutateScope::Normal, &mut rng);
            let child = repair_candidate(&raw, &mut rng);
            child.validate().unwrap();
            assert_eq!(child.reduce, parent.reduce);
        }
    }

    #[test]
    fn genes_change_at_the_stated_rate() {
        let mut rng = Streams::new(2).rng("test", 0);
        let n = 4000;
        for (scope, genes) in [(MutateScope::Normal, 14.0), (MutateScope::Both, 28.0)] {
            let mut changed = 0;
            for _ in 0..n {
                let parent = random_candidate(&mut rng);
                let raw = mutate_raw(&parent, 0.1, scope, &mut rng);
                changed += raw.iter().zip(parent.to_ints()).filter(|(a, b)| **a != *b).count();
            }
            // One redraw in eight gives the old value.
            let expected = f64::from(n) * genes * 0.1 * 7.0 / 8.0;
            assert!(
                (changed as f64 - expected).abs() < 5.0 * expected.sqrt(),
                "{scope:?}: {changed}, {expected}"
            );
        }
    }

    #[test]
    fn probabilities_zero_and_one() {
        let mut rng = Streams::new(3).rng("test", 0);
        let parent = random_candidate(&mut rng);
        assert_eq!(mutate_raw(&parent, 0.0, MutateScope::Both, &mut rng), parent.to_ints());
        let raw = mutate_raw(&parent, 1.0, MutateScope::Both, &mut rng);
        repair_candidate(&raw, &mut rng).validate().unwrap();
    }

    #[test]
    fn crossover_takes_genes_from_both_parents_alike() {
        let mut rng = Streams::new(4).rng("test", 0);
        let (mut from_a, mut differing) = (0, 0);
        for _ in 0..2000 {
            let (a, b) = (random_candidate(&mut rng), random_candidate(&mut rng));
            let raw = crossover_raw(&a, &b, &mut rng);
            for ((gene, a), b) in raw.into_iter().zip(a.to_ints()).zip(b.to_ints()) {
                assert!(gene == a || gene == b);
                if a != b {
                    differing += 1;
                    from_a += usize::from(gene == a);
                }
            }
            repair_candidate(&raw, &mut rng).validate().unwrap();
            assert_eq!(crossover_raw(&a, &a, &mut rng), a.to_ints());
        }
        let share = from_a as f64 / f64::from(differing);
        assert!((share - 0.5).abs() < 0.02, "{share}");
    }

    #[test]
    fn scopes_are_written_in_kebab_case() {
        assert_eq!(serde_json::to_string(&MutateScope::Both).unwrap(), "\"both\"");
        assert_eq!(serde_json::from_str::<MutateScope>("\"normal\"").unwrap(), MutateScope::default());
    }
}
