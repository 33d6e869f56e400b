//! Accuracy of a classifier's ONNX file on a data set, and how well it knows strangers (spec 06, section 1).

use std::path::{Path, PathBuf};
use std::time::Instant;

use genas_runtime::{Provider, SessionOptions};
use serde::{Serialize, Serializer};

use crate::detection::Detection;
use crate::error::{Result, TransferError};
use crate::labels::Matching;
use crate::model::{Classifier, Preprocessing};
use crate::plan::Plan;
use crate::scores;
use crate::sets::EvalSet;
use crate::tally::Tally;

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// The data set's kind.
    pub set: EvalSet,
    /// Images per run of the model, where it leaves that free.
    pub batch_size: usize,
    /// Compute predictions only.
    pub ignore_labels: bool,
    /// For ImageNet-O: images of known classes.
    pub in_distribution: Option<PathBuf>,
}

impl EvaluateOptions {
    /// Of a set, with 64 images per run.
    pub fn new(set: EvalSet) -> Self {
        Self { set, batch_size: 64, ignore_labels: false, in_distribution: None }
    }
}

/// What the model said to one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Path of the image below its split, or its index in CIFAR's file.
    pub file: String,
    /// The model's class of the image's label; the label itself where labels are ignored; none for an image of
    /// no known class.
    pub label: Option<usize>,
    /// The class with the highest score.
    pub top1: usize,
    /// Its probability.
    pub score: f32,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// How often the model is right.
    Accuracy {
        /// Fraction of the images whose class has the highest score; none where labels are ignored.
        top1: Option<f64>,
        /// Fraction of the images whose class is among the five highest scores.
        top5: Option<f64>,
    },
    /// How well the model knows strange images.
    Detection(Detection),
}

/// The outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// What was measured.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Number of images.
    pub n: usize,
    /// Images per second, from file to score.
    pub images_per_second: f64,
    /// Where the model ran.
    #[serde(serialize_with = "as_text")]
    pub provider: Provider,
    /// How the data's classes found the model's.
    pub matching: Matching,
    /// Every image, in the data set's order; for ImageNet-O those of known classes first.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

fn as_text<S: Serializer>(value: &Provider, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Evaluation {
    /// Fraction of the images whose class has the highest score, where that was measured.
    pub fn top1(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Accuracy { top1, .. } => top1,
            Outcome::Detection(_) => None,
        }
    }

    /// Fraction of the images whose class is among the five highest scores, where that was measured.
    pub fn top5(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Accuracy { top5, .. } => top5,
            Outcome::Detection(_) => None,
        }
    }

    /// The measures of detection, where those were taken.
    pub fn detection(&self) -> Option<Detection> {
        match self.outcome {
            Outcome::Accuracy { .. } => None,
            Outcome::Detection(detection) => Some(detection),
        }
    }
}

/// Evaluates the model in a file that describes itself. `progress` is told the images done and the images in all.
///
/// ONNX Runtime must be installed ([`genas_runtime::ensure`]).
pub fn evaluate(
    model: &Path,
    data: &Path,
    options: &EvaluateOptions,
    session: &SessionOptions,
    progress: &dyn Fn(usize, usize),
) -> Result<Evaluation> {
    let mut classifier = Classifier::open(model, &Preprocessing::default(), session)?;
    Plan::new(&classifier, data, options)?.run(&mut classifier, progress)
}

impl Plan {
    /// Shows the images to the model, which is the one that was planned with. Reading them and running the model
    /// overlap. On a CPU the model runs in other sessions of the same file, one for each core.
    pub fn run(&self, classifier: &mut Classifier, progress: &dyn Fn(usize, usize)) -> Result<Evaluation> {
        let provider = classifier.session().provider_used();
        let path = classifier.path().to_owned();
        let mut tally = Tally::new(&path, &self.labels, self.task);
        progress(0, self.len());
        let started = Instant::now();
        scores::each(self, classifier, &mut |scores| {
            tally.add(scores)?;
            progress(tally.n(), self.len());
            Ok(())
        })?;
        let seconds = started.elapsed().as_secs_f64().max(1e-9);
        let Some(outcome) = tally.outcome() else {
            return Err(TransferError::Request("the data set holds no image".to_owned()));
        };
        Ok(Evaluation {
            outcome,
            n: tally.n(),
            images_per_second: tally.n() as f64 / seconds,
            provider,
            matching: self.labels.matching,
            predictions: tally.predictions,
        })
    }
}

#[cfg(test)]
mod tests;
