//! Writing the `shapes` set in the layouts of CIFAR-10, ImageFolder, ImageNet-V2, ImageNet-A, COCO and Cityscapes.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use genas_space::Streams;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cityscapes::{Frame, classes, frames};
use super::coco::CocoSplit;
use super::{Scale, Scene, SceneOptions, Shape, render};
use crate::segmentation::CLASSES_FILE;
use crate::{DataError, Picture};

/// Goes up when the same seed gives other files.
const VERSION: u32 = 3;
/// Images between two calls of `progress`.
pub(super) const STEP: usize = 500;
const CIFAR_SIDE: usize = 32;
const PHOTO_SIDE: usize = 64;
const MANIFEST: &str = "manifest.json";

/// Where the parts of a generated set are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShapesPaths {
    /// 64x64 files, `train/CLASS` and `val/CLASS`.
    pub imagefolder: PathBuf,
    /// 32x32 images in the binary layout.
    pub cifar10: PathBuf,
    /// Mildly shifted, folders named after the class index.
    pub imagenet_v2: PathBuf,
    /// Hard images, folders named after the class.
    pub imagenet_a: PathBuf,
    /// Photos with several objects: `train2017`, `val2017` and `annotations`.
    pub coco: PathBuf,
    /// Wide photos with a label for each pixel: `leftImg8bit`, `gtFine` and `classes.toml`.
    pub cityscapes: PathBuf,
}

impl ShapesPaths {
    fn in_dir(dir: &Path) -> Self {
        Self {
            imagefolder: dir.join("imagefolder"),
            cifar10: dir.join("cifar10"),
            imagenet_v2: dir.join("imagenet-v2"),
            imagenet_a: dir.join("imagenet-a"),
            coco: dir.join("coco"),
            cityscapes: dir.join("cityscapes"),
        }
    }
}

/// Identifies the content of a generated folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    dataset: String,
    version: u32,
    scale: Scale,
    seed: u64,
}

/// Writes the set into `dir`, which must not exist, be empty, or hold the same set already, in
/// which case nothing is done. `progress` is told the images done and the images in all.
///
/// The set appears as a whole: it is written beside `dir` and renamed.
pub fn write_shapes(
    dir: &Path,
    scale: Scale,
    seed: u64,
    progress: &dyn Fn(usize, usize),
) -> Result<ShapesPaths, DataError> {
    let manifest = Manifest { dataset: "shapes".to_owned(), version: VERSION, scale, seed };
    if holds(dir, &manifest)? {
        return Ok(ShapesPaths::in_dir(dir));
    }
    let absolute = std::path::absolute(dir).map_err(DataError::io("resolve", dir))?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(DataError::request(
            format!("{} has no parent folder", dir.display()),
            "name a folder to create",
        ));
    };
    fs::create_dir_all(parent).map_err(DataError::io("create", parent))?;
    let unfinished =
        Unfinished(parent.join(format!(".{}.unfinished-{}", name.to_string_lossy(), std::process::id())));
    let files = Files::plan(&unfinished.0, scale);
    files.write(&Streams::new(seed), progress)?;
    let json = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    write_file(&unfinished.0.join(MANIFEST), json.as_bytes())?;
    match fs::rename(&unfinished.0, &absolute) {
        Ok(()) => Ok(ShapesPaths::in_dir(dir)),
        // Another process may have finished the same set in the meantime.
        Err(_) if holds(dir, &manifest)? => Ok(ShapesPaths::in_dir(dir)),
        Err(source) => Err(DataError::io("move the finished set to", dir)(source)),
    }
}

