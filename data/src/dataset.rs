//! Recognising a data set by its files, and loading a split whatever the layout.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::folder::list;
use crate::segmentation::SegmentationFolder;
use crate::{CifarFolder, CifarKind, DataError, ImageFolder, ImageNet16Folder, ImageSet, ShardIndex};

/// The images to train on, or those to measure with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// CIFAR `data_batch_*` or `train`; ImageNet16 `train_data_batch_*`; ImageFolder `train/`.
    Train,
    /// CIFAR `test_batch` or `test`; ImageNet16 `val_data`; ImageFolder `val/`.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}

/// A layout that [`open`] recognises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// CIFAR-10 binary.
    Cifar10,
    /// CIFAR-100 binary.
    Cifar100,
    /// ImageNet16-120: the pickled batches of 16x16 images.
    #[serde(rename = "imagenet16-120")]
    ImageNet16,
    /// Folders of image files.
    ImageFolder,
    /// Tar files of images, in WebDataset's layout.
    Shards,
    /// COCO: boxes on photos.
    Coco,
    /// Cityscapes: a label for each pixel, in its folders.
    Cityscapes,
    /// Folders of images and folders of their labels.
    Segmentation,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
            Self::ImageNet16 => "ImageNet16-120",
            Self::ImageFolder => "ImageFolder",
            Self::Shards => "tar shards",
            Self::Coco => "COCO",
            Self::Cityscapes => "Cityscapes",
            Self::Segmentation => "segmentation",
        })
    }
}

/// A data set that was recognised; its images are not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dataset {
    /// CIFAR-10 or CIFAR-100.
    Cifar(CifarFolder),
    /// The first 120 classes of ImageNet16.
    ImageNet16(ImageNet16Folder),
    /// Folders of image files.
    Folder(ImageFolder),
    /// The folder of tar files.
    Shards(PathBuf),
    /// The folder of annotations and images, read by [`crate::coco`].
    Coco(PathBuf),
    /// Images with a label for each pixel, read by [`crate::segmentation`].
    Segmentation(SegmentationFolder),
}

impl Dataset {
    /// Its layout.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cifar(CifarFolder { kind: CifarKind::Cifar10, .. }) => Kind::Cifar10,
            Self::Cifar(CifarFolder { kind: CifarKind::Cifar100, .. }) => Kind::Cifar100,
            Self::ImageNet16(_) => Kind::ImageNet16,
            Self::Folder(_) => Kind::ImageFolder,
            Self::Shards(_) => Kind::Shards,
            Self::Coco(_) => Kind::Coco,
            Self::Segmentation(folder) => folder.kind(),
        }
    }

    /// The class names of a split.
    pub fn classes(&self, split: Split) -> Result<Vec<String>, DataError> {
        match self {
            Self::Cifar(cifar) => cifar.classes(),
            Self::ImageNet16(_) => Ok(ImageNet16Folder::class_names(ImageNet16Folder::CLASSES)),
            Self::Folder(folder) => Ok(folder.index(split)?.classes),
            Self::Shards(dir) => Ok(ShardIndex::new(dir, split)?.classes),
            Self::Coco(dir) => Err(boxes(dir)),
            Self::Segmentation(folder) => Err(label_maps(folder)),
        }
    }

    /// Reads a split into memory, as squares of side `image_size`.
    pub fn load(&self, split: Split, image_size: usize) -> Result<ImageSet, DataError> {
        let other_size = |dir: &Path, side: usize| {
            DataError::request(
                format!(
                    "{}: {} images are {side}x{side}, not {image_size}x{image_size}",
                    dir.display(),
                    self.kind()
                ),
                format!("set the image size to {side} (data.image-size = {side}), or give an ImageFolder"),
            )
        };
        match self {
            Self::Cifar(cifar) if image_size != 32 => Err(other_size(&cifar.dir, 32)),
            Self::Cifar(cifar) => cifar.load(split),
            Self::ImageNet16(folder) if image_size != ImageNet16Folder::SIDE => {
                Err(other_size(&folder.dir, ImageNet16Folder::SIDE))
            }
            Self::ImageNet16(folder) => folder.load(split, ImageNet16Folder::CLASSES),
            Self::Folder(folder) => {
                let name = folder.dir.file_name().unwrap_or_default().to_string_lossy();
                folder.index(split)?.resident(image_size, &format!("{name} {split}"))
            }
            Self::Shards(dir) => Err(DataError::broken(
                dir,
                "tar shards are read by training on photos only",
                "use a recipe with [retrain.photos], such as imagenet or fine-tune, or unpack them into class folders",
            )),
            Self::Coco(dir) => Err(boxes(dir)),
            Self::Segmentation(folder) => Err(label_maps(folder)),
        }
    }
}

