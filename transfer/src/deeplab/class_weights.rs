//! [`ClassWeights`]: factors of the classes' losses.

use genas_data::segmentation::ClassPixels;
use serde::{Deserialize, Serialize};

/// What a pixel of each class counts in the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClassWeights {
    /// By a rule.
    Rule(WeightRule),
    /// A factor for each class, in the order of the class table.
    Given(Vec<f32>),
}

/// A rule for the weights of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightRule {
    /// All alike.
    None,
    /// The median of the classes' frequencies over a class's own. A class's frequency is its share of the labelled pixels
    /// of the images that have it (Eigen and Fergus 2015; SegNet on CamVid). A class that no image has weighs 0.
    MedianFrequency,
}

impl Default for ClassWeights {
    fn default() -> Self {
        Self::Rule(WeightRule::None)
    }
}

impl ClassWeights {
    /// The factors; `None` if all are alike. `pixels` counts the training images' pixels, where they are needed.
    ///
    /// # Errors
    ///
    /// From `pixels`.
    pub fn factors<E>(
        &self,
        pixels: impl FnOnce() -> Result<Vec<ClassPixels>, E>,
    ) -> Result<Option<Vec<f32>>, E> {
        match self {
            Self::Rule(WeightRule::None) => Ok(None),
            Self::Rule(WeightRule::MedianFrequency) => pixels().map(|pixels| Some(median_frequency(&pixels))),
            Self::Given(factors) => Ok(Some(factors.clone())),
        }
    }

    /// Why these are no weights of `classes` classes, if they are not.
    pub fn problem(&self, classes: usize) -> Option<String> {
        let Self::Given(factors) = self else { return None };
        if factors.len() != classes {
            let n = factors.len();
            return Some(format!("loss.class-weights has {n} numbers, but there are {classes} classes"));
        }
        let proper = factors.iter().all(|f| f.is_finite() && *f >= 0.0) && factors.iter().any(|f| *f > 0.0);
        (!proper).then(|| "loss.class-weights must not be below 0, and one must be above".to_owned())
    }
}

fn median_frequency(pixels: &[ClassPixels]) -> Vec<f32> {
    let frequency = |class: &ClassPixels| (class.own > 0).then(|| class.own as f64 / class.with as f64);
    let frequencies: Vec<Option<f64>> = pixels.iter().map(frequency).collect();
    let mut sorted: Vec<f64> = frequencies.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    // Of an even number the mean of the two in the middle, as numpy's.
    let median = if n == 0 { 0.0 } else { (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0 };
    frequencies.into_iter().map(|frequency| frequency.map_or(0.0, |f| (median / f) as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(list: &[(u64, u64)]) -> Vec<ClassPixels> {
        list.iter().map(|&(own, with)| ClassPixels { own, with }).collect()
    }

    #[test]
    fn rare_classes_count_more() {
        let rule = ClassWeights::Rule(WeightRule::MedianFrequency);
        let factors = |list: &[(u64, u64)]| rule.factors(|| Ok::<_, ()>(pixels(list))).unwrap().unwrap();
        // Frequencies 1/2, 1/10, 1/5, and none: the median is 1/5.
        assert_eq!(factors(&[(50, 100), (5, 50), (20, 100), (0, 0)]), [0.4, 2.0, 1.0, 0.0]);
        // Of 1/2 and 1/4: 3/8.
        assert_eq!(factors(&[(2, 4), (1, 4)]), [0.75, 1.5]);
        assert_eq!(ClassWeights::default().factors(|| Err(())), Ok(None));
        let given = ClassWeights::Given(vec![1.0, 0.0]);
        assert_eq!(given.factors(|| Err(())), Ok(Some(vec![1.0, 0.0])));
        assert_eq!(given.problem(2), None);
        assert!(given.problem(3).unwrap().contains("2 numbers, but there are 3 classes"));
        assert!(ClassWeights::Given(vec![0.0, f32::NAN]).problem(2).is_some());
    }
}
