//! A classifier's ONNX file, opened with ONNX Runtime.

use std::path::{Path, PathBuf};

use genas_data::Normalization;
use genas_export::ModelInfo;
use genas_runtime::{Session, SessionOptions};

use crate::error::{Result, TransferError};

/// Name of the output that holds the scores of the classes; the only output, where no output has it.
const LOGITS: &str = "logits";

/// An image classifier, ready to run.
#[derive(Debug)]
pub struct Classifier {
    path: PathBuf,
    session: Session,
    info: ModelInfo,
    /// `None` where any number of images may be run at once.
    fixed_batch: Option<usize>,
    side: usize,
}

impl Classifier {
    /// Opens a file that describes itself, as those of `genas export` do.
    pub fn open(path: &Path, options: &SessionOptions) -> Result<Self> {
        let session = Session::from_file(path, options)?;
        let info = ModelInfo::from_metadata(&session.metadata()?)
            .map_err(|source| TransferError::Description { path: path.to_owned(), source })?;
        let refuse = |problem: String| Err(TransferError::Request(format!("{}: {problem}", path.display())));
        let [port] = session.inputs() else {
            return refuse(format!("it has {} inputs; a classifier has one", session.inputs().len()));
        };
        let [batch, Some(3) | None, height, width] = port.shape[..] else {
            return refuse(format!("its input {port} is not a batch of images [batch, 3, height, width]"));
        };
        let sizes = (height.unwrap_or(info.input_size), width.unwrap_or(info.input_size));
        if sizes.0 != sizes.1 {
            return refuse(format!("its input {port} is not square; only square images are evaluated"));
        }
        Ok(Self { path: path.to_owned(), session, info, fixed_batch: batch, side: sizes.0 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says about itself.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The number of images that the model always takes, if it is fixed.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.fixed_batch
    }

    /// Whether images of any size can be run.
    pub fn takes_any_size(&self) -> bool {
        self.session.inputs().iter().all(|port| port.shape[2..] == [None, None])
    }

    /// Side of the images.
    pub fn side(&self) -> usize {
        self.side
    }

    /// How the model wants images normalised.
    pub fn normalization(&self) -> Normalization {
        Normalization { mean: self.info.mean, std: self.info.std }
    }

    /// Logits of `n` images of a side, row by row. A batch that the model fixes is filled up with zeros.
    pub fn logits(&mut self, images: &[f32], n: usize, side: usize) -> Result<Vec<f32>> {
        let filled: Vec<f32>;
        let (mut input, mut batch) = (images, n);
        if let Some(fixed) = self.fixed_batch.filter(|&fixed| fixed > n) {
            let mut values = images.to_vec();
            values.resize(fixed * 3 * side * side, 0.0);
            filled = values;
            (input, batch) = (&filled, fixed);
        }
        let mut outputs = self.session.run_f32(input, &[batch, 3, side, side])?;
        let place = outputs.iter().position(|output| output.name == LOGITS).unwrap_or(0);
        let mut values = if outputs.is_empty() { Vec::new() } else { outputs.swap_remove(place).values };
        let classes = self.info.class_names.len();
        if values.len() != batch * classes {
            return Err(TransferError::Request(format!(
                "{}: it gives {} scores for {batch} images, but its metadata names {classes} classes",
                self.path.display(),
                values.len()
            )));
        }
        values.truncate(n * classes);
        Ok(values)
    }
}
