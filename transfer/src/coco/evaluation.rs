//! Average precision and recall of detections: `COCOeval` of pycocotools 2.0 for boxes, to the last rounding.
//!
//! The crate hotcoco gives the same numbers, and is not used: it is 21,000 lines without features (CVAT, VOC, YOLO,
//! panoptic), brings quick-xml, a second rand and a second reader of annotations, and turns on `raw_value` of
//! serde_json for the whole workspace, which builds burn again. Boxes need this file and `matching.rs`.

use std::collections::BTreeMap;

use genas_data::coco::{Annotations, CocoObject};
use rayon::prelude::*;
use serde::{Serialize, Serializer};

use super::matching::{AREA_RANGES, Matched, match_image};
use super::results::CocoDetection;

/// IoU thresholds: 0.50, 0.55 to 0.95.
pub const IOU_THRESHOLDS: usize = 10;
/// Levels of recall at which precision is read: 0, 0.01 to 1.
pub const RECALLS: usize = 101;
/// Detections per image and class that count, at most.
const MAX_DETECTIONS: usize = 100;
/// Limits of the three average recalls.
const RECALL_LIMITS: [usize; 3] = [1, 10, MAX_DETECTIONS];
/// `np.spacing(1)`: keeps 0/0 out of the precision.
const EPSILON: f64 = f64::EPSILON;

/// The IoU that threshold `t` asks for, as `numpy.linspace(.5, .95, 10)` rounds it.
pub fn iou_threshold(t: usize) -> f64 {
    if t + 1 == IOU_THRESHOLDS { 0.95 } else { t as f64 * ((0.95 - 0.5) / 9.0) + 0.5 }
}

/// The recall of level `r`, as `numpy.linspace(0, 1, 101)` rounds it.
pub fn recall_level(r: usize) -> f64 {
    if r + 1 == RECALLS { 1.0 } else { r as f64 * 0.01 }
}

/// COCO's twelve numbers, as fractions. None where there is no object to find; written as -1, as by pycocotools.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AveragePrecision {
    /// Mean over IoU 0.50 to 0.95, recalls and classes: the number that is called AP.
    #[serde(serialize_with = "or_minus_one")]
    pub ap: Option<f64>,
    /// At IoU 0.50.
    #[serde(serialize_with = "or_minus_one")]
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    #[serde(serialize_with = "or_minus_one")]
    pub ap75: Option<f64>,
    /// Of objects below 32 x 32 pixels.
    #[serde(serialize_with = "or_minus_one")]
    pub ap_small: Option<f64>,
    /// Of objects between 32 x 32 and 96 x 96 pixels.
    #[serde(serialize_with = "or_minus_one")]
    pub ap_medium: Option<f64>,
    /// Of objects above 96 x 96 pixels.
    #[serde(serialize_with = "or_minus_one")]
    pub ap_large: Option<f64>,
    /// Mean largest recall with one detection per image and class.
    #[serde(serialize_with = "or_minus_one")]
    pub ar1: Option<f64>,
    /// With ten.
    #[serde(serialize_with = "or_minus_one")]
    pub ar10: Option<f64>,
    /// With a hundred.
    #[serde(serialize_with = "or_minus_one")]
    pub ar100: Option<f64>,
    /// With a hundred, of small objects.
    #[serde(serialize_with = "or_minus_one")]
    pub ar_small: Option<f64>,
    /// Of medium objects.
    #[serde(serialize_with = "or_minus_one")]
    pub ar_medium: Option<f64>,
    /// Of large objects.
    #[serde(serialize_with = "or_minus_one")]
    pub ar_large: Option<f64>,
    /// Images.
    pub n_images: usize,
    /// Objects to find, without crowds.
    pub n_objects: usize,
    /// Detections, of classes that the annotations have.
    pub n_detections: usize,
    /// Detections on other images or of other classes, which count for nothing.
    pub n_not_counted: usize,
    /// Every class, by id.
    #[serde(skip)]
    pub classes: Vec<ClassPrecision>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassPrecision {
    /// Id of the category.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Mean precision over IoU 0.50 to 0.95; none for a class without objects.
    #[serde(serialize_with = "or_minus_one")]
    pub ap: Option<f64>,
    /// At IoU 0.50.
    #[serde(serialize_with = "or_minus_one")]
    pub ap50: Option<f64>,
    /// Objects to find, without crowds.
    pub n_objects: usize,
    /// Precision at every [`iou_threshold`] (outer) and [`recall_level`] (inner); empty for a class without objects.
    #[serde(skip)]
    pub precision: Vec<[f64; RECALLS]>,
}

impl AveragePrecision {
    /// Precision at every [`iou_threshold`] (outer) and [`recall_level`] (inner), the mean over classes with objects.
    /// Empty if there are none.
    pub fn precision(&self) -> Vec<[f64; RECALLS]> {
        let with_objects: Vec<_> = self.classes.iter().filter(|c| !c.precision.is_empty()).collect();
        let mean = |t: usize| {
            std::array::from_fn(|r| {
                with_objects.iter().map(|c| c.precision[t][r]).sum::<f64>() / with_objects.len() as f64
            })
        };
        if with_objects.is_empty() { Vec::new() } else { (0..IOU_THRESHOLDS).map(mean).collect() }
    }
}

fn or_minus_one<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.unwrap_or(-1.0))
}

/// Objects and detections of one class in one image.
#[derive(Default)]
struct Cell {
    objects: Vec<CocoObject>,
    detections: Vec<([f64; 4], f64)>,
}

