//! [`CocoTrainSet`]: training batches of images with their boxes.

use std::path::{Path, PathBuf};

use genas_space::Streams;
use rayon::prelude::*;

use super::annotations::{Annotations, CocoImage, CocoObject};
use super::image::write_planes;
use super::transform::{DetectionDataConfig, DetectionTransform};
use super::{BatchOrder, annotations_file};
use crate::{DataError, Normalization};

/// Images and objects of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionBatch {
    /// N x 3 x H x W, normalised; 0 where an image is filled up to the batch's size.
    pub images: Vec<f32>,
    /// Number of images.
    pub n: usize,
    /// H: the largest height, rounded up.
    pub height: usize,
    /// W: the largest width, rounded up.
    pub width: usize,
    /// Of each image its width and height without filling.
    pub sizes: Vec<[usize; 2]>,
    /// Of each image its objects: left, top, right and bottom in pixels of the batch, and the class.
    pub objects: Vec<Vec<([f32; 4], usize)>>,
}

/// The images of a split that have something to learn from.
#[derive(Clone, Debug)]
pub struct CocoTrainSet {
    folder: PathBuf,
    images: Vec<(CocoImage, Vec<CocoObject>)>,
    config: DetectionDataConfig,
    tables: [[f32; 256]; 3],
    streams: Streams,
}

impl CocoTrainSet {
    /// Of `DIR/SPLIT` and its annotations. Crowds and broken boxes are dropped, and images that have nothing else.
    ///
    /// # Errors
    ///
    /// If the annotations cannot be read or leave nothing to train on.
    pub fn open(
        dir: &Path,
        split: &str,
        config: DetectionDataConfig,
        normalization: &Normalization,
        streams: Streams,
    ) -> Result<(Self, Annotations), DataError> {
        let annotations = Annotations::read(&annotations_file(dir, split))?;
        let with_objects = annotations.images.iter().cloned().zip(annotations.trainable());
        let images: Vec<_> = with_objects.filter(|(_, objects)| !objects.is_empty()).collect();
        if images.is_empty() {
            return Err(DataError::broken(
                &annotations.path,
                format!("none of its {} images has a box to train on", annotations.images.len()),
                "give annotations with boxes that are neither crowds nor broken",
            ));
        }
        let tables = normalization.tables();
        Ok((Self { folder: dir.join(split), images, config, tables, streams }, annotations))
    }

    /// Images to train on.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none; [`Self::open`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The endless order of batches.
    pub fn order(&self, batch_size: usize) -> BatchOrder {
        let sizes: Vec<_> = self.images.iter().map(|(image, _)| [image.width, image.height]).collect();
        let grouping = self.config.aspect_ratio_grouping;
        BatchOrder::new(&sizes, batch_size, grouping, self.streams, "coco/shuffle")
    }

    /// The batch of a step, counted from 0, of these images. Sizes and flips are a function of (seed, step, place in
    /// the batch).
    ///
    /// # Errors
    ///
    /// If an image cannot be read or has not the size that the annotations say.
    pub fn batch(&self, step: usize, images: &[usize]) -> Result<DetectionBatch, DataError> {
        let prepared: Result<Vec<_>, DataError> = images
            .par_iter()
            .enumerate()
            .map(|(place, &image)| self.prepare((step * images.len() + place) as u64, image))
            .collect();
        let prepared = prepared?;
        let side = |axis: usize| {
            let longest = prepared.iter().map(|(transform, ..)| transform.to[axis]).max().unwrap_or(1);
            longest.next_multiple_of(self.config.divisor)
        };
        let (width, height) = (side(0), side(1));
        let mut batch = DetectionBatch {
            images: vec![0.0; prepared.len() * 3 * height * width],
            n: prepared.len(),
            height,
            width,
            sizes: prepared.iter().map(|(transform, ..)| transform.to).collect(),
            objects: Vec::with_capacity(prepared.len()),
        };
        let planes = batch.images.par_chunks_exact_mut(3 * height * width);
        planes.zip(&prepared).for_each(|(planes, (transform, rgb, _))| {
            write_planes(rgb, transform.to[0], &self.tables, planes, [width, height]);
        });
        batch.objects.extend(prepared.into_iter().map(|(.., objects)| objects));
        Ok(batch)
    }

    /// An image's transformation, its pixels, and its objects.
    fn prepare(&self, counter: u64, image: usize) -> Result<Prepared, DataError> {
        let (image, objects) = &self.images[image];
        let picture = image.read(&self.folder)?;
        let mut rng = self.streams.rng("coco/augment", counter);
        let transform = DetectionTransform::draw(&mut rng, [image.width, image.height], &self.config);
        let resized = transform
            .picture(&picture)
            .map_err(|reason| DataError::decode(&self.folder.join(&image.file_name), reason))?;
        let objects = objects.iter().filter_map(|o| Some((transform.corners(o.bbox)?, o.class))).collect();
        Ok((transform, resized.rgb, objects))
    }
}

