//! The `shapes` set as COCO 2017: photos with several objects, boxes and masks of what is visible of them.
//!
//! As in COCO, objects hide each other, images may hold none, category ids have gaps, and some groups are marked as
//! one crowd. Boxes and areas are those of the visible pixels; strokes in front of everything hide nothing on paper.

use std::fs;
use std::path::PathBuf;

use genas_space::Streams;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::Serialize;

use super::write::{STEP, encode, write_file};
use super::{Object, Scene, SceneOptions, Shape, render};
use crate::DataError;

/// Width and height of the pictures.
const SIZES: [(usize, usize); 4] = [(320, 240), (240, 320), (256, 256), (300, 200)];
/// An object of fewer visible pixels is not annotated.
const LEAST_VISIBLE: usize = 12;
/// One image in so many has a crowd.
const CROWD_EVERY: usize = 6;

/// One split: images `first_id..first_id + n` of a stream.
pub(super) struct CocoSplit {
    /// Where the images go.
    pub folder: PathBuf,
    /// The instances file.
    pub annotations: PathBuf,
    /// Its random stream.
    pub stream: &'static str,
    /// Images.
    pub n: usize,
    /// Id of the first image.
    pub first_id: usize,
}

#[derive(Serialize)]
struct Instances {
    info: Info,
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Serialize)]
struct Info {
    description: &'static str,
}

#[derive(Serialize)]
struct Image {
    id: usize,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Serialize)]
struct Category {
    id: usize,
    name: &'static str,
    supercategory: &'static str,
}

#[derive(Serialize)]
struct Annotation {
    id: usize,
    image_id: usize,
    category_id: usize,
    bbox: [usize; 4],
    area: usize,
    iscrowd: u8,
    segmentation: Runs,
}

/// Runs of pixels outside and inside in turn, column by column: COCO's uncompressed masks.
#[derive(Serialize)]
struct Runs {
    size: [usize; 2],
    counts: Vec<usize>,
}

/// Category of a class: with gaps, as COCO's.
fn category(class: usize) -> usize {
    1 + class + class / 3
}

impl CocoSplit {
    /// Writes images and annotations; `advance` is told how many images were written.
    pub(super) fn write(&self, streams: &Streams, advance: &mut dyn FnMut(usize)) -> Result<(), DataError> {
        let categories = Shape::ALL.iter().enumerate().map(|(class, shape)| Category {
            id: category(class),
            name: shape.name(),
            supercategory: "shape",
        });
        let mut file = Instances {
            info: Info { description: "generated shapes" },
            images: Vec::with_capacity(self.n),
            annotations: Vec::new(),
            categories: categories.collect(),
        };
        for start in (0..self.n).step_by(STEP) {
            let range = start..self.n.min(start + STEP);
            let written: Result<Vec<_>, _> =
                range.clone().into_par_iter().map(|index| self.write_image(streams, index)).collect();
            for (image, annotations) in written? {
                file.images.push(image);
                file.annotations.extend(annotations);
            }
            advance(range.len());
        }
        for (n, annotation) in file.annotations.iter_mut().enumerate() {
            annotation.id = 1000 * self.first_id + n;
        }
        let json = serde_json::to_vec(&file)
            .map_err(|e| DataError::io("write", &self.annotations)(std::io::Error::other(e)))?;
        write_file(&self.annotations, &json)
    }

    /// Creates the folders.
    pub(super) fn create_folders(&self) -> Result<(), DataError> {
        for folder in [Some(self.folder.as_path()), self.annotations.parent()].into_iter().flatten() {
            fs::create_dir_all(folder).map_err(DataError::io("create", folder))?;
        }
        Ok(())
    }

    fn write_image(&self, streams: &Streams, index: usize) -> Result<(Image, Vec<Annotation>), DataError> {
        let id = self.first_id + index;
        let mut rng = streams.rng(self.stream, index as u64);
        let (width, height) = SIZES[rng.random_range(0..SIZES.len())];
        let (scene, n_crowd) =
            scene(&mut rng, width as f32 / height as f32, index.is_multiple_of(CROWD_EVERY));
        let picture = render(&scene, height);
        let file_name = format!("{id:012}.jpg");
        let path = self.folder.join(&file_name);
        let bytes =
            encode(&picture, false).map_err(|e| DataError::io("encode", &path)(std::io::Error::other(e)))?;
        write_file(&path, &bytes)?;
        let annotations = annotate(&scene, n_crowd, id, picture.width, picture.height);
        Ok((Image { id, file_name, width: picture.width, height: picture.height }, annotations))
    }
}

