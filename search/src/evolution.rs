//! The evolutionary loop (spec 03), without files or networks.
//!
//! Repairs of the published loop, as the specification recommends: operators give up after a number
//! of draws, a failed score is minus infinity, the population after the last generation is not bred.

use crate::config::EvolutionConfig;
use genas_space::{
    CANDIDATE_LEN, Candidate, Streams, crossover_raw, mutate_raw, raw_random, repair_candidate,
};
use rand::{Rng, RngExt};
use std::collections::HashSet;
use std::hash::Hash;

/// Size of the archive of the best that is reported.
pub const TOP: usize = 10;
/// Raw tuples per batch of proposals.
const BATCH: usize = 10;
/// Batches after which crossover returns what it has (the published loop checks `> 25`).
const CROSSOVER_BATCHES: usize = 26;

/// A candidate with its score; minus infinity if scoring failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked<C = Candidate> {
    /// Position in the order of the whole search.
    pub index: u64,
    /// The candidate.
    pub candidate: C,
    /// Its score.
    pub score: f64,
}

/// A candidate to be scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task<C = Candidate> {
    /// Position in the order of the whole search.
    pub index: u64,
    /// Generation, from 0.
    pub generation: usize,
    /// The candidate.
    pub candidate: C,
}

/// How the search went.
#[derive(Clone, Debug)]
pub struct Outcome<C = Candidate> {
    /// The best candidates at the end, best first.
    pub top: Vec<Ranked<C>>,
    /// Best score after each generation.
    pub best_by_generation: Vec<f64>,
    /// Candidates scored.
    pub evaluated: u64,
}

/// How candidates of a space come about.
pub trait Breeding {
    /// What operators give: recorded, so that none is looked at twice, and made a candidate afterwards.
    type Raw: Copy + Eq + Hash;
    /// What is scored.
    type Candidate: Copy + Eq + Hash;

    /// A random proposal.
    fn random(&self, rng: &mut impl Rng) -> Self::Raw;

    /// A mutant.
    fn mutate(&self, parent: &Self::Candidate, rng: &mut impl Rng) -> Self::Raw;

    /// A child of two.
    fn crossover(&self, a: &Self::Candidate, b: &Self::Candidate, rng: &mut impl Rng) -> Self::Raw;

    /// The candidate of a proposal; `None` if it is not admissible.
    fn candidate(&self, raw: &Self::Raw, rng: &mut impl Rng) -> Option<Self::Candidate>;

    /// The proposal that is this candidate.
    fn raw(&self, candidate: &Self::Candidate) -> Self::Raw;
}

/// The DARTS space, with candidates that are filtered.
struct Darts<'a, A> {
    config: &'a EvolutionConfig,
    admissible: A,
}

impl<A: Fn(&Candidate) -> bool> Breeding for Darts<'_, A> {
    type Raw = [u8; CANDIDATE_LEN];
    type Candidate = Candidate;

    fn random(&self, rng: &mut impl Rng) -> Self::Raw {
        raw_random(rng)
    }

    fn mutate(&self, parent: &Candidate, rng: &mut impl Rng) -> Self::Raw {
        mutate_raw(parent, self.config.mutation_probability, self.config.mutation_scope, rng)
    }

    fn crossover(&self, a: &Candidate, b: &Candidate, rng: &mut impl Rng) -> Self::Raw {
        crossover_raw(a, b, rng)
    }

    fn candidate(&self, raw: &Self::Raw, rng: &mut impl Rng) -> Option<Candidate> {
        Some(repair_candidate(raw, rng)).filter(|candidate| (self.admissible)(candidate))
    }

    fn raw(&self, candidate: &Candidate) -> Self::Raw {
        candidate.to_ints()
    }
}

/// Runs the loop in the DARTS space. `admissible` filters candidates by cost; `select` is given a generation and the best so
/// far, and returns the best of both, best first, as [`rank`] does from scores.
pub fn evolve<E>(
    config: &EvolutionConfig,
    streams: &Streams,
    admissible: impl Fn(&Candidate) -> bool,
    select: impl FnMut(&[Task], Vec<Ranked>) -> Result<Vec<Ranked>, E>,
) -> Result<Outcome, E> {
    evolve_in(&Darts { config, admissible }, config, streams, select)
}

