//! The `shapes` set in the layout of Cityscapes: wide photos with several objects, and a label id for every pixel.
//!
//! Label ids are official ones, so that tools for Cityscapes take the set as it is: the background is a road (7), the ten
//! shapes are the ten classes that follow it (8, 11, 12, 13, 17, 19, 20, 21, 22, 23), and strokes in front of
//! everything are static (4), which is ignored. The `classes.toml` beside them says so, with the shapes' names.
//! As in Cityscapes there are several cities, of which those of val are not in train; unlike there, sizes differ.

use std::path::{Path, PathBuf};

use genas_space::Streams;
use rand::RngExt;

use super::write::{encode, write_file};
use super::{Scale, Scene, SceneOptions, Shape, render};
use crate::DataError;
use crate::segmentation::{ClassTable, IGNORED, LabelMap, SegmentationClass};

/// Widths and heights of the pictures.
const SIZES: [(usize, usize); 4] = [(256, 128), (320, 160), (224, 128), (192, 96)];
const TRAIN_CITIES: [&str; 3] = ["ashford", "elmstead", "oakham"];
const VAL_CITIES: [&str; 2] = ["birchley", "poolhill"];
/// From a picture's frame number to the next of its city: of the real videos, every 30th frame has labels.
const FRAME_STEP: usize = 30;
/// The first of them.
const FIRST_FRAME: usize = 19;
/// Ignored: something that stands there.
const STATIC: u8 = 4;

/// One picture with its labels.
pub(super) struct Frame {
    /// The image file.
    pub image: PathBuf,
    /// The label file.
    pub labels: PathBuf,
    stream: &'static str,
    index: usize,
}

/// All pictures of a scale.
pub(super) fn frames(dir: &Path, scale: Scale) -> Vec<Frame> {
    let (train, val) = scale.cityscapes();
    let splits = [
        ("train", "shapes/cityscapes/train", &TRAIN_CITIES[..], train),
        ("val", "shapes/cityscapes/val", &VAL_CITIES[..], val),
    ];
    let mut frames = Vec::new();
    for (split, stream, cities, n) in splits {
        let per_city = n.div_ceil(cities.len());
        frames.extend((0..n).map(|index| {
            let (city, number) = (cities[index / per_city], FIRST_FRAME + FRAME_STEP * (index % per_city));
            let file = |folder: &str, ending: &str| {
                dir.join(folder)
                    .join(split)
                    .join(city)
                    .join(format!("{city}_000000_{number:06}_{ending}.png"))
            };
            let (image, labels) = (file("leftImg8bit", "leftImg8bit"), file("gtFine", "gtFine_labelIds"));
            Frame { image, labels, stream, index }
        }));
    }
    frames
}

/// The background and the ten shapes under official ids and colours; what is ignored officially is ignored here.
pub(super) fn classes() -> ClassTable {
    let official = ClassTable::cityscapes();
    let names = ["background"].into_iter().chain(Shape::ALL.map(Shape::name));
    let classes: Vec<SegmentationClass> = names
        .zip(official.classes())
        .map(|(name, class)| SegmentationClass { name: name.to_owned(), ..class.clone() })
        .collect();
    let used = |label: &u8| classes.iter().any(|class| class.labels.contains(label));
    let ignore = (0..34).chain([IGNORED]).filter(|label| !used(label)).collect();
    ClassTable::new(classes, ignore).unwrap_or_else(|reason| panic!("classes of the generated set: {reason}"))
}

impl Frame {
    /// Writes both files.
    pub(super) fn write(&self, streams: &Streams) -> Result<(), DataError> {
        let mut rng = streams.rng(self.stream, self.index as u64);
        let (width, height) = SIZES[rng.random_range(0..SIZES.len())];
        let options = SceneOptions { aspect: width as f32 / height as f32, ..SceneOptions::street() };
        let scene = Scene::sample(&mut rng, &options);
        let picture = render(&scene, height);
        let encoded = encode(&picture, true)
            .map_err(|source| DataError::io("encode", &self.image)(std::io::Error::other(source)))?;
        write_file(&self.image, &encoded)?;
        let labels = label(&scene, picture.width, picture.height);
        write_file(&self.labels, &labels.label_png(&classes(), STATIC))
    }
}

/// What is seen at every pixel: 0 for the background, 1 to 10 for shapes, [`IGNORED`] for strokes in front.
fn label(scene: &Scene, width: usize, height: usize) -> LabelMap {
    let mut labels = vec![0; width * height];
    for object in &scene.objects {
        let mask = object.mask(width, height);
        for (k, _) in mask.coverage.iter().enumerate().filter(|(_, covered)| **covered > 0.5) {
            labels[(mask.top + k / mask.width) * width + mask.left + k % mask.width] = 1 + object.class as u8;
        }
    }
    for stroke in &scene.occluders {
        for (k, label) in labels.iter_mut().enumerate() {
            let p = [k % width, k / width].map(|v| (v as f32 + 0.5) / height as f32);
            if stroke.contains(p) {
                *label = IGNORED;
            }
        }
    }
    LabelMap { width, height, labels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_official_ids() {
        let (table, official) = (classes(), ClassTable::cityscapes());
        assert_eq!(
            (table.len(), &table.names()[..3]),
            (11, &["background", "arrow", "circle"].map(String::from)[..])
        );
        let values: Vec<u8> = (0..34).chain([255]).collect();
        let path = Path::new("x.png");
        let (ours, theirs) =
            (table.train_ids(values.clone(), path).unwrap(), official.train_ids(values, path).unwrap());
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert_eq!(ours, if theirs < 11 { theirs } else { 255 });
        }
        assert_eq!(
            table.label_ids(&(0..11).collect::<Vec<_>>(), 0),
            [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23]
        );
    }

    #[test]
    fn every_class_is_seen_often_enough_to_be_learned() {
        let mut counts = [0usize; 256];
        for n in 0..30 {
            let scene = Scene::sample(&mut Streams::new(1).rng("t", n), &SceneOptions::street());
            label(&scene, 128, 64).labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        }
        let all: usize = counts.iter().sum();
        assert!((1..11).all(|class| 100 * counts[class] > all), "{:?}", &counts[..11]);
        assert!((2 * all / 5..9 * all / 10).contains(&counts[0]), "{} of {all}", counts[0]);
        assert!(counts[255] > 0 && counts[255] < all / 5, "{}", counts[255]);
    }

    #[test]
    fn cities_of_val_are_not_in_train() {
        let frames = frames(Path::new("d"), Scale::Tiny);
        let city = |frame: &Frame| frame.image.parent().unwrap().file_name().unwrap().to_owned();
        let of = |stream: &str| -> std::collections::BTreeSet<_> {
            frames.iter().filter(|frame| frame.stream.ends_with(stream)).map(city).collect()
        };
        assert_eq!((frames.len(), of("train").len(), of("val").len()), (32, 3, 2));
        assert!(of("train").is_disjoint(&of("val")));
        let mut files: Vec<_> = frames.iter().map(|frame| &frame.image).collect();
        files.sort();
        files.dedup();
        assert_eq!(files.len(), 32);
    }
}
