//! Training augmentation of photos: a random window, resized; lighting; flip; colour jitter; normalisation.
//!
//! [`PhotoAugment`] is the setting, [`PhotoChange`] what was drawn for one photo. Drawing is apart from applying, so
//! that applying can be compared with torchvision for given numbers (`tests/torchvision_augment.py`). Two published
//! pipelines are presets: [`PhotoAugment::darts`] (spec 04-3b) and [`PhotoAugment::genas`] (spec 04-3a). Pixels are
//! bytes until the end, as in both; lighting and jitter act on single pixels or on sums over all of them, so
//! that the flip, which both place between, is done together with the change from interleaved pixels to planes.
//!
//! Deviation: both settings of lighting and jitter may be on at once, which neither publication does; lighting is
//! first then.

mod crop;
mod hue;
mod jitter;
mod lighting;
pub(crate) mod opencv;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::{DataError, Normalization, Picture};
pub use crop::{CropKind, Window};
pub use jitter::{ColorJitter, ColorStep};

/// What is done to training photos. The default is [`PhotoAugment::darts`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PhotoAugment {
    /// Side of the square that a network sees, in pixels.
    pub size: usize,
    /// How the window is drawn and resized.
    pub crop: CropKind,
    /// Range of the window's share of the photo's area.
    pub scale: [f64; 2],
    /// Range of the window's width by its height; only of `random-resized` windows.
    pub ratio: [f64; 2],
    /// Standard deviation of PCA lighting; 0 for none, 0.1 in GeNAS.
    pub lighting: f64,
    /// Mirror left and right with probability 1/2.
    pub flip: bool,
    /// Random changes of colour.
    pub jitter: ColorJitter,
    /// Whether ImageNet's mean and standard deviation are taken out; if not, values are in [0, 1].
    pub normalize: bool,
}

impl Default for PhotoAugment {
    fn default() -> Self {
        Self::darts(224)
    }
}

/// What happens to one photo.
#[derive(Debug, Clone, PartialEq)]
pub struct PhotoChange {
    /// The part of the photo that is kept.
    pub window: Window,
    /// Amounts of the three principal colours.
    pub lighting: Option<[f64; 3]>,
    /// Whether left and right change places.
    pub flip: bool,
    /// Changes of colour, in order.
    pub colors: Vec<ColorStep>,
}

impl PhotoAugment {
    /// PC-DARTS and DARTS on ImageNet (spec 04-3b).
    pub const fn darts(size: usize) -> Self {
        Self {
            size,
            crop: CropKind::RandomResized,
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            lighting: 0.0,
            flip: true,
            jitter: ColorJitter::DARTS,
            normalize: true,
        }
    }

    /// The released GeNAS code on ImageNet (spec 04-3a): square windows, lighting, no normalisation.
    pub const fn genas(size: usize) -> Self {
        Self {
            crop: CropKind::Square,
            lighting: 0.1,
            jitter: ColorJitter::NONE,
            normalize: false,
            ..Self::darts(size)
        }
    }

    /// Whether the settings make sense.
    pub fn check(&self) -> Result<(), DataError> {
        let Self { scale, ratio, jitter, .. } = self;
        let strengths = [jitter.brightness, jitter.contrast, jitter.saturation];
        let problem = if !(1..=4096).contains(&self.size) {
            format!("size {}: give 1 to 4096 pixels", self.size)
        } else if !(0.0 < scale[0] && scale[0] <= scale[1] && scale[1] <= 1.0) {
            format!("scale {scale:?}: give two shares of the area in (0, 1], the smaller first")
        } else if !(0.0 < ratio[0] && ratio[0] <= ratio[1] && ratio[1].is_finite()) {
            format!("ratio {ratio:?}: give two ratios of width to height, the smaller first")
        } else if !(0.0..=10.0).contains(&self.lighting) {
            format!("lighting {}: give a standard deviation from 0, such as 0.1", self.lighting)
        } else if strengths.iter().any(|s| !(0.0..=10.0).contains(s)) {
            format!("jitter {strengths:?}: give brightness, contrast and saturation from 0, such as 0.4")
        } else if !(0.0..=0.5).contains(&jitter.hue) {
            format!("hue {}: give 0 to 0.5 turns of the colour circle", jitter.hue)
        } else {
            return Ok(());
        };
        Err(DataError::request("photo augmentation", problem))
    }

    /// How the pixels are normalised at the end.
    pub fn normalization(&self) -> Normalization {
        if self.normalize { Normalization::IMAGENET } else { Normalization::NONE }
    }

    /// Values of one augmented photo: 3 x size x size.
    pub fn image_len(&self) -> usize {
        3 * self.size * self.size
    }

