//! [`ConfusionMatrix`]: which classes pixels have and which are seen in them, and the scores that follow from it, as
//! MMSegmentation's `IoUMetric` and cityscapesScripts compute them.

use genas_data::segmentation::{IGNORED, LabelMap};
use serde::{Deserialize, Serialize};

/// Counts of pixels by true and predicted class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    classes: usize,
    /// Row by row; a row is a true class, a column a predicted one.
    counts: Vec<u64>,
    ignored: u64,
    images: usize,
}

impl ConfusionMatrix {
    /// Nothing counted yet, for this number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes], ignored: 0, images: 0 }
    }

    /// Counts the pixels of one image; both maps hold train ids. Where the truth is [`IGNORED`], what was predicted does
    /// not matter.
    ///
    /// # Panics
    ///
    /// If the maps' sizes differ, or a label is no class. [`ClassTable`](genas_data::segmentation::ClassTable) and
    /// [`Segmenter`](crate::Segmenter) give no others.
    pub fn add(&mut self, truth: &LabelMap, predicted: &LabelMap) {
        let [size, other] = [truth, predicted].map(|map| [map.width, map.height]);
        assert_eq!(size, other, "truth and prediction of one size");
        // Of bytes, so that no pixel needs a check.
        let mut counts = vec![0u64; 256 * 256];
        for (&truth, &predicted) in truth.labels.iter().zip(&predicted.labels) {
            counts[usize::from(truth) * 256 + usize::from(predicted)] += 1;
        }
        for (truth, row) in counts.chunks_exact(256).enumerate() {
            if truth == usize::from(IGNORED) {
                self.ignored += row.iter().sum::<u64>();
                continue;
            }
            for (predicted, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                let n = self.classes;
                assert!(truth < n && predicted < n, "labels {truth} and {predicted} of {n} classes");
                self.counts[truth * n + predicted] += count;
            }
        }
        self.images += 1;
    }

    /// Adds what another counted.
    ///
    /// # Panics
    ///
    /// If it has another number of classes.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.classes, other.classes, "matrices of the same classes");
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.ignored += other.ignored;
        self.images += other.images;
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Pixels of a class in which another, or the same, was seen.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// Pixels of a class by what was seen in them.
    pub fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.classes..][..self.classes]
    }

    /// Pixels that count.
    pub fn pixels(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Pixels that do not, because the truth has no class there.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Images.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Pixels of a class, those in which it was seen, and those in both.
    fn of_class(&self, class: usize) -> [u64; 3] {
        let seen = (0..self.classes).map(|truth| self.count(truth, class)).sum();
        [self.row(class).iter().sum(), seen, self.count(class, class)]
    }

    /// Intersection over union of a class; `None` if it is neither in the truth nor in the predictions.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let [truth, seen, both] = self.of_class(class);
        let union = truth + seen - both;
        (union > 0).then(|| both as f64 / union as f64)
    }

    /// Share of a class's pixels in which it was seen; `None` if it is not in the truth.
    pub fn accuracy(&self, class: usize) -> Option<f64> {
        let [truth, _, both] = self.of_class(class);
        (truth > 0).then(|| both as f64 / truth as f64)
    }
}

/// Scores of a segmentation; all are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationScores {
    /// Mean of the classes' intersection over union, of those that have one. 0 if none has.
    pub miou: f64,
    /// Share of pixels whose class was seen; 0 if there are none.
    pub pixel_accuracy: f64,
    /// Mean of the classes' accuracies, of those in the truth. 0 if there are none.
    pub mean_accuracy: f64,
    /// Images.
    pub n_images: usize,
    /// Pixels that count.
    pub n_pixels: u64,
    /// Pixels without a class in the truth.
    pub n_ignored: u64,
    /// Class by class, in the order of train ids.
    pub classes: Vec<ClassScore>,
}

/// Scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its name.
    pub name: String,
    /// Intersection over union; `None` if the class is neither in the truth nor in the predictions.
    pub iou: Option<f64>,
    /// Share of its pixels in which it was seen; `None` if it is not in the truth.
    pub accuracy: Option<f64>,
    /// Its pixels in the truth.
    pub pixels: u64,
}

