//! Racing: the best of a field are found without measuring every contestant on every image.
//!
//! All contestants see the same images in the same random order, so the first `n` of them are a simple random
//! sample of the whole, and two contestants differ by less than each differs from its full score. A contestant
//! that is certainly out, or certainly in, is measured no further; the images go where the ranking is open.
//!
//! The statistics are those of survey sampling (Cochran, Sampling Techniques, chapters 2 and 7): the averages over
//! all images are estimated from the first `n` by regression on contestants that have seen all images (the
//! *panel*), the score's variance follows by the delta method, with the finite population correction
//! `1/n - 1/N`, and two scores are compared with the covariance of what the regression leaves. Once a contestant
//! has seen all images its score is exact.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Images per coefficient below which a regression would fit noise; such samples are averaged plainly.
const IMAGES_PER_COEFFICIENT: usize = 20;

/// How a race is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RacingConfig {
    /// Whether candidates race. Implies `metric.common-random-numbers`.
    pub enabled: bool,
    /// One candidate beats another for certain if its score is larger by this many standard errors of the difference.
    pub standard_errors: f64,
    /// Images that every candidate sees.
    pub first_images: usize,
    /// Largest share of a full search's images that a generation may take. At 1 every place is decided at
    /// `standard-errors`; below, places that are open when the images are used up go to the better estimates.
    pub budget: f64,
    /// Candidates measured in full that serve as regressors.
    pub panel: usize,
}

impl Default for RacingConfig {
    fn default() -> Self {
        Self { enabled: false, standard_errors: 3.0, first_images: 250, budget: 1.0, panel: 8 }
    }
}

/// Values per image: one vector for each column of the metric.
pub type Columns = Vec<Vec<f64>>;

/// What a race measures, and how scores follow from averages.
pub trait Field {
    /// Why measuring had to stop.
    type Error;
    /// Number of images of a full measurement.
    fn images(&self) -> usize;
    /// The columns of some contestants for ranges of the images, in the race's order; `None` where a contestant
    /// cannot be measured. Values are scaled so that a score depends on their plain averages over all images.
    fn measure(&mut self, work: &[(u64, Range<usize>)]) -> Result<Vec<Option<Columns>>, Self::Error>;
    /// The score of a contestant with these averages; larger is better.
    fn score(&self, contestant: u64, means: &[f64]) -> f64;
}

/// Where a contestant stands after a race.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The contestant.
    #[serde(skip)]
    pub index: u64,
    /// Its score, or an estimate of it; minus infinity if it could not be measured.
    #[serde(skip)]
    pub score: f64,
    /// Averages of the columns, or estimates of them.
    #[serde(skip)]
    pub means: Vec<f64>,
    /// Images that it has seen.
    pub images: usize,
    /// Images of a full measurement.
    pub of: usize,
    /// Standard error of the score as an estimate of the score on all images; 0 if it has seen all.
    pub standard_error: f64,
    /// Whether it won a place.
    pub kept: bool,
    /// Whether this was decided at the wanted number of standard errors, not by a used-up budget.
    pub decided: bool,
    /// Whether it serves as a regressor from now on.
    pub panel: bool,
}

/// What is known of a contestant.
#[derive(Debug, Default)]
struct Contestant {
    columns: Columns,
    seen: usize,
    estimate: Estimate,
}

/// A score estimated from the first images.
#[derive(Debug, Default)]
struct Estimate {
    score: f64,
    means: Vec<f64>,
    /// Variance of one image's contribution; 0 if all were seen.
    variance: f64,
    /// Contribution of each image to the score's error; empty if all were seen.
    influence: Vec<f64>,
}

/// Contestants that may meet again: kept ones and the panel stay, with their measurements.
#[derive(Debug)]
pub struct Race<F> {
    /// What is measured.
    pub field: F,
    settings: RacingConfig,
    contestants: HashMap<u64, Contestant>,
    /// Regressors, in ascending order: what each image contributes to their scores.
    panel: Vec<(u64, Vec<f64>)>,
    measured: u64,
}

