//! Evolution in NAS-Bench-201 (spec 03-5), and how far what it finds is from the best cell, beside random search.

use std::collections::HashMap;

use genas_space::Streams;
use genas_space::nb201::{Nb201Cell, crossover_nb201, mutate_nb201, random_nb201, sample_nb201};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::config::EvolutionConfig;
use crate::error::SearchError;
use crate::evolution::{Breeding, evolve_in, rank};

/// The evolutions of a laboratory. Defaults are RLNAS's, whose population and generations are the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Nb201EvolutionConfig {
    /// Generations that are scored.
    pub generations: usize,
    /// Cells per generation.
    pub population: usize,
    /// Best cells that breed.
    pub parents: usize,
    /// Children by mutation.
    pub mutations: usize,
    /// Children by crossover.
    pub crossovers: usize,
    /// Probability that an operation mutates.
    pub mutation_probability: f64,
    /// Evolutions, each with a seed of its own.
    pub seeds: u64,
}

impl Default for Nb201EvolutionConfig {
    fn default() -> Self {
        Self {
            generations: 20,
            population: 100,
            parents: 30,
            mutations: 50,
            crossovers: 50,
            mutation_probability: 0.1,
            seeds: 5,
        }
    }
}

impl Nb201EvolutionConfig {
    /// Rejects settings that cannot work, naming them.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("evolution.generations", self.generations),
            ("evolution.population", self.population),
            ("evolution.parents", self.parents),
            ("evolution.seeds", self.seeds as usize),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        if self.mutations + self.crossovers > self.population {
            return Err(format!(
                "evolution.mutations ({}) and evolution.crossovers ({}) exceed evolution.population ({})",
                self.mutations, self.crossovers, self.population
            ));
        }
        if !(0.0..=1.0).contains(&self.mutation_probability) {
            let p = self.mutation_probability;
            return Err(format!("evolution.mutation-probability is {p}, not a probability"));
        }
        Ok(())
    }

    fn evolution(&self) -> EvolutionConfig {
        EvolutionConfig {
            generations: self.generations,
            population: self.population,
            parents: self.parents,
            mutations: self.mutations,
            crossovers: self.crossovers,
            ..EvolutionConfig::default()
        }
    }
}

/// What evolutions by a metric found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evolutions {
    /// The metric that they maximised.
    pub metric: String,
    /// Mean regret over the seeds.
    pub regret: f64,
    /// The same of random search.
    pub random_regret: f64,
    /// One by one.
    pub found: Vec<Found>,
}

impl Evolutions {
    /// Of at least one.
    pub fn new(metric: &str, found: Vec<Found>) -> Self {
        let mean = |of: fn(&Found) -> f64| found.iter().map(of).sum::<f64>() / found.len().max(1) as f64;
        let (regret, random_regret) = (mean(|f| f.regret), mean(|f| f.random_regret));
        Self { metric: metric.to_owned(), regret, random_regret, found }
    }
}

/// What one evolution found, and random search with as many cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Number of the evolution, from 0.
    pub seed: u64,
    /// Cells that were scored.
    pub evaluated: u64,
    /// What the metric thinks best.
    pub cell: Nb201Cell,
    /// Its accuracy trained alone, in percent.
    pub accuracy: f64,
    /// The accuracy of the best cell of the space less that, in percent points.
    pub regret: f64,
    /// What the metric thinks best of as many random cells.
    pub random_cell: Nb201Cell,
    /// Its regret.
    pub random_regret: f64,
}

