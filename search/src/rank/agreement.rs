//! How well each of several scores agrees with one list of values, and how much better or worse than a reference among them: the
//! rows of a table.

use genas_space::Streams;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::bootstrap::Bootstrap;
use super::report::RESAMPLES;
use super::statistics::{StatisticsError, tau_b};

/// Kendall's tau-b with intervals over resamples of the cells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Tau.
    pub tau: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// The 95 % interval of it less the reference's tau, on the same resamples; the reference itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less_reference: Option<[f64; 2]>,
}

/// Of each list of scores with `values`; nothing for a list that gives all cells one score. `reference` is the position of the
/// list that others are compared with. Intervals of one run's cells are those of its [`Report`](super::report::Report).
///
/// # Errors
/// Lists that do not match, a score that is no number, or fewer than two cells.
pub fn agreements(
    scores: &[Vec<f64>],
    values: &[f64],
    reference: usize,
    streams: &Streams,
) -> Result<Vec<Option<Agreement>>, StatisticsError> {
    let ranks = |scores: &Vec<f64>| scores.windows(2).any(|pair| pair[0] != pair[1]);
    let kept: Vec<usize> = (0..scores.len()).filter(|&n| ranks(&scores[n])).collect();
    let lists: Vec<&[f64]> = kept.iter().map(|&n| &scores[n][..]).collect();
    let mut rng = streams.rng("rank/bootstrap", 0);
    let bootstrap = Bootstrap::new(&lists, values, RESAMPLES, tau_b, |n| rng.random_range(0..n))?;
    let reference = kept.iter().position(|&n| n == reference);
    let mut found = vec![None; scores.len()];
    for (place, &n) in kept.iter().enumerate() {
        let interval = bootstrap.interval(place)?;
        let less = reference.filter(|&reference| reference != place);
        let less = less.map(|reference| bootstrap.difference(place, reference)).transpose()?;
        found[n] = Some(Agreement {
            tau: tau_b(&scores[n], values)?,
            interval: [interval.low, interval.high],
            less_reference: less.map(|less| [less.low, less.high]),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_with_the_reference() {
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        let swapped: Vec<f64> = (0..40).map(|n: u32| f64::from(n ^ 1)).collect();
        let scores = [values.clone(), vec![1.0; 40], swapped];
        let found = agreements(&scores, &values, 0, &Streams::new(1)).unwrap();
        let exact = found[0].unwrap();
        assert_eq!((exact.tau, exact.less_reference), (1.0, None));
        assert!(exact.interval.iter().all(|end| (end - 1.0).abs() < 1e-12), "{exact:?}");
        assert_eq!(found[1], None);
        let row = found[2].unwrap();
        assert!((row.tau - 740.0 / 780.0).abs() < 1e-15);
        let [low, high] = row.less_reference.unwrap();
        assert!((low - (row.interval[0] - 1.0)).abs() < 1e-12 && low < high && high <= 0.0, "{row:?}");
        // Compared with what ranks nothing there is no difference.
        assert_eq!(
            agreements(&scores, &values, 1, &Streams::new(1)).unwrap()[2].unwrap().less_reference,
            None
        );
        assert!(agreements(&[vec![f64::NAN, 1.0]], &[1.0, 2.0], 0, &Streams::new(1)).is_err());
    }
}