/// The scores that follow from a matrix. `names` are the classes' in the order of train ids.
///
/// # Panics
///
/// If there are not as many names as classes.
pub fn scores(matrix: &ConfusionMatrix, names: &[String]) -> SegmentationScores {
    assert_eq!(names.len(), matrix.classes(), "a name for each class");
    let class = |(class, name): (usize, &String)| ClassScore {
        name: name.clone(),
        iou: matrix.iou(class),
        accuracy: matrix.accuracy(class),
        pixels: matrix.row(class).iter().sum(),
    };
    let classes: Vec<ClassScore> = names.iter().enumerate().map(class).collect();
    let right: u64 = (0..matrix.classes()).map(|class| matrix.count(class, class)).sum();
    let n_pixels = matrix.pixels();
    SegmentationScores {
        miou: mean(classes.iter().filter_map(|class| class.iou)),
        pixel_accuracy: right as f64 / n_pixels.max(1) as f64,
        mean_accuracy: mean(classes.iter().filter_map(|class| class.accuracy)),
        n_images: matrix.images(),
        n_pixels,
        n_ignored: matrix.ignored(),
        classes,
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    sum / f64::from(n.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, labels: &[u8]) -> LabelMap {
        LabelMap { width, height: labels.len() / width, labels: labels.to_vec() }
    }

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|class| format!("class {class}")).collect()
    }

    #[test]
    fn scores_are_those_of_numpy() {
        // Class 3 is only predicted, 4 nowhere. By hand, and by numpy:
        //   k = t != 255; c = np.bincount(t[k] * 5 + p[k], minlength=25).reshape(5, 5); tp = np.diag(c)
        //   iou = tp / (c.sum(0) + c.sum(1) - tp)   # [2/4, 2/4, 1/2, 0/1, nan]; np.nanmean: 0.375
        //   np.nanmean(tp / c.sum(1))               # [2/3, 2/3, 1/2, nan, nan]: 0.6111111111111112
        let truth = map(5, &[0, 0, 0, 1, 1, 1, 2, 2, 255, 255]);
        let predicted = map(5, &[0, 0, 1, 1, 1, 0, 2, 3, 0, 4]);
        let mut matrix = ConfusionMatrix::new(5);
        matrix.add(&truth, &predicted);
        assert_eq!(matrix.row(0), [2, 1, 0, 0, 0]);
        assert_eq!(matrix.row(2), [0, 0, 1, 1, 0]);
        assert_eq!((matrix.count(1, 0), matrix.pixels(), matrix.ignored()), (1, 8, 2));
        let found = scores(&matrix, &names(5));
        let ious: Vec<_> = found.classes.iter().map(|class| class.iou).collect();
        assert_eq!(ious, [Some(0.5), Some(0.5), Some(0.5), Some(0.0), None]);
        let accuracies: Vec<_> = found.classes.iter().map(|class| class.accuracy).collect();
        assert_eq!(accuracies, [Some(2.0 / 3.0), Some(2.0 / 3.0), Some(0.5), None, None]);
        assert_eq!(found.classes.iter().map(|class| class.pixels).collect::<Vec<_>>(), [3, 3, 2, 0, 0]);
        assert!((found.miou - 0.375).abs() < 1e-12 && (found.mean_accuracy - 11.0 / 18.0).abs() < 1e-12);
        assert_eq!((found.pixel_accuracy, found.n_images), (5.0 / 8.0, 1));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!((&json["miou"], &json["classes"][4]["iou"]), (&0.375.into(), &serde_json::Value::Null));
        assert_eq!(json["classes"][1]["name"], "class 1");
    }

    #[test]
    fn unions_are_over_all_images() {
        let [a, b] =
            [(map(2, &[0, 0, 1, 1]), map(2, &[0, 1, 1, 1])), (map(3, &[1, 1, 1]), map(3, &[0, 1, 0]))];
        let mut whole = ConfusionMatrix::new(2);
        let mut parts = [ConfusionMatrix::new(2), ConfusionMatrix::new(2)];
        for ((truth, predicted), part) in [&a, &b].into_iter().zip(&mut parts) {
            whole.add(truth, predicted);
            part.add(truth, predicted);
        }
        let [mut merged, second] = parts;
        merged.merge(&second);
        assert_eq!(merged, whole);
        assert_eq!((whole.iou(0), whole.iou(1), whole.images()), (Some(0.25), Some(0.5), 2));
    }

    #[test]
    fn nothing_has_no_scores() {
        let mut matrix = ConfusionMatrix::new(2);
        matrix.add(&map(1, &[255]), &map(1, &[1]));
        let found = scores(&matrix, &names(2));
        assert_eq!([found.miou, found.pixel_accuracy, found.mean_accuracy], [0.0; 3]);
        assert_eq!((found.n_pixels, found.n_ignored, found.n_images), (0, 1, 1));
    }

    #[test]
    fn counts_need_64_bits() {
        let mut matrix = ConfusionMatrix::new(1);
        matrix.add(&map(4, &[0; 8]), &map(4, &[0; 8]));
        for _ in 0..40 {
            let same = matrix.clone();
            matrix.merge(&same);
        }
        assert_eq!((matrix.pixels(), matrix.iou(0)), (8 << 40, Some(1.0)));
    }
}