/// What is said where images with one class each are wanted.
pub(crate) fn boxes(dir: &Path) -> DataError {
    DataError::broken(
        dir,
        "this is COCO, whose images have boxes and not one class each",
        "give CIFAR or class folders here; `genas transfer coco` and `genas data check` take COCO",
    )
}

/// As [`boxes`], of images with a label for each pixel.
pub(crate) fn label_maps(folder: &SegmentationFolder) -> DataError {
    DataError::broken(
        &folder.dir,
        format!(
            "this is a {} set, whose images have a label for each pixel and not one class each",
            folder.kind()
        ),
        "give CIFAR or class folders here; `genas transfer cityscapes` and `genas data check` take it",
    )
}

/// Recognises the data set in `dir`.
pub fn open(dir: &Path) -> Result<Dataset, DataError> {
    if !dir.is_dir() {
        return Err(DataError::Missing { path: dir.to_owned() });
    }
    if let Some(cifar) = CifarFolder::find(dir) {
        return Ok(Dataset::Cifar(cifar));
    }
    if let Some(folder) = ImageNet16Folder::find(dir) {
        return Ok(Dataset::ImageNet16(folder));
    }
    // Before class folders, which train2017 and val2017 look like.
    if !crate::coco::splits(dir).is_empty() {
        return Ok(Dataset::Coco(dir.to_owned()));
    }
    // Also before them: SPLIT and SPLITannot, images and labels.
    if let Some(folder) = SegmentationFolder::find(dir) {
        return Ok(Dataset::Segmentation(folder));
    }
    for split in [Split::Train, Split::Test] {
        if !ShardIndex::find(dir, split)?.is_empty() {
            return Ok(Dataset::Shards(dir.to_owned()));
        }
    }
    if let Some(folder) = ImageFolder::find(dir) {
        return Ok(Dataset::Folder(folder));
    }
    Err(DataError::UnknownLayout { path: dir.to_owned(), found: describe(dir)? })
}

/// Reads a split of the data set in `dir` into memory, as squares of side `image_size`.
pub fn load(dir: &Path, split: Split, image_size: usize) -> Result<ImageSet, DataError> {
    open(dir)?.load(split, image_size)
}

