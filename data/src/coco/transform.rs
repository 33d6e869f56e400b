//! Resizing and flipping an image together with its boxes, as Detectron2's `ResizeShortestEdge` and `RandomFlip`.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::Picture;

/// Preparation of images for training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DetectionDataConfig {
    /// Lengths of the shorter side in pixels, of which one is drawn for each image.
    pub shorter_sides: Vec<usize>,
    /// The longer side in pixels, at most.
    pub longer_side: usize,
    /// Probability of a flip.
    pub flip: f64,
    /// Sides are filled up to a multiple of this.
    pub divisor: usize,
    /// Batches of wide images and batches of tall ones.
    pub aspect_ratio_grouping: bool,
}

impl Default for DetectionDataConfig {
    fn default() -> Self {
        Self {
            shorter_sides: vec![640, 672, 704, 736, 768, 800],
            longer_side: 1333,
            flip: 0.5,
            divisor: 32,
            aspect_ratio_grouping: true,
        }
    }
}

/// Width and height after the shorter side was brought to `shorter`, or the longer one to `longer` where it would
/// become longer than that; halves are rounded up.
pub fn resized_size([width, height]: [usize; 2], shorter: usize, longer: usize) -> [usize; 2] {
    let (w, h, shorter, longer) = (width as f64, height as f64, shorter as f64, longer as f64);
    let scale = shorter / w.min(h);
    // The order of operations is Detectron2's, for halves.
    let [mut w, mut h] = if height < width { [scale * w, shorter] } else { [shorter, scale * h] };
    if w.max(h) > longer {
        let scale = longer / w.max(h);
        (w, h) = (w * scale, h * scale);
    }
    [w, h].map(|side| ((side + 0.5) as usize).max(1))
}

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectionTransform {
    /// Width and height in the file.
    pub from: [usize; 2],
    /// Width and height for the network, without padding.
    pub to: [usize; 2],
    /// Left becomes right.
    pub flip: bool,
}

impl DetectionTransform {
    /// Draws one for training.
    pub fn draw(rng: &mut impl Rng, from: [usize; 2], config: &DetectionDataConfig) -> Self {
        let shorter = config.shorter_sides[rng.random_range(0..config.shorter_sides.len())];
        let flip = rng.random::<f64>() < config.flip;
        Self { from, to: resized_size(from, shorter, config.longer_side), flip }
    }

    /// The one for testing.
    pub fn fixed(from: [usize; 2], shorter: usize, longer: usize) -> Self {
        Self { from, to: resized_size(from, shorter, longer), flip: false }
    }

    /// The image, as 8-bit pixels.
    ///
    /// # Errors
    ///
    /// The resizer's reason.
    pub fn picture(&self, picture: &Picture) -> Result<Picture, String> {
        let mut resized = picture.resized(self.to[0], self.to[1])?;
        if self.flip {
            for row in resized.rgb.chunks_exact_mut(3 * self.to[0]) {
                for x in 0..self.to[0] / 2 {
                    let other = self.to[0] - 1 - x;
                    (0..3).for_each(|c| row.swap(3 * x + c, 3 * other + c));
                }
            }
        }
        Ok(resized)
    }

    /// A box (left, top, width, height) as left, top, right and bottom in the new image, cut at its borders; none if
    /// nothing is left of it.
    pub fn corners(&self, [x, y, w, h]: [f64; 4]) -> Option<[f32; 4]> {
        let factor = [0, 1].map(|axis| self.to[axis] as f64 / self.from[axis] as f64);
        let (width, height) = (self.to[0] as f64, self.to[1] as f64);
        let (mut left, mut right) = (x * factor[0], (x + w) * factor[0]);
        if self.flip {
            (left, right) = (width - right, width - left);
        }
        let (left, right) = (left.clamp(0.0, width) as f32, right.clamp(0.0, width) as f32);
        let top = (y * factor[1]).clamp(0.0, height) as f32;
        let bottom = ((y + h) * factor[1]).clamp(0.0, height) as f32;
        (left < right && top < bottom).then_some([left, top, right, bottom])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;

    #[test]
    fn sizes_as_detectron2() {
        // ResizeShortestEdge.get_output_shape
        for (from, shorter, longer, want) in [
            ([640, 480], 800, 1333, [1067, 800]),
            ([480, 640], 800, 1333, [800, 1067]),
            ([500, 375], 640, 1333, [853, 640]),
            ([1000, 300], 800, 1333, [1333, 400]),
            ([300, 1000], 800, 1333, [400, 1333]),
            ([333, 333], 672, 1333, [672, 672]),
            // 4 * 5 / 8 = 2.5 goes up
            ([8, 5], 4, 4, [4, 3]),
            ([4000, 1], 800, 1333, [1333, 1]),
        ] {
            assert_eq!(resized_size(from, shorter, longer), want, "{from:?}");
        }
    }

    #[test]
    fn boxes_follow_the_pixels() {
        // A white rectangle on black, wherever it goes.
        let mut picture = Picture { width: 40, height: 20, rgb: vec![0; 40 * 20 * 3] };
        for y in 5..15 {
            picture.rgb[3 * (y * 40 + 4)..3 * (y * 40 + 14)].fill(255);
        }
        for flip in [false, true] {
            let transform = DetectionTransform { from: [40, 20], to: [80, 40], flip };
            let new = transform.picture(&picture).unwrap();
            let [left, top, right, bottom] = transform.corners([4.0, 5.0, 10.0, 10.0]).unwrap();
            assert_eq!(
                [left, top, right, bottom],
                if flip { [52.0, 10.0, 72.0, 30.0] } else { [8.0, 10.0, 28.0, 30.0] }
            );
            for (x, y, inside) in [
                (left + 3.0, top + 3.0, true),
                (right - 3.0, bottom - 3.0, true),
                (left - 3.0, top, false),
                (right + 3.0, bottom, false),
            ] {
                let value = new.rgb[3 * (y as usize * 80 + x as usize)];
                assert_eq!(value, if inside { 255 } else { 0 }, "{flip} {x} {y}");
            }
        }
        let transform = DetectionTransform::fixed([40, 20], 20, 100);
        assert_eq!(transform.corners([-5.0, 10.0, 10.0, 90.0]), Some([0.0, 10.0, 5.0, 20.0]));
        assert_eq!(transform.corners([40.0, 0.0, 3.0, 3.0]), None);
        assert_eq!(transform.picture(&picture).unwrap(), picture);
    }

    #[test]
    fn all_sides_and_flips_are_drawn() {
        let config = DetectionDataConfig { shorter_sides: vec![10, 20], ..DetectionDataConfig::default() };
        let mut counts = [[0; 2]; 2];
        for n in 0..400 {
            let drawn = DetectionTransform::draw(&mut Streams::new(1).rng("t", n), [30, 40], &config);
            counts[usize::from(drawn.to[0] == 20)][usize::from(drawn.flip)] += 1;
        }
        assert!(counts.as_flattened().iter().all(|&n| (70..130).contains(&n)), "{counts:?}");
    }
}