/// A class in one range of areas.
#[derive(Default)]
struct Counted {
    positives: usize,
    precision: Vec<[f64; RECALLS]>,
    /// Largest recall at each threshold, for each of [`RECALL_LIMITS`].
    recall: [Vec<f64>; 3],
}

/// Measures detections against annotations. Detections on images that the annotations do not have are not counted;
/// [`super::read_results`] refuses them.
pub fn evaluate(annotations: &Annotations, detections: &[CocoDetection]) -> AveragePrecision {
    let (images, classes) = annotations.positions();
    // Images count in the order of their ids: it decides between detections of equal score.
    let mut cells: Vec<BTreeMap<i64, Cell>> = annotations.classes.iter().map(|_| BTreeMap::new()).collect();
    for object in &annotations.objects {
        let image = annotations.images[object.image].id;
        cells[object.class].entry(image).or_default().objects.push(*object);
    }
    let mut n_detections = 0;
    for detection in detections.iter().filter(|d| images.contains_key(&d.image_id)) {
        if let Some(&class) = classes.get(&detection.category_id) {
            let cell = cells[class].entry(detection.image_id).or_default();
            cell.detections.push((detection.bbox, detection.score));
            n_detections += 1;
        }
    }
    let counted: Vec<[Counted; 4]> = cells.into_par_iter().map(count_class).collect();
    let of_classes =
        |area: usize| counted.iter().map(move |ranges| &ranges[area]).filter(|c| c.positives > 0);
    let precision = |area: usize, thresholds: std::ops::Range<usize>| {
        mean(of_classes(area).flat_map(|c| c.precision[thresholds.clone()].iter().flatten().copied()))
    };
    let recall =
        |area: usize, limit: usize| mean(of_classes(area).flat_map(|c| c.recall[limit].iter().copied()));
    let all = 0..IOU_THRESHOLDS;
    AveragePrecision {
        ap: precision(0, all.clone()),
        ap50: precision(0, 0..1),
        ap75: precision(0, 5..6),
        ap_small: precision(1, all.clone()),
        ap_medium: precision(2, all.clone()),
        ap_large: precision(3, all),
        ar1: recall(0, 0),
        ar10: recall(0, 1),
        ar100: recall(0, 2),
        ar_small: recall(1, 2),
        ar_medium: recall(2, 2),
        ar_large: recall(3, 2),
        n_images: annotations.images.len(),
        n_objects: counted.iter().map(|ranges| ranges[0].positives).sum(),
        n_detections,
        n_not_counted: detections.len() - n_detections,
        classes: annotations
            .classes
            .iter()
            .zip(&counted)
            .map(|(class, [counted, ..])| ClassPrecision {
                id: class.id,
                name: class.name.clone(),
                ap: mean(counted.precision.iter().flatten().copied()),
                ap50: mean(counted.precision.iter().take(1).flatten().copied()),
                n_objects: counted.positives,
                precision: counted.precision.clone(),
            })
            .collect(),
    }
}

/// One class over all images, in each range of areas.
fn count_class(mut cells: BTreeMap<i64, Cell>) -> [Counted; 4] {
    for cell in cells.values_mut() {
        cell.detections.sort_by(|a, b| falling(a.1, b.1));
        cell.detections.truncate(MAX_DETECTIONS);
    }
    AREA_RANGES.map(|area| {
        let matched: Vec<Matched> =
            cells.values().map(|cell| match_image(&cell.detections, &cell.objects, area)).collect();
        let positives = matched.iter().map(|m| m.positives).sum();
        if positives == 0 {
            return Counted::default();
        }
        let mut counted = Counted { positives, ..Counted::default() };
        for (slot, limit) in counted.recall.iter_mut().zip(RECALL_LIMITS) {
            let mut verdicts: Vec<_> =
                matched.iter().flat_map(|m| m.verdicts.iter().take(limit).copied()).collect();
            verdicts.sort_by(|a, b| falling(a.score, b.score));
            for t in 0..IOU_THRESHOLDS {
                let bit = |mask: u16| mask >> t & 1 == 1;
                let counts = verdicts.iter().filter(|v| !bit(v.ignored)).map(|v| bit(v.matched));
                let (precision, recall) = curve(counts, positives);
                slot.push(recall);
                if limit == MAX_DETECTIONS {
                    counted.precision.push(precision);
                }
            }
        }
        counted
    })
}

/// Precision at every recall level, and the largest recall, of detections that are right or wrong, in falling order
/// of their scores.
fn curve(right: impl Iterator<Item = bool>, positives: usize) -> ([f64; RECALLS], f64) {
    let (mut true_positives, mut false_positives) = (0.0, 0.0);
    let (mut recall, mut precision) = (Vec::new(), Vec::new());
    for right in right {
        *(if right { &mut true_positives } else { &mut false_positives }) += 1.0;
        recall.push(true_positives / positives as f64);
        precision.push(true_positives / (false_positives + true_positives + EPSILON));
    }
    for n in (1..precision.len()).rev() {
        if precision[n] > precision[n - 1] {
            precision[n - 1] = precision[n];
        }
    }
    let at = |r: usize| {
        let first = recall.partition_point(|&reached| reached < recall_level(r));
        precision.get(first).copied().unwrap_or(0.0)
    };
    (std::array::from_fn(at), recall.last().copied().unwrap_or(0.0))
}

/// Falling scores, of which none is NaN; a stable sort keeps the order of equal ones.
fn falling(a: f64, b: f64) -> std::cmp::Ordering {
    b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (n, sum) = values.fold((0u64, 0.0), |(n, sum), value| (n + 1, sum + value));
    (n > 0).then(|| sum / n as f64)
}

#[cfg(test)]
mod tests;
