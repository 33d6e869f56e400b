//! Training augmentation of one image: flip, padded crop, normalisation, cutout, in one pass.
//!
//! The order is that of the DARTS pipeline (spec 02, section 1; spec 04, section 6):
//! `RandomHorizontalFlip`, `RandomCrop(padding)`, `ToTensor`, `Normalize`, `Cutout`. The padding is
//! black before the normalisation, the cutout square is zero after it.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// What is done to training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AugmentConfig {
    /// Mirror left and right with probability 1/2.
    pub flip: bool,
    /// Crop at a random place after padding this many zero pixels on every side; 0 for none.
    pub crop_padding: usize,
    /// Side of the square that is set to zero around a random pixel.
    pub cutout: Option<usize>,
}

impl AugmentConfig {
    /// Supernet training: flip, and crop with padding 4 for 32x32, 2 for 16x16 and so on.
    pub fn supernet(image_size: usize) -> Self {
        Self { flip: true, crop_padding: image_size / 8, cutout: None }
    }

    /// Retraining on CIFAR: as the supernet, and cutout of half the side (16 for 32x32).
    pub fn retrain(image_size: usize) -> Self {
        Self { cutout: Some(image_size / 2), ..Self::supernet(image_size) }
    }

    /// Draws what happens to one image. The order of the draws is fixed: flip, top, left, cutout
    /// row, cutout column.
    pub(crate) fn draw(&self, height: usize, width: usize, rng: &mut impl Rng) -> Augmentation {
        let flip = self.flip && rng.random_bool(0.5);
        let mut offset = || match self.crop_padding {
            0 => 0,
            p => rng.random_range(0..=2 * p) as isize - p as isize,
        };
        let (top, left) = (offset(), offset());
        let cutout = self.cutout.map(|side| {
            let (y, x) = (rng.random_range(0..height), rng.random_range(0..width));
            let span = |at: usize, end: usize| (at.saturating_sub(side / 2), (at + side / 2).min(end));
            (span(y, height), span(x, width))
        });
        Augmentation { flip, top, left, cutout }
    }
}

/// What happens to one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Augmentation {
    flip: bool,
    /// Row of the flipped image that becomes row 0; negative in the padding.
    top: isize,
    /// Column of the flipped image that becomes column 0.
    left: isize,
    /// Rows and columns set to zero, half open.
    cutout: Option<((usize, usize), (usize, usize))>,
}

impl Augmentation {
    /// Writes the augmented, normalised image. `tables` is [`crate::Normalization::tables`].
    pub(crate) fn apply(&self, image: &[u8], width: usize, tables: &[[f32; 256]; 3], out: &mut [f32]) {
        let plane = image.len() / 3;
        let height = plane / width;
        // Columns of the output whose source lies inside the image.
        let first = (-self.left).clamp(0, width as isize) as usize;
        let last = (width as isize - self.left).clamp(first as isize, width as isize) as usize;
        for (c, (to, from)) in out.chunks_exact_mut(plane).zip(image.chunks_exact(plane)).enumerate() {
            let table = &tables[c];
            for (y, row) in to.chunks_exact_mut(width).enumerate() {
                let sy = y as isize + self.top;
                if sy < 0 || sy >= height as isize || first == last {
                    row.fill(table[0]);
                    continue;
                }
                let source = &from[sy as usize * width..][..width];
                let at = (first as isize + self.left) as usize;
                let n = last - first;
                row[..first].fill(table[0]);
                row[last..].fill(table[0]);
                let row = &mut row[first..last];
                if self.flip {
                    let mirrored = source[width - at - n..width - at].iter().rev();
                    for (to, &from) in row.iter_mut().zip(mirrored) {
                        *to = table[usize::from(from)];
                    }
                } else {
                    for (to, &from) in row.iter_mut().zip(&source[at..at + n]) {
                        *to = table[usize::from(from)];
                    }
                }
            }
            if let Some(((y0, y1), (x0, x1))) = self.cutout {
                for y in y0..y1 {
                    to[y * width + x0..y * width + x1].fill(0.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Normalization;
    use genas_space::Streams;

    /// The same pipeline, one step after the other.
    fn reference(a: &Augmentation, image: &[u8], h: usize, w: usize, n: &Normalization) -> Vec<f32> {
        let mut out = vec![0.0; 3 * h * w];
        for c in 0..3 {
            for y in 0..h {
                for x in 0..w {
                    let (sy, sx) = (y as isize + a.top, x as isize + a.left);
                    let inside = (0..h as isize).contains(&sy) && (0..w as isize).contains(&sx);
                    let value = if inside {
                        let sx = if a.flip { w - 1 - sx as usize } else { sx as usize };
                        image[c * h * w + sy as usize * w + sx]
                    } else {
                        0
                    };
                    let cut = a
                        .cutout
                        .is_some_and(|((y0, y1), (x0, x1))| (y0..y1).contains(&y) && (x0..x1).contains(&x));
                    out[c * h * w + y * w + x] = if cut { 0.0 } else { n.apply(c, value) };
                }
            }
        }
        out
    }

    #[test]
    fn equals_the_stepwise_pipeline() {
        let mut rng = Streams::new(3).rng("test", 0);
        for config in [
            AugmentConfig::default(),
            AugmentConfig::supernet(32),
            AugmentConfig::retrain(32),
            AugmentConfig { flip: true, crop_padding: 13, cutout: Some(5) },
        ] {
            for (h, w) in [(32, 32), (7, 11)] {
                let image: Vec<u8> = (0..3 * h * w).map(|_| rng.random()).collect();
                let n = Normalization::CIFAR10;
                for _ in 0..60 {
                    let a = config.draw(h, w, &mut rng);
                    let mut out = vec![f32::NAN; image.len()];
                    a.apply(&image, w, &n.tables(), &mut out);
                    assert_eq!(out, reference(&a, &image, h, w, &n), "{a:?}");
                }
            }
        }
    }

    #[test]
    fn draws_cover_flips_offsets_and_clipped_squares() {
        let mut rng = Streams::new(4).rng("test", 0);
        let draws: Vec<_> = (0..4000).map(|_| AugmentConfig::retrain(32).draw(32, 32, &mut rng)).collect();
        let flips = draws.iter().filter(|a| a.flip).count();
        assert!((1850..2150).contains(&flips), "{flips}");
        for offset in -4..=4 {
            let n = draws.iter().filter(|a| a.top == offset).count();
            assert!((350..540).contains(&n), "top {offset}: {n}");
        }
        let rows = |a: &Augmentation| a.cutout.map(|((y0, y1), _)| y1 - y0).unwrap();
        assert_eq!(draws.iter().map(rows).max(), Some(16));
        assert_eq!(draws.iter().map(rows).min(), Some(8), "centred on row 0");
    }
}