impl<F: Field> Race<F> {
    /// A race in which nobody runs yet.
    pub fn new(field: F, settings: &RacingConfig) -> Self {
        Self {
            field,
            settings: settings.clone(),
            contestants: HashMap::new(),
            panel: Vec::new(),
            measured: 0,
        }
    }

    /// Images measured so far, over all contestants.
    pub fn measured(&self) -> u64 {
        self.measured
    }

    /// Brings contestants back to where an earlier run left them: (contestant, images seen, whether in the panel).
    pub fn restore(&mut self, standings: &[(u64, usize, bool)]) -> Result<(), F::Error> {
        let work: Vec<_> = standings.iter().map(|&(index, images, _)| (index, 0..images)).collect();
        self.measure(work)?;
        for &(index, ..) in standings.iter().filter(|s| s.2) {
            if self.holds(index) {
                self.join_panel(index);
            }
        }
        Ok(())
    }

    /// Gives `places` to the best of `pool`, measuring at most `budget` images, or as many as it takes for everybody to
    /// see the first ones. Standings come in the order of `pool`.
    pub fn run(&mut self, pool: &[u64], places: usize, budget: u64) -> Result<Vec<Standing>, F::Error> {
        let all = self.field.images();
        let limit = self.measured.saturating_add(budget);
        let first = self.settings.first_images.min(all);
        let seen = |race: &Self, index: &u64| race.contestants.get(index).map_or(0, |c| c.seen);
        let fresh: Vec<_> =
            pool.iter().map(|i| (*i, seen(self, i)..first)).filter(|w| !w.1.is_empty()).collect();
        self.measure(fresh)?;
        // Those that failed are not here; those that are out leave.
        let mut running: Vec<u64> = pool.iter().copied().filter(|i| self.holds(*i)).collect();
        let undecided = loop {
            self.estimate(&running);
            running.sort_by(|a, b| self.score(*b).total_cmp(&self.score(*a)).then(a.cmp(b)));
            let (open, candidates) = self.open(&running, places);
            let stays = |(rank, i): &(usize, u64)| *rank < places || open.contains(i);
            running = running.into_iter().enumerate().filter(stays).map(|(_, i)| i).collect();
            let work = self.next(&candidates, limit);
            if work.is_empty() {
                break open;
            }
            let complete: Vec<u64> = work.iter().filter(|w| w.1.end == all).map(|w| w.0).collect();
            self.measure(work)?;
            for index in complete {
                if self.holds(index) && self.panel.len() < self.settings.panel {
                    self.join_panel(index);
                }
            }
            // One that could not be measured further is lost.
            running.retain(|i| self.holds(*i));
        };
        let kept = &running[..places.min(running.len())];
        let standings = pool.iter().map(|&index| self.standing(index, kept, &undecided)).collect();
        let panel = &self.panel;
        self.contestants.retain(|i, _| {
            !pool.contains(i) || kept.contains(i) || panel.iter().any(|(member, _)| member == i)
        });
        Ok(standings)
    }

    /// Measures a contestant that is still here on all images.
    pub fn complete(&mut self, index: u64) -> Result<Standing, F::Error> {
        let (seen, all) = (self.contestants.get(&index).map_or(0, |c| c.seen), self.field.images());
        if seen < all {
            self.measure(vec![(index, seen..all)])?;
        }
        if self.holds(index) {
            self.estimate(&[index]);
        }
        Ok(self.standing(index, &[index], &[]))
    }

    /// Whether a contestant's measurements are here.
    pub fn holds(&self, index: u64) -> bool {
        self.contestants.contains_key(&index)
    }

    fn standing(&self, index: u64, kept: &[u64], undecided: &[u64]) -> Standing {
        let of = self.field.images();
        let (mut score, mut images, mut standard_error, mut means) = (f64::NEG_INFINITY, 0, 0.0, Vec::new());
        if let Some(c) = self.contestants.get(&index) {
            (score, images, means) = (c.estimate.score, c.seen, c.estimate.means.clone());
            standard_error = (c.estimate.variance * self.correction(c.seen)).sqrt();
        }
        Standing {
            index,
            score,
            means,
            images,
            of,
            standard_error,
            kept: kept.contains(&index),
            decided: !undecided.contains(&index),
            panel: self.panel.iter().any(|(member, _)| *member == index),
        }
    }

