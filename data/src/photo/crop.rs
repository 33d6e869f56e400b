//! Which window of a photo is cut out for training: torchvision's `RandomResizedCrop` (spec 04-3b) or the square
//! window of the released GeNAS code (spec 04-3a, item 1).

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Windows that are tried before the fallback.
const TRIES: usize = 10;

/// How a window is drawn, and how it is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CropKind {
    /// torchvision's `RandomResizedCrop` of a Pillow image: any aspect ratio in a range; bilinear with antialias.
    #[default]
    RandomResized,
    /// A square, black outside the photo; bilinear without antialias, as OpenCV.
    Square,
}

/// A window of a photo, in pixels; a square one may reach beyond the photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column; negative outside the photo.
    pub left: i64,
    /// First row; negative outside the photo.
    pub top: i64,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Window {
    /// Whether it lies in a photo of this size.
    pub fn inside(&self, width: usize, height: usize) -> bool {
        self.left >= 0
            && self.top >= 0
            && self.left as usize + self.width <= width
            && self.top as usize + self.height <= height
    }
}

/// `RandomResizedCrop.get_params` for a photo of `width` x `height`. The order of the draws is fixed: for each try
/// area and ratio, then top and left of the accepted one.
pub(super) fn random_resized(
    (width, height): (usize, usize),
    scale: [f64; 2],
    ratio: [f64; 2],
    rng: &mut impl Rng,
) -> Window {
    let area = (width * height) as f64;
    for _ in 0..TRIES {
        let target = area * uniform(scale, rng);
        let aspect = uniform(ratio.map(f64::ln), rng).exp();
        // Python's round: a half goes to the even neighbour.
        let w = (target * aspect).sqrt().round_ties_even() as usize;
        let h = (target / aspect).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = rng.random_range(0..=height - h) as i64;
            let left = rng.random_range(0..=width - w) as i64;
            return Window { left, top, width: w, height: h };
        }
    }
    fallback(width, height, ratio)
}

/// The largest centred window whose ratio is in range.
fn fallback(width: usize, height: usize, [narrowest, widest]: [f64; 2]) -> Window {
    let ratio = width as f64 / height as f64;
    let (w, h) = if ratio < narrowest {
        (width, (width as f64 / narrowest).round_ties_even() as usize)
    } else if ratio > widest {
        ((height as f64 * widest).round_ties_even() as usize, height)
    } else {
        (width, height)
    };
    // Rounding cannot leave the photo, because the side is cut down from the photo's own.
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    Window { left: ((width - w) / 2) as i64, top: ((height - h) / 2) as i64, width: w, height: h }
}

/// The square window. The order of the draws is fixed: for each try area, left, top.
pub(super) fn square((width, height): (usize, usize), scale: [f64; 2], rng: &mut impl Rng) -> Window {
    let area = (width * height) as f64;
    let mut window = Window { left: 0, top: 0, width, height };
    for _ in 0..TRIES {
        let edge = (area * uniform(scale, rng)).sqrt().round_ties_even().max(1.0) as usize;
        let mut offset = |side: usize| {
            let room = side as i64 - edge as i64;
            rng.random_range(room.min(0)..=room.max(0))
        };
        let (left, top) = (offset(width), offset(height));
        window = Window { left, top, width: edge, height: edge };
        if edge <= width && edge <= height {
            return window;
        }
    }
    window
}

fn uniform([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;

    const SCALE: [f64; 2] = [0.08, 1.0];
    const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

    /// From torchvision's code, by hand: `w = int(round(h * max(ratio)))` and so on, offsets `// 2`.
    #[test]
    fn fallbacks_are_torchvisions() {
        for (size, want) in [
            ((1000, 30), (480, 0, 40, 30)),
            ((31, 1000), (0, 479, 31, 41)),
            ((40, 30), (0, 0, 40, 30)),
            ((1, 7), (0, 3, 1, 1)),
        ] {
            let w = fallback(size.0, size.1, RATIO);
            assert_eq!((w.left, w.top, w.width, w.height), want, "{size:?}");
        }
        // Too elongated for any try.
        let mut rng = Streams::new(1).rng("crop", 0);
        assert_eq!(random_resized((2000, 20), SCALE, RATIO, &mut rng), fallback(2000, 20, RATIO));
    }

    #[test]
    fn windows_lie_in_the_photo_and_cover_the_ranges() {
        let mut rng = Streams::new(2).rng("crop", 0);
        let (w, h) = (500, 375);
        let (mut least, mut most, mut narrow, mut wide) = (1.0f64, 0.0f64, 2.0f64, 0.0f64);
        let mut mean = 0.0;
        for _ in 0..4000 {
            let c = random_resized((w, h), SCALE, RATIO, &mut rng);
            assert!(c.inside(w, h), "{c:?}");
            let (share, ratio) =
                ((c.width * c.height) as f64 / (w * h) as f64, c.width as f64 / c.height as f64);
            (least, most) = (least.min(share), most.max(share));
            (narrow, wide) = (narrow.min(ratio), wide.max(ratio));
            mean += share / 4000.0;
        }
        assert!(least < 0.085 && most > 0.98, "{least} {most}");
        assert!((0.74..0.76).contains(&narrow) && (1.32..1.35).contains(&wide), "{narrow} {wide}");
        // 100,000 draws of torchvision 0.29.2's get_params for this size (seed 0): mean share 0.4338.
        assert!((mean - 0.4338).abs() < 0.015, "{mean}");
    }

    #[test]
    fn squares_reach_outside_only_when_every_try_did() {
        let mut rng = Streams::new(3).rng("crop", 0);
        let mut outside = 0;
        for _ in 0..2000 {
            let c = square((400, 300), SCALE, &mut rng);
            assert_eq!(c.width, c.height);
            assert!(c.inside(400, 300), "{c:?}");
            // Edge 63 squared is 3,969 of 2,000 x 2 = 4,000 pixels: hardly ever at most 2.
            let long = square((2000, 2), SCALE, &mut rng);
            assert!(long.left >= 0 && long.top <= 0, "{long:?}");
            outside += usize::from(!long.inside(2000, 2));
        }
        assert_eq!(outside, 2000);
    }
}
