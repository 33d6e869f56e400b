//! A detector's ONNX file, opened with ONNX Runtime.
//!
//! Two forms are known by their outputs. The raw one gives the network's numbers level by level, which
//! [`retinanet::detect`](crate::retinanet::detect) turns into objects; the end-to-end one gives objects. Both take
//! the same input, and share the last step, [`in_original`].

use std::path::Path;

use genas_data::coco::{DetectionTest, DetectorInput};
use genas_data::{Normalization, Picture};
use genas_export::{DetectorForm, DetectorInfo};
use genas_runtime::{Port, Provider, Session, SessionOptions, TypedOutput};

use crate::error::{Result, TransferError};
use crate::image_input::fixed_size;
use crate::retinanet::config::TestConfig;
use crate::retinanet::{Found, Level, detect, in_original};

/// Outputs of the end-to-end form.
const OBJECTS: [&str; 4] = ["boxes", "scores", "labels", "batch_index"];
/// Outputs of the raw form, before the name of the level.
const NUMBERS: [&str; 3] = ["logits_", "deltas_", "anchors_"];

/// What the outputs are.
#[derive(Debug)]
enum Outputs {
    /// The network's numbers, for these levels.
    Numbers(Vec<String>),
    Objects,
}

/// An object detector, ready to run.
#[derive(Debug)]
pub struct Detector {
    name: String,
    session: Session,
    info: DetectorInfo,
    outputs: Outputs,
    preparation: DetectionTest,
}

impl Detector {
    /// Opens a file that describes itself as a detector.
    ///
    /// # Errors
    ///
    /// If it is not a model, or not a detector, or cannot take single images of more than one size.
    pub fn open(path: &Path, options: &SessionOptions) -> Result<Self> {
        Self::of(path.display().to_string(), Session::from_file(path, options)?)
    }