    /// `1/n - 1/N`.
    fn correction(&self, images: usize) -> f64 {
        1.0 / images as f64 - 1.0 / self.field.images() as f64
    }

    fn score(&self, index: u64) -> f64 {
        self.contestants[&index].estimate.score
    }

    /// Contestants whose place is open, and whose measurement would tell, nearest to the boundary first. One is out if
    /// as many as there are places certainly beat it, and in if it certainly beats all but those: a comparison with
    /// the one on the boundary would trust that one's estimate, and the best of many estimates are too good.
    fn open(&self, ranked: &[u64], places: usize) -> (Vec<u64>, Vec<u64>) {
        let Some((&inside, &outside)) = ranked.get(places.wrapping_sub(1)).zip(ranked.get(places)) else {
            return (Vec::new(), Vec::new());
        };
        let mut beaten_by = vec![0; ranked.len()];
        let mut beats = vec![0; ranked.len()];
        let mut doubts = vec![Vec::new(); ranked.len()];
        for (a, b) in (0..ranked.len()).flat_map(|b| (0..b).map(move |a| (a, b))) {
            let error = self.error_of_difference(ranked[a], ranked[b]);
            // Equal complete scores: the order decides.
            if self.score(ranked[a]) - self.score(ranked[b]) >= self.settings.standard_errors * error {
                beats[a] += 1;
                beaten_by[b] += 1;
            } else {
                doubts[a].push(b);
                doubts[b].push(a);
            }
        }
        let open = |c: &usize| beaten_by[*c] < places && beats[*c] < ranked.len() - places;
        let open: Vec<usize> = (0..ranked.len()).filter(open).collect();
        let partial = |c: &usize| self.contestants[&ranked[*c]].seen < self.field.images();
        let mut next: Vec<usize> = open.iter().copied().filter(partial).collect();
        if next.is_empty() {
            // Complete themselves; what is in doubt is their rivals, though those are sure of their own places.
            next = open.iter().flat_map(|c| doubts[*c].iter().copied()).filter(partial).collect();
            next.sort_unstable();
            next.dedup();
        }
        let boundary = (self.score(inside) + self.score(outside)) / 2.0;
        let distance = |c: &usize| (self.score(ranked[*c]) - boundary).abs();
        next.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.cmp(b)));
        let names = |of: Vec<usize>| of.into_iter().map(|c| ranked[c]).collect();
        (names(open), names(next))
    }

    /// Standard error of the difference of two estimated scores. The first images of one are among those of the
    /// other, so what both saw cancels in part.
    fn error_of_difference(&self, a: u64, b: u64) -> f64 {
        let (a, b) = (&self.contestants[&a], &self.contestants[&b]);
        let common = a.seen.min(b.seen);
        let products = a.estimate.influence.iter().zip(&b.estimate.influence);
        let covariance = products.map(|(x, y)| x * y).sum::<f64>() / common as f64;
        let variance = a.estimate.variance * self.correction(a.seen)
            + b.estimate.variance * self.correction(b.seen)
            - 2.0 * covariance * self.correction(a.seen.max(b.seen));
        variance.max(0.0).sqrt()
    }

    /// Who is measured next: of these those that saw least, each on as many images again; the first of them if not all
    /// can be had.
    fn next(&self, candidates: &[u64], limit: u64) -> Vec<(u64, Range<usize>)> {
        let all = self.field.images();
        let seen = |index: &u64| self.contestants[index].seen;
        let Some(least) = candidates.iter().map(seen).min() else {
            return Vec::new();
        };
        let end = (2 * least).min(all);
        let affordable = limit.saturating_sub(self.measured) / (end - least) as u64;
        let work = candidates.iter().filter(|i| seen(i) == least).take(affordable as usize);
        work.map(|i| (*i, least..end)).collect()
    }

    fn measure(&mut self, work: Vec<(u64, Range<usize>)>) -> Result<(), F::Error> {
        let columns = self.field.measure(&work)?;
        for ((index, range), columns) in work.into_iter().zip(columns) {
            let Some(columns) = columns else {
                self.contestants.remove(&index);
                continue;
            };
            self.measured += range.len() as u64;
            let contestant = self.contestants.entry(index).or_default();
            contestant.seen = range.end;
            if contestant.columns.is_empty() {
                contestant.columns = columns;
            } else {
                contestant.columns.iter_mut().zip(columns).for_each(|(old, new)| old.extend(new));
            }
        }
        Ok(())
    }

    /// Makes one that has seen all images a regressor.
    fn join_panel(&mut self, index: u64) {
        self.estimate(&[index]);
        let Contestant { columns, estimate, .. } = &self.contestants[&index];
        let slope = gradient(&estimate.means, |means| self.field.score(index, means));
        let contribution = combine(columns, &slope);
        let at = self.panel.partition_point(|(member, _)| *member < index);
        self.panel.insert(at, (index, contribution));
    }

    fn estimate(&mut self, indices: &[u64]) {
        let all = self.field.images();
        let mut bases: HashMap<usize, Basis> = HashMap::new();
        for index in indices {
            let contestant = &self.contestants[index];
            let n = contestant.seen;
            let basis = bases.entry(n).or_insert_with(|| {
                let enough = n < all && n >= IMAGES_PER_COEFFICIENT * (1 + self.panel.len());
                Basis::new(n, self.panel.iter().filter(|_| enough).map(|(_, column)| column.as_slice()))
            });
            let (means, residuals): (Vec<f64>, Columns) =
                contestant.columns.iter().map(|column| basis.fit(column)).unzip();
            let score = self.field.score(*index, &means);
            let mut estimate = Estimate { score, means, ..Default::default() };
            if n < all {
                let slope = gradient(&estimate.means, |means| self.field.score(*index, means));
                estimate.influence = combine(&residuals, &slope);
                let square: f64 = estimate.influence.iter().map(|e| e * e).sum();
                estimate.variance = square / n.saturating_sub(basis.directions.len()).max(1) as f64;
            }
            if let Some(contestant) = self.contestants.get_mut(index) {
                contestant.estimate = estimate;
            }
        }
    }
}