impl crate::StepSet for CocoTrainSet {
    type Batch = DetectionBatch;

    fn order(&self, batch_size: usize) -> BatchOrder {
        self.order(batch_size)
    }

    fn batch(&self, step: usize, images: &[usize]) -> Result<DetectionBatch, DataError> {
        self.batch(step, images)
    }
}

type Prepared = (DetectionTransform, Vec<u8>, Vec<([f32; 4], usize)>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::jpeg;
    use std::fs;

    /// Four images of which two can be trained on.
    fn set(dir: &Path) -> Result<CocoTrainSet, DataError> {
        let config = DetectionDataConfig { shorter_sides: vec![20, 40], ..DetectionDataConfig::default() };
        let normalization = Normalization { mean: [0.5; 3], std: [0.5; 3] };
        CocoTrainSet::open(dir, "train2017", config, &normalization, Streams::new(4)).map(|(set, _)| set)
    }

    fn write(dir: &Path, bbox: &str) {
        fs::create_dir_all(dir.join("annotations")).unwrap();
        fs::create_dir_all(dir.join("train2017")).unwrap();
        let object = |id, image, bbox: &str, crowd| {
            format!(
                r#"{{"id": {id}, "image_id": {image}, "category_id": 7, "bbox": {bbox}, "iscrowd": {crowd}}}"#
            )
        };
        let objects = [
            object(1, 1, bbox, 0),
            object(2, 2, bbox, 0),
            object(3, 2, "[0, 0, 9, 9]", 1),
            object(4, 3, bbox, 1),
        ];
        let images = (1..=4).map(|n| {
            fs::write(dir.join(format!("train2017/{n}.jpg")), jpeg(30, 20)).unwrap();
            format!(r#"{{"id": {n}, "file_name": "{n}.jpg", "width": 30, "height": 20}}"#)
        });
        let text = format!(
            r#"{{"images": [{}], "annotations": [{}], "categories": [{{"id": 7, "name": "a"}}]}}"#,
            images.collect::<Vec<_>>().join(","),
            objects.join(",")
        );
        fs::write(dir.join("annotations/instances_train2017.json"), text).unwrap();
    }

    #[test]
    fn batches_are_filled_up_and_repeatable() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "[3, 4, 10, 10]");
        let set = set(dir.path()).unwrap();
        assert_eq!(set.len(), 2);
        let mut sizes = Vec::new();
        for step in 0..20 {
            let images = set.order(2).starting_at(step).batch();
            let batch = set.batch(step, &images).unwrap();
            assert_eq!(batch, set.batch(step, &images).unwrap());
            assert_eq!((batch.n, batch.height % 32, batch.width % 32), (2, 0, 0));
            for (n, &[w, h]) in batch.sizes.iter().enumerate() {
                assert!(w <= batch.width && h <= batch.height);
                let [left, top, right, bottom] = batch.objects[n][0].0;
                let scale = h as f32 / 20.0;
                assert_eq!((batch.objects[n].len(), batch.objects[n][0].1), (1, 0));
                assert!((top - 4.0 * scale).abs() < 1e-4 && (bottom - 14.0 * scale).abs() < 1e-4);
                assert!((right - left - 10.0 * scale).abs() < 1e-4);
                let pixel = |x: usize, y: usize| batch.images[(n * 3 * batch.height + y) * batch.width + x];
                assert!(w == batch.width || pixel(w, h - 1) == 0.0);
                assert!(h == batch.height || pixel(w - 1, h) == 0.0);
                sizes.push([w, h]);
            }
        }
        sizes.sort_unstable();
        sizes.dedup();
        assert_eq!(sizes, [[30, 20], [60, 40]]);
    }

    #[test]
    fn what_is_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "[3, 4, 0, 10]");
        let said = set(dir.path()).unwrap_err().to_string();
        assert!(said.contains("none of its 4 images has a box"), "{said}");
        write(dir.path(), "[3, 4, 10, 10]");
        let set = set(dir.path()).unwrap();
        fs::write(dir.path().join("train2017/1.jpg"), jpeg(20, 20)).unwrap();
        fs::remove_file(dir.path().join("train2017/2.jpg")).unwrap();
        for (image, part) in [(0, "1.jpg: it is 20 x 20 pixels, but annotated as 30 x 20"), (1, "2.jpg")] {
            let said = set.batch(0, &[image]).unwrap_err().to_string();
            assert!(said.contains(part), "{said}");
        }
    }
}