/// [`evolve`] in any space.
pub fn evolve_in<S: Breeding, E>(
    space: &S,
    config: &EvolutionConfig,
    streams: &Streams,
    mut select: impl FnMut(
        &[Task<S::Candidate>],
        Vec<Ranked<S::Candidate>>,
    ) -> Result<Vec<Ranked<S::Candidate>>, E>,
) -> Result<Outcome<S::Candidate>, E> {
    let mut proposer = Proposer { config, space, drawn: HashSet::new(), visited: HashSet::new() };
    let mut archive: Vec<Ranked<S::Candidate>> = Vec::new();
    let mut outcome = Outcome { top: Vec::new(), best_by_generation: Vec::new(), evaluated: 0 };
    for generation in 0..config.generations {
        let mut rng = streams.rng("evolution", generation as u64);
        // Parents are drawn uniformly, so their order means nothing. That of their birth does not depend on
        // scores, which a race need not know exactly.
        let mut parents: Vec<Ranked<S::Candidate>> = archive.iter().take(config.parents).copied().collect();
        parents.sort_by_key(|parent| parent.index);
        let parents: Vec<S::Candidate> = parents.into_iter().map(|parent| parent.candidate).collect();
        let population = proposer.breed(&parents, &mut rng);
        let tasks: Vec<Task<S::Candidate>> = population
            .into_iter()
            .enumerate()
            .map(|(n, candidate)| Task { index: outcome.evaluated + n as u64, generation, candidate })
            .collect();
        archive = select(&tasks, archive)?;
        outcome.evaluated += tasks.len() as u64;
        outcome.best_by_generation.push(archive.first().map_or(f64::NEG_INFINITY, |r| r.score));
    }
    outcome.top = archive;
    Ok(outcome)
}

/// The best of a generation with these scores and of the archive, best first; NaN is a failure.
pub fn rank<C: Copy>(
    config: &EvolutionConfig,
    tasks: &[Task<C>],
    scores: &[f64],
    mut archive: Vec<Ranked<C>>,
) -> Vec<Ranked<C>> {
    archive.extend(tasks.iter().zip(scores).map(|(task, &score)| Ranked {
        index: task.index,
        candidate: task.candidate,
        score: if score.is_nan() { f64::NEG_INFINITY } else { score },
    }));
    // Stable: among equals the earlier one stays ahead, as in the published loop.
    archive.sort_by(|a, b| b.score.total_cmp(&a.score));
    archive.truncate(config.parents.max(TOP));
    archive
}

/// Draws candidates that were not accepted before.
struct Proposer<'a, S: Breeding> {
    config: &'a EvolutionConfig,
    space: &'a S,
    /// Raw proposals that were drawn, and candidates that were accepted.
    drawn: HashSet<S::Raw>,
    visited: HashSet<S::Candidate>,
}

