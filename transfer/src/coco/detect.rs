//! [`detect_split`]: a detector on all images of a split.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use genas_data::DataError;
use genas_data::coco::{Annotations, CocoImage, DetectionTest, DetectorInput};
use genas_export::DetectorInfo;
use genas_runtime::{Provider, SessionOptions};

use super::results::CocoDetection;
use crate::detector::Detector;
use crate::error::{Result, TransferError};
use crate::retinanet::boxes::to_xywh;
use crate::side_by_side::{Opened, Work};

/// Classes that a message names.
const NAMED: usize = 5;

/// What a detector found on a split.
#[derive(Clone, Debug)]
pub struct Detections {
    /// In the order of the images, each image's best first.
    pub detections: Vec<CocoDetection>,
    /// Images.
    pub images: usize,
    /// Seconds from the first file to the last object.
    pub seconds: f64,
    /// Where the model ran.
    pub provider: Provider,
}

impl Detections {
    /// Images per second, from file to objects.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds.max(1e-9)
    }
}

/// Runs a detector on all images of `annotations`, which lie in `folder`. `open` opens it, once or for each core;
/// `options` say where and on how many threads in all (0 for all cores). `progress` is told the images done and in
/// all, and may stop it.
///
/// ONNX Runtime must be installed ([`genas_runtime::ensure`]).
///
/// # Errors
///
/// If the detector's classes are not those of the annotations, an image cannot be read, the model fails, or
/// `progress` breaks ([`TransferError::Interrupted`]).
pub fn detect_split(
    open: impl Fn(&SessionOptions) -> Result<Detector> + Sync,
    annotations: &Annotations,
    folder: &Path,
    options: &SessionOptions,
    progress: &dyn Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Detections> {
    let images = &annotations.images;
    let first = Opened::first(&open, options, images.len())?;
    let (provider, ids) = (first.model.provider(), category_ids(first.model.info(), annotations)?);
    let preparation = first.model.preparation().clone();
    let mut detections = Vec::new();
    let work = Work {
        items: images,
        open: &open,
        read: &|image| read(image, folder, &preparation),
        run: &|detector: &mut Detector, input| detector.detect_in(&input),
        progress,
    };
    let seconds = work.run(first, provider, &mut |image, found| {
        detections.extend(found.iter().map(|found| CocoDetection {
            image_id: image.id,
            category_id: ids[found.class],
            bbox: to_xywh(found.corners),
            score: f64::from(found.score),
        }));
        Ok(())
    })?;
    Ok(Detections { detections, images: images.len(), seconds, provider })
}

/// The id in `annotations` of each of the detector's classes: that of the class of the same name; or its own ids
/// where the annotations have exactly these under other names.
///
/// # Errors
///
/// If neither fits.
pub fn category_ids(info: &DetectorInfo, annotations: &Annotations) -> Result<Vec<i64>> {
    let by_name: HashMap<&str, i64> = annotations.classes.iter().map(|c| (c.name.as_str(), c.id)).collect();
    let named: Option<Vec<i64>> =
        info.class_names.iter().map(|name| by_name.get(name.as_str()).copied()).collect();
    if let Some(ids) = named
        && by_name.len() == annotations.classes.len()
    {
        return Ok(ids);
    }
    let mut own = info.category_ids.clone();
    own.sort_unstable();
    if annotations.classes.iter().map(|c| c.id).eq(own) {
        return Ok(info.category_ids.clone());
    }
    let theirs = list(annotations.classes.iter().map(|c| (c.id, c.name.as_str())));
    let ours = list(info.category_ids.iter().copied().zip(info.class_names.iter().map(String::as_str)));
    Err(TransferError::Request(format!(
        "the detector's classes ({ours}) are not those of {} ({theirs}): neither the names nor the ids are the same; \
         give the data that the detector was trained for ({})",
        annotations.path.display(),
        info.training_data
    )))
}

fn list<'a>(classes: impl ExactSizeIterator<Item = (i64, &'a str)>) -> String {
    let n = classes.len();
    let mut text: Vec<String> = classes.take(NAMED).map(|(id, name)| format!("{id} {name}")).collect();
    if n > NAMED {
        text.push(format!("and {} more", n - NAMED));
    }
    text.join(", ")
}

fn read(image: &CocoImage, folder: &Path, preparation: &DetectionTest) -> Result<DetectorInput> {
    let picture = image.read(folder)?;
    preparation
        .apply(&picture)
        .map_err(|reason| DataError::Decode { path: folder.join(&image.file_name), reason }.into())
}

#[cfg(test)]
mod tests;
