//! [`PhotoEval`]: batches of the validation photos, in order, for measuring a network that is being trained.

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::photo::{normalize, opencv_shorter_side};
use crate::prefetch::Last;
use crate::{Batch, DataError, Normalization, PhotoSource, Picture, Prefetch, Workers};

/// How photos are made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Bilinear with antialias, the longer side truncated: torchvision's `Resize` of a Pillow image.
    #[default]
    Pillow,
    /// Bilinear without antialias, the longer side rounded: OpenCV, as the released GeNAS code.
    Opencv,
}

/// Resize of the shorter side, centre crop, normalisation. The default is [`PhotoEvalTransform::DARTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PhotoEvalTransform {
    /// Shorter side after resizing, in pixels.
    pub resize: usize,
    /// Side of the centre square, in pixels.
    pub crop: usize,
    /// How the photo is resized.
    pub interpolation: Interpolation,
    /// Whether ImageNet's mean and standard deviation are taken out; if not, values are in [0, 1].
    pub normalize: bool,
}

impl Default for PhotoEvalTransform {
    fn default() -> Self {
        Self::DARTS
    }
}

impl PhotoEvalTransform {
    /// PC-DARTS and DARTS on ImageNet (spec 04-3b).
    pub const DARTS: Self =
        Self { resize: 256, crop: 224, interpolation: Interpolation::Pillow, normalize: true };
    /// The released GeNAS code on ImageNet (spec 04-3a).
    pub const GENAS: Self =
        Self { resize: 256, crop: 224, interpolation: Interpolation::Opencv, normalize: false };

    /// How the pixels are normalised at the end.
    pub fn normalization(&self) -> Normalization {
        if self.normalize { Normalization::IMAGENET } else { Normalization::NONE }
    }

    /// Values of one photo: 3 x crop x crop.
    pub fn image_len(&self) -> usize {
        3 * self.crop * self.crop
    }

    /// The resized and cropped photo as R, G, B planes of bytes.
    pub fn apply(&self, photo: &Picture) -> Result<Vec<u8>, String> {
        let resized = match self.interpolation {
            Interpolation::Pillow => photo.with_shorter_side(self.resize)?,
            Interpolation::Opencv => opencv_shorter_side(photo, self.resize),
        };
        Ok(resized.centre_planes(self.crop))
    }
}

/// The photos of a source in order, in batches.
#[derive(Debug, Clone)]
pub struct PhotoEval {
    source: Arc<PhotoSource>,
    transform: PhotoEvalTransform,
    batch_size: usize,
    tables: Arc<[[f32; 256]; 3]>,
    workers: Workers,
}

impl PhotoEval {
    /// Batches of all photos of a source.
    pub fn new(
        source: Arc<PhotoSource>,
        transform: PhotoEvalTransform,
        batch_size: usize,
    ) -> Result<Self, DataError> {
        let PhotoEvalTransform { resize, crop, .. } = transform;
        if batch_size == 0 || resize == 0 || crop == 0 {
            return Err(DataError::request(
                format!("batch size {batch_size}, resize {resize}, crop {crop}"),
                "give sizes of 1 or more",
            ));
        }
        let tables = Arc::new(transform.normalization().tables());
        Ok(Self { source, transform, batch_size, tables, workers: Workers::shared() })
    }

    /// The same photos on other threads.
    pub fn with_workers(self, workers: Workers) -> Self {
        Self { workers, ..self }
    }

    /// The same photos normalised in another way than the transform says.
    pub fn with_normalization(self, normalization: Normalization) -> Self {
        Self { tables: Arc::new(normalization.tables()), ..self }
    }

    /// Number of batches; the last one may be smaller.
    pub fn n_batches(&self) -> usize {
        self.source.len().div_ceil(self.batch_size)
    }

    /// Number of photos.
    pub fn n_images(&self) -> usize {
        self.source.len()
    }

    /// The batches in order. A photo that cannot be read ends them with an error that names it: an accuracy without
    /// it would be of another data set.
    pub fn batches(&self) -> Prefetch<Result<Batch, DataError>> {
        let eval = self.clone();
        Prefetch::sparse(0..self.n_batches(), 2, move |b| {
            let batch = eval.assemble(b);
            let last = if batch.is_err() { Last::Yes } else { Last::No };
            Some((batch, last))
        })
    }

    fn assemble(&self, b: usize) -> Result<Batch, DataError> {
        let start = b * self.batch_size;
        let n = self.batch_size.min(self.source.len() - start);
        let len = self.transform.image_len();
        let mut images = vec![0.0; n * len];
        let errors: Vec<Option<DataError>> = self.workers.run(|| {
            let photos = images.par_chunks_mut(len).enumerate().with_max_len(1);
            photos.map(|(k, out)| self.write(start + k, out).err()).collect()
        });
        match errors.into_iter().flatten().next() {
            Some(error) => Err(error),
            None => {
                let labels = (start..start + n).map(|i| i64::from(self.source.label(i))).collect();
                Ok(Batch { images, labels, n })
            }
        }
    }

    fn write(&self, i: usize, out: &mut [f32]) -> Result<(), DataError> {
        let photo = self.source.picture(i)?;
        let planes = self.transform.apply(&photo).map_err(|e| DataError::decode(&self.source.path(i), e))?;
        normalize(&planes, &self.tables, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo_source::tests::folder;
    use crate::{EvalTransform, Split};
    use std::fs;

    #[test]
    fn batches_are_in_order_and_equal_the_evaluation_of_files() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), 11);
        let source = Arc::new(PhotoSource::open(dir.path(), Split::Train).unwrap());
        let transform = PhotoEvalTransform { resize: 24, crop: 20, ..PhotoEvalTransform::DARTS };
        let eval = PhotoEval::new(source.clone(), transform, 4).unwrap();
        assert_eq!((eval.n_batches(), eval.n_images()), (3, 11));
        let batches: Vec<Batch> = eval.batches().map(Result::unwrap).collect();
        let labels: Vec<i64> = batches.iter().flat_map(|b| b.labels.clone()).collect();
        assert_eq!(labels, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2]);
        let one = EvalTransform { resize: 24, crop: 20, normalization: Normalization::IMAGENET };
        assert_eq!(batches[1].images[1200..2400], one.read(&source.path(5)).unwrap());
        let again = eval.clone().with_workers(Workers::new(1));
        assert_eq!(batches, again.batches().map(Result::unwrap).collect::<Vec<_>>());

        let genas = PhotoEvalTransform { resize: 24, crop: 20, ..PhotoEvalTransform::GENAS };
        let eval = PhotoEval::new(source, genas, 4).unwrap();
        let batch = eval.batches().next().unwrap().unwrap();
        assert!(batch.images.iter().all(|v| (0.0..=1.0).contains(v)));
        assert_ne!(batch.images, batches[0].images);

        fs::write(dir.path().join("train/c1/001.jpg"), "just text").unwrap();
        let e = eval.batches().last().unwrap().unwrap_err().to_string();
        assert!(e.contains("c1/001.jpg") && e.contains("not a JPEG"), "{e}");
    }

    #[test]
    fn impossible_requests_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), 2);
        let source = Arc::new(PhotoSource::open(dir.path(), Split::Train).unwrap());
        let transform = PhotoEvalTransform { crop: 0, ..PhotoEvalTransform::DARTS };
        for (transform, batch) in [(transform, 4), (PhotoEvalTransform::DARTS, 0)] {
            let e = PhotoEval::new(source.clone(), transform, batch).unwrap_err().to_string();
            assert!(e.contains("1 or more"), "{e}");
        }
    }
}