/// What is in a folder that was not recognised, and a guess at what was meant.
fn describe(dir: &Path) -> Result<String, DataError> {
    let names = list(dir)?;
    if names.iter().any(|n| n == "data_batch_1" || n == "cifar-10-batches-py" || n == "cifar-100-python") {
        return Ok("this is the Python version of CIFAR; get the binary version".to_owned());
    }
    if let Some(inner) = names.iter().find(|n| {
        let inner = dir.join(n);
        inner.is_dir()
            && (CifarFolder::find(&inner).is_some()
                || ImageNet16Folder::find(&inner).is_some()
                || ImageFolder::find(&inner).is_some()
                || SegmentationFolder::find(&inner).is_some()
                || !crate::coco::splits(&inner).is_empty())
    }) {
        return Ok(format!(
            "it holds other data sets: name one of them, such as {}",
            dir.join(inner).display()
        ));
    }
    let first: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    Ok(match names.len() {
        0 => "the folder is empty".to_owned(),
        n @ ..=3 => format!("it holds {n} entries: {}", first.join(", ")),
        n => format!("it holds {}, and {} more", first.join(", "), n - 3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::jpeg;
    use std::fs;

    fn class(dir: &Path, name: &str, n: usize) {
        fs::create_dir_all(dir.join(name)).unwrap();
        for i in 0..n {
            fs::write(dir.join(name).join(format!("{i}.jpg")), jpeg(20 + i, 16)).unwrap();
        }
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for split in ["train", "val"] {
            class(&dir.path().join(split), "cat", 2);
            class(&dir.path().join(split), "dog", 3);
        }
        dir
    }

    #[test]
    fn image_folders_with_and_without_splits() {
        let dir = folder();
        fs::write(dir.path().join("train/notes.txt"), "x").unwrap();
        fs::write(dir.path().join("train/cat/.DS_Store"), "x").unwrap();
        let set = load(dir.path(), Split::Train, 8).unwrap();
        assert_eq!((set.len(), set.height, set.width), (5, 8, 8));
        assert_eq!(
            (set.classes.clone(), set.labels.clone()),
            (vec!["cat".into(), "dog".into()], vec![0, 0, 1, 1, 1])
        );
        assert_eq!(set.normalization, crate::Normalization::IMAGENET);
        let direct = dir.path().join("val");
        assert_eq!(load(&direct, Split::Test, 8).unwrap().len(), 5);
        let e = load(&direct, Split::Train, 8).unwrap_err().to_string();
        assert!(e.contains("no train folder") && e.contains("val"), "{e}");
        fs::remove_dir_all(dir.path().join("train")).unwrap();
        assert_eq!(load(dir.path(), Split::Test, 8).unwrap().len(), 5);
        let e = load(dir.path(), Split::Train, 8).unwrap_err().to_string();
        assert!(e.contains("train: this folder is missing"), "{e}");
    }

    #[test]
    fn broken_image_folders_are_named() {
        type Break = fn(&Path);
        let cases: [(Break, &[&str]); 7] = [
            (
                |d| fs::create_dir(d.join("train/bird")).unwrap(),
                &["train/bird", "no .jpg", "remove the folder"],
            ),
            (|d| class(&d.join("val"), "bird", 1), &["different classes (2 and 3)", "\"bird\" is in val"]),
            (|d| fs::remove_dir_all(d.join("val/dog")).unwrap(), &["(2 and 1)", "\"dog\" is in train"]),
            (
                |d| fs::write(d.join("train/cat/z.jpg"), "some text").unwrap(),
                &["train/cat/z.jpg", "not a JPEG", "replace"],
            ),
            (
                |d| fs::write(d.join("train/cat/z.webp"), "RIFF").unwrap(),
                &["z.webp", "does not read webp", "convert"],
            ),
            (
                |d| fs::write(d.join("train/cat/0.jpg"), &jpeg(20, 16)[..300]).unwrap(),
                &["train/cat/0.jpg", "truncated", "300 bytes"],
            ),
            (
                |d| {
                    fs::remove_dir_all(d.join("train")).unwrap();
                    fs::create_dir(d.join("train")).unwrap();
                },
                &["train", "no class folders", "named after the class"],
            ),
        ];
        for (breaks, wants) in cases {
            let dir = folder();
            breaks(dir.path());
            let e = load(dir.path(), Split::Train, 8).unwrap_err().to_string();
            for want in wants {
                assert!(e.contains(want), "{want:?} not in {e}");
            }
        }
    }

    #[test]
    fn unknown_and_missing_folders_list_the_layouts() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("nowhere");
        let e = open(&nowhere).unwrap_err().to_string();
        assert!(e.contains("nowhere") && e.contains("CIFAR-100 binary") && e.contains("ImageFolder"), "{e}");
        let says = |want: &str| {
            let e = open(dir.path()).unwrap_err().to_string();
            let name = dir.path().to_string_lossy().into_owned();
            assert!(e.contains(want) && e.contains("ImageFolder") && e.contains(&name), "{e}");
        };
        says("the folder is empty");
        fs::write(dir.path().join("data_batch_1"), "pickle").unwrap();
        says("Python version");
        fs::remove_file(dir.path().join("data_batch_1")).unwrap();
        class(&dir.path().join("inner/val"), "cat", 1);
        says("inner");
    }

    #[test]
    fn nested_and_numbered_classes() {
        let dir = tempfile::tempdir().unwrap();
        for c in ["0", "1", "10", "2"] {
            class(&dir.path().join(c), "images", 1);
        }
        let Dataset::Folder(folder) = open(dir.path()).unwrap() else { panic!() };
        let index = folder.index(Split::Test).unwrap();
        assert_eq!(index.class_numbers(), Some(vec![0, 1, 10, 2]));
        assert_eq!(index.files[2], (Path::new("10/images/0.jpg").to_owned(), 2));
    }

    #[test]
    fn cifar_is_32_pixels() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("test.bin"), vec![0; 3074]).unwrap();
        assert_eq!(open(dir.path()).unwrap().kind(), Kind::Cifar100);
        let e = load(dir.path(), Split::Test, 64).unwrap_err().to_string();
        assert!(e.contains("32x32, not 64x64") && e.contains("image size to 32"), "{e}");
        assert_eq!(load(dir.path(), Split::Test, 32).unwrap().len(), 1);
    }

    #[test]
    fn imagenet16_is_16_pixels() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("ImageNet16");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("val_data"), "PK").unwrap();
        for found in [outer.path(), &dir] {
            let set = open(found).unwrap();
            assert_eq!((set.kind(), set.kind().to_string()), (Kind::ImageNet16, "ImageNet16-120".to_owned()));
            let classes = set.classes(Split::Train).unwrap();
            assert_eq!((classes.len(), classes[119].as_str()), (120, "ImageNet class 120"));
        }
        assert_eq!(serde_json::to_value(Kind::ImageNet16).unwrap(), "imagenet16-120");
        let e = load(&dir, Split::Test, 32).unwrap_err().to_string();
        assert!(e.contains("16x16, not 32x32") && e.contains("data.image-size = 16"), "{e}");
        let e = load(&dir, Split::Test, 16).unwrap_err().to_string();
        assert!(e.contains("val_data") && e.contains("not a pickle"), "{e}");
    }
}