    /// Draws what happens to a photo of this size in pixels. The order of the draws is fixed: window, lighting, flip,
    /// colours.
    pub fn draw(&self, width: usize, height: usize, rng: &mut impl Rng) -> PhotoChange {
        let size = (width, height);
        let window = match self.crop {
            CropKind::RandomResized => crop::random_resized(size, self.scale, self.ratio, rng),
            CropKind::Square => crop::square(size, self.scale, rng),
        };
        PhotoChange {
            window,
            lighting: (self.lighting > 0.0).then(|| lighting::draw(self.lighting, rng)),
            flip: self.flip && rng.random_bool(0.5),
            colors: self.jitter.draw(rng),
        }
    }

    /// The changed photo as R, G, B planes of bytes.
    pub fn apply(&self, change: &PhotoChange, photo: &Picture) -> Result<Vec<u8>, String> {
        let small = match self.crop {
            CropKind::RandomResized => photo.window_resized(change.window, self.size, self.size)?,
            CropKind::Square => square(photo, change.window, self.size),
        };
        let mut planes = into_planes(&small, change.flip);
        if let Some(amounts) = change.lighting {
            let n = planes.len() / 3;
            for (plane, table) in planes.chunks_exact_mut(n).zip(lighting::tables(amounts)) {
                plane.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
            }
        }
        change.colors.iter().for_each(|step| step.apply(&mut planes));
        Ok(planes)
    }
}

/// A window resized as OpenCV does; what lies outside the photo is black.
fn square(photo: &Picture, window: Window, size: usize) -> Picture {
    let Window { left, top, width, height } = window;
    if window.inside(photo.width, photo.height) {
        return opencv::resize(photo, (left as usize, top as usize, width, height), size, size);
    }
    // Rare: only where no try lay inside.
    let mut padded = Picture { width, height, rgb: vec![0; 3 * width * height] };
    let overlap = |start: i64, length: usize, side: usize| {
        (-start).clamp(0, length as i64) as usize..(side as i64 - start).clamp(0, length as i64) as usize
    };
    let (columns, rows) = (overlap(left, width, photo.width), overlap(top, height, photo.height));
    if !columns.is_empty() {
        for y in rows {
            let from = (y as i64 + top) as usize * photo.width + (columns.start as i64 + left) as usize;
            let to = y * width + columns.start;
            padded.rgb[3 * to..3 * (to + columns.len())]
                .copy_from_slice(&photo.rgb[3 * from..3 * (from + columns.len())]);
        }
    }
    opencv::resize(&padded, (0, 0, width, height), size, size)
}

/// Shorter side to `size`, the other in proportion and rounded, halves up; as OpenCV (spec 04-3a).
pub(crate) fn opencv_shorter_side(photo: &Picture, size: usize) -> Picture {
    let longer = |long: usize, short: usize| (2 * long * size + short) / (2 * short);
    let (width, height) = if photo.width <= photo.height {
        (size, longer(photo.height, photo.width))
    } else {
        (longer(photo.width, photo.height), size)
    };
    if (width, height) == (photo.width, photo.height) {
        return photo.clone();
    }
    opencv::resize(photo, (0, 0, photo.width, photo.height), width, height)
}

/// R, G, B planes, mirrored or not.
fn into_planes(photo: &Picture, flip: bool) -> Vec<u8> {
    let (n, width) = (photo.width * photo.height, photo.width);
    let mut planes = vec![0; 3 * n];
    let (red, rest) = planes.split_at_mut(n);
    let (green, blue) = rest.split_at_mut(n);
    let rows =
        red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
    for (((red, green), blue), pixels) in rows.zip(photo.rgb.chunks_exact(3 * width)) {
        let targets = red.iter_mut().zip(green).zip(blue);
        let write =
            |(((r, g), b), p): (((&mut u8, &mut u8), &mut u8), &[u8])| (*r, *g, *b) = (p[0], p[1], p[2]);
        if flip {
            targets.zip(pixels.chunks_exact(3).rev()).for_each(write);
        } else {
            targets.zip(pixels.chunks_exact(3)).for_each(write);
        }
    }
    planes
}

/// The whole part of a number from 0 to 255. A cast does the same, but saturates, which costs more than the loops
/// around it: they are not made vectors.
#[inline(always)]
fn truncated(x: f32) -> u8 {
    // Adding it leaves no bits for a fraction, and the whole number in the lowest bits.
    const SHIFT: f32 = 8_388_608.0;
    let nearest = (x + SHIFT) - SHIFT;
    let floor = if nearest > x { nearest - 1.0 } else { nearest };
    (floor + SHIFT).to_bits() as u8
}