impl<S: Breeding> Proposer<'_, S> {
    /// The next population: mutants, crossovers, and random candidates for the rest. Without
    /// parents all are random.
    fn breed(&mut self, parents: &[S::Candidate], rng: &mut impl Rng) -> Vec<S::Candidate> {
        let (config, space, cap) = (self.config, self.space, self.config.max_proposals);
        let mut population = Vec::with_capacity(config.population);
        if !parents.is_empty() {
            let pick = |rng: &mut _| parents[RngExt::random_range(rng, 0..parents.len())];
            population.extend(self.propose(config.mutations, cap, rng, |rng| space.mutate(&pick(rng), rng)));
            let cap = cap.min(CROSSOVER_BATCHES * BATCH);
            population.extend(self.propose(config.crossovers, cap, rng, |rng| {
                let (a, b) = (pick(rng), pick(rng));
                space.crossover(&a, &b, rng)
            }));
        }
        let rest = config.population - population.len();
        population.extend(self.propose(rest, cap, rng, |rng| space.random(rng)));
        population
    }

    /// Up to `wanted` new candidates from at most `cap` raw draws.
    fn propose<R: Rng>(
        &mut self,
        wanted: usize,
        cap: usize,
        rng: &mut R,
        mut draw: impl FnMut(&mut R) -> S::Raw,
    ) -> Vec<S::Candidate> {
        let mut accepted = Vec::with_capacity(wanted);
        let mut draws = 0;
        while accepted.len() < wanted && draws < cap {
            // A batch is drawn and recorded as a whole before any of it is repaired, as published.
            let mut batch = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                let raw = draw(rng);
                draws += 1;
                if self.drawn.insert(raw) {
                    batch.push(raw);
                }
            }
            for raw in batch {
                if accepted.len() == wanted {
                    break;
                }
                let candidate = self.space.candidate(&raw, rng).filter(|new| self.visited.insert(*new));
                if let Some(candidate) = candidate {
                    self.drawn.insert(self.space.raw(&candidate));
                    accepted.push(candidate);
                }
            }
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::MutateScope;

    fn small() -> EvolutionConfig {
        EvolutionConfig {
            generations: 8,
            population: 20,
            parents: 5,
            mutations: 8,
            crossovers: 8,
            ..Default::default()
        }
    }

    /// Counts sep_conv_5x5: a landscape with a known direction.
    fn count(candidate: &Candidate) -> f64 {
        candidate.to_ints().iter().filter(|&&g| g == 5).count() as f64
    }

    fn run(config: &EvolutionConfig, admissible: impl Fn(&Candidate) -> bool) -> (Outcome, Vec<Task>) {
        let mut tasks = Vec::new();
        let outcome = evolve(config, &Streams::new(3), admissible, |batch, archive| {
            tasks.extend_from_slice(batch);
            let scores: Vec<f64> = batch.iter().map(|t| count(&t.candidate)).collect();
            Ok::<_, ()>(rank(config, batch, &scores, archive))
        });
        (outcome.unwrap(), tasks)
    }

    #[test]
    fn it_improves_never_repeats_and_repeats_itself() {
        let (outcome, tasks) = run(&small(), |_| true);
        assert_eq!(outcome.evaluated, 160);
        assert!(outcome.best_by_generation.windows(2).all(|w| w[0] <= w[1]));
        assert!(outcome.best_by_generation[7] > outcome.best_by_generation[0]);
        assert_eq!(outcome.top[0].score, outcome.best_by_generation[7]);
        let unique: HashSet<_> = tasks.iter().map(|t| t.candidate).collect();
        assert_eq!(unique.len(), tasks.len());
        assert!(tasks.iter().all(|t| t.candidate.is_valid()));
        assert_eq!(tasks.iter().map(|t| t.index).collect::<Vec<_>>(), (0..160).collect::<Vec<_>>());
        assert_eq!(run(&small(), |_| true).1, tasks);
    }

    #[test]
    fn failures_and_nan_rank_last() {
        let outcome = evolve(
            &small(),
            &Streams::new(1),
            |_| true,
            |batch, archive| {
                let score = |t: &Task| if t.index.is_multiple_of(2) { f64::NAN } else { t.index as f64 };
                let scores: Vec<f64> = batch.iter().map(score).collect();
                Ok::<_, ()>(rank(&small(), batch, &scores, archive))
            },
        )
        .unwrap();
        assert!(outcome.top.iter().all(|r| r.score.is_finite()));
        assert_eq!(outcome.top[0].score, 159.0);
    }

    #[test]
    fn bounds_hold_and_impossible_bounds_end() {
        let (outcome, tasks) = run(&small(), |c| count(c) <= 2.0);
        assert!(tasks.iter().all(|t| count(&t.candidate) <= 2.0));
        assert_eq!(outcome.evaluated, 160);
        let config = EvolutionConfig { max_proposals: 1000, ..small() };
        assert_eq!(run(&config, |_| false).0.evaluated, 0);
    }

    #[test]
    fn scope_normal_keeps_the_parents_reduction_cells() {
        let config =
            EvolutionConfig { mutations: 20, crossovers: 0, mutation_scope: MutateScope::Normal, ..small() };
        let (_, tasks) = run(&config, |_| true);
        let first: HashSet<_> = tasks[..20].iter().map(|t| t.candidate.reduce).collect();
        assert!(tasks[20..].iter().all(|t| first.contains(&t.candidate.reduce)));
    }
}
