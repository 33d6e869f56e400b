//! [`SegmentationDataConfig`]: the augmentation of MMSegmentation's Cityscapes configurations (spec 06, section 5).

use serde::{Deserialize, Serialize};

use super::IGNORED;
use crate::DataError;

/// Preparation of images for training, in the order of the fields. The defaults are those of
/// `configs/_base_/datasets/cityscapes.py`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SegmentationDataConfig {
    /// Width in pixels that images are resized to, before the drawn ratio.
    pub scale_width: usize,
    /// Height in pixels that images are resized to, before the drawn ratio.
    pub scale_height: usize,
    /// Whether images keep their shape: then they are as large as fits into the scale.
    pub keep_ratio: bool,
    /// Range of the ratio that the scale is multiplied by.
    pub ratio_range: [f64; 2],
    /// Height of the part that a network sees.
    pub crop_height: usize,
    /// Width of the part that a network sees.
    pub crop_width: usize,
    /// A part is drawn again while one class covers this share of its labelled pixels, or more; 1 for never.
    pub category_max_ratio: f64,
    /// How often it is drawn again, at most.
    pub category_redraws: usize,
    /// Probability of a flip.
    pub flip: f64,
    /// Changes of colour.
    pub photometric: PhotometricConfig,
    /// What images smaller than the crop are filled up with, after normalisation.
    pub pad_value: f32,
    /// What their labels are filled up with; 255 is ignored.
    pub pad_label: u8,
}

/// Changes of colour: MMSegmentation's `PhotoMetricDistortion`. A probability of 0 switches one off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PhotometricConfig {
    /// The largest number that is added to or taken from every byte.
    pub brightness: f64,
    /// How often.
    pub brightness_probability: f64,
    /// Range of the factor of every byte.
    pub contrast: [f64; 2],
    /// How often.
    pub contrast_probability: f64,
    /// How often contrast comes before saturation and hue; else it comes last.
    pub contrast_first_probability: f64,
    /// Range of the factor of the saturation.
    pub saturation: [f64; 2],
    /// How often.
    pub saturation_probability: f64,
    /// Hues are turned by -hue to hue - 1 steps, of which a circle has 180.
    pub hue: u32,
    /// How often.
    pub hue_probability: f64,
}

impl Default for SegmentationDataConfig {
    fn default() -> Self {
        Self {
            scale_width: 2048,
            scale_height: 1024,
            keep_ratio: true,
            ratio_range: [0.5, 2.0],
            crop_height: 512,
            crop_width: 1024,
            category_max_ratio: 0.75,
            category_redraws: 10,
            flip: 0.5,
            photometric: PhotometricConfig::default(),
            pad_value: 0.0,
            pad_label: IGNORED,
        }
    }
}

impl Default for PhotometricConfig {
    fn default() -> Self {
        Self {
            brightness: 32.0,
            brightness_probability: 0.5,
            contrast: [0.5, 1.5],
            contrast_probability: 0.5,
            contrast_first_probability: 0.5,
            saturation: [0.5, 1.5],
            saturation_probability: 0.5,
            hue: 18,
            hue_probability: 0.5,
        }
    }
}

impl PhotometricConfig {
    /// Colours stay.
    pub fn none() -> Self {
        Self {
            brightness_probability: 0.0,
            contrast_probability: 0.0,
            saturation_probability: 0.0,
            hue_probability: 0.0,
            ..Self::default()
        }
    }
}

