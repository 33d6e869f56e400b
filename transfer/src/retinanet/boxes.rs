//! Boxes by their corners: overlap, scaling, clipping.

/// Left, top, right and bottom in pixels.
pub type Corners = [f32; 4];

/// Width times height.
pub fn area([left, top, right, bottom]: Corners) -> f32 {
    (right - left) * (bottom - top)
}

/// Intersection over union, in the order of operations of torchvision and Detectron2. Boxes that do not touch,
/// and two without area, have 0 as in Detectron2; torchvision's `box_iou` has NaN for the latter.
pub fn iou(a: Corners, b: Corners) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let intersection = width * height;
    if intersection > 0.0 { intersection / (area(a) + area(b) - intersection) } else { 0.0 }
}

/// As left, top, width and height, in which COCO writes boxes.
pub fn to_xywh([left, top, right, bottom]: Corners) -> [f64; 4] {
    let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
    [left, top, right - left, bottom - top]
}

/// From left, top, width and height.
pub fn from_xywh([x, y, w, h]: [f64; 4]) -> Corners {
    [x as f32, y as f32, (x + w) as f32, (y + h) as f32]
}

/// In an image that is `factor` (horizontal, vertical) times as large.
pub fn scaled([left, top, right, bottom]: Corners, [x, y]: [f32; 2]) -> Corners {
    [left * x, top * y, right * x, bottom * y]
}

/// The part within an image.
pub fn clipped([left, top, right, bottom]: Corners, width: f32, height: f32) -> Corners {
    [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)]
}

/// Without width or height, or not a number.
pub fn is_empty([left, top, right, bottom]: Corners) -> bool {
    !(right - left > 0.0 && bottom - top > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retinanet::recorded::recorded;

    #[test]
    fn overlaps_as_torchvision() {
        let case = &recorded()["iou"];
        let (a, b) = (case["a"].boxes(), case["b"].boxes());
        for (i, row) in case["iou"].rows().iter().enumerate() {
            for (j, &want) in row.iter().enumerate() {
                assert_eq!(iou(a[i], b[j]), want, "{:?} {:?}", a[i], b[j]);
            }
        }
        // 0/0 is NaN in torchvision
        assert_eq!(iou([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]), 0.0);
    }

    #[test]
    fn boxes_change_form() {
        assert_eq!(to_xywh([1.0, 2.0, 4.0, 8.0]), [1.0, 2.0, 3.0, 6.0]);
        assert_eq!(from_xywh([1.0, 2.0, 3.0, 6.0]), [1.0, 2.0, 4.0, 8.0]);
        let cut = clipped(scaled([-1.0, 2.0, 4.0, 8.0], [2.0, 0.5]), 6.0, 3.0);
        assert_eq!(cut, [0.0, 1.0, 6.0, 3.0]);
        for (corners, empty) in [
            ([0.0, 0.0, 1.0, 1.0], false),
            ([0.0, 0.0, 0.0, 1.0], true),
            ([0.0, 2.0, 1.0, 1.0], true),
            ([f32::NAN, 0.0, 1.0, 1.0], true),
        ] {
            assert_eq!(is_empty(corners), empty, "{corners:?}");
        }
    }
}
