//! ImageNet16-120: the 16x16 ImageNet in its published pickled batches, the first 120 classes.
//!
//! The files are `train_data_batch_1` to `train_data_batch_10` and `val_data`, of all 1,000 classes
//! (Chrabaszcz et al., 2017). Each is a dictionary with `data`, a matrix of bytes with the R, G, B planes
//! of an image per row, and `labels` from 1. NAS-Bench-201 keeps the labels 1 to 120: 151,700 images to
//! train on, 6,000 to measure with. They are read by [`crate::pickle`], without Python and safely.

use std::fs;
use std::path::{Path, PathBuf};

use crate::pickle::Pickle;
use crate::{DataError, ImageSet, Normalization, Split};

/// Classes of ImageNet, and so of the files.
const ALL_CLASSES: i64 = 1000;
const TRAIN: [&str; 10] = [
    "train_data_batch_1",
    "train_data_batch_2",
    "train_data_batch_3",
    "train_data_batch_4",
    "train_data_batch_5",
    "train_data_batch_6",
    "train_data_batch_7",
    "train_data_batch_8",
    "train_data_batch_9",
    "train_data_batch_10",
];
const TEST: [&str; 1] = ["val_data"];
const REMEDY: &str = "get the 16x16 batches again (ImageNet16 of NAS-Bench-201, or the 16x16 downsampled ImageNet of image-net.org in its Python form) and unpack them into one folder";

/// A folder that holds ImageNet16.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageNet16Folder {
    /// The folder of the batches.
    pub dir: PathBuf,
}

impl ImageNet16Folder {
    /// Classes that NAS-Bench-201 keeps.
    pub const CLASSES: usize = 120;
    /// Pixels of a side.
    pub const SIDE: usize = 16;

    /// Recognises the folder, or its parent, by the names of its files.
    pub fn find(dir: &Path) -> Option<Self> {
        [dir.to_owned(), dir.join("ImageNet16")]
            .into_iter()
            .find(|dir| TRAIN.iter().chain(&TEST).any(|file| dir.join(file).is_file()))
            .map(|dir| Self { dir })
    }

    /// Reads the images of the first `classes` classes (120 for the benchmark's set) of a split.
    ///
    /// # Errors
    /// A file that is missing, is not a batch of 16x16 images, or names anything that a batch does not
    /// need; and a number of classes that is not 1 to 1000.
    pub fn load(&self, split: Split, classes: usize) -> Result<ImageSet, DataError> {
        self.load_images(split, classes, Self::SIDE)
    }

    fn load_images(&self, split: Split, classes: usize, side: usize) -> Result<ImageSet, DataError> {
        if !(1..=ALL_CLASSES as usize).contains(&classes) {
            return Err(DataError::request(
                format!("{classes} classes of ImageNet16, which has {ALL_CLASSES}"),
                "give a number from 1 to 1000; NAS-Bench-201's set is 120",
            ));
        }
        let mut set = Self::empty(classes, side);
        set.name = format!("ImageNet16-{classes} {split}");
        for path in self.files(split) {
            read_file(&path, &mut set)?;
        }
        Ok(set)
    }

    /// Names of the first so many classes. The files have numbers only, in the order of ImageNet's development kit.
    pub(crate) fn class_names(classes: usize) -> Vec<String> {
        (1..=classes).map(|label| format!("ImageNet class {label}")).collect()
    }

    /// The files of a split.
    pub(crate) fn files(&self, split: Split) -> Vec<PathBuf> {
        let files: &[&str] = match split {
            Split::Train => &TRAIN,
            Split::Test => &TEST,
        };
        files.iter().map(|file| self.dir.join(file)).collect()
    }

    /// A set of the first `classes` classes without images.
    pub(crate) fn empty(classes: usize, side: usize) -> ImageSet {
        ImageSet {
            name: String::new(),
            classes: Self::class_names(classes),
            height: side,
            width: side,
            pixels: Vec::new(),
            labels: Vec::new(),
            normalization: Normalization::IMAGENET16,
        }
    }
}