    /// The same from memory. `name` is for messages.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn from_bytes(name: &str, bytes: &[u8], options: &SessionOptions) -> Result<Self> {
        Self::of(name.to_owned(), Session::from_bytes(bytes, options)?)
    }

    fn of(name: String, session: Session) -> Result<Self> {
        let refuse = |problem: String| TransferError::Request(format!("{name}: {problem}"));
        let remedy = "give a detector that genas wrote";
        let metadata = session.metadata()?;
        match metadata.get("kind").map(String::as_str) {
            Some("detector") => {}
            Some(kind) => return Err(refuse(format!("it is a {kind}, not a detector; {remedy}"))),
            None => {
                let problem = "it does not say what it is, so that genas did not write it";
                return Err(refuse(format!(
                    "{problem}; {remedy}, or evaluate a file of detections (--results)"
                )));
            }
        }
        let info = DetectorInfo::from_metadata(&metadata).map_err(|error| refuse(error.to_string()))?;
        let detection = &info.detection;
        let sides = [detection.shorter_side, detection.longer_side, detection.divisor];
        if info.class_names.len() != info.category_ids.len()
            || sides.contains(&0)
            || info.class_names.is_empty()
        {
            return Err(refuse(format!(
                "it names {} classes and {} category ids, and sides of {sides:?} pixels; {remedy}",
                info.class_names.len(),
                info.category_ids.len()
            )));
        }
        let outputs = known(session.outputs(), info.class_names.len())
            .map_err(|problem| refuse(format!("{problem}; {remedy}")))?;
        let mut preparation = DetectionTest::new(
            detection.shorter_side,
            detection.longer_side,
            detection.divisor,
            &Normalization { mean: info.mean, std: info.std },
        );
        preparation.filled = fixed_size(session.inputs(), "detector").map_err(refuse)?;
        Ok(Self { name, session, info, outputs, preparation })
    }

    /// What the file says about itself.
    pub fn info(&self) -> &DetectorInfo {
        &self.info
    }

    /// What its outputs are.
    pub fn form(&self) -> DetectorForm {
        match self.outputs {
            Outputs::Numbers(_) => DetectorForm::Raw,
            Outputs::Objects => DetectorForm::EndToEnd,
        }
    }

    /// Where it runs.
    pub fn provider(&self) -> Provider {
        self.session.provider_used()
    }

    /// How pictures are made its input; other threads may do that ahead of [`Self::detect_in`].
    pub fn preparation(&self) -> &DetectionTest {
        &self.preparation
    }

    /// The objects of a picture, in its own pixels, best first.
    ///
    /// # Errors
    ///
    /// If the picture does not fit a size that the model fixes, or the model fails.
    pub fn detect(&mut self, picture: &Picture) -> Result<Vec<Found>> {
        let input = self.preparation.apply(picture).map_err(|problem| self.refuse(&problem))?;
        self.detect_in(&input)
    }

    /// The objects of a prepared picture, in pixels of the original, best first.
    ///
    /// # Errors
    ///
    /// If the model fails, or its outputs are not of the shapes that its form has.
    pub fn detect_in(&mut self, input: &DetectorInput) -> Result<Vec<Found>> {
        let [width, height] = input.filled;
        let outputs = self.session.run_typed(&input.values, &[1, 3, height, width])?;
        match &self.outputs {
            Outputs::Numbers(levels) => self.decoded(levels, &outputs, input),
            Outputs::Objects => Ok(in_original(self.objects(&outputs)?, input.size, input.original)),
        }
    }

    /// In pixels of the original picture.
    fn decoded(
        &self,
        levels: &[String],
        outputs: &[TypedOutput],
        input: &DetectorInput,
    ) -> Result<Vec<Found>> {
        let classes = self.info.class_names.len();
        let level = |name: &String| -> Result<Level<'_>> {
            let [logits, deltas, anchors] =
                NUMBERS.map(|kind| self.floats(outputs, &format!("{kind}{name}")));
            let (logits, deltas, anchors) = (logits?, deltas?.as_chunks().0, anchors?.as_chunks().0);
            if deltas.len() != anchors.len() || logits.len() != anchors.len() * classes {
                return Err(self.refuse(&format!(
                    "on level {name} it gives {} scores and {} boxes for {} anchors and {classes} classes",
                    logits.len(),
                    deltas.len(),
                    anchors.len()
                )));
            }
            Ok(Level { anchors, logits, deltas })
        };
        let levels = levels.iter().map(level).collect::<Result<Vec<_>>>()?;
        let detection = &self.info.detection;
        let config = TestConfig {
            shorter_side: detection.shorter_side,
            longer_side: detection.longer_side,
            score_above: detection.score_above,
            top_per_level: detection.top_per_level,
            nms_iou: detection.nms_iou,
            max_detections: detection.max_detections,
            max_scale: detection.max_scale,
        };
        Ok(detect(&levels, classes, detection.box_weights, input.size, input.original, &config))
    }

    /// In pixels of the input.
    fn objects(&self, outputs: &[TypedOutput]) -> Result<Vec<Found>> {
        let boxes = self.floats(outputs, "boxes")?.as_chunks().0;
        let (scores, labels) = (self.floats(outputs, "scores")?, self.integers(outputs, "labels")?);
        if boxes.len() != scores.len() || boxes.len() != labels.len() {
            let [boxes, scores, labels] = [boxes.len(), scores.len(), labels.len()];
            return Err(self.refuse(&format!("it gives {boxes} boxes, {scores} scores and {labels} labels")));
        }
        let classes = self.info.class_names.len();
        let class = |label: i64| {
            usize::try_from(label).ok().filter(|&class| class < classes).ok_or_else(|| {
                self.refuse(&format!("it gives the label {label}, but names {classes} classes"))
            })
        };
        boxes
            .iter()
            .zip(scores)
            .zip(labels)
            .map(|((&corners, &score), &label)| Ok(Found { corners, class: class(label)?, score }))
            .collect()
    }

    fn floats<'a>(&self, outputs: &'a [TypedOutput], name: &str) -> Result<&'a [f32]> {
        let found = outputs.iter().find(|output| output.name == name).and_then(|output| output.values.f32());
        found.ok_or_else(|| self.refuse(&format!("its output `{name}` holds no floats")))
    }

    fn integers<'a>(&self, outputs: &'a [TypedOutput], name: &str) -> Result<&'a [i64]> {
        let found = outputs.iter().find(|output| output.name == name).and_then(|output| output.values.i64());
        found.ok_or_else(|| self.refuse(&format!("its output `{name}` holds no integers")))
    }

    fn refuse(&self, problem: &str) -> TransferError {
        TransferError::Request(format!("{}: {problem}", self.name))
    }
}

/// What the outputs are, or why they are nothing that is known.
fn known(outputs: &[Port], classes: usize) -> Result<Outputs, String> {
    let has = |name: &str| outputs.iter().any(|port| port.name == name);
    if OBJECTS.iter().all(|name| has(name)) {
        return Ok(Outputs::Objects);
    }
    let levels: Vec<&str> = outputs.iter().filter_map(|port| port.name.strip_prefix(NUMBERS[0])).collect();
    let whole = levels.iter().all(|level| NUMBERS.iter().all(|kind| has(&format!("{kind}{level}"))));
    if levels.is_empty() || !whole {
        let names: Vec<&str> = outputs.iter().map(|port| port.name.as_str()).collect();
        return Err(format!(
            "its outputs are {}: neither a detector's numbers (logits_p3, deltas_p3, anchors_p3, ...) nor objects ({})",
            names.join(", "),
            OBJECTS.join(", ")
        ));
    }
    let scores = outputs.iter().filter(|port| port.name.starts_with(NUMBERS[0]));
    for port in scores {
        if port.shape.last().copied().flatten().is_some_and(|n| n != classes) {
            return Err(format!("its output {port} is not for the {classes} classes that it names"));
        }
    }
    Ok(Outputs::Numbers(levels.into_iter().map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests;
