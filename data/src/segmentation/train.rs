//! [`SegmentationTrainSet`]: training batches of images with a label for each pixel.

use std::fs;
use std::path::Path;

use genas_space::Streams;
use rayon::prelude::*;

use super::{
    ClassTable, IGNORED, LabelMap, SegmentationDataConfig, SegmentationFolder, SegmentationPair,
    SegmentationTransform,
};
use crate::coco::{BatchOrder, write_planes};
use crate::{DataError, Normalization, Picture};

/// Images and labels of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationBatch {
    /// N x 3 x H x W, normalised.
    pub images: Vec<f32>,
    /// N x H x W train ids; 255 is ignored.
    pub labels: Vec<i64>,
    /// Number of images.
    pub n: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
}

/// Labelled pixels of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassPixels {
    /// Its own.
    pub own: u64,
    /// Those of any class in the images that have it.
    pub with: u64,
}

/// The pairs of a split.
#[derive(Clone, Debug)]
pub struct SegmentationTrainSet {
    pairs: Vec<SegmentationPair>,
    classes: ClassTable,
    config: SegmentationDataConfig,
    tables: [[f32; 256]; 3],
    streams: Streams,
}

impl SegmentationTrainSet {
    /// Of a split, such as `train`.
    ///
    /// # Errors
    ///
    /// If files are missing or settings make no sense.
    pub fn open(
        folder: &SegmentationFolder,
        split: &str,
        classes: ClassTable,
        config: SegmentationDataConfig,
        normalization: &Normalization,
        streams: Streams,
    ) -> Result<Self, DataError> {
        config.check(classes.len())?;
        let pairs = folder.pairs(split)?;
        Ok(Self { pairs, classes, config, tables: normalization.tables(), streams })
    }

    /// Only the first `n` pairs, 1 or more.
    pub fn limited(mut self, n: usize) -> Self {
        self.pairs.truncate(n.max(1));
        self
    }

    /// Images to train on.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none; [`Self::open`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The classes.
    pub fn classes(&self) -> &ClassTable {
        &self.classes
    }

    /// What the files are: each pair's name, and the sizes of image and labels in bytes. To recognise a set by, as reading
    /// all of it may take minutes.
    ///
    /// # Errors
    ///
    /// If a file is not there any more.
    pub fn files(&self) -> Result<Vec<(&str, [u64; 2])>, DataError> {
        let size = |path: &Path| Ok(fs::metadata(path).map_err(DataError::io("read", path))?.len());
        let pair = |pair: &'_ SegmentationPair| Ok([size(&pair.image)?, size(&pair.labels)?]);
        self.pairs.iter().map(|each| Ok((each.name.as_str(), pair(each)?))).collect()
    }

    /// The endless order of batches: shuffled epochs without a seam, as MMEngine's `InfiniteSampler`.
    pub fn order(&self, batch_size: usize) -> BatchOrder {
        let sizes = vec![[1, 1]; self.pairs.len()];
        BatchOrder::new(&sizes, batch_size, false, self.streams, "segmentation/shuffle")
    }

    /// How many labelled pixels of each class there are, in the files' own sizes: for class weights.
    ///
    /// # Errors
    ///
    /// If a label file cannot be read.
    pub fn pixels_of_classes(&self) -> Result<Vec<ClassPixels>, DataError> {
        let count = |pair: &SegmentationPair| -> Result<Vec<ClassPixels>, DataError> {
            let mut counts = vec![0u64; 256];
            pair.train_ids(&self.classes)?.labels.iter().for_each(|&id| counts[usize::from(id)] += 1);
            counts.truncate(self.classes.len());
            let labelled = counts.iter().sum();
            let class = |own| ClassPixels { own, with: if own > 0 { labelled } else { 0 } };
            Ok(counts.into_iter().map(class).collect())
        };
        let none = || vec![ClassPixels::default(); self.classes.len()];
        let add = |a: Vec<ClassPixels>, b: Vec<ClassPixels>| {
            let sum = |(a, b): (ClassPixels, ClassPixels)| ClassPixels {
                own: a.own + b.own,
                with: a.with + b.with,
            };
            a.into_iter().zip(b).map(sum).collect()
        };
        self.pairs.par_iter().map(count).try_reduce(none, |a, b| Ok(add(a, b)))
    }

