//! [`Annotations`]: the `instances_*.json` of COCO 2017, read without its polygons.
//!
//! The file of train2017 has 450 MB, nearly all of it polygons, which boxes do not need: they are scanned,
//! never built. Category ids have gaps (80 classes between 1 and 90); a network's class is the position among
//! the sorted ids.
//!
//! The real files hold a few boxes of no width or height, so a broken box is no reason to refuse the file.
//! It is named as a [`BoxProblem`], and left out of training; evaluation keeps what pycocotools keeps.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::DataError;

/// An image that boxes may lie on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CocoImage {
    /// Its id, which annotations and results name.
    pub id: i64,
    /// File name in the split's folder.
    pub file_name: String,
    /// Pixels per row.
    pub width: usize,
    /// Pixels per column.
    pub height: usize,
}

/// A class of objects.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CocoClass {
    /// Its id, which annotations and results name; ids have gaps.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// An object, or with `crowd` a region of many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CocoObject {
    /// Id of the annotation.
    pub id: i64,
    /// Position of the image in [`Annotations::images`].
    pub image: usize,
    /// Position of the class in [`Annotations::classes`].
    pub class: usize,
    /// Left, top, width and height in pixels.
    pub bbox: [f64; 4],
    /// Area of the object (not of its box) in pixels; evaluation tells small from large by it.
    pub area: f64,
    /// A region of many objects: dropped in training, no miss in evaluation.
    pub crowd: bool,
}

/// An annotation that nothing can be learned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoxProblem {
    /// Id of the annotation.
    pub annotation: i64,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BoxProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "annotation {}: {}", self.annotation, self.reason)
    }
}

/// All images, classes and objects of one split.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotations {
    /// The file.
    pub path: PathBuf,
    /// Images, in the file's order.
    pub images: Vec<CocoImage>,
    /// Classes, by id: a network's class is the position here.
    pub classes: Vec<CocoClass>,
    /// Objects, in the file's order. Those of unknown images or classes are only in `problems`.
    pub objects: Vec<CocoObject>,
    /// What is broken, in the file's order.
    pub problems: Vec<BoxProblem>,
}

impl Annotations {
    /// Reads an instances file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is not JSON of this format, has no classes, or uses an id twice.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = fs::read(path).map_err(DataError::io("read", path))?;
        Self::parse(path, &text)
    }

    /// Reads the text of an instances file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, DataError> {
        let broken = |problem: String| {
            let remedy = "give an instances file of COCO 2017: an object with images (id, file_name, width, height), \
                          annotations (id, image_id, category_id, bbox, area, iscrowd) and categories (id, name)";
            DataError::broken(path, problem, remedy)
        };
        let raw: RawFile = serde_json::from_slice(text).map_err(|e| broken(e.to_string()))?;
        let mut classes = raw.categories;
        classes.sort_by_key(|class| class.id);
        let class_of = by_id(classes.iter().map(|c| c.id)).map_err(|id| broken(twice("category", id)))?;
        let image_of = by_id(raw.images.iter().map(|i| i.id)).map_err(|id| broken(twice("image", id)))?;
        if classes.is_empty() {
            return Err(broken("it has no categories".to_owned()));
        }
        let (mut objects, mut problems) = (Vec::with_capacity(raw.annotations.len()), Vec::new());
        let mut seen = HashSet::with_capacity(raw.annotations.len());
        for annotation in raw.annotations {
            let id = annotation.id;
            if !seen.insert(id) {
                return Err(broken(twice("annotation", id)));
            }
            let mut problem = |reason: String| problems.push(BoxProblem { annotation: id, reason });
            let image = image_of.get(&annotation.image_id);
            let class = class_of.get(&annotation.category_id);
            match (image, class) {
                (None, _) => problem(format!("there is no image {}", annotation.image_id)),
                (_, None) => problem(format!("there is no category {}", annotation.category_id)),
                (Some(&image), Some(&class)) => {
                    if let Some(reason) = box_problem(annotation.bbox.0, &raw.images[image]) {
                        problem(reason);
                    }
                    let [_, _, w, h] = annotation.bbox.0;
                    objects.push(CocoObject {
                        id,
                        image,
                        class,
                        bbox: annotation.bbox.0,
                        area: annotation.area.unwrap_or(w * h),
                        crowd: annotation.iscrowd.0,
                    });
                }
            }
        }
        Ok(Self { path: path.to_owned(), images: raw.images, classes, objects, problems })
    }

    /// Position of the image with an id, and of the class with an id, for results that name them.
    pub fn positions(&self) -> (HashMap<i64, usize>, HashMap<i64, usize>) {
        let images = self.images.iter().enumerate().map(|(n, image)| (image.id, n)).collect();
        (images, self.classes.iter().enumerate().map(|(n, class)| (class.id, n)).collect())
    }

    /// Of the first `n` images only.
    pub fn limited(mut self, n: usize) -> Self {
        self.images.truncate(n);
        self.objects.retain(|object| object.image < n);
        self
    }

    /// For each image its objects that can be trained on: no crowds, no broken boxes.
    pub fn trainable(&self) -> Vec<Vec<CocoObject>> {
        let mut per_image = vec![Vec::new(); self.images.len()];
        for object in &self.objects {
            if !object.crowd && box_problem(object.bbox, &self.images[object.image]).is_none() {
                per_image[object.image].push(*object);
            }
        }
        per_image
    }
}

