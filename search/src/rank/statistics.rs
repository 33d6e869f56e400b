//! Agreement of a metric's scores with the truth: Kendall's tau-b, Spearman's rho, precision among the
//! best, regret.
//!
//! Higher is better in both lists, and a cell is a position in both. Ties are equal numbers, -0 and 0
//! among them; infinities rank as such, so a failed candidate's score of -infinity is last. NaN is an
//! error, because it has no rank: whoever scores decides what a failure is worth.

use std::cmp::Ordering;

/// Why a statistic is not defined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// Lists of different lengths.
    #[error("{scores} scores and {truth} true values: give one of each for every cell")]
    Lengths {
        /// How many scores.
        scores: usize,
        /// How many true values.
        truth: usize,
    },
    /// A list with NaN in it.
    #[error(
        "{list} has NaN for cell {position} (counted from 0): leave that cell out, or give a failed candidate -infinity"
    )]
    NotANumber {
        /// `the metric` or `the truth`.
        list: &'static str,
        /// The cell's place in the list.
        position: usize,
    },
    /// Too few cells.
    #[error("{found} cells, but at least {needed} are needed: score more cells")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// All values equal.
    #[error("{0} is the same for all cells, so nothing is ranked")]
    Constant(&'static str),
    /// A number of best cells that does not exist.
    #[error("the best {k} of {n} cells: give a number from 1 to {n}")]
    TopK {
        /// What was asked for.
        k: usize,
        /// How many cells there are.
        n: usize,
    },
    /// Not one resample in which the statistic was defined.
    #[error("none of {0} bootstrap resamples has a value: score more cells, or ask for more resamples")]
    NoResamples(usize),
}

const METRIC: &str = "the metric";
const TRUTH: &str = "the truth";

/// Kendall's tau-b, -1 to 1, in O(n log n) (Knight, 1966); ties are corrected for on both sides.
///
/// # Errors
/// Lists that do not match, NaN, fewer than two cells, or a list whose values are all equal, for which
/// scipy gives NaN.
pub fn tau_b(scores: &[f64], truth: &[f64]) -> Result<f64, StatisticsError> {
    check(scores, truth, 2)?;
    let mut pairs: Vec<(u32, u32)> = dense_ranks(scores).into_iter().zip(dense_ranks(truth)).collect();
    pairs.sort_unstable();
    let tied_scores = tied_pairs(pairs.iter().map(|pair| pair.0));
    let tied_both = tied_pairs(pairs.iter());
    // Equal scores are in order of the truth, so every inversion is a discordant pair.
    let mut ranks: Vec<u32> = pairs.into_iter().map(|pair| pair.1).collect();
    let discordant = sort_counting_inversions(&mut ranks);
    let tied_truth = tied_pairs(ranks.iter());
    let all = scores.len() as i64 * (scores.len() as i64 - 1) / 2;
    let (ranked_scores, ranked_truth) = (all - tied_scores, all - tied_truth);
    if ranked_scores == 0 {
        return Err(StatisticsError::Constant(METRIC));
    }
    if ranked_truth == 0 {
        return Err(StatisticsError::Constant(TRUTH));
    }
    let concordant_less_discordant = ranked_scores - tied_truth + tied_both - 2 * discordant;
    let tau =
        concordant_less_discordant as f64 / (ranked_scores as f64).sqrt() / (ranked_truth as f64).sqrt();
    Ok(tau.clamp(-1.0, 1.0))
}

/// Spearman's rho, -1 to 1: Pearson's correlation of the ranks, where equal values share the mean of
/// theirs.
///
/// # Errors
/// As [`tau_b`].
pub fn spearman(scores: &[f64], truth: &[f64]) -> Result<f64, StatisticsError> {
    check(scores, truth, 2)?;
    let (x, y) = (centred_ranks(scores), centred_ranks(truth));
    let product = |a: &[i64], b: &[i64]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| i128::from(a) * i128::from(b)).sum::<i128>() as f64
    };
    let (xx, yy) = (product(&x, &x), product(&y, &y));
    if xx == 0.0 {
        return Err(StatisticsError::Constant(METRIC));
    }
    if yy == 0.0 {
        return Err(StatisticsError::Constant(TRUTH));
    }
    Ok((product(&x, &y) / xx.sqrt() / yy.sqrt()).clamp(-1.0, 1.0))
}