    /// The batch of a step, counted from 0, of these images. What happens to an image is a function of (seed, step, place in
    /// the batch).
    ///
    /// # Errors
    ///
    /// If a file cannot be read, a label is unknown, or sizes differ.
    pub fn batch(&self, step: usize, images: &[usize]) -> Result<SegmentationBatch, DataError> {
        let prepared: Result<Vec<_>, DataError> = images
            .par_iter()
            .enumerate()
            .map(|(place, &image)| self.prepare((step * images.len() + place) as u64, image))
            .collect();
        let prepared = prepared?;
        let (width, height, n) = (self.config.crop_width, self.config.crop_height, prepared.len());
        let mut images = vec![self.config.pad_value; n * 3 * height * width];
        let mut labels = vec![i64::from(self.config.pad_label); n * height * width];
        let places =
            images.par_chunks_exact_mut(3 * height * width).zip(labels.par_chunks_exact_mut(height * width));
        places.zip(&prepared).for_each(|((planes, ids), (picture, map))| {
            write_planes(&picture.rgb, picture.width, &self.tables, planes, [width, height]);
            for (to, from) in ids.chunks_exact_mut(width).zip(map.labels.chunks_exact(map.width)) {
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = i64::from(from));
            }
        });
        Ok(SegmentationBatch { images, labels, n, height, width })
    }

    /// A changed image and its train ids.
    fn prepare(&self, counter: u64, image: usize) -> Result<(Picture, LabelMap), DataError> {
        let pair = &self.pairs[image];
        let labels = pair.train_ids(&self.classes)?;
        let mut rng = self.streams.rng("segmentation/augment", counter);
        let transform = SegmentationTransform::draw(&mut rng, &labels, &self.config);
        let picture = pair.first_rows(&labels, transform.rows_needed())?;
        Ok((transform.picture(&picture), transform.labels(&labels)))
    }
}

impl crate::StepSet for SegmentationTrainSet {
    type Batch = SegmentationBatch;

    fn order(&self, batch_size: usize) -> BatchOrder {
        self.order(batch_size)
    }

    fn batch(&self, step: usize, images: &[usize]) -> Result<SegmentationBatch, DataError> {
        self.batch(step, images)
    }
}