/// Whether the set is there; an error if something else is.
fn holds(dir: &Path, wanted: &Manifest) -> Result<bool, DataError> {
    let remedy = "give another folder, or remove this one first";
    let path = dir.join(MANIFEST);
    if path.exists() {
        let text = fs::read_to_string(&path).map_err(DataError::io("read", &path))?;
        let found: Manifest = serde_json::from_str(&text).map_err(|e| {
            DataError::broken(&path, format!("not the manifest of a generated set: {e}"), remedy)
        })?;
        if found == *wanted {
            let paths = ShapesPaths::in_dir(dir);
            let ShapesPaths { imagefolder, cifar10, imagenet_v2, imagenet_a, coco, cityscapes } = paths;
            for part in [imagefolder, cifar10, imagenet_v2, imagenet_a, coco, cityscapes] {
                if !part.is_dir() {
                    return Err(DataError::broken(
                        &part,
                        "this part of the generated set is missing",
                        remedy,
                    ));
                }
            }
            return Ok(true);
        }
        return Err(DataError::broken(
            dir,
            format!(
                "the folder holds {} of scale {}, seed {} and version {}, not scale {}, seed {} and version {}",
                found.dataset,
                found.scale,
                found.seed,
                found.version,
                wanted.scale,
                wanted.seed,
                wanted.version
            ),
            remedy,
        ));
    }
    if dir.exists() {
        let mut entries = fs::read_dir(dir).map_err(DataError::io("list", dir))?;
        if entries.next().is_some() {
            return Err(DataError::broken(dir, "the folder is not empty", remedy));
        }
    }
    Ok(false)
}

/// A folder that is removed unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Nothing is left to tell if this fails.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All files to write.
struct Files {
    binaries: Vec<Binary>,
    photos: Vec<Photo>,
    coco: [CocoSplit; 2],
    frames: Vec<Frame>,
    names: PathBuf,
    classes: PathBuf,
}

/// One CIFAR file: images `first..first + n` of a stream.
struct Binary {
    path: PathBuf,
    stream: &'static str,
    first: usize,
    n: usize,
}

/// One image file.
struct Photo {
    path: PathBuf,
    stream: &'static str,
    index: usize,
    class: usize,
    options: SceneOptions,
}

impl Files {
    fn plan(dir: &Path, scale: Scale) -> Self {
        let paths = ShapesPaths::in_dir(dir);
        let (train, test) = scale.cifar();
        let mut binaries: Vec<Binary> = (0..5)
            .map(|k| Binary {
                path: paths.cifar10.join(format!("data_batch_{}.bin", k + 1)),
                stream: "shapes/cifar10/train",
                first: k * train / 5,
                n: train / 5,
            })
            .collect();
        let path = paths.cifar10.join("test_batch.bin");
        binaries.push(Binary { path, stream: "shapes/cifar10/test", first: 0, n: test });

        let (train, val, shifted) = scale.per_class();
        let folder = &paths.imagefolder;
        let parts = [
            ("shapes/imagefolder/train", folder.join("train"), train, SceneOptions::standard()),
            ("shapes/imagefolder/val", folder.join("val"), val, SceneOptions::standard()),
            ("shapes/imagenet-v2", paths.imagenet_v2, shifted, SceneOptions::shifted()),
            ("shapes/imagenet-a", paths.imagenet_a, shifted, SceneOptions::hard()),
        ];
        let mut photos = Vec::new();
        for (stream, root, n, options) in parts {
            for index in 0..n * Shape::ALL.len() {
                let (class, k) = (index / n, index % n);
                let folder = match stream {
                    "shapes/imagenet-v2" => class.to_string(),
                    _ => Shape::ALL[class].name().to_owned(),
                };
                // Every tenth file is a PNG, as real folders are mixed too.
                let extension = if k % 10 == 9 { "png" } else { "jpg" };
                let path = root.join(folder).join(format!("{k:05}.{extension}"));
                photos.push(Photo { path, stream, index, class, options: options.clone() });
            }
        }
        let (train, val) = scale.coco();
        let split = |name: &str, stream, n, first_id| CocoSplit {
            folder: paths.coco.join(name),
            annotations: paths.coco.join("annotations").join(format!("instances_{name}.json")),
            stream,
            n,
            first_id,
        };
        let coco = [
            split("train2017", "shapes/coco/train", train, 1),
            split("val2017", "shapes/coco/val", val, 100_001),
        ];
        Self {
            binaries,
            photos,
            coco,
            frames: frames(&paths.cityscapes, scale),
            names: paths.cifar10.join("batches.meta.txt"),
            classes: paths.cityscapes.join(CLASSES_FILE),
        }
    }

