//! [`PhotometricChange`]: MMSegmentation's `PhotoMetricDistortion` with given numbers.
//!
//! Every step is computed in f32, cut off to 0 to 255 and truncated to a byte, as `convert` there does; saturation and hue go
//! to HSV and back each for itself.

use rand::{Rng, RngExt};

use super::PhotometricConfig;
use super::hsv::{to_hsv, to_rgb};

/// What happens to the colours of one image; `None` leaves a property alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PhotometricChange {
    /// Added to every byte.
    pub brightness: Option<f64>,
    /// Factor of every byte.
    pub contrast: Option<f64>,
    /// Contrast comes before saturation and hue; else it is last.
    pub contrast_first: bool,
    /// Factor of the saturation.
    pub saturation: Option<f64>,
    /// Added to the hue, of which a circle has 180 steps.
    pub hue: Option<i32>,
}

impl PhotometricChange {
    /// Draws one. The order of the draws is fixed: for brightness, contrast, saturation and hue whether and how much,
    /// then the place of contrast. A number is drawn whether it is used or not, so that settings of one step do not
    /// change another.
    pub fn draw(rng: &mut impl Rng, config: &PhotometricConfig) -> Self {
        let mut maybe = |probability: f64, [low, high]: [f64; 2]| {
            let (whether, share) = (rng.random::<f64>() < probability, rng.random::<f64>());
            whether.then_some(low + (high - low) * share)
        };
        let brightness = maybe(config.brightness_probability, [-config.brightness, config.brightness]);
        let contrast = maybe(config.contrast_probability, config.contrast);
        let saturation = maybe(config.saturation_probability, config.saturation);
        let turned = maybe(config.hue_probability, [0.0, 1.0]);
        // numpy's randint(-hue, hue): without hue itself.
        let steps = 2.0 * f64::from(config.hue);
        let hue = turned.map(|share| (share * steps) as i32 - config.hue as i32);
        let contrast_first = rng.random::<f64>() < config.contrast_first_probability;
        Self { brightness, contrast, contrast_first, saturation, hue }
    }

    /// Changes interleaved pixels.
    pub fn apply(&self, rgb: &mut [u8]) {
        let contrast = |rgb: &mut [u8]| {
            if let Some(factor) = self.contrast {
                change_bytes(&table(factor, 0.0), rgb);
            }
        };
        if let Some(more) = self.brightness {
            change_bytes(&table(1.0, more), rgb);
        }
        if self.contrast_first {
            contrast(rgb);
        }
        if let Some(factor) = self.saturation {
            let table = table(factor, 0.0);
            change_hsv(rgb, |[h, s, v]| [h, table[usize::from(s)], v]);
        }
        if let Some(steps) = self.hue {
            let table: [u8; 256] = std::array::from_fn(|h| (h as i32 + steps).rem_euclid(180) as u8);
            change_hsv(rgb, |[h, s, v]| [table[usize::from(h)], s, v]);
        }
        if !self.contrast_first {
            contrast(rgb);
        }
    }
}

/// `convert` of every byte.
fn table(factor: f64, more: f64) -> [u8; 256] {
    let (factor, more) = (factor as f32, more as f32);
    std::array::from_fn(|v| (v as f32 * factor + more).clamp(0.0, 255.0) as u8)
}

fn change_bytes(table: &[u8; 256], rgb: &mut [u8]) {
    rgb.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
}

fn change_hsv(rgb: &mut [u8], change: impl Fn([u8; 3]) -> [u8; 3]) {
    for pixel in rgb.as_chunks_mut::<3>().0 {
        *pixel = to_rgb(change(to_hsv(*pixel)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;

    #[test]
    fn draws_cover_their_ranges() {
        let config = PhotometricConfig::default();
        let (n, mut counts) = (4000, [0; 5]);
        let mut hues = std::collections::BTreeSet::new();
        for i in 0..n {
            let change = PhotometricChange::draw(&mut Streams::new(1).rng("t", i), &config);
            for (k, drawn) in [change.brightness, change.contrast, change.saturation].into_iter().enumerate()
            {
                counts[k] += usize::from(drawn.is_some());
                let [low, high] = if k == 0 { [-32.0, 32.0] } else { [0.5, 1.5] };
                assert!(drawn.is_none_or(|x| (low..high).contains(&x)), "{change:?}");
            }
            counts[3] += usize::from(change.contrast_first);
            counts[4] += usize::from(change.hue.is_some());
            hues.extend(change.hue);
        }
        assert!(counts.iter().all(|&c| (1850..2150).contains(&c)), "{counts:?}");
        assert!(hues.into_iter().eq(-18..18));
        let none = PhotometricChange::draw(&mut Streams::new(1).rng("t", 0), &PhotometricConfig::none());
        let mut rgb = vec![1, 2, 3, 250, 9, 100];
        none.apply(&mut rgb);
        assert_eq!(rgb, [1, 2, 3, 250, 9, 100]);
    }
}