/// Orthonormal directions over the first images, spanned by a constant and the panel's contributions.
#[derive(Debug)]
struct Basis {
    /// Values over the first images, and the value at the panel's averages over all images.
    directions: Vec<(Vec<f64>, f64)>,
}

impl Basis {
    fn new<'a>(n: usize, panel: impl Iterator<Item = &'a [f64]>) -> Self {
        let mut basis = Self { directions: Vec::new() };
        basis.extend(vec![1.0; n], 1.0);
        for column in panel {
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            basis.extend(column[..n].to_vec(), mean);
        }
        basis
    }

    /// Gram and Schmidt's step; what the others explain already is left out.
    fn extend(&mut self, mut values: Vec<f64>, mut at_mean: f64) {
        let before = dot(&values, &values);
        // Twice: once loses digits where directions are nearly parallel.
        for _ in 0..2 {
            for (direction, mean) in &self.directions {
                let share = dot(&values, direction);
                values.iter_mut().zip(direction).for_each(|(v, d)| *v -= share * d);
                at_mean -= share * mean;
            }
        }
        let square = dot(&values, &values);
        if square > 1e-12 * before {
            let scale = square.sqrt().recip();
            values.iter_mut().for_each(|v| *v *= scale);
            self.directions.push((values, at_mean * scale));
        }
    }

    /// The regression's estimate of a column's average over all images, and what it does not explain of the first.
    fn fit(&self, column: &[f64]) -> (f64, Vec<f64>) {
        let mut mean = 0.0;
        let mut residual = column.to_vec();
        for (direction, at_mean) in &self.directions {
            let share = dot(column, direction);
            mean += share * at_mean;
            residual.iter_mut().zip(direction).for_each(|(r, d)| *r -= share * d);
        }
        (mean, residual)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Sum of the columns, each times its factor.
fn combine(columns: &[Vec<f64>], factors: &[f64]) -> Vec<f64> {
    let n = columns.first().map_or(0, Vec::len);
    (0..n).map(|j| columns.iter().zip(factors).map(|(c, f)| c[j] * f).sum()).collect()
}

/// Derivatives of the score by central differences: a metric is smooth, or linear on either side of a kink.
fn gradient(means: &[f64], score: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    (0..means.len())
        .map(|k| {
            let step = 1e-6 * means[k].abs().max(1e-3);
            let at = |delta: f64| {
                let mut moved = means.to_vec();
                moved[k] += delta;
                score(&moved)
            };
            (at(step) - at(-step)) / (2.0 * step)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;
    use rand_distr::{Distribution, StandardNormal};
    use std::convert::Infallible;

    const N: usize = 4000;

    /// Losses of many networks: images are easy or hard for all, and each network has errors of its own.
    struct Losses {
        columns: Vec<Vec<f64>>,
        asked: Vec<usize>,
    }

    impl Losses {
        fn new(seed: u64, contestants: usize, spread: f64) -> Self {
            let mut rng = Streams::new(seed).rng("losses", 0);
            let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
            let difficulty: Vec<f64> = (0..N).map(|_| normal()).collect();
            let columns = (0..contestants)
                .map(|_| {
                    let mean = 2.0 + spread * normal();
                    difficulty.iter().map(|d| (mean + d + 0.3 * normal()).max(0.01)).collect()
                })
                .collect();
            Self { columns, asked: vec![0; contestants] }
        }

        fn full(&self, index: u64) -> f64 {
            self.score(index, &[self.columns[index as usize].iter().sum::<f64>() / N as f64])
        }

        fn best(&self, places: usize) -> Vec<u64> {
            let mut order: Vec<u64> = (0..self.columns.len() as u64).collect();
            order.sort_by(|a, b| self.full(*b).total_cmp(&self.full(*a)));
            order.truncate(places);
            order.sort_unstable();
            order
        }
    }

    impl Field for Losses {
        type Error = Infallible;

        fn images(&self) -> usize {
            N
        }

        fn measure(&mut self, work: &[(u64, Range<usize>)]) -> Result<Vec<Option<Columns>>, Infallible> {
            let one = |(index, range): &(u64, Range<usize>)| {
                let index = *index as usize;
                assert_eq!(self.asked[index], range.start, "no image is measured twice");
                self.asked[index] = range.end;
                let column = &self.columns[index][range.clone()];
                (!column[0].is_nan()).then(|| vec![column.to_vec()])
            };
            Ok(work.iter().map(one).collect())
        }

        fn score(&self, _: u64, means: &[f64]) -> f64 {
            1.0 / means[0]
        }
    }

    fn settings() -> RacingConfig {
        RacingConfig { enabled: true, ..Default::default() }
    }

    fn kept(standings: &[Standing]) -> Vec<u64> {
        standings.iter().filter(|s| s.kept).map(|s| s.index).collect()
    }

    /// 40 fields: the places go to those that a full measurement finds, for a part of the images.
    #[test]
    fn places_are_those_of_full_scores() {
        let (mut same, mut images) = (0, 0);
        for seed in 0..40 {
            let field = Losses::new(seed, 30, 0.1);
            let best = field.best(5);
            let mut race = Race::new(field, &settings());
            let pool: Vec<u64> = (0..30).collect();
            let standings = race.run(&pool, 5, u64::MAX).unwrap();
            same += u32::from(kept(&standings) == best);
            images += race.measured();
            assert!(standings.iter().all(|s| s.decided && s.images >= 250 && s.of == N));
            for s in standings.iter().filter(|s| s.images == N) {
                assert!((s.score - race.field.full(s.index)).abs() < 1e-12 && s.standard_error == 0.0);
            }
        }
        assert!(same >= 38, "{same} of 40");
        let share = images as f64 / (40 * 30 * N) as f64;
        assert!(share < 0.3, "{share}");
    }

    /// Errors of differences in units of their standard errors have variance 1, also if one has seen more images,
    /// and the panel makes them smaller.
    #[test]
    fn standard_errors_are_what_they_say() {
        let mut errors = Vec::new();
        for panel in [0, 4] {
            let (mut square, mut error, mut count) = (0.0, 0.0, 0.0);
            for seed in 0..30 {
                let settings = RacingConfig { first_images: 500, panel, ..settings() };
                let mut race = Race::new(Losses::new(seed, 24, 0.1), &settings);
                let members = (0..panel as u64).map(|i| (i, N, true));
                let further = (4..14).map(|i| (i, 1500, false));
                race.restore(&members.chain(further).collect::<Vec<_>>()).unwrap();
                // There are places for all: nobody goes beyond the first images.
                let pool: Vec<u64> = (4..24).collect();
                let standings = race.run(&pool, 20, u64::MAX).unwrap();
                for pair in [[0, 10], [1, 11], [2, 12], [3, 4], [5, 6], [13, 14], [15, 16], [17, 18]] {
                    let [a, b] = pair.map(|i| &standings[i]);
                    let truth = race.field.full(a.index) - race.field.full(b.index);
                    let standard = race.error_of_difference(a.index, b.index);
                    square += ((a.score - b.score - truth) / standard).powi(2);
                    error += standard;
                    count += 1.0;
                }
            }
            assert!((0.8..1.25).contains(&(square / count)), "{panel}: {}", square / count);
            errors.push(error / count);
        }
        assert!(errors[1] < 0.9 * errors[0], "{errors:?}");
    }

    #[test]
    fn a_budget_is_kept_and_what_it_left_open_is_said() {
        let mut race = Race::new(Losses::new(1, 30, 0.02), &settings());
        let pool: Vec<u64> = (0..30).collect();
        let standings = race.run(&pool, 5, 17_000).unwrap();
        assert!((13_000..=17_000).contains(&race.measured()), "{}", race.measured());
        assert_eq!(kept(&standings).len(), 5);
        assert!(standings.iter().any(|s| !s.decided));
    }

    #[test]
    fn a_restored_race_goes_on_as_if_never_stopped() {
        let generations = [(0..20).collect::<Vec<u64>>(), (20..40).collect()];
        let run = |race: &mut Race<Losses>, parents: &[u64], new: &[u64]| {
            let pool: Vec<u64> = parents.iter().chain(new).copied().collect();
            race.run(&pool, 4, u64::MAX).unwrap()
        };
        let mut race = Race::new(Losses::new(5, 40, 0.05), &settings());
        let first = run(&mut race, &[], &generations[0]);
        let second = run(&mut race, &kept(&first), &generations[1]);
        let mut again = Race::new(Losses::new(5, 40, 0.05), &settings());
        let state: Vec<_> =
            first.iter().filter(|s| s.kept || s.panel).map(|s| (s.index, s.images, s.panel)).collect();
        again.restore(&state).unwrap();
        assert_eq!(run(&mut again, &kept(&first), &generations[1]), second);
        let winner = kept(&race.run(&kept(&second), 1, u64::MAX).unwrap())[0];
        let full = race.complete(winner).unwrap();
        assert_eq!((full.images, full.standard_error), (N, 0.0));
        assert!((full.score - race.field.full(winner)).abs() < 1e-12);
    }

    #[test]
    fn failures_lose_and_small_fields_are_not_raced() {
        let mut field = Losses::new(1, 4, 0.1);
        field.columns[2][0] = f64::NAN;
        let mut race = Race::new(field, &settings());
        let standings = race.run(&[0, 1, 2, 3], 3, u64::MAX).unwrap();
        assert_eq!(kept(&standings), [0, 1, 3]);
        assert_eq!(standings[2].score, f64::NEG_INFINITY);
        assert_eq!(race.measured(), 3 * 250);
    }
}
