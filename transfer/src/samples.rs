//! Images of a data set to calibrate a quantised model with, and others to see what quantisation lost.
//!
//! Where a data set has a training and a test split, these are calibrated and measured with. Any other folder of
//! images is shared: the calibration takes images in even steps through the sorted files, and the measurement takes
//! others. Both see every class that way, and the same folder gives the same images.

use std::path::Path;

use genas_data::{DataError, Dataset, EvalItem, EvalSource, ImageSet, Split, images_in};
use genas_export::ModelInfo;
use serde::Serialize;

use crate::error::{Result, TransferError};
use crate::labels::LabelMap;
use crate::model::Classifier;
use crate::plan::{Images, Plan, Task, items, normalization, transform};

/// What was found in a folder.
#[derive(Debug)]
pub struct Samples {
    /// Images to calibrate with.
    pub calibration: Plan,
    /// Images to measure with.
    pub measured: Plan,
    /// Whether these are other images: not if the folder holds too few.
    pub held_out: bool,
}

/// How many images are taken, and how.
#[derive(Clone, Copy, Debug)]
pub struct SampleOptions {
    /// Images to calibrate with, at most.
    pub calibration: usize,
    /// Images to measure with, at most.
    pub measured: usize,
    /// Images per run of the models.
    pub batch: usize,
}

impl Samples {
    /// Looks through the data's folders; no image is read yet. Labels are those of the model's classes if they match,
    /// and ignored if not.
    pub fn find(info: &ModelInfo, data: &Path, options: &SampleOptions) -> Result<Self> {
        let dataset = match genas_data::open(data) {
            Ok(dataset) => dataset,
            // A folder of images without classes will do.
            Err(error @ DataError::UnknownLayout { .. }) => {
                let files = images_in(data)?;
                if files.is_empty() {
                    return Err(error.into());
                }
                let items = files.into_iter().map(|name| {
                    let path = data.join(&name);
                    EvalItem { path, name: name.to_string_lossy().replace('\\', "/"), label: 0 }
                });
                return Self::share(info, items.collect(), &LabelMap::ignored(), options);
            }
            Err(error) => return Err(error.into()),
        };
        let folder = match dataset {
            Dataset::Folder(folder) => folder,
            Dataset::Cifar(_) => return Self::of_cifar(info, &dataset, options),
            Dataset::Coco(dir) => {
                let problem = format!(
                    "{}: this is COCO; calibrate with one of its folders of images, such as {}",
                    dir.display(),
                    dir.join("val2017").display()
                );
                return Err(TransferError::Request(problem));
            }
            Dataset::Segmentation(folder) => {
                let problem = format!(
                    "{}: this is a {} set; calibrate with one of its folders of images",
                    folder.dir.display(),
                    folder.kind()
                );
                return Err(TransferError::Request(problem));
            }
            Dataset::ImageNet16(folder) => {
                let problem = format!(
                    "{}: calibration does not read ImageNet16's batches; give CIFAR or class folders of images",
                    folder.dir.display()
                );
                return Err(TransferError::Request(problem));
            }
            Dataset::Shards(dir) => {
                let problem = format!(
                    "{}: calibration does not read tar shards; unpack some of them into class folders",
                    dir.display()
                );
                return Err(TransferError::Request(problem));
            }
        };
        let there = |split| folder.root(split).is_dir();
        let (shown, measured) = match (folder.has_splits && there(Split::Train), there(Split::Test)) {
            (true, true) => (folder.index(Split::Train)?, Some(folder.index(Split::Test)?)),
            (true, false) => (folder.index(Split::Train)?, None),
            (false, _) => (folder.index(Split::Test)?, None),
        };
        let labels = LabelMap::new(&shown.classes, &info.class_names).unwrap_or_else(|_| LabelMap::ignored());
        let all = items(&shown, Some);
        match measured {
            None => Self::share(info, all, &labels, options),
            Some(measured) => Ok(Self {
                calibration: plan(info, evenly(all, options.calibration), &labels, options.batch)?,
                measured: plan(
                    info,
                    evenly(items(&measured, Some), options.measured),
                    &labels,
                    options.batch,
                )?,
                held_out: true,
            }),
        }
    }