/// The instances file that a user means: the file itself, or that of a split (`train2017`, `val2017`) in a
/// COCO folder.
pub fn annotations_file(data: &Path, split: &str) -> PathBuf {
    if data.is_dir() {
        data.join("annotations").join(format!("instances_{split}.json"))
    } else {
        data.to_owned()
    }
}

/// The splits of a COCO folder that have an instances file, sorted; none in a folder of another layout.
pub fn splits(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("annotations")).into_iter().flatten().flatten();
    let split = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix("instances_")?.strip_suffix(".json")?.to_owned())
    };
    let mut found: Vec<String> = entries.filter_map(split).collect();
    found.sort();
    found
}

/// What makes a box useless, if anything does.
fn box_problem(bbox: [f64; 4], image: &CocoImage) -> Option<String> {
    let [x, y, w, h] = bbox;
    let (width, height) = (image.width as f64, image.height as f64);
    if bbox.iter().any(|v| !v.is_finite()) {
        return Some("its box is not four finite numbers".to_owned());
    }
    if w <= 0.0 || h <= 0.0 {
        return Some(format!("its box is {w} x {h} pixels"));
    }
    let outside = x >= width || y >= height || x + w <= 0.0 || y + h <= 0.0;
    outside.then(|| {
        format!("its box [{x}, {y}, {w}, {h}] lies outside of image {} ({width} x {height})", image.id)
    })
}

fn twice(what: &str, id: i64) -> String {
    format!("it has {what} {id} twice")
}

/// Positions by id; an id that comes twice is the error.
fn by_id(ids: impl Iterator<Item = i64>) -> Result<HashMap<i64, usize>, i64> {
    let mut map = HashMap::new();
    for (n, id) in ids.enumerate() {
        if map.insert(id, n).is_some() {
            return Err(id);
        }
    }
    Ok(map)
}

#[derive(Deserialize)]
struct RawFile {
    images: Vec<CocoImage>,
    annotations: Vec<RawAnnotation>,
    categories: Vec<CocoClass>,
}

#[derive(Deserialize)]
struct RawAnnotation {
    id: i64,
    image_id: i64,
    category_id: i64,
    #[serde(default)]
    bbox: RawBox,
    #[serde(default)]
    area: Option<f64>,
    #[serde(default)]
    iscrowd: Flag,
    #[serde(default, rename = "segmentation")]
    _segmentation: IgnoredAny,
}

/// Four numbers; anything else in a list becomes NaN, so that one broken box does not hide where it is.
#[derive(Debug, Clone, Copy)]
struct RawBox([f64; 4]);

impl Default for RawBox {
    fn default() -> Self {
        Self([f64::NAN; 4])
    }
}

impl<'de> Deserialize<'de> for RawBox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Four;
        impl<'de> Visitor<'de> for Four {
            type Value = RawBox;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a box: left, top, width and height")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawBox, A::Error> {
                let (mut numbers, mut n) = ([f64::NAN; 4], 0);
                while let Some(number) = list.next_element::<Option<f64>>()? {
                    if let Some(slot) = numbers.get_mut(n) {
                        *slot = number.unwrap_or(f64::NAN);
                    }
                    n += 1;
                }
                Ok(if n == 4 { RawBox(numbers) } else { RawBox::default() })
            }
        }
        deserializer.deserialize_seq(Four)
    }
}

