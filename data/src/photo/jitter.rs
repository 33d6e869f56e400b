//! torchvision's `ColorJitter` on a Pillow image: brightness, contrast, saturation and hue in a drawn order.
//!
//! The first three are `ImageEnhance`: `Image.blend` of the image with black, with its mean grey, or with its own
//! grey version; the result is computed in f32, clipped and truncated to a byte after each. Pixels are planes here
//! (R, G, B), so that the loops vectorise.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::hue::shift_hue;
use super::truncated;

/// How far colours may be moved; 0 leaves a property alone.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ColorJitter {
    /// Factor between `max(0, 1 - brightness)` and `1 + brightness`.
    pub brightness: f32,
    /// Factor between `max(0, 1 - contrast)` and `1 + contrast`.
    pub contrast: f32,
    /// Factor between `max(0, 1 - saturation)` and `1 + saturation`.
    pub saturation: f32,
    /// Turns of the colour circle between `-hue` and `hue`; at most 0.5.
    pub hue: f32,
}

/// One drawn change of colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColorStep {
    /// Multiplies by a factor.
    Brightness(f32),
    /// Moves away from the mean grey by a factor.
    Contrast(f32),
    /// Moves away from the pixel's grey by a factor.
    Saturation(f32),
    /// Turns the hue by this share of the colour circle.
    Hue(f32),
}

impl ColorJitter {
    /// PC-DARTS and DARTS on ImageNet (spec 04-3b).
    pub const DARTS: Self = Self { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.2 };
    /// Colours stay.
    pub const NONE: Self = Self { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };

    /// Draws the steps in their order. The order of the draws is fixed: the order of the four steps, brightness,
    /// contrast, saturation, hue; steps of strength 0 draw nothing and are left out.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Vec<ColorStep> {
        if *self == Self::NONE {
            return Vec::new();
        }
        let mut order = [0, 1, 2, 3];
        order.shuffle(rng);
        let mut factor = |low: f32, strength: f32| {
            (strength != 0.0).then(|| low + (1.0 + strength - low) * rng.random::<f32>())
        };
        let mut steps = [
            factor((1.0 - self.brightness).max(0.0), self.brightness).map(ColorStep::Brightness),
            factor((1.0 - self.contrast).max(0.0), self.contrast).map(ColorStep::Contrast),
            factor((1.0 - self.saturation).max(0.0), self.saturation).map(ColorStep::Saturation),
            (self.hue != 0.0).then(|| ColorStep::Hue(self.hue * (2.0 * rng.random::<f32>() - 1.0))),
        ];
        order.into_iter().filter_map(|i| steps[i].take()).collect()
    }
}

impl ColorStep {
    /// Changes an image of R, G, B planes.
    pub(super) fn apply(self, planes: &mut [u8]) {
        match self {
            Self::Brightness(factor) => blend_with(0, factor, planes),
            Self::Contrast(factor) => blend_with(mean_grey(planes), factor, planes),
            Self::Saturation(factor) => saturate(factor, planes),
            // torchvision: `np.int32(hue_factor * 255).astype(np.uint8)`, truncated towards zero.
            Self::Hue(turns) => shift_hue((f64::from(turns) * 255.0) as i32 as u8, planes),
        }
    }
}

/// Pillow's `convert("L")` of one pixel.
#[inline(always)]
fn grey(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// `Image.blend` of one byte: in f32, clipped, truncated.
#[inline(always)]
fn blend(grey: u8, value: u8, factor: f32) -> u8 {
    let (grey, value) = (i32::from(grey), i32::from(value));
    let v = grey as f32 + factor * (value - grey) as f32;
    truncated(v.clamp(0.0, 255.0))
}

/// Blends every byte with the same one.
fn blend_with(grey: u8, factor: f32, planes: &mut [u8]) {
    if factor == 1.0 {
        return;
    }
    let table: [u8; 256] = std::array::from_fn(|v| blend(grey, v as u8, factor));
    planes.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
}

/// `int(ImageStat.Stat(image.convert("L")).mean[0] + 0.5)`.
fn mean_grey(planes: &[u8]) -> u8 {
    let n = planes.len() / 3;
    let (red, rest) = planes.split_at(n);
    let (green, blue) = rest.split_at(n);
    // Blocks whose sum fits 32 bits.
    let blocks = red.chunks(1 << 16).zip(green.chunks(1 << 16)).zip(blue.chunks(1 << 16));
    let sum: u64 = blocks
        .map(|((r, g), b)| {
            let pixels = r.iter().zip(g).zip(b);
            u64::from(pixels.map(|((&r, &g), &b)| u32::from(grey(r, g, b))).sum::<u32>())
        })
        .sum();
    (sum as f64 / n as f64 + 0.5) as u8
}

fn saturate(factor: f32, planes: &mut [u8]) {
    if factor == 1.0 {
        return;
    }
    let n = planes.len() / 3;
    let (red, rest) = planes.split_at_mut(n);
    let (green, blue) = rest.split_at_mut(n);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let level = grey(*r, *g, *b);
        *r = blend(level, *r, factor);
        *g = blend(level, *g, factor);
        *b = blend(level, *b, factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::tests::{adler32, all_colours};
    use genas_space::Streams;

    #[test]
    fn grey_is_pillows_for_every_colour() {
        // zlib.adler32 of Image.convert("L") over all 2^24 colours, R slowest (Pillow 13.0.0).
        let planes = all_colours();
        let n = planes.len() / 3;
        let greys = (0..n).map(|i| grey(planes[i], planes[n + i], planes[2 * n + i]));
        assert_eq!(adler32(greys), 3_646_912_883);
    }

    #[test]
    fn draws_cover_orders_and_ranges() {
        let mut rng = Streams::new(5).rng("jitter", 0);
        assert!(ColorJitter::NONE.draw(&mut rng).is_empty());
        let only = ColorJitter { contrast: 1.5, ..ColorJitter::NONE };
        let (mut least, mut most) = (9.0f32, 0.0f32);
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let steps = only.draw(&mut rng);
            let [ColorStep::Contrast(c)] = steps[..] else { panic!("{steps:?}") };
            (least, most) = (least.min(c), most.max(c));
            let mut order = String::new();
            for step in ColorJitter::DARTS.draw(&mut rng) {
                let (letter, ok) = match step {
                    ColorStep::Brightness(f) => ('b', (0.6..=1.4).contains(&f)),
                    ColorStep::Contrast(f) => ('c', (0.6..=1.4).contains(&f)),
                    ColorStep::Saturation(f) => ('s', (0.6..=1.4).contains(&f)),
                    ColorStep::Hue(f) => ('h', f.abs() <= 0.2),
                };
                assert!(ok, "{step:?}");
                order.push(letter);
            }
            orders.insert(order);
        }
        assert!((0.0..0.01).contains(&least) && (2.49..=2.5).contains(&most), "{least} {most}");
        assert_eq!(orders.len(), 24);
    }
}