    fn of_cifar(info: &ModelInfo, dataset: &Dataset, options: &SampleOptions) -> Result<Self> {
        let labels = LabelMap::new(&dataset.classes(Split::Test)?, &info.class_names);
        let labels = labels.unwrap_or_else(|_| LabelMap::ignored());
        let resident = |split, most| -> Result<Plan> {
            let set: ImageSet = dataset.load(split, 32)?;
            if set.height != info.input_size {
                return Err(TransferError::Request(format!(
                    "{} holds {}x{} images, the network takes {size}x{size}; give images of its own kind",
                    set.name,
                    set.height,
                    set.width,
                    size = info.input_size
                )));
            }
            let set =
                set.subset(&evenly((0..set.len()).collect(), most)).with_normalization(normalization(info));
            let (side, batch, task) = (set.height, options.batch, task(&labels));
            Ok(Plan { images: Images::Resident(set), side, batch, labels: labels.clone(), task })
        };
        Ok(Self {
            calibration: resident(Split::Train, options.calibration)?,
            measured: resident(Split::Test, options.measured)?,
            held_out: true,
        })
    }

    /// Shares images out. If the calibration needs all, they are measured with as well.
    fn share(
        info: &ModelInfo,
        all: Vec<EvalItem>,
        labels: &LabelMap,
        options: &SampleOptions,
    ) -> Result<Self> {
        let taken = evenly((0..all.len()).collect(), options.calibration);
        let is_taken = |n: &usize| taken.binary_search(n).is_ok();
        let (calibration, rest): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(is_taken);
        let held_out = !rest.is_empty();
        let of = |places: &[usize]| places.iter().map(|&n| all[n].clone()).collect::<Vec<_>>();
        let measured = of(if held_out { &rest } else { &calibration });
        Ok(Self {
            calibration: plan(info, of(&calibration), labels, options.batch)?,
            measured: plan(info, evenly(measured, options.measured), labels, options.batch)?,
            held_out,
        })
    }
}

fn plan(info: &ModelInfo, items: Vec<EvalItem>, labels: &LabelMap, batch: usize) -> Result<Plan> {
    let transform = transform(info);
    let images = Images::Files(EvalSource::new(items, transform, batch)?);
    Ok(Plan { images, side: transform.crop, batch, labels: labels.clone(), task: task(labels) })
}

fn task(labels: &LabelMap) -> Task {
    if *labels == LabelMap::ignored() { Task::Predict } else { Task::Classify }
}

/// At most so many, in even steps.
fn evenly<T: Clone>(all: Vec<T>, most: usize) -> Vec<T> {
    if all.len() <= most {
        return all;
    }
    (0..most).map(|n| all[n * all.len() / most].clone()).collect()
}

/// What one form of a model gives up against another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Number of images.
    pub images: usize,
    /// Whether the model was calibrated with others.
    pub held_out: bool,
    /// Fraction of the images that both give the same class.
    pub agreement: f64,
    /// Fraction of the images that the first form gives their class; none where the images have no class of the model.
    pub top1_before: Option<f64>,
    /// The same of the other form.
    pub top1_after: Option<f64>,
}

impl Samples {
    /// Shows the images of the measurement to two forms of a model.
    pub fn compare(
        &self,
        before: &mut Classifier,
        after: &mut Classifier,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Comparison> {
        let n = self.measured.len();
        let before = self.measured.run(before, &|done, _| progress(done, 2 * n))?;
        let after = self.measured.run(after, &|done, _| progress(n + done, 2 * n))?;
        let pairs = before.predictions.iter().zip(&after.predictions);
        let same = pairs.filter(|(a, b)| a.top1 == b.top1).count();
        Ok(Comparison {
            images: n,
            held_out: self.held_out,
            agreement: same as f64 / n.max(1) as f64,
            top1_before: before.top1(),
            top1_after: after.top1(),
        })
    }
}
