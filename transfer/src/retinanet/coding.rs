//! An object as a correction of its anchor, and back: Detectron2's `Box2BoxTransform`.

use super::boxes::Corners;

/// Numbers that the network learns: shift of the centre in widths and heights of the anchor, and logarithms of how
/// many times wider and higher the object is; each times its weight.
pub type Deltas = [f32; 4];

/// Centre, width and height.
fn centred([left, top, right, bottom]: Corners) -> [f32; 4] {
    let (width, height) = (right - left, bottom - top);
    [left + 0.5 * width, top + 0.5 * height, width, height]
}

/// What makes `anchor` the `object`. Both must have width and height.
pub fn encode(anchor: Corners, object: Corners, weights: [f32; 4]) -> Deltas {
    let ([ax, ay, aw, ah], [x, y, w, h]) = (centred(anchor), centred(object));
    [
        weights[0] * (x - ax) / aw,
        weights[1] * (y - ay) / ah,
        weights[2] * (w / aw).ln(),
        weights[3] * (h / ah).ln(),
    ]
}

/// `anchor` corrected. A wild network's object is `max_scale` times as large as its anchor at most.
pub fn decode(anchor: Corners, deltas: Deltas, weights: [f32; 4], max_scale: f32) -> Corners {
    let [ax, ay, aw, ah] = centred(anchor);
    let limit = max_scale.ln();
    let x = deltas[0] / weights[0] * aw + ax;
    let y = deltas[1] / weights[1] * ah + ay;
    let w = (deltas[2] / weights[2]).min(limit).exp() * aw;
    let h = (deltas[3] / weights[3]).min(limit).exp() * ah;
    [x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retinanet::recorded::{assert_close, recorded};

    const MAX_SCALE: f32 = 1000.0 / 16.0;

    #[test]
    fn codes_as_torchvision() {
        for case in recorded()["coding"].list() {
            let weights: [f32; 4] = case["weights"].numbers().try_into().unwrap();
            let (anchors, objects) = (case["anchors"].boxes(), case["objects"].boxes());
            let (codes, deltas) = (case["encoded"].boxes(), case["deltas"].boxes());
            let decoded = case["decoded"].boxes();
            for n in 0..anchors.len() {
                assert_close(&encode(anchors[n], objects[n], weights), &codes[n], 2e-6, "encode");
                assert_close(&decode(anchors[n], deltas[n], weights, MAX_SCALE), &decoded[n], 2e-6, "decode");
                let back = decode(anchors[n], codes[n], weights, MAX_SCALE);
                // Coordinates up to 260 have steps of 3e-5 in 32 bits.
                assert_close(&back, &objects[n], 6e-5, "and back");
            }
        }
    }

    #[test]
    fn the_clamp_is_at_62_5_anchors() {
        let anchor = [0.0, 0.0, 2.0, 4.0];
        let [left, top, right, bottom] = decode(anchor, [0.0, 0.0, 50.0, f32::INFINITY], [1.0; 4], MAX_SCALE);
        assert_close(&[right - left, bottom - top], &[125.0, 250.0], 1e-5, "clamp");
    }
}