/// The share of the `k` cells that the metric ranks highest which are among the `k` truly best, 0 to 1.
///
/// Where equal values stand across place `k`, it is the mean over all ways to break these ties, in both
/// lists independently, so that the order of the cells does not matter: a constant metric gets k / n.
///
/// # Errors
/// Lists that do not match, NaN, or a `k` that is not 1 to n.
pub fn precision_at(k: usize, scores: &[f64], truth: &[f64]) -> Result<f64, StatisticsError> {
    check(scores, truth, 1)?;
    let n = scores.len();
    if !(1..=n).contains(&k) {
        return Err(StatisticsError::TopK { k, n });
    }
    let (chosen, best) = (chance_among_best(k, scores), chance_among_best(k, truth));
    Ok(chosen.iter().zip(best).map(|(chosen, best)| chosen * best).sum::<f64>() / k as f64)
}

/// How far the cell that the metric ranks highest is below the truly best one, in units of the truth;
/// where several cells share the highest score, the mean over them.
///
/// # Errors
/// Lists that do not match, NaN, or no cell.
pub fn regret(scores: &[f64], truth: &[f64]) -> Result<f64, StatisticsError> {
    check(scores, truth, 1)?;
    let (top, best) = (maximum(scores), maximum(truth));
    let chosen: Vec<f64> =
        scores.iter().zip(truth).filter(|(score, _)| **score == top).map(|(_, truth)| best - truth).collect();
    Ok(chosen.iter().sum::<f64>() / chosen.len() as f64)
}

/// The truly best cells, a share of all (0 to 1) rounded up, as ascending positions; cells as good as the
/// last of them are in as well.
///
/// # Errors
/// NaN, or no cell.
pub fn best_cells(truth: &[f64], share: f64) -> Result<Vec<usize>, StatisticsError> {
    check(truth, truth, 1)?;
    let n = (truth.len() as f64 * share).ceil().clamp(1.0, truth.len() as f64) as usize;
    let last = descending(truth)[n - 1];
    Ok((0..truth.len()).filter(|&cell| truth[cell] >= last).collect())
}

pub(super) fn check(scores: &[f64], truth: &[f64], needed: usize) -> Result<(), StatisticsError> {
    if scores.len() != truth.len() {
        return Err(StatisticsError::Lengths { scores: scores.len(), truth: truth.len() });
    }
    for (list, values) in [(METRIC, scores), (TRUTH, truth)] {
        if let Some(position) = values.iter().position(|value| value.is_nan()) {
            return Err(StatisticsError::NotANumber { list, position });
        }
    }
    if scores.len() < needed {
        return Err(StatisticsError::TooFew { found: scores.len(), needed });
    }
    Ok(())
}

/// The order of numbers that are not NaN; unlike `total_cmp` it has -0 equal to 0.
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn maximum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn descending(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| order(*b, *a));
    sorted
}

/// Positions in ascending order of their values.
fn ascending(values: &[f64]) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..values.len()).collect();
    positions.sort_unstable_by(|&a, &b| order(values[a], values[b]));
    positions
}

/// Numbers in the same order as the values, equal where these are.
fn dense_ranks(values: &[f64]) -> Vec<u32> {
    let mut ranks = vec![0; values.len()];
    let positions = ascending(values);
    let mut rank = 0;
    for pair in positions.windows(2) {
        rank += u32::from(values[pair[0]] != values[pair[1]]);
        ranks[pair[1]] = rank;
    }
    ranks
}