/// A scene, whose first objects, as many as the number says, are one crowd.
fn scene(rng: &mut impl Rng, aspect: f32, crowd: bool) -> (Scene, usize) {
    let mut scene = Scene::sample(rng, &SceneOptions { aspect, ..SceneOptions::several() });
    if !crowd {
        return (scene, 0);
    }
    let options =
        SceneOptions { aspect: 0.5, objects: (20, 30), radius: (0.06, 0.09), ..SceneOptions::several() };
    let class = rng.random_range(0..Shape::ALL.len());
    let at = [0, 1].map(|axis| rng.random_range(0.0..[aspect - 0.25, 0.5][axis]));
    let small = |object: Object| Object {
        class,
        shape: Shape::ALL[class],
        center: [0, 1].map(|axis| at[axis] + 0.5 * object.center[axis]),
        radius: 0.5 * object.radius,
        ..object
    };
    let mut objects: Vec<Object> = Scene::sample(rng, &options).objects.into_iter().map(small).collect();
    let n = objects.len();
    objects.append(&mut scene.objects);
    scene.objects = objects;
    (scene, n)
}

/// What is visible of each object, and of the crowd as a whole.
fn annotate(scene: &Scene, n_crowd: usize, image_id: usize, width: usize, height: usize) -> Vec<Annotation> {
    // Who is seen at each pixel: the crowd is 1, the others follow; 0 is nobody.
    let mut seen = vec![0usize; width * height];
    for (n, object) in scene.objects.iter().enumerate() {
        let mask = object.mask(width, height);
        let owner = if n < n_crowd { 1 } else { n - n_crowd + 2 };
        for (k, _) in mask.coverage.iter().enumerate().filter(|(_, covered)| **covered > 0.5) {
            seen[(mask.top + k / mask.width) * width + mask.left + k % mask.width] = owner;
        }
    }
    let mut annotations = Vec::new();
    for owner in 1..scene.objects.len() - n_crowd + 2 {
        let places = || (0..seen.len()).filter(|&k| seen[k] == owner);
        let area = places().count();
        if area < LEAST_VISIBLE {
            continue;
        }
        let bounds = |axis: fn(usize, usize) -> usize| {
            let values = || places().map(|k| axis(k, width));
            (values().min().unwrap_or(0), values().max().unwrap_or(0) + 1)
        };
        let ((left, right), (top, bottom)) = (bounds(|k, width| k % width), bounds(|k, width| k / width));
        let crowd = owner == 1;
        let class = if crowd { scene.objects[0].class } else { scene.objects[n_crowd + owner - 2].class };
        annotations.push(Annotation {
            id: 0,
            image_id,
            category_id: category(class),
            bbox: [left, top, right - left, bottom - top],
            area,
            iscrowd: crowd.into(),
            segmentation: runs(|x, y| seen[y * width + x] == owner, width, height),
        });
    }
    annotations
}

fn runs(inside: impl Fn(usize, usize) -> bool, width: usize, height: usize) -> Runs {
    let (mut counts, mut now) = (vec![0], false);
    for x in 0..width {
        for y in 0..height {
            if inside(x, y) != now {
                now = !now;
                counts.push(0);
            }
            if let Some(last) = counts.last_mut() {
                *last += 1;
            }
        }
    }
    Runs { size: [height, width], counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_runs_by_column() {
        let picture = [[false, true, true], [false, false, true]];
        assert_eq!(runs(|x, y| picture[y][x], 3, 2).counts, [2, 1, 1, 2]);
        assert_eq!(runs(|_, _| true, 2, 2).counts, [0, 4]);
        assert_eq!(Shape::ALL.iter().enumerate().map(|(n, _)| category(n)).max(), Some(13));
    }

    #[test]
    fn boxes_follow_what_is_visible() {
        let mut rng = Streams::new(2).rng("t", 0);
        let mut front = Scene::sample_class(&mut rng, &SceneOptions::standard(), 7).objects.remove(0);
        // An upright square of 40 pixels, and one of 80 behind it that reaches 20 further to each side.
        (front.center, front.rotation) = ([0.5, 0.5], std::f32::consts::FRAC_PI_4);
        front.radius = 0.2 * 2f32.sqrt();
        let behind = Object { radius: 2.0 * front.radius, ..front.clone() };
        let mut scene =
            Scene::sample(&mut rng, &SceneOptions { objects: (0, 0), ..SceneOptions::standard() });
        scene.objects = vec![behind, front.clone()];
        let found = annotate(&scene, 0, 5, 100, 100);
        let got: Vec<_> = found.iter().map(|a| (a.bbox, a.area, a.iscrowd)).collect();
        assert_eq!(got, [([10, 10, 80, 80], 4800, 0), ([30, 30, 40, 40], 1600, 0)]);
        // The other way round the small one is hidden.
        scene.objects.reverse();
        assert_eq!(annotate(&scene, 0, 5, 100, 100).len(), 1);
        // Both are one crowd.
        let crowd = annotate(&scene, 2, 5, 100, 100);
        assert_eq!((crowd.len(), crowd[0].iscrowd, crowd[0].area), (1, 1, 6400));
        let inside: usize = crowd[0].segmentation.counts.iter().skip(1).step_by(2).sum();
        assert_eq!(inside, 6400);
    }
}
