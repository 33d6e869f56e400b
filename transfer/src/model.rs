//! A classifier's ONNX file, opened with ONNX Runtime.

use std::path::{Path, PathBuf};

use genas_data::Normalization;
use genas_export::{ExportError, ModelInfo};
use genas_runtime::{Output, Session, SessionOptions};

use crate::error::{Result, TransferError};

/// What is said about a model that its file does not say, or says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preprocessing {
    /// Mean of each colour, red first, pixels in 0 to 1.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of each colour.
    pub std: Option<[f32; 3]>,
    /// Side of the images.
    pub size: Option<usize>,
}

impl Preprocessing {
    /// Puts what is given in the place of what the file says; everything must be given for a file that says nothing.
    fn describe(&self, said: Result<ModelInfo, ExportError>) -> Result<ModelInfo, ExportError> {
        let given = (self.mean, self.std, self.size);
        match (said, given) {
            (Ok(said), _) => Ok(ModelInfo {
                mean: self.mean.unwrap_or(said.mean),
                std: self.std.unwrap_or(said.std),
                input_size: self.size.unwrap_or(said.input_size),
                ..said
            }),
            (Err(_), (Some(mean), Some(std), Some(input_size))) => Ok(ModelInfo {
                class_names: Vec::new(),
                mean,
                std,
                input_size,
                training_data: "unknown".to_owned(),
                source_run: "unknown".to_owned(),
            }),
            (Err(error), _) => Err(error),
        }
    }
}

/// Name of the output that holds the scores of the classes; where no output has it, the only one does.
const LOGITS: &str = "logits";

/// An image classifier, ready to run.
#[derive(Debug)]
pub struct Classifier {
    path: PathBuf,
    session: Session,
    /// Threads of the session; 0 for all cores.
    threads: usize,
    info: ModelInfo,
    /// `None` where any number of images may be run at once.
    fixed_batch: Option<usize>,
    side: usize,
}

impl Classifier {
    /// Opens a file that describes itself, as those of `genas export` do, or that `preprocessing` describes in
    /// full. The classes of a file that does not name them are called 0, 1, 2, ...
    pub fn open(path: &Path, preprocessing: &Preprocessing, options: &SessionOptions) -> Result<Self> {
        let mut classifier = Self::open_any(path, preprocessing, options)?;
        let outputs = classifier.session.outputs();
        if outputs.len() != 1 && !outputs.iter().any(|port| port.name == LOGITS) {
            let names: Vec<&str> = outputs.iter().map(|port| port.name.as_str()).collect();
            return Err(TransferError::Request(format!(
                "{}: it gives no scores of classes, but {}; give a classifier, as `genas export --kind classifier` \
                 writes it",
                path.display(),
                names.join(", ")
            )));
        }
        if classifier.info.class_names.is_empty() {
            let classes = classifier.count_classes()?;
            classifier.info.class_names = (0..classes).map(|class| class.to_string()).collect();
        }
        Ok(classifier)
    }

    /// The same for a model whose outputs may be anything: it can be run, but not asked for classes.
    pub(crate) fn open_any(
        path: &Path,
        preprocessing: &Preprocessing,
        options: &SessionOptions,
    ) -> Result<Self> {
        let session = Session::from_file(path, options)?;
        let refuse = |problem: String| Err(TransferError::Request(format!("{}: {problem}", path.display())));
        let info = preprocessing
            .describe(ModelInfo::from_metadata(&session.metadata()?))
            .map_err(|source| TransferError::Description { path: path.to_owned(), source })?;
        if !info.std.iter().all(|&s| s > 0.0 && s.is_finite()) || !info.mean.iter().all(|m| m.is_finite()) {
            return refuse(format!(
                "mean {:?} and std {:?} cannot normalise images; give finite numbers, std above zero",
                info.mean, info.std
            ));
        }
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
        if let Some(size) = preprocessing.size.filter(|&size| size != sizes.0) {
            return refuse(format!(
                "its input {port} is {s} pixels wide, not {size}; give --size {s}",
                s = sizes.0
            ));
        }
        let (path, threads, side) = (path.to_owned(), options.intra_threads, sizes.0);
        let info = ModelInfo { input_size: side, ..info };
        Ok(Self { path, session, threads, info, fixed_batch: batch, side })
    }

    /// The same model in another session.
    pub(crate) fn again(&self, options: &SessionOptions) -> Result<Self> {
        let session = Session::from_file(&self.path, options)?;
        let (path, info, threads) = (self.path.clone(), self.info.clone(), options.intra_threads);
        Ok(Self { path, session, threads, info, fixed_batch: self.fixed_batch, side: self.side })
    }

    /// Threads of the session; 0 for all cores.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The number of scores that the model gives to an image.
    fn count_classes(&mut self) -> Result<usize> {
        let batch = self.fixed_batch.unwrap_or(1);
        let blank = vec![0.0; batch * 3 * self.side * self.side];
        let output = self.scores(&blank, batch, self.side)?;
        match output.shape[..] {
            [n, classes, ref rest @ ..] if n == batch && classes > 1 && rest.iter().all(|&s| s == 1) => {
                Ok(classes)
            }
            _ => Err(TransferError::Request(format!(
                "{}: its output `{}` of shape {:?} is not scores of classes for {batch} images",
                self.path.display(),
                output.name,
                output.shape
            ))),
        }
    }

    /// All outputs for `batch` images of a side.
    pub(crate) fn run(&mut self, images: &[f32], batch: usize, side: usize) -> Result<Vec<Output>> {
        Ok(self.session.run_f32(images, &[batch, 3, side, side])?)
    }

    /// The output that holds the scores of the classes.
    fn scores(&mut self, images: &[f32], batch: usize, side: usize) -> Result<Output> {
        let mut outputs = self.run(images, batch, side)?;
        // `open` has seen that one of them has this name, or that there is only one.
        let place = outputs.iter().position(|output| output.name == LOGITS).unwrap_or(0);
        Ok(outputs.swap_remove(place))
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
        crate::plan::normalization(&self.info)
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
        let mut values = self.scores(input, batch, side)?.values;
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