/// Twice the distance of each mid-rank from their mean (n + 1) / 2: an integer.
fn centred_ranks(values: &[f64]) -> Vec<i64> {
    let mut ranks = vec![0; values.len()];
    let positions = ascending(values);
    let mut first = 0;
    for tied in positions.chunk_by(|&a, &b| values[a] == values[b]) {
        // The ranks first + 1 to first + m have the mean first + (m + 1) / 2.
        let rank = (2 * first + tied.len()) as i64 - values.len() as i64;
        tied.iter().for_each(|&position| ranks[position] = rank);
        first += tied.len();
    }
    ranks
}

/// Pairs of equal neighbours in a sorted list, and of all that are equal to these.
fn tied_pairs<T: PartialEq>(sorted: impl Iterator<Item = T>) -> i64 {
    let (mut pairs, mut run, mut before) = (0, 0, None);
    for value in sorted {
        run = if before.as_ref() == Some(&value) { run + 1 } else { 0 };
        pairs += run;
        before = Some(value);
    }
    pairs
}

/// Sorts by merging, and counts the pairs that stood in the wrong order.
fn sort_counting_inversions(values: &mut Vec<u32>) -> i64 {
    let n = values.len();
    let mut merged = vec![0; n];
    let (mut inversions, mut width) = (0, 1);
    while width < n {
        for start in (0..n).step_by(2 * width) {
            let (middle, end) = ((start + width).min(n), (start + 2 * width).min(n));
            let (mut left, mut right) = (start, middle);
            for slot in &mut merged[start..end] {
                if right == end || (left < middle && values[left] <= values[right]) {
                    *slot = values[left];
                    left += 1;
                } else {
                    *slot = values[right];
                    right += 1;
                    inversions += (middle - left) as i64;
                }
            }
        }
        std::mem::swap(values, &mut merged);
        width *= 2;
    }
    inversions
}

