//! Counts as the images go by.

use std::path::Path;

use crate::detection::Detection;
use crate::error::{Result, TransferError};
use crate::evaluate::{Outcome, Prediction};
use crate::labels::LabelMap;
use crate::plan::Task;
use crate::scores::Scores;

/// Counts, scores and predictions so far.
pub(crate) struct Tally<'a> {
    model: &'a Path,
    labels: &'a LabelMap,
    task: Task,
    hits1: usize,
    hits5: usize,
    /// How strange images of no class and of known classes look.
    strange: Vec<f64>,
    known: Vec<f64>,
    pub(crate) predictions: Vec<Prediction>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(model: &'a Path, labels: &'a LabelMap, task: Task) -> Self {
        let (strange, known) = (Vec::new(), Vec::new());
        Self { model, labels, task, hits1: 0, hits5: 0, strange, known, predictions: Vec::new() }
    }

    pub(crate) fn n(&self) -> usize {
        self.predictions.len()
    }

    /// Counts some images.
    pub(crate) fn add(&mut self, scores: Scores) -> Result<()> {
        let Scores { named, logits: all } = scores;
        let classes = (all.len() / named.len().max(1)).max(1);
        let mut counted = Vec::new();
        for ((file, label), logits) in named.into_iter().zip(all.chunks_exact(classes)) {
            if logits.iter().any(|v| !v.is_finite()) {
                return Err(TransferError::Request(format!(
                    "{}: a score of {file} is not a finite number; the model is damaged, or its precision too low",
                    self.model.display()
                )));
            }
            let class = self.labels.class(label);
            let among = self.labels.among.as_deref();
            let (logits, place) = match among {
                Some(among) => {
                    counted.clear();
                    counted.extend(among.iter().map(|&class| logits[class]));
                    (&counted[..], class.and_then(|class| among.binary_search(&class).ok()))
                }
                None => (logits, class),
            };
            let (best, probability) = best(logits);
            match (self.task, place) {
                (Task::Classify, Some(place)) => {
                    let rank = rank(logits, place);
                    self.hits1 += usize::from(rank < 1);
                    self.hits5 += usize::from(rank < 5);
                }
                (Task::Detect, Some(_)) => self.known.push(-probability),
                (Task::Detect, None) => self.strange.push(-probability),
                (Task::Classify, None) | (Task::Predict, _) => {}
            }
            self.predictions.push(Prediction {
                file,
                label: if self.task == Task::Predict { Some(label) } else { class },
                top1: among.map_or(best, |among| among[best]),
                score: probability as f32,
            });
        }
        Ok(())
    }

    /// What came of it; none if there were no images to say it of.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let fraction = |hits: usize| Some(hits as f64 / self.n() as f64);
        match self.task {
            _ if self.n() == 0 => None,
            Task::Classify => {
                Some(Outcome::Accuracy { top1: fraction(self.hits1), top5: fraction(self.hits5) })
            }
            Task::Predict => Some(Outcome::Accuracy { top1: None, top5: None }),
            Task::Detect => Detection::new(&self.strange, &self.known).map(Outcome::Detection),
        }
    }
}

/// The class of the highest score, the first of equals, and its probability.
fn best(logits: &[f32]) -> (usize, f64) {
    let mut top1 = 0;
    for (class, &value) in logits.iter().enumerate() {
        if value > logits[top1] {
            top1 = class;
        }
    }
    let sum: f64 = logits.iter().map(|&v| (f64::from(v) - f64::from(logits[top1])).exp()).sum();
    (top1, 1.0 / sum)
}

/// The number of classes before a class when they are sorted by score.
fn rank(logits: &[f32], class: usize) -> usize {
    let before =
        |(other, &value): (usize, &f32)| value > logits[class] || (value == logits[class] && other < class);
    logits.iter().enumerate().filter(|&entry| before(entry)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_probabilities() {
        assert_eq!(best(&[0.0, 2.0, 2.0]).0, 1);
        assert!((best(&[0.0, 0.0]).1 - 0.5).abs() < 1e-7);
        assert!((best(&[1000.0, -1000.0]).1 - 1.0).abs() < 1e-7);
        assert_eq!([0, 1, 2, 3].map(|c| rank(&[1.0, 3.0, 1.0, 5.0], c)), [2, 1, 3, 0]);
    }
}
