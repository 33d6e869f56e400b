//! [`SegmentationTransform`]: everything that happens to one image and its labels for training.
//!
//! Resizing, cropping, flipping and changing colours, in MMSegmentation's order; normalising and filling up follow
//! when a batch is put together. Only the part that is cut out is computed.

use rand::{Rng, RngExt};

use super::crop::{draw_varied_window, is_varied};
use super::resize::{fitting_size, nearest};
use super::{LabelMap, PhotometricChange, SegmentationDataConfig};
use crate::photo::opencv;
use crate::{Picture, Window};

/// What happens to one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentationTransform {
    /// Width and height in the file.
    pub from: [usize; 2],
    /// Width and height after resizing.
    pub to: [usize; 2],
    /// The part that is cut out of the resized image.
    pub window: Window,
    /// Left becomes right.
    pub flip: bool,
    /// Changes of colour.
    pub photometric: PhotometricChange,
}

impl SegmentationTransform {
    /// Draws one for an image with these train ids. The order of the draws is fixed: ratio, windows, flip, colours.
    pub fn draw(rng: &mut impl Rng, labels: &LabelMap, config: &SegmentationDataConfig) -> Self {
        let from = [labels.width, labels.height];
        let [low, high] = config.ratio_range;
        let to = resized_size(from, low + (high - low) * rng.random::<f64>(), config);
        let crop = [config.crop_width, config.crop_height];
        let redraws = if config.category_max_ratio < 1.0 { config.category_redraws } else { 0 };
        let (columns, rows) = (nearest(from[0], to[0]), nearest(from[1], to[1]));
        let varied = |window| is_varied(&labels.picked(&columns, &rows, window), config.category_max_ratio);
        let window = draw_varied_window(rng, to, crop, redraws, varied);
        let flip = rng.random::<f64>() < config.flip;
        let photometric = PhotometricChange::draw(rng, &config.photometric);
        Self { from, to, window, flip, photometric }
    }

    /// How many of the image's first rows are needed.
    pub fn rows_needed(&self) -> usize {
        opencv::rows_needed(self.from, self.to, self.window)
    }

    /// The image, of which the first [`Self::rows_needed`] rows are enough.
    pub fn picture(&self, picture: &Picture) -> Picture {
        let mut part = opencv::resized_window(picture, self.from, self.to, self.window);
        if self.flip {
            flip(&mut part);
        }
        self.photometric.apply(&mut part.rgb);
        part
    }

    /// The labels.
    pub fn labels(&self, labels: &LabelMap) -> LabelMap {
        let mut part = labels.resized_window(self.to, self.window);
        if self.flip {
            part.labels.chunks_exact_mut(part.width).for_each(<[u8]>::reverse);
        }
        part
    }
}

/// Width and height at a drawn ratio: MMCV's `RandomResize`.
pub fn resized_size(size: [usize; 2], ratio: f64, config: &SegmentationDataConfig) -> [usize; 2] {
    let scale = [config.scale_width, config.scale_height].map(|side| ((side as f64 * ratio) as usize).max(1));
    if config.keep_ratio { fitting_size(size, scale) } else { scale }
}

/// Left becomes right.
pub(super) fn flip(picture: &mut Picture) {
    for row in picture.rgb.chunks_exact_mut(3 * picture.width) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmentation::PhotometricConfig;
    use genas_space::Streams;

    /// Labels in squares of 5, and a picture that says of each pixel its label and where it is.
    fn pair(width: usize, height: usize) -> (LabelMap, Picture) {
        let label = |x: usize, y: usize| ((x / 5 + y / 5) % 7) as u8;
        let places = || (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)));
        let labels = places().map(|(x, y)| label(x, y)).collect();
        let rgb = places().flat_map(|(x, y)| [30 * label(x, y), x as u8, y as u8]).collect();
        (LabelMap { width, height, labels }, Picture { width, height, rgb })
    }

    #[test]
    fn picture_and_labels_stay_together() {
        let (labels, picture) = pair(60, 40);
        let config = SegmentationDataConfig {
            scale_width: 60,
            scale_height: 40,
            crop_height: 24,
            crop_width: 32,
            photometric: PhotometricConfig::none(),
            ..SegmentationDataConfig::default()
        };
        let (mut flips, mut least, mut most) = (0, [99, 99], [0, 0]);
        for n in 0..100 {
            let transform = SegmentationTransform::draw(&mut Streams::new(3).rng("t", n), &labels, &config);
            assert_eq!(
                transform,
                SegmentationTransform::draw(&mut Streams::new(3).rng("t", n), &labels, &config)
            );
            flips += usize::from(transform.flip);
            (0..2).for_each(|axis| {
                least[axis] = least[axis].min(transform.to[axis]);
                most[axis] = most[axis].max(transform.to[axis]);
            });
            let (part, shown) = (transform.labels(&labels), transform.picture(&picture));
            assert_eq!([part.width, part.height], [shown.width, shown.height]);
            assert_eq!([part.width, part.height], [32.min(transform.to[0]), 24.min(transform.to[1])]);
            // Where neighbours are alike, interpolation makes no difference.
            let mut compared = 0;
            for y in 2..part.height - 2 {
                for x in 2..part.width - 2 {
                    let at = |dx: usize, dy: usize| part.labels[(y + dy - 2) * part.width + x + dx - 2];
                    if (0..25).all(|k| at(k % 5, k / 5) == at(2, 2)) {
                        assert_eq!(
                            shown.rgb[3 * (y * part.width + x)],
                            30 * at(2, 2),
                            "{transform:?} {x} {y}"
                        );
                        compared += 1;
                    }
                }
            }
            assert!(compared > 0 || transform.to[0] < 90, "{transform:?}");
            // Rows that are not needed may be missing.
            let rows = transform.rows_needed();
            let top = Picture { width: 60, height: rows, rgb: picture.rgb[..rows * 180].to_vec() };
            assert_eq!(transform.picture(&top), shown);
        }
        assert!((30..70).contains(&flips), "{flips}");
        assert!(least[0] <= 33 && least[1] <= 22 && most[0] >= 115 && most[1] >= 76, "{least:?} {most:?}");
    }

    #[test]
    fn nothing_drawn_changes_nothing() {
        let (labels, picture) = pair(20, 10);
        let transform = SegmentationTransform {
            from: [20, 10],
            to: [20, 10],
            window: Window { left: 0, top: 0, width: 20, height: 10 },
            flip: false,
            photometric: PhotometricChange::default(),
        };
        assert_eq!((transform.labels(&labels), transform.picture(&picture)), (labels, picture));
        assert_eq!(transform.rows_needed(), 10);
    }

    #[test]
    fn sizes_are_truncated_as_in_mmcv() {
        let config = SegmentationDataConfig::default();
        // int(2048 * 0.7), int(1024 * 0.7) = 1433, 716: 716 / 1024 decides.
        assert_eq!(resized_size([2048, 1024], 0.7, &config), [1432, 716]);
        let stretched = SegmentationDataConfig { keep_ratio: false, ..config };
        assert_eq!(resized_size([480, 360], 0.7, &stretched), [1433, 716]);
    }
}
