//! A segmenter's ONNX file, opened with ONNX Runtime.
//!
//! Two forms are known by their outputs: logits at the size of the input, or the label of the largest of each pixel.
//! How pictures go through it, whole or in windows, once or at several scales, is
//! [`segmentation`](crate::segmentation)'s business.

use std::collections::BTreeMap;
use std::path::Path;

use genas_data::Normalization;
use genas_data::segmentation::{IGNORED, SegmentationTest, TestScale};
use genas_export::{SegmenterForm, SegmenterInfo};
use genas_runtime::{Port, Provider, Session, SessionOptions, Values};
use serde::Deserialize;

use crate::error::{Result, TransferError};
use crate::image_input::fixed_size;
use crate::segmentation::{LogitMap, window_problem};

/// A segmenter, ready to run.
#[derive(Debug)]
pub struct Segmenter {
    name: String,
    session: Session,
    info: SegmenterInfo,
    form: SegmenterForm,
    align_corners: bool,
    preparation: SegmentationTest,
}

/// What a segmenter says of an input, without its filling.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Logits(LogitMap),
    /// The class of each pixel, row by row.
    Labels(Vec<u8>),
}

impl Segmenter {
    /// Opens a file that describes itself as a segmenter.
    ///
    /// # Errors
    ///
    /// If it is not a model, or not a segmenter, or cannot take single images.
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
        let remedy = "give a segmenter that genas wrote";
        let metadata = session.metadata()?;
        match metadata.get("kind").map(String::as_str) {
            Some("segmenter") => {}
            Some(kind) => return Err(refuse(format!("it is a {kind}, not a segmenter; {remedy}"))),
            None => {
                let problem = "it does not say what it is, so that genas did not write it";
                return Err(refuse(format!("{problem}; {remedy}")));
            }
        }
        let info = SegmenterInfo::from_metadata(&metadata).map_err(|error| refuse(error.to_string()))?;
        let align_corners =
            align_corners(&metadata).map_err(|problem| refuse(format!("{problem}; {remedy}")))?;
        let classes = info.class_names.len();
        if !(1..=usize::from(IGNORED)).contains(&classes) || info.segmentation.divisor == 0 {
            return Err(refuse(format!(
                "it names {classes} classes (1 to {IGNORED} can be labels), and fills sides up to multiples of {}; {remedy}",
                info.segmentation.divisor
            )));
        }
        if let Some(problem) = info.segmentation.window.as_ref().and_then(window_problem) {
            return Err(refuse(format!("{problem}; {remedy}")));
        }
        let form =
            known(session.outputs(), classes).map_err(|problem| refuse(format!("{problem}; {remedy}")))?;
        let mut preparation = SegmentationTest::new(&Normalization { mean: info.mean, std: info.std });
        preparation.scale = info.segmentation.within.map_or(TestScale::Original, TestScale::Within);
        preparation.divisor = info.segmentation.divisor;
        preparation.filled = fixed_size(session.inputs(), "segmenter").map_err(refuse)?;
        Ok(Self { name, session, info, form, align_corners, preparation })
    }

    /// What the file says about itself.
    pub fn info(&self) -> &SegmenterInfo {
        &self.info
    }

    /// What its output is.
    pub fn form(&self) -> SegmenterForm {
        self.form
    }

    /// Where it runs.
    pub fn provider(&self) -> Provider {
        self.session.provider_used()
    }

    /// How whole pictures are made its input, at the scale that it was made for.
    pub fn preparation(&self) -> &SegmentationTest {
        &self.preparation
    }

    /// How its logits lie on a picture of another size: the middles of the corner pixels on each other, or the corners.
    pub fn align_corners(&self) -> bool {
        self.align_corners
    }

    /// What it sees in an input of 3 x `filled` values, of which `size` (width and height) are picture.
    pub(crate) fn see(&mut self, values: &[f32], filled: [usize; 2], size: [usize; 2]) -> Result<Seen> {
        let ([width, height], classes) = (filled, self.info.class_names.len());
        let outputs = self.session.run_typed(values, &[1, 3, height, width])?;
        let output = outputs.into_iter().find(|output| output.name == self.form.name());
        let wanted = match self.form {
            SegmenterForm::Logits => vec![1, classes, height, width],
            SegmenterForm::Labels => vec![1, height, width],
        };
        let shape = output.as_ref().map_or_else(Vec::new, |output| output.shape.clone());
        match (self.form, output.map(|output| output.values)) {
            (SegmenterForm::Logits, Some(Values::F32(values))) if shape == wanted => {
                Ok(Seen::Logits(LogitMap { values, classes, filled, size }))
            }
            (SegmenterForm::Labels, Some(Values::I64(values))) if shape == wanted => {
                let rows = values.chunks_exact(width).take(size[1]);
                let class = |&label: &i64| {
                    u8::try_from(label).ok().filter(|&label| usize::from(label) < classes).ok_or_else(|| {
                        self.refuse(&format!("it gives the label {label}, but names {classes} classes"))
                    })
                };
                rows.flat_map(|row| &row[..size[0]]).map(class).collect::<Result<_>>().map(Seen::Labels)
            }
            (form, _) => Err(self.refuse(&format!(
                "for an input of {width} x {height} pixels its output `{}` is {shape:?}, not {wanted:?}",
                form.name()
            ))),
        }
    }

    pub(crate) fn refuse(&self, problem: &str) -> TransferError {
        TransferError::Request(format!("{}: {problem}", self.name))
    }
}

/// How the network resizes; the rest of its description is not needed here.
fn align_corners(metadata: &BTreeMap<String, String>) -> Result<bool, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Network {
        align_corners: bool,
    }
    let network = metadata.get("segmenter").ok_or("it has no metadata `segmenter`")?;
    serde_json::from_str(network)
        .map(|network: Network| network.align_corners)
        .map_err(|error| format!("its metadata `segmenter` cannot be read ({error})"))
}

/// What the output is, or why it is nothing that is known.
fn known(outputs: &[Port], classes: usize) -> Result<SegmenterForm, String> {
    let named = |form: SegmenterForm| outputs.iter().find(|port| port.name == form.name());
    match (named(SegmenterForm::Logits), named(SegmenterForm::Labels)) {
        (Some(port), None) => match port.shape[..] {
            [_, n, _, _] if n.is_none_or(|n| n == classes) => Ok(SegmenterForm::Logits),
            _ => Err(format!("its output {port} is not for the {classes} classes that it names")),
        },
        (None, Some(_)) => Ok(SegmenterForm::Labels),
        _ => {
            let names: Vec<&str> = outputs.iter().map(|port| port.name.as_str()).collect();
            Err(format!(
                "its outputs are {}: a segmenter gives either `logits` or `labels`",
                names.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests;