/// Appends the images of a file whose labels the set has classes for.
pub(crate) fn read_file(path: &Path, set: &mut ImageSet) -> Result<(), DataError> {
    if !path.is_file() {
        return Err(DataError::broken(path, "this file of ImageNet16 is missing", REMEDY));
    }
    let bytes = fs::read(path).map_err(DataError::io("read", path))?;
    append(set, &bytes).map_err(|problem| DataError::broken(path, problem, REMEDY))
}

/// Appends the images of a batch whose labels the set has classes for.
fn append(set: &mut ImageSet, bytes: &[u8]) -> Result<(), String> {
    let pickle = Pickle::read(bytes)?;
    let (images, values, pixels) = pickle.byte_matrix("data")?;
    let labels = pickle.integers("labels")?;
    if values != set.image_len() {
        return Err(format!(
            "images of {values} values, {side}x{side} RGB has {}",
            set.image_len(),
            side = set.height
        ));
    }
    if labels.len() != images {
        return Err(format!("{images} images and {} labels", labels.len()));
    }
    for (k, (image, &label)) in pixels.chunks_exact(values).zip(&labels).enumerate() {
        if !(1..=ALL_CLASSES).contains(&label) {
            return Err(format!("image {k} has label {label}, ImageNet16 has labels 1 to {ALL_CLASSES}"));
        }
        if label as usize <= set.n_classes() {
            set.labels.push((label - 1) as u16);
            set.pixels.extend_from_slice(image);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pickle::tests::recorded;

    /// The recorded batches are of 2x2 images with the labels 1, 120, 121.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let (_, batch) = recorded("4_batch").remove(0);
        for file in TRAIN.iter().chain(&TEST) {
            fs::write(dir.path().join(file), &batch).unwrap();
        }
        fs::write(dir.path().join("train_data_batch_3"), &recorded("python2_protocol2_batch")[0].1).unwrap();
        dir
    }

    #[test]
    fn the_first_120_classes_are_kept() {
        let dir = folder();
        let found = ImageNet16Folder::find(dir.path()).unwrap();
        assert_eq!(ImageNet16Folder::find(dir.path().parent().unwrap()), None);
        let set = found.load_images(Split::Train, ImageNet16Folder::CLASSES, 2).unwrap();
        assert_eq!((set.len(), set.n_classes(), &set.labels[4..6]), (20, 120, &[0, 119][..]));
        assert_eq!(set.image(5), (12..24).collect::<Vec<u8>>());
        assert_eq!(set.normalization, Normalization::IMAGENET16);
        let set = found.load_images(Split::Test, 1000, 2).unwrap();
        assert_eq!((set.len(), &set.labels[..]), (3, &[0, 119, 120][..]));
        assert_eq!(set.name, "ImageNet16-1000 test");
    }

    #[test]
    fn broken_files_are_named_with_a_remedy() {
        let dir = folder();
        let found = ImageNet16Folder::find(dir.path()).unwrap();
        let error = found.load(Split::Test, 120).unwrap_err().to_string();
        assert!(error.contains("images of 12 values, 16x16 RGB has 768"), "{error}");
        let path = dir.path().join("train_data_batch_7");
        let check = |bytes: Option<&[u8]>, says: &str| {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let error = found.load_images(Split::Train, 120, 2).unwrap_err().to_string();
            for part in [says, "train_data_batch_7", "get the 16x16 batches again"] {
                assert!(error.contains(part), "{part}: {error}");
            }
        };
        check(Some(b"PK"), "not a pickle");
        check(Some(&recorded("4_unsafe")[0].1), "names posix.system");
        check(Some(&recorded("4_many")[0].1), "no entry \"data\"");
        let (_, batch) = recorded("2_batch").remove(0);
        let at = batch.windows(4).position(|bytes| bytes == [b'K', 1, b'K', 120]).unwrap();
        let mut label = batch.clone();
        label[at + 1] = 0;
        check(Some(&label), "image 0 has label 0, ImageNet16 has labels 1 to 1000");
        // One label less.
        check(Some(&[&batch[..at], &batch[at + 2..]].concat()), "3 images and 2 labels");
        check(None, "missing");
        let error = found.load(Split::Test, 0).unwrap_err().to_string();
        assert!(error.contains("1 to 1000"), "{error}");
    }
}
