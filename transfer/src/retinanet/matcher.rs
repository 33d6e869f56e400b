//! Which anchor is taught which object: Detectron2's `Matcher` with `allow_low_quality_matches`.
//!
//! One deviation: an object that no anchor touches teaches nothing. Detectron2 and torchvision take all anchors
//! that it does not touch, which are all, for its best ones, and make them positive.

use super::boxes::{Corners, iou};
use super::config::MatcherConfig;

/// What an anchor is taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// There is nothing.
    Background,
    /// Nothing at all.
    Ignored,
    /// An object, by its position in the list.
    Object(usize),
}

/// A label for each anchor. An anchor belongs to the object of the largest IoU, of equal ones the first; also where
/// it is positive only for being the best of another object.
pub fn match_anchors(anchors: &[Corners], objects: &[Corners], config: &MatcherConfig) -> Vec<Label> {
    let mut best_of_object = vec![0f32; objects.len()];
    let mut best_of_anchor = vec![(0f32, 0); anchors.len()];
    for (anchor, best) in anchors.iter().zip(&mut best_of_anchor) {
        for (n, object) in objects.iter().enumerate() {
            let overlap = iou(*object, *anchor);
            if overlap > best.0 {
                *best = (overlap, n);
            }
            best_of_object[n] = best_of_object[n].max(overlap);
        }
    }
    let is_best = |anchor: Corners| {
        objects.iter().zip(&best_of_object).any(|(&object, &best)| best > 0.0 && iou(object, anchor) == best)
    };
    anchors
        .iter()
        .zip(best_of_anchor)
        .map(|(&anchor, (overlap, object))| {
            if objects.is_empty() {
                Label::Background
            } else if overlap >= config.foreground_from
                || (config.low_quality && overlap > 0.0 && is_best(anchor))
            {
                Label::Object(object)
            } else if overlap >= config.background_below {
                Label::Ignored
            } else {
                Label::Background
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retinanet::recorded::recorded;

    #[test]
    fn labels_as_torchvision() {
        let recorded = &recorded()["matcher"];
        let anchors = recorded["anchors"].boxes();
        for case in recorded["cases"].list() {
            let objects = case["objects"].boxes();
            let config =
                MatcherConfig { low_quality: case["low_quality"].flag(), ..MatcherConfig::default() };
            let labels = match_anchors(&anchors, &objects, &config);
            let want: Vec<Label> = case["matches"]
                .numbers()
                .into_iter()
                .map(|n| match n as i64 {
                    -1 => Label::Background,
                    -2 => Label::Ignored,
                    n => Label::Object(n as usize),
                })
                .collect();
            assert_eq!(labels, want, "{}", case["name"].text());
        }
    }

    #[test]
    fn an_object_that_nothing_touches_teaches_nothing() {
        let anchors = [[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 16.0, 8.0]];
        for object in [[100.0, 100.0, 108.0, 108.0], [4.0, 4.0, 4.0, 4.0]] {
            let labels = match_anchors(&anchors, &[object], &MatcherConfig::default());
            assert_eq!(labels, [Label::Background; 2], "{object:?}");
        }
    }
}
