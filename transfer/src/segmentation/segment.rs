//! [`segment_split`]: a segmenter on all pictures of a split, counted.

use std::collections::HashMap;
use std::ops::ControlFlow;

use genas_data::segmentation::{ClassTable, LabelMap, SegmentationPair, SegmentationTest, SegmenterInput};
use genas_data::{DataError, Picture};
use genas_export::SegmenterInfo;
use genas_runtime::{Provider, SessionOptions};

use super::confusion::ConfusionMatrix;
use super::inference::{Inference, SegmentOptions};
use crate::error::{Result, TransferError};
use crate::segmenter::Segmenter;
use crate::side_by_side::{Opened, Work};

/// Classes that a message names.
const NAMED: usize = 5;

/// What a segmenter saw in a split.
#[derive(Clone, Debug)]
pub struct Segmented {
    /// Counts of all pixels.
    pub matrix: ConfusionMatrix,
    /// Images.
    pub images: usize,
    /// Seconds from the first file to the last count, with what was done with each prediction.
    pub seconds: f64,
    /// Where the model ran.
    pub provider: Provider,
}

impl Segmented {
    /// Images per second, from file to counts.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds.max(1e-9)
    }
}

/// Runs a segmenter on all pictures of `pairs`, whose labels mean what `classes` says, and counts what it sees. `open`
/// opens it, once or for each core; `session` says where and on how many threads in all (0 for all cores). `each` is
/// given every picture and its predicted train ids at the picture's own size, by several threads and in no order.
/// `progress` is told the images done and in all, and may stop it.
///
/// ONNX Runtime must be installed ([`genas_runtime::ensure`]).
///
/// # Errors
///
/// If the segmenter's classes are not those of the data or it cannot do `how`, a file cannot be read or does not fit its
/// partner, the model or `each` fails, or `progress` breaks ([`TransferError::Interrupted`]).
pub fn segment_split(
    open: impl Fn(&SessionOptions) -> Result<Segmenter> + Sync,
    pairs: &[SegmentationPair],
    classes: &ClassTable,
    how: &SegmentOptions,
    session: &SessionOptions,
    each: &(dyn Fn(&SegmentationPair, &Picture, &LabelMap) -> Result<()> + Sync),
    progress: &dyn Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Segmented> {
    let first = Opened::first(&open, session, pairs.len())?;
    let provider = first.model.provider();
    let train_ids = train_ids(first.model.info(), classes)?;
    let inference = Inference::new(&first.model, how)?;
    let work = Work {
        items: pairs,
        open: &open,
        read: &|pair| Example::read(pair, classes, &inference),
        run: &|segmenter: &mut Segmenter, example: Example<'_>| {
            let Example { pair, truth, picture, first } = example;
            let mut first = Some(first);
            // The inputs of further passes would be too many to hold them ready.
            let mut prepared = |pass: &SegmentationTest| match first.take() {
                Some(first) => Ok(first),
                None => prepare(pair, &picture, pass),
            };
            let size = [picture.width, picture.height];
            let mut predicted = inference.segment(segmenter, size, &mut prepared)?;
            for label in &mut predicted.labels {
                *label = train_ids[usize::from(*label)];
            }
            let mut matrix = ConfusionMatrix::new(classes.len());
            matrix.add(&truth, &predicted);
            each(pair, &picture, &predicted)?;
            Ok(matrix)
        },
        progress,
    };
    let mut matrix = ConfusionMatrix::new(classes.len());
    let seconds = work.run(first, provider, &mut |_, counted| {
        matrix.merge(&counted);
        Ok(())
    })?;
    Ok(Segmented { matrix, images: pairs.len(), seconds, provider })
}

/// A pair, read.
struct Example<'a> {
    pair: &'a SegmentationPair,
    truth: LabelMap,
    picture: Picture,
    /// The input of the first pass.
    first: SegmenterInput,
}

impl<'a> Example<'a> {
    fn read(pair: &'a SegmentationPair, classes: &ClassTable, inference: &Inference) -> Result<Self> {
        let truth = pair.train_ids(classes)?;
        let picture = pair.picture(&truth)?;
        let first = prepare(pair, &picture, &inference.passes()[0])?;
        Ok(Self { pair, truth, picture, first })
    }
}

fn prepare(pair: &SegmentationPair, picture: &Picture, pass: &SegmentationTest) -> Result<SegmenterInput> {
    pass.apply(picture).map_err(|reason| DataError::Decode { path: pair.image.clone(), reason }.into())
}

/// The train id in `classes` of each of the segmenter's classes: that of the class of the same name.
///
/// # Errors
///
/// If the two do not have the same names.
pub fn train_ids(info: &SegmenterInfo, classes: &ClassTable) -> Result<Vec<u8>> {
    let names = classes.names();
    let by_name: HashMap<&str, u8> = names.iter().map(String::as_str).zip(0..).collect();
    let ids: Option<Vec<u8>> =
        info.class_names.iter().map(|name| by_name.get(name.as_str()).copied()).collect();
    let same = |ids: &Vec<u8>| {
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.iter().map(|&id| usize::from(id)).eq(0..names.len())
    };
    ids.filter(same).ok_or_else(|| {
        TransferError::Request(format!(
            "the segmenter's classes ({}) are not those of the data ({}); give the data that the segmenter was trained \
             for ({}), or a class table with its names",
            list(&info.class_names),
            list(&names),
            info.training_data
        ))
    })
}

fn list(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).cloned().collect::<Vec<_>>();
    if names.len() > NAMED {
        text.push(format!("and {} more", names.len() - NAMED));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests;
