//! From the network's numbers to objects: Detectron2's RetinaNet inference (`_decode_per_level_predictions`,
//! `batched_nms`, `detector_postprocess`).
//!
//! Equal scores keep their order (level, place, anchor, class), which Detectron2 leaves open.

use std::cmp::Ordering;

use super::boxes::{Corners, clipped, iou, is_empty, scaled};
use super::coding::{Deltas, decode};
use super::config::TestConfig;

/// What the network says on one level of one image.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// Anchors.
    pub anchors: &'a [Corners],
    /// For each anchor the logits of all classes.
    pub logits: &'a [f32],
    /// For each anchor its correction.
    pub deltas: &'a [Deltas],
}

/// An object that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Its box, in pixels of the original image.
    pub corners: Corners,
    /// Its class.
    pub class: usize,
    /// Its probability.
    pub score: f32,
}

/// The objects of one image, best first. `input` is the size (width, height) that the image had for the network
/// without padding, `original` that of the file.
pub fn detect(
    levels: &[Level],
    classes: usize,
    weights: [f32; 4],
    input: [usize; 2],
    original: [usize; 2],
    config: &TestConfig,
) -> Vec<Found> {
    let mut found: Vec<Found> =
        levels.iter().flat_map(|level| candidates(level, classes, weights, config)).collect();
    found.sort_by(by_score);
    let kept = suppress(&found, config.nms_iou, config.max_detections);
    in_original(kept.into_iter().map(|n| found[n]), input, original)
}

/// Objects in pixels of the input as objects in pixels of the original image, cut at its borders; those of which
/// nothing is left are dropped. Sizes are width and height, that of the input without padding.
pub fn in_original(
    found: impl IntoIterator<Item = Found>,
    input: [usize; 2],
    original: [usize; 2],
) -> Vec<Found> {
    let factor = [0, 1].map(|n| (original[n] as f64 / input[n] as f64) as f32);
    let in_image = found.into_iter().map(|found| {
        let corners = scaled(found.corners, factor);
        Found { corners: clipped(corners, original[0] as f32, original[1] as f32), ..found }
    });
    in_image.filter(|found| !is_empty(found.corners)).collect()
}

/// The best pairs of anchor and class of a level, boxes decoded, best first.
pub fn candidates(level: &Level, classes: usize, weights: [f32; 4], config: &TestConfig) -> Vec<Found> {
    let sigmoid = |logit: f32| 1.0 / (1.0 + (-logit).exp());
    // Nearly all pairs are far below the limit; the exponential is for the few that are not.
    let limit = f64::from(config.score_above).clamp(1e-12, 1.0 - 1e-7);
    let hopeless = ((limit / (1.0 - limit)).ln() - 1e-3) as f32;
    let mut pairs: Vec<(f32, usize)> = level
        .logits
        .iter()
        .enumerate()
        .filter(|&(_, &logit)| logit > hopeless)
        .map(|(n, &logit)| (sigmoid(logit), n))
        .filter(|&(score, _)| score > config.score_above)
        .collect();
    let best_first = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    // An untrained network may pass millions, of which few are kept.
    if pairs.len() > config.top_per_level {
        pairs.select_nth_unstable_by(config.top_per_level, best_first);
        pairs.truncate(config.top_per_level);
    }
    pairs.sort_unstable_by(best_first);
    let decoded = pairs.into_iter().map(|(score, n)| {
        let (anchor, class) = (n / classes, n % classes);
        let corners = decode(level.anchors[anchor], level.deltas[anchor], weights, config.max_scale);
        Found { corners, class, score }
    });
    decoded.collect()
}

fn by_score(a: &Found, b: &Found) -> Ordering {
    b.score.total_cmp(&a.score)
}

/// Positions of the best boxes, at most `limit`, of which no two of a class overlap by more than `threshold`; `found`
/// is sorted by score.
pub fn suppress(found: &[Found], threshold: f32, limit: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for (n, candidate) in found.iter().enumerate() {
        if kept.len() == limit {
            break;
        }
        let hidden = |&better: &usize| {
            found[better].class == candidate.class
                && iou(found[better].corners, candidate.corners) > threshold
        };
        if !kept.iter().any(hidden) {
            kept.push(n);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retinanet::recorded::{assert_close, recorded};

    #[test]
    fn suppression_as_torchvision() {
        for case in recorded()["nms"].list() {
            let (boxes, scores) = (case["boxes"].boxes(), case["scores"].numbers());
            let classes = case["classes"].numbers();
            // torchvision takes any order
            let mut order: Vec<usize> = (0..boxes.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let found: Vec<Found> = order
                .iter()
                .map(|&n| Found { corners: boxes[n], class: classes[n] as usize, score: scores[n] })
                .collect();
            let threshold = case["threshold"].number() as f32;
            let kept: Vec<usize> =
                suppress(&found, threshold, usize::MAX).iter().map(|&n| order[n]).collect();
            let want: Vec<usize> = case["kept"].numbers().iter().map(|&n| n as usize).collect();
            assert_eq!(kept, want, "{}", case["name"].text());
        }
    }

    #[test]
    fn objects_as_detectron2() {
        for case in recorded()["detect"].list() {
            let name = case["name"].text();
            let boxes: Vec<_> = case["levels"]
                .list()
                .iter()
                .map(|l| (l["anchors"].boxes(), l["logits"].numbers(), l["deltas"].boxes()))
                .collect();
            let levels: Vec<Level> =
                boxes.iter().map(|(anchors, logits, deltas)| Level { anchors, logits, deltas }).collect();
            let size = |key: &str| case[key].numbers().iter().map(|&n| n as usize).collect::<Vec<_>>();
            let config = TestConfig {
                top_per_level: case["top_per_level"].number() as usize,
                max_detections: case["max_detections"].number() as usize,
                ..TestConfig::default()
            };
            let (input, original) = (size("input").try_into().unwrap(), size("original").try_into().unwrap());
            let found =
                detect(&levels, case["classes"].number() as usize, [1.0; 4], input, original, &config);
            let (want, scores) = (case["boxes"].boxes(), case["scores"].numbers());
            assert_eq!(found.len(), want.len(), "{name}");
            let labels: Vec<f32> = found.iter().map(|f| f.class as f32).collect();
            assert_eq!(labels, case["labels"].numbers(), "{name}");
            for (n, found) in found.iter().enumerate() {
                assert_close(&found.corners, &want[n], 1e-5, name);
                assert_close(&[found.score], &[scores[n]], 1e-6, name);
            }
        }
    }

    #[test]
    fn nothing_and_not_a_number_are_no_objects() {
        let config = TestConfig::default();
        let (anchors, deltas) = ([[0.0, 0.0, 8.0, 8.0]; 2], [[0.0; 4]; 2]);
        for logits in [[-9.0; 2], [f32::NAN; 2], [-2.945; 2]] {
            let level = Level { anchors: &anchors, logits: &logits, deltas: &deltas };
            assert_eq!(detect(&[level], 1, [1.0; 4], [8, 8], [8, 8], &config), [], "{logits:?}");
        }
        assert_eq!(detect(&[], 1, [1.0; 4], [8, 8], [8, 8], &config), []);
    }
}
