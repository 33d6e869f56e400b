//! 95% intervals of a rank statistic by the percentile bootstrap over cells.
//!
//! A resample draws as many cells as there are, with replacement, and all metrics see the same ones. So
//! the interval of a difference between two metrics is that of paired differences, much narrower than the
//! two intervals suggest: what one draw of cells does to both cancels.

use super::statistics::{StatisticsError, check};

/// The share of resamples between the ends of an interval.
const COVERAGE: f64 = 0.95;

/// A statistic of several metrics in every resample.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// By metric, then by resample; NaN where the statistic is not defined.
    values: Vec<Vec<f64>>,
}

/// The 2.5th and the 97.5th percentile of a statistic over resamples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// In how many resamples the statistic was defined; tau is not where all drawn cells are equal.
    pub resamples: usize,
}

impl Interval {
    /// Whether the whole interval lies above 0.
    pub fn is_above_zero(&self) -> bool {
        self.low > 0.0
    }
}

impl Bootstrap {
    /// Evaluates `statistic(scores, truth)` for each metric's scores in `resamples` resamples.
    ///
    /// `below(n)` draws a uniform integer below `n`, and is the only source of chance; it is called once
    /// per drawn cell, resample by resample.
    ///
    /// # Errors
    /// Lists that do not match, NaN, or no cell. A resample whose statistic is not defined is no error.
    pub fn new(
        scores: &[&[f64]],
        truth: &[f64],
        resamples: usize,
        statistic: impl Fn(&[f64], &[f64]) -> Result<f64, StatisticsError>,
        mut below: impl FnMut(usize) -> usize,
    ) -> Result<Bootstrap, StatisticsError> {
        for scores in scores {
            check(scores, truth, 1)?;
        }
        let mut values = vec![Vec::with_capacity(resamples); scores.len()];
        for _ in 0..resamples {
            let cells: Vec<usize> = truth.iter().map(|_| below(truth.len())).collect();
            let drawn = |values: &[f64]| -> Vec<f64> { cells.iter().map(|&cell| values[cell]).collect() };
            let truth = drawn(truth);
            for (values, scores) in values.iter_mut().zip(scores) {
                values.push(statistic(&drawn(scores), &truth).unwrap_or(f64::NAN));
            }
        }
        Ok(Bootstrap { values })
    }

    /// The interval of one metric, numbered as given to [`Bootstrap::new`].
    ///
    /// # Errors
    /// [`StatisticsError::NoResamples`] if the statistic was defined in none.
    pub fn interval(&self, metric: usize) -> Result<Interval, StatisticsError> {
        percentiles(self.values[metric].clone())
    }

    /// The interval of the statistic of metric `a` less that of metric `b`, resample by resample.
    ///
    /// # Errors
    /// As [`Bootstrap::interval`].
    pub fn difference(&self, a: usize, b: usize) -> Result<Interval, StatisticsError> {
        percentiles(self.values[a].iter().zip(&self.values[b]).map(|(a, b)| a - b).collect())
    }
}

fn percentiles(mut values: Vec<f64>) -> Result<Interval, StatisticsError> {
    let drawn = values.len();
    values.retain(|value| !value.is_nan());
    if values.is_empty() {
        return Err(StatisticsError::NoResamples(drawn));
    }
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - COVERAGE) / 2.0;
    Ok(Interval {
        low: quantile(&values, tail),
        high: quantile(&values, 1.0 - tail),
        resamples: values.len(),
    })
}

/// A quantile of sorted values, linear between neighbours, as numpy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (lower, upper) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    lower + (upper - lower) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::super::statistics::{spearman, tau_b};
    use super::*;

    #[derive(serde::Deserialize)]
    struct Recorded {
        bootstrap: Case,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        truth: Vec<f64>,
        a: Vec<f64>,
        b: Vec<f64>,
        resamples: usize,
        tau_a: [f64; 2],
        tau_b: [f64; 2],
        difference: [f64; 2],
        spearman_a: [f64; 2],
    }

    /// The generator of tests/scipy_rank.py.
    fn draws() -> impl FnMut(usize) -> usize {
        let mut state = 1u64;
        move |n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        }
    }

    #[test]
    fn intervals_are_those_of_numpy_and_scipy() {
        let recorded: Recorded = serde_json::from_str(include_str!("../../tests/scipy_rank.json")).unwrap();
        let case = recorded.bootstrap;
        let scores: [&[f64]; 2] = [&case.a, &case.b];
        let taus = Bootstrap::new(&scores, &case.truth, case.resamples, tau_b, draws()).unwrap();
        let rhos = Bootstrap::new(&scores, &case.truth, case.resamples, spearman, draws()).unwrap();
        for (interval, [low, high]) in [
            (taus.interval(0), case.tau_a),
            (taus.interval(1), case.tau_b),
            (taus.difference(0, 1), case.difference),
            (rhos.interval(0), case.spearman_a),
        ] {
            let interval = interval.unwrap();
            assert!(
                (interval.low - low).abs() < 1e-12 && (interval.high - high).abs() < 1e-12,
                "{interval:?}"
            );
            assert_eq!(interval.resamples, case.resamples);
        }
        assert_eq!(taus, Bootstrap::new(&scores, &case.truth, case.resamples, tau_b, draws()).unwrap());
    }

    #[test]
    fn pairing_cancels_what_both_share() {
        let mut below = draws();
        let truth: Vec<f64> = (0..80).map(|_| below(1000) as f64).collect();
        let a: Vec<f64> = truth.iter().map(|truth| truth + below(800) as f64).collect();
        let taus = Bootstrap::new(&[&a, &a], &truth, 200, tau_b, below).unwrap();
        let (own, difference) = (taus.interval(0).unwrap(), taus.difference(0, 1).unwrap());
        assert!(own.high - own.low > 0.05 && own.is_above_zero(), "{own:?}");
        assert_eq!((difference.low, difference.high), (0.0, 0.0));
        assert!(!difference.is_above_zero());
    }

    #[test]
    fn resamples_without_a_value_are_left_out_and_counted() {
        let bootstrap = Bootstrap::new(&[&[1.0, 2.0]], &[1.0, 2.0], 100, tau_b, draws()).unwrap();
        let interval = bootstrap.interval(0).unwrap();
        assert!((20..80).contains(&interval.resamples), "{interval:?}");
        assert_eq!((interval.low, interval.high), (1.0, 1.0));
        let constant = Bootstrap::new(&[&[1.0, 1.0]], &[1.0, 2.0], 10, tau_b, draws()).unwrap();
        assert_eq!(constant.interval(0), Err(StatisticsError::NoResamples(10)));
        let nan = Bootstrap::new(&[&[f64::NAN]], &[1.0], 10, tau_b, draws()).unwrap_err();
        assert!(matches!(nan, StatisticsError::NotANumber { .. }));
    }
}