impl SegmentationDataConfig {
    /// Whether the settings make sense, for a number of classes.
    ///
    /// # Errors
    ///
    /// If not, with the setting's name.
    pub fn check(&self, n_classes: usize) -> Result<(), DataError> {
        // Sides that a network could be trained on, and that no product of overflows.
        let sides = [
            ("scale-width", self.scale_width),
            ("scale-height", self.scale_height),
            ("crop-height", self.crop_height),
            ("crop-width", self.crop_width),
        ];
        let p = &self.photometric;
        let probabilities = [
            ("flip", self.flip),
            ("photometric.brightness-probability", p.brightness_probability),
            ("photometric.contrast-probability", p.contrast_probability),
            ("photometric.contrast-first-probability", p.contrast_first_probability),
            ("photometric.saturation-probability", p.saturation_probability),
            ("photometric.hue-probability", p.hue_probability),
        ];
        let factors =
            [("photometric.contrast", p.contrast, 100.0), ("photometric.saturation", p.saturation, 100.0)];
        let [low, high] = self.ratio_range;
        let problem = if let Some((name, side)) = sides.iter().find(|(_, side)| !(1..=16384).contains(side)) {
            format!("{name} {side}: give 1 to 16384 pixels")
        } else if let Some((name, share)) =
            probabilities.iter().find(|(_, share)| !(0.0..=1.0).contains(share))
        {
            format!("{name} {share}: give a probability from 0 to 1")
        } else if !(0.01 <= low && low <= high && high <= 100.0) {
            format!("ratio-range {:?}: give two ratios from 0.01 to 100, the smaller first", self.ratio_range)
        } else if !(0.0 < self.category_max_ratio && self.category_max_ratio <= 1.0) {
            format!("category-max-ratio {}: give a share above 0, at most 1", self.category_max_ratio)
        } else if self.category_redraws > 1000 {
            format!("category-redraws {}: give 0 to 1000", self.category_redraws)
        } else if !(0.0..=255.0).contains(&p.brightness) {
            format!("photometric.brightness {}: give 0 to 255", p.brightness)
        } else if let Some((name, range, most)) =
            factors.iter().find(|(_, [low, high], most)| !(0.0 <= *low && low <= high && high <= most))
        {
            format!("{name} {range:?}: give two factors from 0 to {most}, the smaller first")
        } else if p.hue > 180 || (p.hue == 0 && p.hue_probability > 0.0) {
            format!(
                "photometric.hue {}: give 1 to 180 of the circle's 180 steps, or hue-probability 0",
                p.hue
            )
        } else if !self.pad_value.is_finite() {
            format!("pad-value {}: give a finite number", self.pad_value)
        } else if self.pad_label != IGNORED && usize::from(self.pad_label) >= n_classes {
            format!("pad-label {}: give 255 or one of the {n_classes} classes", self.pad_label)
        } else {
            return Ok(());
        };
        Err(DataError::request("augmentation for segmentation", problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_published_and_settings_are_checked() {
        assert!(SegmentationDataConfig::default().check(19).is_ok());
        let none = SegmentationDataConfig { photometric: PhotometricConfig::none(), ..Default::default() };
        assert!(none.check(19).is_ok());
        let cases = [
            ("crop-height = 0", "crop-height 0"),
            ("scale-width = 99999", "scale-width 99999"),
            ("flip = 1.5", "flip 1.5"),
            ("ratio-range = [2.0, 0.5]", "ratio-range [2.0, 0.5]"),
            ("ratio-range = [0.0, 0.5]", "ratio-range"),
            ("ratio-range = [0.5, nan]", "ratio-range"),
            ("category-max-ratio = 0.0", "category-max-ratio 0"),
            ("category-redraws = 9999", "category-redraws 9999"),
            ("photometric.brightness = -1.0", "photometric.brightness -1"),
            ("photometric.contrast = [-1.0, 2.0]", "photometric.contrast"),
            ("photometric.saturation = [2.0, 1.0]", "photometric.saturation"),
            ("photometric.hue = 181", "photometric.hue 181"),
            ("photometric.hue = 0", "hue-probability 0"),
            ("photometric.hue-probability = nan", "photometric.hue-probability"),
            ("pad-value = inf", "pad-value inf"),
            ("pad-label = 19", "pad-label 19"),
        ];
        for (text, part) in cases {
            let config: SegmentationDataConfig = toml::from_str(text).unwrap();
            let e = config.check(19).unwrap_err().to_string();
            assert!(e.contains(part), "{text}: {e}");
        }
        assert!(toml::from_str::<SegmentationDataConfig>("crop = 3").is_err());
        assert!(toml::from_str::<SegmentationDataConfig>("photometric.gamma = 3").is_err());
    }
}
