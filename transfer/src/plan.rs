//! What an evaluation will do, checked before the first image is read: which images, which of the model's
//! classes they are, and how they are prepared.
//!
//! Images are normalised as the file says. A network for images above 64 pixels sees the centre of
//! an image that was resized to 8/7 of its input (256 for 224); a smaller one the centre of an image
//! whose shorter side was resized to its input, as in its training. CIFAR images are shown as they are.

use std::path::Path;

use genas_data::{
    Dataset, EvalItem, EvalSource, EvalTransform, FolderIndex, ImageSet, Kind, Normalization, Split,
};
use genas_export::ModelInfo;

use crate::error::{Result, TransferError};
use crate::evaluate::EvaluateOptions;
use crate::imagenet;
use crate::labels::LabelMap;
use crate::model::Classifier;
use crate::sets::EvalSet;

/// What is asked of the model's scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// The class with the highest score is right or wrong.
    Classify,
    /// The class with the highest score is written down.
    Predict,
    /// Images that have a class are told from those that have none.
    Detect,
}

/// The images.
#[derive(Debug)]
pub(crate) enum Images {
    /// In memory.
    Resident(ImageSet),
    /// Read while the model runs.
    Files(EvalSource),
}

/// Images, their classes in the model, and what is asked.
#[derive(Debug)]
pub struct Plan {
    pub(crate) images: Images,
    pub(crate) side: usize,
    pub(crate) batch: usize,
    pub(crate) labels: LabelMap,
    pub(crate) task: Task,
}

