//! How well a score tells images of strange classes from those of known ones (ImageNet-O, spec 06, section 1).
//!
//! The strange images are the positive class, and a higher score means stranger. The definitions are
//! scikit-learn's: `average_precision_score`, `roc_auc_score`, and the false positive rate at the first
//! threshold of `roc_curve` whose recall is at least 0.95. The evaluation code published with ImageNet-O takes
//! the threshold whose recall is nearest to 0.95, which is the same one for its 2,000 images without ties.

use serde::Serialize;

/// Fraction of the strange images that the threshold of `fpr95` finds.
const RECALL: f64 = 0.95;

/// Measures of detection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// Average precision: the precision at every threshold, weighted by the recall that it adds.
    pub aupr: f64,
    /// Area under the receiver operating characteristic.
    pub auroc: f64,
    /// Fraction of the known images that are taken for strange where 95 % of the strange ones are found.
    pub fpr95: f64,
    /// Number of strange images. Guessing gives an `aupr` of their share.
    pub n_out: usize,
}

impl Detection {
    /// From the scores of the strange images and of the known ones; none if there are none of either.
    pub fn new(strange: &[f64], known: &[f64]) -> Option<Self> {
        if strange.is_empty() || known.is_empty() {
            return None;
        }
        let all = strange.iter().map(|&score| (score, true)).chain(known.iter().map(|&score| (score, false)));
        let mut all: Vec<(f64, bool)> = all.collect();
        all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let (n_strange, n_known) = (strange.len() as f64, known.len() as f64);
        let (mut found, mut alarms) = (0usize, 0usize);
        // Twice the area under the curve, in images by images, so that it is exact.
        let mut area = 0u128;
        let (mut aupr, mut fpr95) = (0.0, None);
        // Equal scores share one threshold, so their order does not count.
        for equal in all.chunk_by(|a, b| a.0 == b.0) {
            let strange = equal.iter().filter(|(_, strange)| *strange).count();
            let known = equal.len() - strange;
            area += known as u128 * (2 * found + strange) as u128;
            found += strange;
            alarms += known;
            aupr += strange as f64 / n_strange * (found as f64 / (found + alarms) as f64);
            if fpr95.is_none() && found as f64 / n_strange >= RECALL {
                fpr95 = Some(alarms as f64 / n_known);
            }
        }
        let auroc = area as f64 / (2.0 * n_strange * n_known);
        Some(Self { aupr, auroc, fpr95: fpr95.unwrap_or(1.0), n_out: strange.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Recorded {
        name: String,
        out: Vec<f64>,
        inside: Vec<f64>,
        aupr: f64,
        auroc: f64,
        fpr95: f64,
    }

    #[test]
    fn the_measures_are_those_of_scikit_learn() {
        let rows: Vec<Recorded> =
            serde_json::from_str(include_str!("../tests/detection_metrics.json")).unwrap();
        assert_eq!(rows.len(), 10);
        for row in rows {
            let ours = Detection::new(&row.out, &row.inside).unwrap();
            for (what, ours, theirs) in [
                ("aupr", ours.aupr, row.aupr),
                ("auroc", ours.auroc, row.auroc),
                ("fpr95", ours.fpr95, row.fpr95),
            ] {
                assert!((ours - theirs).abs() < 1e-9, "{}: {what} {ours}, not {theirs}", row.name);
            }
            assert_eq!(ours.n_out, row.out.len());
        }
    }

    #[test]
    fn one_kind_alone_tells_nothing() {
        assert_eq!(Detection::new(&[], &[1.0]), None);
        assert_eq!(Detection::new(&[1.0], &[]), None);
    }
}
