//! Evaluation preprocessing and a streaming reader, for models that are evaluated as ONNX.
//!
//! [`EvalTransform`] is the common transform of spec 06, section 1: torchvision's `Resize(256)`,
//! `CenterCrop(224)`, `ToTensor` and `Normalize` on Pillow images.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::decode::decode_file;
use crate::prefetch::Last;
use crate::{DataError, FolderIndex, Normalization, Picture, Prefetch, Workers};

/// Resize of the shorter side, centre crop, normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalTransform {
    /// Shorter side after resizing.
    pub resize: usize,
    /// Side of the centre square.
    pub crop: usize,
    /// Of the square's pixels.
    pub normalization: Normalization,
}

impl EvalTransform {
    /// Values of one transformed image: 3 x crop x crop.
    pub fn image_len(&self) -> usize {
        3 * self.crop * self.crop
    }

    /// Writes the transformed image, C x H x W.
    pub fn apply(&self, picture: &Picture, out: &mut [f32]) -> Result<(), String> {
        self.write(picture, &self.normalization.tables(), out)
    }

    fn write(&self, picture: &Picture, tables: &[[f32; 256]; 3], out: &mut [f32]) -> Result<(), String> {
        let planes = picture.with_shorter_side(self.resize)?.centre_planes(self.crop);
        let plane = self.crop * self.crop;
        for ((to, from), table) in out.chunks_exact_mut(plane).zip(planes.chunks_exact(plane)).zip(tables) {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = table[usize::from(from)];
            }
        }
        Ok(())
    }

    /// Decodes and transforms one file.
    pub fn read(&self, path: &Path) -> Result<Vec<f32>, DataError> {
        let mut out = vec![0.0; self.image_len()];
        self.read_into(path, &self.normalization.tables(), &mut out)?;
        Ok(out)
    }

    fn read_into(&self, path: &Path, tables: &[[f32; 256]; 3], out: &mut [f32]) -> Result<(), DataError> {
        self.write(&decode_file(path)?, tables, out).map_err(|e| DataError::decode(path, e))
    }
}

/// One image to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalItem {
    /// The image file.
    pub path: PathBuf,
    /// Its name in tables of predictions.
    pub name: String,
    /// Its class.
    pub label: usize,
}

/// Images of one step of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalBatch {
    /// Names of the files.
    pub names: Vec<String>,
    /// Their classes.
    pub labels: Vec<usize>,
    /// N x 3 x H x W, normalised.
    pub images: Vec<f32>,
}

impl EvalBatch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Image files in order, decoded in parallel ahead of their consumer.
#[derive(Debug, Clone)]
pub struct EvalSource {
    items: Arc<Vec<EvalItem>>,
    transform: EvalTransform,
    batch_size: usize,
    workers: Workers,
}

impl EvalSource {
    /// A source of `items`.
    pub fn new(items: Vec<EvalItem>, transform: EvalTransform, batch_size: usize) -> Result<Self, DataError> {
        let EvalTransform { resize, crop, .. } = transform;
        if batch_size == 0 || resize == 0 || crop == 0 {
            return Err(DataError::request(
                format!("batch size {batch_size}, resize {resize}, crop {crop}"),
                "give sizes of 1 or more",
            ));
        }
        Ok(Self { items: Arc::new(items), transform, batch_size, workers: Workers::shared() })
    }

    /// A source of the images of a folder; labels are positions in its sorted class names. Names
    /// are paths relative to the folder of the class folders, with `/`.
    pub fn from_index(
        index: &FolderIndex,
        transform: EvalTransform,
        batch_size: usize,
    ) -> Result<Self, DataError> {
        let items = index.files.iter().map(|(file, label)| EvalItem {
            path: index.root.join(file),
            name: file.to_string_lossy().replace('\\', "/"),
            label: usize::from(*label),
        });
        Self::new(items.collect(), transform, batch_size)
    }

    /// The same source on other threads.
    pub fn with_workers(self, workers: Workers) -> Self {
        Self { workers, ..self }
    }

