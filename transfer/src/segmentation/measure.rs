//! [`MeanIou`]: the numbers of [`SegmentationScores`] that a training keeps after every evaluation.

use genas_train::Measure;
use serde::{Deserialize, Serialize};

use super::confusion::SegmentationScores;

/// Scores of a validation, fractions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanIou {
    /// Mean of the classes' intersection over union.
    pub miou: f64,
    /// Share of pixels whose class was seen.
    pub pixel_accuracy: f64,
    /// Mean of the classes' accuracies.
    pub mean_accuracy: f64,
}

impl From<&SegmentationScores> for MeanIou {
    fn from(scores: &SegmentationScores) -> Self {
        let &SegmentationScores { miou, pixel_accuracy, mean_accuracy, .. } = scores;
        Self { miou, pixel_accuracy, mean_accuracy }
    }
}

impl Measure for MeanIou {
    const NAMES: &'static [&'static str] = &["miou", "pixel_accuracy", "mean_accuracy"];

    fn values(&self) -> Vec<f64> {
        vec![self.miou, self.pixel_accuracy, self.mean_accuracy]
    }

    fn from_values(values: &[f64]) -> Option<Self> {
        let &[miou, pixel_accuracy, mean_accuracy] = values else { return None };
        Some(Self { miou, pixel_accuracy, mean_accuracy })
    }

    fn goodness(&self) -> f64 {
        self.miou
    }

    fn goodness_name() -> &'static str {
        "mIoU"
    }

    fn summary(&self) -> String {
        let [miou, pixels, classes] =
            [self.miou, self.pixel_accuracy, self.mean_accuracy].map(|fraction| 100.0 * fraction);
        format!("mIoU {miou:.2} %, pixel accuracy {pixels:.2} %, mean accuracy {classes:.2} %")
    }

    fn scalars(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("validation/mIoU", self.miou),
            ("validation/pixel accuracy", self.pixel_accuracy),
            ("validation/mean accuracy", self.mean_accuracy),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_reads_back_what_it_wrote() {
        let measure = MeanIou { miou: 0.25, pixel_accuracy: 0.75, mean_accuracy: 0.5 };
        assert_eq!(MeanIou::NAMES[0], "miou");
        assert_eq!(MeanIou::from_values(&measure.values()), Some(measure));
        assert_eq!(MeanIou::from_values(&[0.5]), None);
        assert_eq!(measure.goodness(), 0.25);
        assert_eq!(measure.summary(), "mIoU 25.00 %, pixel accuracy 75.00 %, mean accuracy 50.00 %");
    }
}