/// 0 or 1; `false` and `true` are written too.
#[derive(Debug, Clone, Copy, Default)]
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ZeroOrOne;
        impl Visitor<'_> for ZeroOrOne {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0 or 1")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Flag, E> {
                Ok(Flag(number != 0))
            }
        }
        deserializer.deserialize_any(ZeroOrOne)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(images: &str, annotations: &str, categories: &str) -> Result<Annotations, DataError> {
        let text = format!(
            r#"{{"info": {{}}, "images": {images}, "annotations": {annotations}, "categories": {categories}}}"#
        );
        Annotations::parse(Path::new("a.json"), text.as_bytes())
    }

    const IMAGES: &str = r#"[{"id": 9, "file_name": "9.jpg", "width": 40, "height": 30, "license": 3},
                             {"id": 4, "file_name": "4.jpg", "width": 8, "height": 6}]"#;
    const CLASSES: &str = r#"[{"id": 90, "name": "z"}, {"id": 3, "name": "a", "supercategory": "s"}]"#;

    #[test]
    fn classes_are_contiguous_and_polygons_skipped() {
        let objects = r#"[
            {"segmentation": [[1, 2, 3.5]], "area": 5.5, "iscrowd": 0, "image_id": 4, "bbox": [1, 2, 3, 4], "category_id": 90, "id": 1},
            {"segmentation": {"counts": [3, 4], "size": [6, 8]}, "iscrowd": 1, "image_id": 9, "bbox": [0, 0, 2.5, 2], "category_id": 3, "id": 2},
            {"iscrowd": true, "image_id": 9, "bbox": [0, 0, 2, 2], "category_id": 3, "id": 7}]"#;
        let read = parse(IMAGES, objects, CLASSES).unwrap();
        assert_eq!(read.classes.iter().map(|c| c.id).collect::<Vec<_>>(), [3, 90]);
        let found: Vec<_> = read.objects.iter().map(|o| (o.id, o.image, o.class, o.area, o.crowd)).collect();
        assert_eq!(found, [(1, 1, 1, 5.5, false), (2, 0, 0, 5.0, true), (7, 0, 0, 4.0, true)]);
        assert_eq!(read.problems, []);
        assert_eq!(read.trainable().iter().map(Vec::len).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn broken_boxes_are_named() {
        // fields of the annotation -> reason, and whether evaluation keeps it
        let cases = [
            (r#""image_id": 5, "bbox": [0, 0, 1, 1], "category_id": 3"#, "no image 5", false),
            (r#""image_id": 4, "bbox": [0, 0, 1, 1], "category_id": 4"#, "no category 4", false),
            (r#""image_id": 4, "bbox": [0, 0, -1, 1], "category_id": 3"#, "-1 x 1 pixels", true),
            (r#""image_id": 4, "bbox": [0, 0, 2, 0], "category_id": 3"#, "2 x 0 pixels", true),
            (r#""image_id": 4, "bbox": [0, 0, null, 1], "category_id": 3"#, "finite", true),
            (r#""image_id": 4, "bbox": [0, 0, 1], "category_id": 3"#, "finite", true),
            (r#""image_id": 4, "category_id": 3"#, "finite", true),
            (r#""image_id": 4, "bbox": [8, 0, 1, 1], "category_id": 3"#, "outside of image 4 (8 x 6)", true),
            (r#""image_id": 4, "bbox": [0, -3, 1, 3], "category_id": 3"#, "outside of image 4", true),
        ];
        for (fields, reason, kept) in cases {
            let read = parse(IMAGES, &format!(r#"[{{"id": 77, {fields}}}]"#), CLASSES).unwrap();
            let said = read.problems[0].to_string();
            assert!(said.starts_with("annotation 77: ") && said.contains(reason), "{said}");
            assert_eq!(read.objects.len() == 1, kept, "{fields}");
            assert!(read.trainable().iter().all(Vec::is_empty), "{fields}");
        }
    }

    #[test]
    fn wrong_files_are_refused() {
        let same =
            r#"[{"id": 1, "image_id": 4, "category_id": 3}, {"id": 1, "image_id": 4, "category_id": 3}]"#;
        let twice = r#"[{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]"#;
        for (images, objects, classes, part) in [
            (IMAGES, same, CLASSES, "annotation 1 twice"),
            (IMAGES, "[]", twice, "category 3 twice"),
            (IMAGES, "[]", "[]", "no categories"),
            ("{}", "[]", CLASSES, "invalid type: map"),
            (IMAGES, r#"[{"id": 1, "image_id": "x", "category_id": 3}]"#, CLASSES, "invalid type: string"),
            (IMAGES, r#"[{"id": 1, "image_id": 4, "category_id": 3, "bbox": [NaN]}]"#, CLASSES, "line 2"),
        ] {
            let error = parse(images, objects, classes).unwrap_err().to_string();
            assert!(error.starts_with("a.json: ") && error.contains(part), "{error}");
        }
        let list = Annotations::parse(Path::new("r.json"), b"[{\"image_id\": 3}]").unwrap_err().to_string();
        assert!(list.contains("give an instances file"), "{list}");
    }
}