impl Plan {
    /// Looks through the data's folders. An error names what does not fit.
    pub fn new(classifier: &Classifier, data: &Path, options: &EvaluateOptions) -> Result<Self> {
        let EvaluateOptions { set, batch_size, ignore_labels, .. } = *options;
        if batch_size == 0 {
            return refuse("a batch holds at least one image".to_owned());
        }
        if ignore_labels && !set.can_ignore_labels() {
            return refuse(format!("{set} is nothing without its labels; for predictions give --set folder"));
        }
        let batch = classifier.fixed_batch().unwrap_or(batch_size);
        let task = match set {
            EvalSet::ImageNetO => Task::Detect,
            _ if ignore_labels => Task::Predict,
            _ => Task::Classify,
        };
        let in_context = |labels: Result<LabelMap>| {
            labels.map_err(|mismatch| {
                let (model, data) = (classifier.path().display(), data.display());
                TransferError::Request(format!("{model} on {data}: {mismatch}"))
            })
        };
        let model = &classifier.info().class_names;
        if let Some(kind) = cifar(set) {
            let dataset = of_kind(data, set, kind)?;
            let labels = match task {
                Task::Predict => LabelMap::ignored(),
                _ => in_context(LabelMap::new(&dataset.classes(Split::Test)?, model))?,
            };
            let images = dataset.load(Split::Test, 32)?.with_normalization(classifier.normalization());
            let side = images.height;
            if classifier.side() != side && !classifier.takes_any_size() {
                return refuse(format!(
                    "{}: the model takes images of {s}x{s}, {} holds {side}x{side}; evaluate a model of the CIFAR network",
                    classifier.path().display(),
                    images.name,
                    s = classifier.side(),
                ));
            }
            return Ok(Self { images: Images::Resident(images), side, batch, labels, task });
        }
        let index = folders(data, set)?;
        if set == EvalSet::ImageNet {
            check_imagenet(&index)?;
        }
        let labels = in_context(match (task, set, set.subset()) {
            (Task::Predict, ..) => Ok(LabelMap::ignored()),
            (_, EvalSet::ImageNetV2, _) => LabelMap::by_number(&index.classes, model),
            (_, _, Some(subset)) => LabelMap::among(&index.classes, model, subset),
            _ => LabelMap::new(&index.classes, model),
        })?;
        let items = match task {
            Task::Detect => with_known(&index, options)?,
            _ => items(&index, Some),
        };
        let transform = transform(classifier.info());
        let source = EvalSource::new(items, transform, batch)?;
        Ok(Self { images: Images::Files(source), side: transform.crop, batch, labels, task })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        match &self.images {
            Images::Resident(set) => set.len(),
            Images::Files(source) => source.len(),
        }
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All images, prepared: N x 3 x side x side.
    pub fn pixels(&self, progress: &dyn Fn(usize, usize)) -> Result<Vec<f32>> {
        progress(0, self.len());
        let source = match &self.images {
            Images::Resident(set) => {
                let all: Vec<usize> = (0..set.len()).collect();
                return Ok(genas_data::normalized(set, &all));
            }
            Images::Files(source) => source,
        };
        let mut pixels = Vec::with_capacity(self.len() * 3 * self.side * self.side);
        for batch in source.batches() {
            pixels.extend(batch?.images);
            progress(pixels.len() / (3 * self.side * self.side), self.len());
        }
        Ok(pixels)
    }
}

fn refuse<T>(problem: String) -> Result<T> {
    Err(TransferError::Request(problem))
}

fn cifar(set: EvalSet) -> Option<Kind> {
    match set {
        EvalSet::Cifar10 => Some(Kind::Cifar10),
        EvalSet::Cifar100 => Some(Kind::Cifar100),
        _ => None,
    }
}

fn of_kind(data: &Path, set: EvalSet, wanted: Kind) -> Result<Dataset> {
    let dataset = genas_data::open(data)?;
    let found = dataset.kind();
    if found == wanted {
        return Ok(dataset);
    }
    let fits = match found {
        Kind::Cifar10 => "or --set cifar10",
        Kind::Cifar100 => "or --set cifar100",
        Kind::ImageNet16 => {
            "such as CIFAR or class folders: its 16-pixel images are for searches and `genas rank`"
        }
        Kind::ImageFolder => "or --set folder",
        Kind::Shards => "such as the shards unpacked into class folders",
        Kind::Coco => "or evaluate a detector with `genas transfer coco`",
        Kind::Cityscapes | Kind::Segmentation => "or evaluate a segmenter with `genas transfer cityscapes`",
    };
    refuse(format!("{}: this is {found}, not {set}; give other data, {fits}", data.display()))
}

fn folders(data: &Path, set: EvalSet) -> Result<FolderIndex> {
    match of_kind(data, set, Kind::ImageFolder)? {
        Dataset::Folder(folder) => Ok(folder.index(Split::Test)?),
        other => refuse(format!("{}: this is {}, not {set}", data.display(), other.kind())),
    }
}

/// A thousand class folders; those named by WordNet ids must be ImageNet's.
fn check_imagenet(index: &FolderIndex) -> Result<()> {
    let root = index.root.display();
    let named = index.classes.iter().any(|class| imagenet::is_wnid(class));
    let missing = imagenet::wnids().map(|wnid| wnid.to_string()).find(|wnid| !index.classes.contains(wnid));
    match missing.filter(|_| named) {
        Some(missing) => refuse(format!(
            "{root}: {} class folders, ImageNet has {}; {missing} is missing. For other images give --set folder",
            index.classes.len(),
            imagenet::CLASSES
        )),
        None if index.classes.len() != imagenet::CLASSES => refuse(format!(
            "{root}: {} class folders, ImageNet has {}; for other images give --set folder",
            index.classes.len(),
            imagenet::CLASSES
        )),
        None => Ok(()),
    }
}

/// The images of an index, with the labels that `label` gives; those without one are left out.
pub(crate) fn items(index: &FolderIndex, label: impl Fn(usize) -> Option<usize>) -> Vec<EvalItem> {
    let files = index.files.iter();
    files
        .filter_map(|(file, class)| {
            Some(EvalItem {
                path: index.root.join(file),
                name: file.to_string_lossy().replace('\\', "/"),
                label: label(usize::from(*class))?,
            })
        })
        .collect()
}

/// The images of known classes, which are the strange ones' folders' names, and then the strange images, whose
/// label is one behind all classes.
fn with_known(strange: &FolderIndex, options: &EvaluateOptions) -> Result<Vec<EvalItem>> {
    let Some(known) = &options.in_distribution else {
        return refuse(
            "imagenet-o is told from images of known classes: give --in-distribution DIR, ImageNet's \
             validation images in class folders"
                .to_owned(),
        );
    };
    let known = folders(known, EvalSet::ImageNet)?;
    if let Some(missing) = strange.classes.iter().find(|class| !known.classes.contains(class)) {
        return refuse(format!(
            "{}: the class folder {missing} is missing; the images of known classes must cover the {} classes of {}",
            known.root.display(),
            strange.classes.len(),
            strange.root.display()
        ));
    }
    let place = |class: usize| strange.classes.iter().position(|name| *name == known.classes[class]);
    let places: Vec<Option<usize>> = (0..known.classes.len()).map(place).collect();
    let mut all = items(&known, |class| places[class]);
    all.extend(items(strange, |_| Some(strange.classes.len())));
    Ok(all)
}

/// The preprocessing that a model was trained for.
pub(crate) fn transform(info: &ModelInfo) -> EvalTransform {
    EvalTransform { resize: info.resize(), crop: info.input_size, normalization: normalization(info) }
}

/// How a model wants images normalised.
pub(crate) fn normalization(info: &ModelInfo) -> Normalization {
    Normalization { mean: info.mean, std: info.std }
}
