//! [`ImageSet`]: a labelled set of images of one size, resident in memory, and [`Normalization`].

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Per-channel mean and standard deviation on the [0, 1] scale, in R, G, B order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Normalization {
    /// Subtracted from `pixel / 255`.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
}

impl Normalization {
    /// CIFAR-10 for supernet training and search (spec 02, section 1).
    pub const CIFAR10: Self = Self::of_bytes([125.3, 123.0, 113.9], [63.0, 62.1, 66.7]);
    /// CIFAR-100 for supernet training, search and retraining (spec 02, section 1).
    pub const CIFAR100: Self = Self::of_bytes([129.3, 124.1, 112.4], [68.2, 65.4, 70.4]);
    /// ImageNet16-120 (spec 02, section 1).
    pub const IMAGENET16: Self = Self::of_bytes([122.68, 116.66, 104.01], [63.22, 61.26, 65.09]);
    /// CIFAR-10 for retraining a found cell from scratch (spec 04, section 6).
    #[allow(clippy::excessive_precision)]
    pub const CIFAR10_RETRAIN: Self =
        Self { mean: [0.49139968, 0.48215827, 0.44653124], std: [0.24703233, 0.24348505, 0.26158768] };
    /// ImageNet (spec 04, section 3b).
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// None: the network sees RGB in [0, 1], as GeNAS's released ImageNet recipe (spec 04, 3a).
    pub const NONE: Self = Self { mean: [0.0; 3], std: [1.0; 3] };

    /// From values on the [0, 255] scale.
    pub const fn of_bytes(mean: [f32; 3], std: [f32; 3]) -> Self {
        Self {
            mean: [mean[0] / 255.0, mean[1] / 255.0, mean[2] / 255.0],
            std: [std[0] / 255.0, std[1] / 255.0, std[2] / 255.0],
        }
    }

    /// One pixel value of channel `c`, normalised in the order of torchvision's `ToTensor` and
    /// `Normalize`.
    pub fn apply(&self, c: usize, value: u8) -> f32 {
        (f32::from(value) / 255.0 - self.mean[c]) / self.std[c]
    }

    /// The normalised value of every byte, per channel.
    pub fn tables(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|c| std::array::from_fn(|v| self.apply(c, v as u8)))
    }
}

/// A labelled set of images of one size, resident in memory as bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSet {
    /// For messages and metadata: `CIFAR-10 train`, `imagefolder val`.
    pub name: String,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Pixels per column.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
    /// N x 3 x H x W bytes, RGB planes.
    pub pixels: Vec<u8>,
    /// One label per image.
    pub labels: Vec<u16>,
    /// How the images are normalised before a network sees them.
    pub normalization: Normalization,
}

impl ImageSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// Values of one image: 3 x H x W.
    pub fn image_len(&self) -> usize {
        3 * self.height * self.width
    }

    /// The planes of image `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        let n = self.image_len();
        &self.pixels[i * n..(i + 1) * n]
    }

    /// A set of the images at `indices`, in that order.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.image_len());
        for &i in indices {
            pixels.extend_from_slice(self.image(i));
        }
        Self {
            name: self.name.clone(),
            classes: self.classes.clone(),
            height: self.height,
            width: self.width,
            pixels,
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            normalization: self.normalization,
        }
    }

    /// The same images with another normalisation.
    pub fn with_normalization(self, normalization: Normalization) -> Self {
        Self { normalization, ..self }
    }

    /// The labels at `indices`, as training and metrics take them.
    pub fn labels_at(&self, indices: &[usize]) -> Vec<i64> {
        indices.iter().map(|&i| i64::from(self.labels[i])).collect()
    }
}

/// The images at `indices`, normalised and without augmentation: N x 3 x H x W, to stay resident
/// while candidates are scored.
pub fn normalized(set: &ImageSet, indices: &[usize]) -> Vec<f32> {
    let tables = set.normalization.tables();
    let plane = set.height * set.width;
    let mut out = vec![0.0; indices.len() * set.image_len()];
    out.par_chunks_mut(set.image_len().max(1)).zip(indices).for_each(|(image, &i)| {
        for (c, (to, from)) in image.chunks_mut(plane).zip(set.image(i).chunks(plane)).enumerate() {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = tables[c][usize::from(from)];
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> ImageSet {
        ImageSet {
            name: "t".into(),
            classes: vec!["a".into(), "b".into()],
            height: 2,
            width: 2,
            pixels: (0..36).map(|v| v * 7).collect(),
            labels: vec![0, 1, 0],
            normalization: Normalization::CIFAR10,
        }
    }

    #[test]
    fn subset_takes_images_and_labels_in_order() {
        let set = set();
        let sub = set.subset(&[2, 1]);
        assert_eq!(sub.len(), 2);
        assert_eq!(sub.image(0), set.image(2));
        assert_eq!(sub.labels, [0, 1]);
    }

    #[test]
    fn normalized_is_pixelwise() {
        let set = set();
        let out = normalized(&set, &[1, 0]);
        assert_eq!(out.len(), 24);
        for (k, &i) in [1, 0].iter().enumerate() {
            for (j, &v) in set.image(i).iter().enumerate() {
                let c = j / 4;
                let want = (f32::from(v) / 255.0 - set.normalization.mean[c]) / set.normalization.std[c];
                assert_eq!(out[k * 12 + j], want);
            }
        }
        assert_eq!(set.labels_at(&[1, 0]), [1, 0]);
    }

    #[test]
    fn published_statistics() {
        let c = Normalization::CIFAR10;
        assert!((c.mean[0] - 125.3 / 255.0).abs() < 1e-7 && (c.std[2] - 66.7 / 255.0).abs() < 1e-7);
    }
}
