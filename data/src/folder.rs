//! ImageFolder: `DIR/train/CLASS/*.jpg` and `DIR/val/CLASS/*.jpg`, or `DIR/CLASS/*.jpg` directly.
//!
//! Labels are positions in the sorted class names and files are in the order of torchvision's
//! `ImageFolder`, which also looks into sub-folders of a class. Hidden files are passed over; other
//! files that are no images are too, unless they are images of a format that genas does not read.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::decode::decode_file;
use crate::{DataError, ImageSet, Normalization, Split};

const READ: [&str; 3] = ["jpg", "jpeg", "png"];
const UNREAD: [&str; 9] = ["bmp", "gif", "pgm", "ppm", "tif", "tiff", "webp", "avif", "heic"];

/// The images of one ImageFolder split: paths and labels, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderIndex {
    /// The folder of the class folders.
    pub root: PathBuf,
    /// Sorted class names.
    pub classes: Vec<String>,
    /// Path relative to `root`, and label.
    pub files: Vec<(PathBuf, u16)>,
}

impl FolderIndex {
    /// Indexes the class folders in `root`.
    pub fn new(root: &Path) -> Result<Self, DataError> {
        let (index, empty) = Self::scan(root)?;
        match empty.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(index),
        }
    }

    /// As [`Self::new`], with the errors of single classes and files set aside.
    pub(crate) fn scan(root: &Path) -> Result<(Self, Vec<DataError>), DataError> {
        let mut classes: Vec<String> =
            list(root)?.into_iter().filter(|name| root.join(name).is_dir()).collect();
        classes.sort_unstable();
        if classes.is_empty() {
            return Err(DataError::broken(
                root,
                "no class folders",
                "put the images of each class into a folder named after the class",
            ));
        }
        if classes.len() > usize::from(u16::MAX) {
            return Err(DataError::broken(
                root,
                format!("{} class folders", classes.len()),
                "genas handles up to 65,535 classes; is this the data set's folder?",
            ));
        }
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for (label, class) in classes.iter().enumerate() {
            let before = files.len();
            let mut folders = Vec::new();
            walk(root, Path::new(class), &mut folders)?;
            folders.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let mut unread = None;
            for (folder, mut names) in folders {
                names.sort_unstable();
                for name in names {
                    let path = Path::new(&folder).join(&name);
                    match extension(&name) {
                        e if READ.contains(&e.as_str()) => files.push((path, label as u16)),
                        e if UNREAD.contains(&e.as_str()) => {
                            unread.get_or_insert((path, e));
                        }
                        _ => {}
                    }
                }
            }
            if let Some((path, extension)) = unread {
                errors.push(DataError::broken(
                    &root.join(path),
                    format!("genas does not read {extension} images"),
                    "convert the images of this class to JPEG or PNG",
                ));
            } else if files.len() == before {
                errors.push(DataError::broken(
                    &root.join(class),
                    "the class folder holds no .jpg, .jpeg or .png image",
                    "add images of this class or remove the folder",
                ));
            }
        }
        Ok((Self { root: root.to_owned(), classes, files }, errors))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The path of image `i`.
    pub fn path(&self, i: usize) -> PathBuf {
        self.root.join(&self.files[i].0)
    }

    /// The class folders' names as numbers, if all are: ImageNet-V2 names its folders after the
    /// class index, which sorting by name does not give.
    pub fn class_numbers(&self) -> Option<Vec<usize>> {
        self.classes.iter().map(|c| c.parse().ok()).collect()
    }

    /// Decodes every image, the shorter side resized to `size` and the centre cropped to a square.
    pub fn resident(&self, size: usize, name: &str) -> Result<ImageSet, DataError> {
        let n = 3 * size * size;
        if n == 0 {
            return Err(DataError::request("image size 0", "give a size in pixels, such as 64"));
        }
        let needed = n as u64 * self.len() as u64;
        if let Some(free) = available_memory().filter(|&free| needed > free) {
            return Err(DataError::request(
                format!(
                    "{}: {} images of {size}x{size} need {} MiB of memory, {} MiB are free",
                    self.root.display(),
                    self.len(),
                    needed >> 20,
                    free >> 20
                ),
                "give a smaller image size or fewer images",
            ));
        }
        let mut pixels = vec![0; n * self.len()];
        // The first error by position, whichever thread finds one first.
        let errors: Vec<Option<DataError>> = pixels
            .par_chunks_mut(n)
            .enumerate()
            .map(|(i, out)| self.square(i, size).map(|planes| out.copy_from_slice(&planes)).err())
            .collect();
        if let Some(error) = errors.into_iter().flatten().next() {
            return Err(error);
        }
        Ok(ImageSet {
            name: name.to_owned(),
            classes: self.classes.clone(),
            height: size,
            width: size,
            pixels,
            labels: self.files.iter().map(|f| f.1).collect(),
            normalization: Normalization::IMAGENET,
        })
    }

    fn square(&self, i: usize, size: usize) -> Result<Vec<u8>, DataError> {
        let path = self.path(i);
        let picture = decode_file(&path)?;
        let resized = picture.with_shorter_side(size).map_err(|e| DataError::decode(&path, e))?;
        Ok(resized.centre_planes(size))
    }
}