impl SegmentationBatch {
    /// How many labels are not ignored.
    pub fn labelled(&self) -> usize {
        self.labels.iter().filter(|&&id| id != i64::from(IGNORED)).count()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::segmentation::label_map::tests::png;
    use crate::segmentation::{PhotometricConfig, SegmentationClass};
    use png::{BitDepth, ColorType};
    use std::fs;
    use std::path::Path;

    /// `n` pairs of 40 x 30 pixels in `split` and `splitannot`: red is 10 times the label, of which 9 is ignored.
    pub(crate) fn write(dir: &Path, split: &str, n: usize) {
        let (images, labels) = (dir.join(split), dir.join(format!("{split}annot")));
        for folder in [&images, &labels] {
            fs::create_dir_all(folder).unwrap();
        }
        for k in 0..n {
            let values: Vec<u8> = (0..1200).map(|i| [1, 2, 5, 9][(i % 40 / 10 + i / 400 + k) % 4]).collect();
            let rgb: Vec<u8> = values.iter().flat_map(|v| [10 * v, 0, 255]).collect();
            fs::write(images.join(format!("{k}.png")), png([40, 30], ColorType::Rgb, BitDepth::Eight, &rgb))
                .unwrap();
            let file = labels.join(format!("{k}.png"));
            fs::write(file, png([40, 30], ColorType::Grayscale, BitDepth::Eight, &values)).unwrap();
        }
    }

    pub(crate) fn classes() -> ClassTable {
        let class = |name: &str, labels: &[u8]| SegmentationClass {
            name: name.to_owned(),
            labels: labels.to_vec(),
            color: [labels[0]; 3],
        };
        ClassTable::new(vec![class("a", &[1]), class("b", &[5, 2])], vec![9]).unwrap()
    }

    pub(crate) fn set(dir: &Path) -> Result<SegmentationTrainSet, DataError> {
        let config = SegmentationDataConfig {
            scale_width: 40,
            scale_height: 30,
            crop_height: 24,
            crop_width: 32,
            photometric: PhotometricConfig::none(),
            pad_value: -7.0,
            ..SegmentationDataConfig::default()
        };
        let normalization = Normalization { mean: [0.0; 3], std: [1.0 / 255.0; 3] };
        let folder = SegmentationFolder::find(dir).unwrap();
        SegmentationTrainSet::open(&folder, "train", classes(), config, &normalization, Streams::new(4))
    }

    #[test]
    fn batches_are_filled_up_and_repeatable() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "train", 3);
        let set = set(dir.path()).unwrap();
        assert_eq!(
            (set.len(), set.pixels_of_classes().unwrap().iter().map(|class| class.own).sum::<u64>()),
            (3, 2700)
        );
        let (mut filled, mut whole) = (0, 0);
        for step in 0..30 {
            let images = set.order(2).starting_at(step).batch();
            let batch = set.batch(step, &images).unwrap();
            assert_eq!(batch, set.batch(step, &images).unwrap());
            assert_eq!((batch.n, batch.height, batch.width), (2, 24, 32));
            assert_eq!((batch.images.len(), batch.labels.len()), (2 * 3 * 24 * 32, 2 * 24 * 32));
            for n in 0..2 {
                let place = |k: usize| (batch.images[n * 3 * 768 + k], batch.labels[n * 768 + k]);
                for k in 0..768 {
                    let (red, label) = place(k);
                    assert!([0, 1, 255].contains(&label), "{label}");
                    // Filled up exactly where the picture is.
                    let outside = red == -7.0;
                    assert_eq!(outside, batch.images[n * 3 * 768 + 1536 + k] == -7.0);
                    assert!(!outside || label == 255);
                }
                let (_, label) = place(0);
                let red = place(0).0.round() as u8;
                let want: &[u8] = match label {
                    0 => &[10],
                    1 => &[20, 50],
                    _ => &[90],
                };
                assert!(want.iter().any(|w| w.abs_diff(red) < 45), "{label} {red}");
                if place(767).0 == -7.0 { filled += 1 } else { whole += 1 }
            }
        }
        assert!(filled > 5 && whole > 5, "{filled} {whole}");
        let order: Vec<Vec<usize>> = (0..3).map(|step| set.order(2).starting_at(step).batch()).collect();
        let mut seen = order.concat();
        seen[..3].sort_unstable();
        assert_eq!(seen[..3], [0, 1, 2]);
    }

    #[test]
    fn what_is_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "train", 3);
        let set = set(dir.path()).unwrap();
        let grey = |size, data: &[u8]| png(size, ColorType::Grayscale, BitDepth::Eight, data);
        fs::write(dir.path().join("trainannot/0.png"), grey([40, 30], &[3; 1200])).unwrap();
        fs::write(dir.path().join("trainannot/1.png"), grey([30, 40], &[1; 1200])).unwrap();
        fs::remove_file(dir.path().join("train/2.png")).unwrap();
        for (image, parts) in [
            (0, ["trainannot/0.png: ", "value 3"]),
            (1, ["trainannot/1.png: ", "30 x 40 pixels, but the image"]),
            (2, ["cannot read", "train/2.png"]),
        ] {
            let e = set.batch(0, &[image]).unwrap_err().to_string();
            assert!(parts.iter().all(|part| e.contains(part)), "{e}");
        }
    }
}
