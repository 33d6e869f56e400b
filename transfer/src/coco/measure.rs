//! [`BoxPrecision`]: the numbers of [`AveragePrecision`] that a training keeps after every evaluation.

use genas_train::Measure;
use serde::{Deserialize, Serialize};

use super::evaluation::AveragePrecision;

/// What stands where there is no object to find, as in pycocotools.
const NOTHING: f64 = -1.0;

/// Average precisions, fractions; -1 where there is no object to find.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxPrecision {
    /// Over IoU thresholds from 0.5 to 0.95.
    pub ap: f64,
    /// At IoU 0.5.
    pub ap50: f64,
    /// At IoU 0.75.
    pub ap75: f64,
    /// Of objects below 32 x 32 pixels.
    pub ap_small: f64,
    /// Of those between.
    pub ap_medium: f64,
    /// Of objects above 96 x 96 pixels.
    pub ap_large: f64,
}

impl From<&AveragePrecision> for BoxPrecision {
    fn from(result: &AveragePrecision) -> Self {
        let number = |fraction: Option<f64>| fraction.unwrap_or(NOTHING);
        Self {
            ap: number(result.ap),
            ap50: number(result.ap50),
            ap75: number(result.ap75),
            ap_small: number(result.ap_small),
            ap_medium: number(result.ap_medium),
            ap_large: number(result.ap_large),
        }
    }
}

impl Measure for BoxPrecision {
    const NAMES: &'static [&'static str] = &["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"];

    fn values(&self) -> Vec<f64> {
        vec![self.ap, self.ap50, self.ap75, self.ap_small, self.ap_medium, self.ap_large]
    }

    fn from_values(values: &[f64]) -> Option<Self> {
        let &[ap, ap50, ap75, ap_small, ap_medium, ap_large] = values else { return None };
        Some(Self { ap, ap50, ap75, ap_small, ap_medium, ap_large })
    }

    fn goodness(&self) -> f64 {
        self.ap
    }

    fn goodness_name() -> &'static str {
        "AP"
    }

    fn summary(&self) -> String {
        let percent = |fraction: f64| {
            if fraction < 0.0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * fraction) }
        };
        format!("AP {}, AP50 {}, AP75 {}", percent(self.ap), percent(self.ap50), percent(self.ap75))
    }

    fn scalars(&self) -> Vec<(&'static str, f64)> {
        vec![("validation/AP", self.ap), ("validation/AP50", self.ap50), ("validation/AP75", self.ap75)]
    }
}