    fn write(&self, streams: &Streams, progress: &dyn Fn(usize, usize)) -> Result<(), DataError> {
        let total = self.photos.len()
            + self.binaries.iter().map(|b| b.n).sum::<usize>()
            + self.coco.iter().map(|split| split.n).sum::<usize>()
            + self.frames.len();
        let mut done = 0;
        progress(done, total);
        let mut advance = |n| {
            done += n;
            progress(done, total);
        };
        let folders: Vec<&Path> = self
            .binaries
            .iter()
            .map(|b| &b.path)
            .chain(self.photos.iter().map(|p| &p.path))
            .chain(self.frames.iter().flat_map(|f| [&f.image, &f.labels]))
            .filter_map(|path| path.parent())
            .collect();
        for pair in folders.chunk_by(|a, b| a == b) {
            fs::create_dir_all(pair[0]).map_err(DataError::io("create", pair[0]))?;
        }
        for binary in &self.binaries {
            let mut bytes = Vec::with_capacity(binary.n * (1 + 3 * CIFAR_SIDE * CIFAR_SIDE));
            for start in (0..binary.n).step_by(STEP) {
                let end = binary.n.min(start + STEP);
                let records: Vec<Vec<u8>> =
                    (start..end).into_par_iter().map(|i| binary.record(streams, i)).collect();
                bytes.extend(records.into_iter().flatten());
                advance(end - start);
            }
            write_file(&binary.path, &bytes)?;
        }
        let names = Shape::ALL.map(Shape::name).join("\n") + "\n";
        write_file(&self.names, names.as_bytes())?;
        for photos in self.photos.chunks(STEP) {
            photos.par_iter().try_for_each(|photo| photo.write(streams))?;
            advance(photos.len());
        }
        for split in &self.coco {
            split.create_folders()?;
            split.write(streams, &mut advance)?;
        }
        write_file(&self.classes, classes().to_toml().as_bytes())?;
        for frames in self.frames.chunks(STEP) {
            frames.par_iter().try_for_each(|frame| frame.write(streams))?;
            advance(frames.len());
        }
        Ok(())
    }
}

impl Binary {
    fn record(&self, streams: &Streams, i: usize) -> Vec<u8> {
        let index = self.first + i;
        let class = index % Shape::ALL.len();
        let mut rng = streams.rng(self.stream, index as u64);
        let scene = Scene::sample_class(&mut rng, &SceneOptions::standard(), class);
        let mut record = vec![class as u8];
        record.extend(render(&scene, CIFAR_SIDE).planes());
        record
    }
}

impl Photo {
    fn write(&self, streams: &Streams) -> Result<(), DataError> {
        let mut rng = streams.rng(self.stream, self.index as u64);
        let scene = Scene::sample_class(&mut rng, &self.options, self.class);
        let png = self.path.extension().is_some_and(|e| e == "png");
        let bytes = encode(&render(&scene, PHOTO_SIDE), png)
            .map_err(|source| DataError::io("encode", &self.path)(std::io::Error::other(source)))?;
        write_file(&self.path, &bytes)
    }
}

pub(super) fn encode(picture: &Picture, png: bool) -> image::ImageResult<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    let (width, height) = (picture.width as u32, picture.height as u32);
    if png {
        PngEncoder::new(&mut out).write_image(&picture.rgb, width, height, ExtendedColorType::Rgb8)?;
    } else {
        JpegEncoder::new_with_quality(&mut out, 92).write_image(
            &picture.rgb,
            width,
            height,
            ExtendedColorType::Rgb8,
        )?;
    }
    Ok(out.into_inner())
}

pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let write = || -> std::io::Result<()> { fs::File::create(path)?.write_all(bytes) };
    write().map_err(DataError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coco::{Annotations, annotations_file};
    use crate::{Kind, Split, check, decode_file, load};
    use std::cell::Cell;

    #[test]
    fn a_tiny_set_is_complete_deterministic_and_kept() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("deep/shapes");
        let last = Cell::new((0, 0));
        let paths = write_shapes(&dir, Scale::Tiny, 3, &|done, total| last.set((done, total))).unwrap();
        assert_eq!(last.get(), (1812, 1812));
        assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1, "nothing unfinished is left");

        let report = check(&paths.cifar10).unwrap();
        assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::Cifar10, 1200, 10));
        assert_eq!(report.bad, []);
        for (path, n) in [(&paths.imagefolder, 300), (&paths.imagenet_v2, 100), (&paths.imagenet_a, 100)] {
            let report = check(path).unwrap();
            assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::ImageFolder, n, 10));
            assert_eq!(report.bad, []);
        }
        let cifar = load(&paths.cifar10, Split::Train, 32).unwrap();
        assert_eq!(cifar.classes[8], "star");
        let photos = load(&paths.imagefolder, Split::Test, 64).unwrap();
        assert_eq!(photos.classes, cifar.classes);

        let mut kinds = [0; 4];
        for (split, n) in [("train2017", 60), ("val2017", 20)] {
            let coco = Annotations::read(&annotations_file(&paths.coco, split)).unwrap();
            assert_eq!((coco.images.len(), coco.classes.len(), &coco.problems[..]), (n, 10, &[][..]));
            for image in &coco.images {
                let picture = decode_file(&paths.coco.join(split).join(&image.file_name)).unwrap();
                assert_eq!((picture.width, picture.height), (image.width, image.height));
            }
            let trainable = coco.trainable();
            kinds[0] += coco.objects.iter().filter(|o| o.crowd).count();
            kinds[1] += trainable.iter().filter(|objects| objects.is_empty()).count();
            kinds[2] += coco.objects.iter().filter(|o| o.area < 1024.0).count();
            kinds[3] += coco.objects.iter().filter(|o| o.area > 9216.0).count();
        }
        assert!(kinds[0] >= 10 && kinds.iter().all(|&n| n > 3), "crowds, empty, small, large: {kinds:?}");

        let street = check(&paths.cityscapes).unwrap();
        assert_eq!((street.kind, street.n_images, street.n_classes), (Kind::Cityscapes, 32, 11));
        assert_eq!(street.bad, []);
        // The official table takes it too.
        fs::rename(paths.cityscapes.join("classes.toml"), tmp.path().join("classes.toml")).unwrap();
        let official = check(&paths.cityscapes).unwrap();
        assert_eq!((official.n_images, official.n_classes, official.bad.len()), (32, 19, 0));
        fs::rename(tmp.path().join("classes.toml"), paths.cityscapes.join("classes.toml")).unwrap();

        // The same set again: nothing is written. Another one: refused.
        write_shapes(&dir, Scale::Tiny, 3, &|_, _| panic!("written again")).unwrap();
        let e = write_shapes(&dir, Scale::Tiny, 4, &|_, _| ()).unwrap_err().to_string();
        assert!(e.contains("seed 3") && e.contains("seed 4") && e.contains("another folder"), "{e}");

        let again = tmp.path().join("again");
        fs::create_dir(&again).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        // `progress` need not be shared between threads: the pool's one thread calls it.
        pool.install(|| write_shapes(&again, Scale::Tiny, 3, &|_, _| ())).unwrap();
        for file in [
            "cifar10/data_batch_5.bin",
            "imagefolder/train/star/00003.jpg",
            "imagenet-a/arrow/00009.png",
            "coco/annotations/instances_train2017.json",
            "coco/val2017/000000100020.jpg",
            "cityscapes/classes.toml",
            "cityscapes/leftImg8bit/val/poolhill/poolhill_000000_000019_leftImg8bit.png",
            "cityscapes/gtFine/train/ashford/ashford_000000_000019_gtFine_labelIds.png",
            "manifest.json",
        ] {
            assert_eq!(fs::read(dir.join(file)).unwrap(), fs::read(again.join(file)).unwrap(), "{file}");
        }
    }

    #[test]
    fn foreign_folders_are_not_touched() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("thesis.tex"), "x").unwrap();
        let e = write_shapes(tmp.path(), Scale::Tiny, 1, &|_, _| ()).unwrap_err().to_string();
        assert!(e.contains("not empty") && e.contains("another folder"), "{e}");
        fs::write(tmp.path().join("manifest.json"), "{}").unwrap();
        let e = write_shapes(tmp.path(), Scale::Tiny, 1, &|_, _| ()).unwrap_err().to_string();
        assert!(e.contains("manifest.json") && e.contains("not the manifest"), "{e}");
    }
}