/// Evolves [`seeds`](Nb201EvolutionConfig::seeds) times, and searches at random with the same number of cells. `score` gives
/// the scores of cells, NaN for those that cannot be scored; `truth` the accuracy of every cell by its official index.
///
/// # Errors
///
/// Those of `score`, or if no cell has a score.
pub fn evolutions(
    config: &Nb201EvolutionConfig,
    streams: &Streams,
    truth: &[f64],
    mut score: impl FnMut(&[Nb201Cell]) -> Result<Vec<f64>, SearchError>,
) -> Result<Vec<Found>, SearchError> {
    let best = truth.iter().copied().fold(f64::MIN, f64::max);
    let settings = config.evolution();
    let space = Nb201Space { mutation_probability: config.mutation_probability };
    let mut found = Vec::new();
    for seed in 0..config.seeds {
        let own = Streams::new(streams.seed().wrapping_add(seed));
        let mut known: HashMap<Nb201Cell, f64> = HashMap::new();
        let outcome = evolve_in(&space, &settings, &own, |tasks, archive| {
            let cells: Vec<Nb201Cell> = tasks.iter().map(|task| task.candidate).collect();
            let scores = score(&cells)?;
            known.extend(cells.into_iter().zip(scores.iter().copied()));
            Ok::<_, SearchError>(rank(&settings, tasks, &scores, archive))
        })?;
        let cell = outcome.top.first().filter(|top| top.score.is_finite()).map(|top| top.candidate);
        let random = sample_nb201(outcome.evaluated as usize, &own)
            .map_err(|e| SearchError::Setting(e.to_string()))?;
        let scores = score(&random)?;
        let random_cell = random
            .into_iter()
            .zip(scores)
            .filter(|(_, score)| !score.is_nan())
            // Of equal scores the first.
            .reduce(|best, new| if new.1 > best.1 { new } else { best });
        let (Some(cell), Some((random_cell, _))) = (cell, random_cell) else {
            return Err(SearchError::Setting("the metric of the evolution gives no cell a score".to_owned()));
        };
        let accuracy = truth[cell.index()];
        found.push(Found {
            seed,
            evaluated: outcome.evaluated,
            cell,
            accuracy,
            regret: best - accuracy,
            random_cell,
            random_regret: best - truth[random_cell.index()],
        });
    }
    Ok(found)
}

/// Cells as they are: nothing is repaired, `none` everywhere is allowed.
struct Nb201Space {
    mutation_probability: f64,
}

impl Breeding for Nb201Space {
    type Raw = Nb201Cell;
    type Candidate = Nb201Cell;

    fn random(&self, rng: &mut impl Rng) -> Nb201Cell {
        random_nb201(rng)
    }

    fn mutate(&self, parent: &Nb201Cell, rng: &mut impl Rng) -> Nb201Cell {
        mutate_nb201(parent, self.mutation_probability, rng)
    }

    fn crossover(&self, a: &Nb201Cell, b: &Nb201Cell, rng: &mut impl Rng) -> Nb201Cell {
        crossover_nb201(a, b, rng)
    }

    fn candidate(&self, raw: &Nb201Cell, _: &mut impl Rng) -> Option<Nb201Cell> {
        Some(*raw)
    }

    fn raw(&self, candidate: &Nb201Cell) -> Nb201Cell {
        *candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::nb201::Nb201Op;

    fn config() -> Nb201EvolutionConfig {
        Nb201EvolutionConfig {
            generations: 10,
            population: 20,
            parents: 6,
            mutations: 10,
            crossovers: 10,
            seeds: 3,
            ..Nb201EvolutionConfig::default()
        }
    }

    /// Convolutions of 3x3: a landscape with a known direction.
    fn count(cell: &Nb201Cell) -> f64 {
        cell.0.iter().filter(|op| **op == Nb201Op::NorConv3x3).count() as f64
    }

    #[test]
    fn evolution_climbs_and_repeats_itself() {
        let truth: Vec<f64> = (0..15_625).map(|n| count(&Nb201Cell::from_index(n).unwrap())).collect();
        let run = |config: &Nb201EvolutionConfig| {
            let mut most = 0;
            let found = evolutions(config, &Streams::new(1), &truth, |cells| {
                most = most.max(cells.len());
                Ok(cells.iter().map(count).collect())
            });
            (found.unwrap(), most)
        };
        let (found, most) = run(&config());
        assert_eq!((found.len(), most), (3, 200), "random search has the same number of cells");
        for one in &found {
            assert_eq!((one.evaluated, one.accuracy), (200, count(&one.cell)));
            assert_eq!(one.regret, 6.0 - one.accuracy);
            assert_eq!(one.random_regret, 6.0 - count(&one.random_cell));
        }
        let mean = |of: fn(&Found) -> f64| found.iter().map(of).sum::<f64>() / 3.0;
        assert!(mean(|f| f.regret) < 0.7 && mean(|f| f.regret) < mean(|f| f.random_regret), "{found:?}");
        assert!(found[0].random_cell != found[1].random_cell, "seeds differ");
        assert_eq!(run(&config()).0, found);
    }

    #[test]
    fn failures_and_wrong_settings() {
        let truth = vec![50.0; 15_625];
        let none = evolutions(&config(), &Streams::new(1), &truth, |cells| Ok(vec![f64::NAN; cells.len()]));
        assert!(none.unwrap_err().to_string().contains("no cell a score"));
        config().check().unwrap();
        let wrong = Nb201EvolutionConfig { mutations: 15, ..config() };
        assert!(wrong.check().unwrap_err().contains("exceed evolution.population"));
        assert!(
            Nb201EvolutionConfig { seeds: 0, ..config() }.check().unwrap_err().contains("evolution.seeds")
        );
    }
}