/// Normalises R, G, B planes of bytes; `tables` is [`Normalization::tables`].
pub(crate) fn normalize(planes: &[u8], tables: &[[f32; 256]; 3], out: &mut [f32]) {
    let n = planes.len() / 3;
    for ((to, from), table) in out.chunks_exact_mut(n).zip(planes.chunks_exact(n)).zip(tables) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = table[usize::from(from)];
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use genas_space::Streams;

    /// `zlib.adler32`.
    pub(crate) fn adler32(bytes: impl Iterator<Item = u8>) -> u32 {
        let (mut a, mut b) = (1u64, 0u64);
        for byte in bytes {
            a = (a + u64::from(byte)) % 65521;
            b = (b + a) % 65521;
        }
        (b << 16 | a) as u32
    }

    /// Planes with all 2^24 colours, the first slowest.
    pub(crate) fn all_colours() -> Vec<u8> {
        let n = 1u32 << 24;
        [16, 8, 0].into_iter().flat_map(|shift| (0..n).map(move |i| (i >> shift) as u8)).collect()
    }

    fn photo(width: usize, height: usize) -> Picture {
        let rgb = (0..3 * width * height).map(|i| (i * 7 + i / 50) as u8).collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn settings_are_kebab_case_and_checked() {
        let text = r#"{"crop": "square", "lighting": 0.1, "jitter": {"hue": 0.1}, "normalize": false}"#;
        let read: PhotoAugment = serde_json::from_str(text).unwrap();
        let jitter = ColorJitter { hue: 0.1, ..ColorJitter::NONE };
        assert_eq!(read, PhotoAugment { jitter, ..PhotoAugment::genas(224) });
        assert!(serde_json::from_str::<PhotoAugment>(r#"{"colour": 1}"#).is_err());
        let good = PhotoAugment::default();
        good.check().unwrap();
        PhotoAugment::genas(32).check().unwrap();
        let jitter = |j| PhotoAugment { jitter: j, ..good };
        for (bad, says) in [
            (PhotoAugment { size: 0, ..good }, "size 0"),
            (PhotoAugment { scale: [0.5, 0.1], ..good }, "scale"),
            (PhotoAugment { scale: [0.0, 1.0], ..good }, "scale"),
            (PhotoAugment { ratio: [2.0, 1.0], ..good }, "ratio"),
            (PhotoAugment { lighting: f64::NAN, ..good }, "lighting"),
            (jitter(ColorJitter { contrast: -1.0, ..ColorJitter::NONE }), "contrast"),
            (jitter(ColorJitter { hue: 0.6, ..ColorJitter::NONE }), "hue 0.6"),
        ] {
            let e = bad.check().unwrap_err().to_string();
            assert!(e.contains(says), "{says:?} not in {e}");
        }
    }

    #[test]
    fn truncation_is_that_of_a_cast() {
        for i in 0..=255u32 << 15 {
            let x = i as f32 / 32768.0;
            assert_eq!(truncated(x), x as u8, "{x}");
            assert_eq!(truncated(x.next_down().max(0.0)), x.next_down() as u8, "{x}");
        }
    }

    #[test]
    fn flips_mirror_the_same_pixels() {
        let p = photo(40, 30);
        for augment in [PhotoAugment::darts(16), PhotoAugment::genas(16)] {
            let mut change = augment.draw(40, 30, &mut Streams::new(1).rng("a", 0));
            let mut planes = [false, true].map(|flip| {
                change.flip = flip;
                augment.apply(&change, &p).unwrap()
            });
            planes[1].chunks_exact_mut(16).for_each(<[u8]>::reverse);
            assert_eq!(planes[0], planes[1]);
        }
    }

    #[test]
    fn a_square_outside_the_photo_is_black_there() {
        let white = Picture { width: 4, height: 2, rgb: vec![255; 24] };
        let window = Window { left: -2, top: -3, width: 8, height: 8 };
        let planes = into_planes(&square(&white, window, 8), false);
        for (i, v) in planes.into_iter().enumerate() {
            let (x, y) = (i % 8, i % 64 / 8);
            let inside = (2..6).contains(&x) && (3..5).contains(&y);
            assert_eq!(v, if inside { 255 } else { 0 }, "{x} {y}");
        }
        let nowhere = Window { left: 9, top: 0, width: 3, height: 3 };
        assert!(square(&white, nowhere, 5).rgb.iter().all(|&v| v == 0));
    }

    #[test]
    fn every_size_of_photo_is_augmented() {
        for (w, h) in [(1, 1), (1, 500), (700, 2), (33, 21), (224, 224)] {
            for augment in [PhotoAugment::darts(24), PhotoAugment::genas(24)] {
                for counter in 0..20 {
                    let change = augment.draw(w, h, &mut Streams::new(2).rng("b", counter));
                    assert_eq!(augment.apply(&change, &photo(w, h)).unwrap().len(), augment.image_len());
                }
            }
        }
        assert_eq!(opencv_shorter_side(&photo(5, 8), 4).height, 6, "6.4");
        assert_eq!(opencv_shorter_side(&photo(9, 4), 2).width, 5, "4.5, halves up");
    }
}