    /// The images, in the order of the batches.
    pub fn items(&self) -> &[EvalItem] {
        &self.items
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The batches in order. A file that cannot be read ends them with an error that names it.
    pub fn batches(&self) -> Prefetch<Result<EvalBatch, DataError>> {
        let source = self.clone();
        let tables = self.transform.normalization.tables();
        Prefetch::new(0..self.len().div_ceil(self.batch_size), move |b| {
            let batch = source.read(b, &tables);
            let last = if batch.is_err() { Last::Yes } else { Last::No };
            (batch, last)
        })
    }

    /// Reads some of the images on the calling thread: for callers that are many themselves.
    pub fn read_here(&self, range: Range<usize>) -> Result<EvalBatch, DataError> {
        let (items, tables) = (&self.items[range], self.transform.normalization.tables());
        let len = self.transform.image_len();
        let mut images = vec![0.0; items.len() * len];
        for (out, item) in images.chunks_mut(len).zip(items) {
            self.transform.read_into(&item.path, &tables, out)?;
        }
        Ok(Self::batch(items, images))
    }

    fn batch(items: &[EvalItem], images: Vec<f32>) -> EvalBatch {
        EvalBatch {
            names: items.iter().map(|i| i.name.clone()).collect(),
            labels: items.iter().map(|i| i.label).collect(),
            images,
        }
    }

    fn read(&self, b: usize, tables: &[[f32; 256]; 3]) -> Result<EvalBatch, DataError> {
        let start = b * self.batch_size;
        let items = &self.items[start..self.len().min(start + self.batch_size)];
        let len = self.transform.image_len();
        let mut images = vec![0.0; items.len() * len];
        let errors: Vec<Option<DataError>> = self.workers.run(|| {
            let pairs = images.par_chunks_mut(len).zip(items);
            pairs.map(|(out, i)| self.transform.read_into(&i.path, tables, out).err()).collect()
        });
        if let Some(error) = errors.into_iter().flatten().next() {
            return Err(error);
        }
        Ok(Self::batch(items, images))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn source(dir: &Path, n: usize) -> EvalSource {
        for i in 0..n {
            let class = dir.join(format!("c{}", i % 2));
            fs::create_dir_all(&class).unwrap();
            let bytes = crate::decode::tests::jpeg(40 + i, 30);
            fs::write(class.join(format!("{i:02}.jpg")), bytes).unwrap();
        }
        let transform = EvalTransform { resize: 24, crop: 20, normalization: Normalization::IMAGENET };
        EvalSource::from_index(&FolderIndex::new(dir).unwrap(), transform, 4).unwrap()
    }

    #[test]
    fn batches_are_in_order_and_equal_single_reads() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), 11);
        let batches: Vec<EvalBatch> = source.batches().map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(EvalBatch::len).collect::<Vec<_>>(), [4, 4, 3]);
        assert_eq!(batches[0].names[..2], ["c0/00.jpg", "c0/02.jpg"]);
        let names: Vec<&String> = batches.iter().flat_map(|b| &b.names).collect();
        assert!(names.into_iter().eq(source.items().iter().map(|i| &i.name)));
        let labels: Vec<usize> = batches.iter().flat_map(|b| b.labels.clone()).collect();
        assert_eq!(labels, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
        let single = source.transform.read(&source.items()[5].path).unwrap();
        assert_eq!(batches[1].images[1200..2400], single);
        assert_eq!(source.read_here(4..8).unwrap(), batches[1]);
        let one = source.with_workers(Workers::new(1));
        assert_eq!(batches, one.batches().map(Result::unwrap).collect::<Vec<_>>());
    }

    #[test]
    fn a_broken_file_ends_the_batches_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), 11);
        fs::write(dir.path().join("c1/01.jpg"), "just text").unwrap();
        fs::write(dir.path().join("c1/03.jpg"), "just text").unwrap();
        let mut results: Vec<_> = source.batches().collect();
        assert_eq!(results.len(), 2);
        let e = results.pop().unwrap().unwrap_err().to_string();
        assert!(e.contains("c1/01.jpg") && e.contains("not a JPEG") && e.contains("remove"), "{e}");
    }

    #[test]
    fn a_plain_image_has_the_normalised_value() {
        let transform = EvalTransform { resize: 16, crop: 14, normalization: Normalization::IMAGENET };
        let picture = Picture { width: 50, height: 33, rgb: [10, 20, 30].repeat(50 * 33) };
        let mut out = vec![0.0; transform.image_len()];
        transform.apply(&picture, &mut out).unwrap();
        for (c, v) in [10, 20, 30].into_iter().enumerate() {
            assert_eq!(out[c * 196 + 77], Normalization::IMAGENET.apply(c, v));
        }
    }
}