/// For each cell the chance to be among the `k` highest when ties are broken at random.
fn chance_among_best(k: usize, values: &[f64]) -> Vec<f64> {
    let last = descending(values)[k - 1];
    let above = values.iter().filter(|&&value| value > last).count();
    let tied = values.iter().filter(|&&value| value == last).count();
    let chance = (k - above) as f64 / tied as f64;
    let of = |value: f64| if value > last { 1.0 } else { chance * f64::from(u8::from(value == last)) };
    values.iter().map(|&value| of(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        scores: Vec<f64>,
        truth: Vec<f64>,
        tau: f64,
        spearman: f64,
        precision: Vec<(usize, f64)>,
    }

    #[derive(serde::Deserialize)]
    struct Recorded {
        cases: Vec<Case>,
    }

    fn close(what: &str, found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{what}: {found}, expected {expected}");
    }

    #[test]
    fn agrees_with_scipy() {
        // Made by tests/scipy_rank.py.
        let recorded: Recorded = serde_json::from_str(include_str!("../../tests/scipy_rank.json")).unwrap();
        assert!(recorded.cases.len() >= 10);
        for Case { name, scores, truth, tau, spearman: rho, precision } in recorded.cases {
            close(&name, tau_b(&scores, &truth).unwrap(), tau);
            close(&name, tau_b(&truth, &scores).unwrap(), tau);
            close(&name, spearman(&scores, &truth).unwrap(), rho);
            let negated: Vec<f64> = scores.iter().map(|score| -score).collect();
            close(&name, tau_b(&negated, &truth).unwrap(), -tau);
            for (k, expected) in precision {
                close(&name, precision_at(k, &scores, &truth).unwrap(), expected);
            }
        }
    }

    #[test]
    fn infinities_rank_and_do_not_spoil() {
        let scores = [f64::NEG_INFINITY, 2.0, f64::NEG_INFINITY, 3.0, f64::INFINITY];
        let finite = [-9.0, 2.0, -9.0, 3.0, 9.0];
        let truth = [3.0, 1.0, 2.0, 5.0, 4.0];
        assert_eq!(tau_b(&scores, &truth), tau_b(&finite, &truth));
        assert_eq!(spearman(&scores, &truth), spearman(&finite, &truth));
        assert_eq!(precision_at(2, &scores, &truth), Ok(1.0));
        assert_eq!(regret(&scores, &truth), Ok(1.0));
    }

    #[test]
    fn precision_and_regret_average_over_ties() {
        let truth = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(precision_at(1, &[0.0; 4], &truth), Ok(0.25));
        assert_eq!(precision_at(2, &[9.0, 5.0, 5.0, 5.0], &truth), Ok(1.0 / 3.0));
        assert_eq!(precision_at(4, &[0.0; 4], &truth), Ok(1.0));
        assert_eq!(regret(&[7.0, 0.0, 7.0, 0.0], &truth), Ok(2.0));
        assert_eq!(regret(&truth, &truth), Ok(0.0));
    }

    #[test]
    fn the_better_half_includes_those_on_its_edge() {
        let truth = [5.0, 1.0, 3.0, 3.0, 2.0, 3.0];
        assert_eq!(best_cells(&truth, 0.5), Ok(vec![0, 2, 3, 5]));
        assert_eq!(best_cells(&truth, 0.0), Ok(vec![0]));
        assert_eq!(best_cells(&truth, 1.0), Ok((0..6).collect()));
        assert_eq!(best_cells(&[], 0.5), Err(StatisticsError::TooFew { found: 0, needed: 1 }));
    }

    #[test]
    fn what_has_no_rank_is_an_error() {
        type Statistic = fn(&[f64], &[f64]) -> Result<f64, StatisticsError>;
        let statistics: [Statistic; 4] =
            [tau_b, spearman, |scores, truth| precision_at(1, scores, truth), regret];
        for statistic in statistics {
            let error = |scores: &[f64], truth: &[f64]| statistic(scores, truth).unwrap_err().to_string();
            let text = error(&[1.0, f64::NAN], &[1.0, 2.0]);
            assert!(text.contains("the metric has NaN for cell 1") && text.contains("-infinity"), "{text}");
            assert!(error(&[1.0], &[f64::NAN]).contains("the truth has NaN for cell 0"));
            assert!(error(&[1.0], &[1.0, 2.0]).contains("1 scores and 2 true values"));
            assert!(error(&[], &[]).contains("0 cells, but at least"));
        }
        for statistic in [tau_b, spearman] {
            assert_eq!(statistic(&[1.0], &[1.0]), Err(StatisticsError::TooFew { found: 1, needed: 2 }));
            assert_eq!(statistic(&[0.0, -0.0], &[1.0, 2.0]), Err(StatisticsError::Constant("the metric")));
            assert_eq!(statistic(&[1.0, 2.0], &[3.0, 3.0]), Err(StatisticsError::Constant("the truth")));
        }
        assert_eq!(precision_at(3, &[1.0, 2.0], &[1.0, 2.0]), Err(StatisticsError::TopK { k: 3, n: 2 }));
        assert_eq!(precision_at(0, &[1.0], &[1.0]), Err(StatisticsError::TopK { k: 0, n: 1 }));
    }

    #[test]
    fn every_pair_counts_once() {
        // Against the definition, pair by pair, with many ties.
        let mut state = 1u64;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % n) as f64
        };
        for n in 2..60 {
            let scores: Vec<f64> = (0..n).map(|_| draw(12)).collect();
            let truth: Vec<f64> = (0..n).map(|_| draw(7)).collect();
            let (mut sum, mut of_scores, mut of_truth) = (0.0, 0.0, 0.0);
            for i in 0..n {
                for j in 0..i {
                    let sign = |values: &[f64]| match order(values[i], values[j]) {
                        Ordering::Less => -1.0,
                        Ordering::Equal => 0.0,
                        Ordering::Greater => 1.0,
                    };
                    let (a, b): (f64, f64) = (sign(&scores), sign(&truth));
                    sum += a * b;
                    of_scores += a * a;
                    of_truth += b * b;
                }
            }
            match tau_b(&scores, &truth) {
                Ok(tau) => close("tau", tau, sum / (of_scores * of_truth).sqrt()),
                Err(error) => assert!(of_scores * of_truth == 0.0, "{error}"),
            }
        }
    }
}