/// An ImageFolder data set: its splits, or one unnamed split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFolder {
    /// The data set's folder.
    pub dir: PathBuf,
    /// Whether `train/` or `val/` hold the classes; if not, `dir` does.
    pub has_splits: bool,
}

impl ImageFolder {
    /// Recognises the layout by its folders.
    pub fn find(dir: &Path) -> Option<Self> {
        let has_splits = dir.join("train").is_dir() || dir.join("val").is_dir();
        let direct = || {
            list(dir).unwrap_or_default().iter().any(|class| {
                let class = dir.join(class);
                has_images(&class) || has_images(&class.join("images"))
            })
        };
        (has_splits || direct()).then(|| Self { dir: dir.to_owned(), has_splits })
    }

    /// The folder of a split's classes.
    pub fn root(&self, split: Split) -> PathBuf {
        match (self.has_splits, split) {
            (false, _) => self.dir.clone(),
            (true, Split::Train) => self.dir.join("train"),
            (true, Split::Test) => self.dir.join("val"),
        }
    }

    /// Indexes a split; the other split, if there, must have the same classes. A folder of class
    /// folders has one split only, for evaluation: [`Split::Test`].
    pub fn index(&self, split: Split) -> Result<FolderIndex, DataError> {
        if !self.has_splits && split == Split::Train {
            return Err(DataError::broken(
                &self.dir,
                "there is no train folder, only class folders",
                "to train, put the class folders into train/ and val/; as they are, they can be evaluated",
            ));
        }
        let root = self.root(split);
        if !root.is_dir() {
            return Err(DataError::broken(
                &root,
                "this folder is missing",
                format!("put the class folders of the {split} images there"),
            ));
        }
        let index = FolderIndex::new(&root)?;
        self.check_classes()?;
        Ok(index)
    }

    /// Train and val must have the same classes, or the labels would mean different things.
    pub(crate) fn check_classes(&self) -> Result<(), DataError> {
        let (train, val) = (self.root(Split::Train), self.root(Split::Test));
        if !self.has_splits || !train.is_dir() || !val.is_dir() {
            return Ok(());
        }
        let folders = |root: &Path| -> Result<Vec<String>, DataError> {
            let mut names = list(root)?;
            names.retain(|n| root.join(n).is_dir());
            Ok(names)
        };
        let (in_train, in_val) = (folders(&train)?, folders(&val)?);
        let only = |a: &[String], b: &[String]| a.iter().find(|c| !b.contains(c)).cloned();
        let (class, there, not_there) = match (only(&in_train, &in_val), only(&in_val, &in_train)) {
            (Some(class), _) => (class, "train", "val"),
            (None, Some(class)) => (class, "val", "train"),
            (None, None) => return Ok(()),
        };
        Err(DataError::broken(
            &self.dir,
            format!(
                "train and val have different classes ({} and {}): {class:?} is in {there} but not in {not_there}",
                in_train.len(),
                in_val.len()
            ),
            "give both the same class folders",
        ))
    }
}

/// Every image in a folder and its sub-folders, whatever their layout: sorted paths relative to it.
pub fn images_in(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut folders = Vec::new();
    walk(dir, Path::new(""), &mut folders)?;
    let files = folders.into_iter().flat_map(|(folder, names)| {
        let images = names.into_iter().filter(|name| READ.contains(&extension(name).as_str()));
        images.map(|name| Path::new(&folder).join(name)).collect::<Vec<_>>()
    });
    let mut files: Vec<PathBuf> = files.collect();
    files.sort_unstable();
    Ok(files)
}

/// Names in a folder, without hidden ones and those that are not UTF-8.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(DataError::io("list", dir))? {
        let entry = entry.map_err(DataError::io("list", dir))?;
        match entry.file_name().into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) => names.push(name),
            Err(name) => {
                return Err(DataError::broken(&dir.join(name), "the name is not UTF-8", "rename the file"));
            }
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Collects (folder relative to `root`, file names) of `folder` and its sub-folders.
fn walk(root: &Path, folder: &Path, out: &mut Vec<(String, Vec<String>)>) -> Result<(), DataError> {
    let dir = root.join(folder);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for name in list(&dir)? {
        // Only what has no image extension can be a folder worth a look: saves a stat per image.
        if READ.contains(&extension(&name).as_str()) || !dir.join(&name).is_dir() {
            files.push(name);
        } else {
            folders.push(name);
        }
    }
    out.push((folder.to_string_lossy().into_owned(), files));
    folders.iter().try_for_each(|name| walk(root, &folder.join(name), out))
}

fn extension(name: &str) -> String {
    Path::new(name).extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn has_images(dir: &Path) -> bool {
    dir.is_dir() && list(dir).unwrap_or_default().iter().any(|f| READ.contains(&extension(f).as_str()))
}

/// Bytes that can be allocated without swapping, where the system says so.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
