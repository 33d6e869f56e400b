//! Which detection found which object of its class in one image: `COCOeval.evaluateImg` of pycocotools 2.0.
//!
//! One deviation: an annotation with the id 0 is an object like any other; pycocotools takes its detection for
//! unmatched, because a 0 marks those.

use genas_data::coco::CocoObject;

use super::evaluation::{IOU_THRESHOLDS, iou_threshold};

/// Objects whose size counts, by their area in pixels: all, small, medium, large.
pub const AREA_RANGES: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];

/// Intersection over union of boxes (left, top, width, height), in continuous coordinates. Against a crowd:
/// intersection over the detection's own area, because it need not find the whole crowd.
pub fn iou(detection: [f64; 4], object: [f64; 4], crowd: bool) -> f64 {
    let ([dx, dy, dw, dh], [ox, oy, ow, oh]) = (detection, object);
    let width = (dx + dw).min(ox + ow) - dx.max(ox);
    let height = (dy + dh).min(oy + oh) - dy.max(oy);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let (intersection, area) = (width * height, dw * dh);
    intersection / if crowd { area } else { area + ow * oh - intersection }
}

/// One detection's fate; bit `t` of the masks is the IoU threshold `t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Its confidence.
    pub score: f64,
    /// It found an object.
    pub matched: u16,
    /// It counts neither as right nor as wrong.
    pub ignored: u16,
}

/// All detections of one class in one image, in falling order of their scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched {
    /// One for each detection.
    pub verdicts: Vec<Verdict>,
    /// Objects that should be found.
    pub positives: usize,
}

/// Matches detections (box and score, sorted by score and cut to what may be counted) with the objects of their
/// class, within one range of areas.
pub fn match_image(detections: &[([f64; 4], f64)], objects: &[CocoObject], area: [f64; 2]) -> Matched {
    let outside = |value: f64| value < area[0] || value > area[1];
    let is_ignored = |object: &CocoObject| object.crowd || outside(object.area);
    // Those that count first, for a detection prefers them.
    let mut order: Vec<&CocoObject> = objects.iter().filter(|o| !is_ignored(o)).collect();
    let positives = order.len();
    order.extend(objects.iter().filter(|o| is_ignored(o)));
    let mut verdicts: Vec<Verdict> =
        detections.iter().map(|&(_, score)| Verdict { score, matched: 0, ignored: 0 }).collect();
    let ious: Vec<f64> = detections
        .iter()
        .flat_map(|&(found, _)| order.iter().map(move |object| iou(found, object.bbox, object.crowd)))
        .collect();
    for t in 0..IOU_THRESHOLDS {
        let mut taken = vec![false; order.len()];
        for (n, verdict) in verdicts.iter_mut().enumerate() {
            let row = &ious[n * order.len()..][..order.len()];
            match best(row, &order, &taken, positives, iou_threshold(t)) {
                Some(object) => {
                    taken[object] = true;
                    verdict.matched |= 1 << t;
                    verdict.ignored |= u16::from(object >= positives) << t;
                }
                None => {
                    let [_, _, width, height] = detections[n].0;
                    verdict.ignored |= u16::from(outside(width * height)) << t;
                }
            }
        }
    }
    Matched { verdicts, positives }
}

/// The object that a detection finds: that of the largest IoU, of equal ones the last; an ignored one only if
/// there is no other. A crowd can be found many times.
fn best(
    ious: &[f64],
    order: &[&CocoObject],
    taken: &[bool],
    positives: usize,
    threshold: f64,
) -> Option<usize> {
    let (mut least, mut found) = (threshold.min(1.0 - 1e-10), None);
    for (n, object) in order.iter().enumerate() {
        if n == positives && found.is_some() {
            break;
        }
        if (taken[n] && !object.crowd) || ious[n] < least {
            continue;
        }
        (least, found) = (ious[n], Some(n));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        let square = [0.0, 0.0, 2.0, 2.0];
        for (detection, object, crowd, want) in [
            (square, square, false, 1.0),
            (square, [1.0, 0.0, 2.0, 2.0], false, 2.0 / 6.0),
            (square, [2.0, 0.0, 2.0, 2.0], false, 0.0),
            (square, [1.0, 0.0, 20.0, 20.0], true, 0.5),
            ([0.0, 0.0, 0.0, 2.0], square, false, 0.0),
            ([0.0, 0.0, -1.0, 2.0], square, false, 0.0),
        ] {
            assert_eq!(iou(detection, object, crowd), want, "{detection:?} {object:?}");
        }
    }

    #[test]
    fn who_finds_whom() {
        let object =
            |bbox: [f64; 4], area: f64, crowd| CocoObject { id: 1, image: 0, class: 0, bbox, area, crowd };
        let (near, same) = ([0.0, 0.0, 10.0, 9.0], [0.0, 0.0, 10.0, 10.0]);
        let all = AREA_RANGES[0];
        // objects, boxes by score, area range -> (matched, ignored) at IoU 0.5 of each, positives
        type Case = (Vec<CocoObject>, Vec<[f64; 4]>, [f64; 2], Vec<(bool, bool)>, usize);
        let cases: [Case; 6] = [
            // the second on the same object is a false positive
            (vec![object(same, 100.0, false)], vec![same, near], all, vec![(true, false), (false, false)], 1),
            // a crowd absorbs any number, and is no positive
            (vec![object(same, 100.0, true)], vec![same, near], all, vec![(true, true), (true, true)], 0),
            // an object that counts goes before a crowd of larger IoU
            (
                vec![object(same, 100.0, true), object(near, 90.0, false)],
                vec![same, same],
                all,
                vec![(true, false), (true, true)],
                1,
            ),
            // no object, but too small to be called wrong
            (vec![], vec![same], AREA_RANGES[2], vec![(false, true)], 0),
            (vec![], vec![same], AREA_RANGES[1], vec![(false, false)], 0),
            // the object's own area decides, not its box
            (vec![object(same, 2000.0, false)], vec![same], AREA_RANGES[1], vec![(true, true)], 0),
        ];
        for (n, (objects, boxes, area, want, positives)) in cases.into_iter().enumerate() {
            let found: Vec<_> = boxes.into_iter().map(|b| (b, 1.0)).collect();
            let matched = match_image(&found, &objects, area);
            let got: Vec<_> =
                matched.verdicts.iter().map(|v| (v.matched & 1 == 1, v.ignored & 1 == 1)).collect();
            assert_eq!((got, matched.positives), (want, positives), "case {n}");
        }
    }
}
