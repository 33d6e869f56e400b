//! How a classifier does on images that it is not trained on.

use genas_train::Measure;
use serde::{Deserialize, Serialize};

/// Loss and accuracy of a classifier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Mean cross-entropy, without label smoothing.
    pub loss: f64,
    /// Top-1 accuracy, a fraction.
    pub top1: f64,
    /// Top-5 accuracy, a fraction.
    pub top5: f64,
}

impl Measure for Validation {
    const NAMES: &'static [&'static str] = &["top1", "top5", "validation_loss"];

    fn values(&self) -> Vec<f64> {
        vec![self.top1, self.top5, self.loss]
    }

    fn from_values(values: &[f64]) -> Option<Self> {
        let &[top1, top5, loss] = values else { return None };
        Some(Self { loss, top1, top5 })
    }

    fn goodness(&self) -> f64 {
        self.top1
    }

    fn goodness_name() -> &'static str {
        "top-1"
    }

    fn summary(&self) -> String {
        let (top1, top5) = (100.0 * self.top1, 100.0 * self.top5);
        format!("validation loss {:.4}, top-1 {top1:.2} %, top-5 {top5:.2} %", self.loss)
    }

    fn scalars(&self) -> Vec<(&'static str, f64)> {
        vec![("validation/loss", self.loss), ("validation/top-1", self.top1), ("validation/top-5", self.top5)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_train::fit::read_table;

    /// Tables of earlier versions, and other people's scripts.
    #[test]
    fn the_columns_of_training_csv_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("training.csv");
        let columns = "epoch,loss,gradient_norm,top1,seconds,top5,validation_loss,learning_rate,images_per_second,waiting,images";
        let row = "1,2.25,3.5,0.5,10.00,0.75,1.5,0.025,12.0,0.0100,120";
        std::fs::write(&path, format!("{columns}\n{row}\n")).unwrap();
        let rows = read_table::<Validation>(&path).unwrap();
        let expected = Validation { loss: 1.5, top1: 0.5, top5: 0.75 };
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].validation, rows[0].learning_rate), (Some(expected), 0.025));
        assert_eq!(Validation::from_values(&expected.values()), Some(expected));
        assert_eq!(expected.summary(), "validation loss 1.5000, top-1 50.00 %, top-5 75.00 %");
    }
}
