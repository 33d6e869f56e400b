//! Accuracy of a classifier's ONNX file on a data set (spec 06, section 1).
//!
//! Images are normalised as the file says. A network for images above 64 pixels sees the centre of
//! an image that was resized to 8/7 of its input (256 for 224); a smaller one the centre of an image
//! whose shorter side was resized to its input, as in its training. CIFAR images are shown as they are.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use genas_data::{Dataset, EvalSource, EvalTransform, Kind, Split};
use genas_runtime::{Provider, SessionOptions};
use serde::{Serialize, Serializer};

use crate::error::{Result, TransferError};
use crate::labels::{LabelMap, Matching};
use crate::model::Classifier;

/// Networks for larger images see a part of the picture only.
const LARGEST_WHOLE: usize = 64;
const IMAGENET_CLASSES: usize = 1000;

/// What a model is evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EvalSet {
    /// The test images of CIFAR-10.
    Cifar10,
    /// The test images of CIFAR-100.
    Cifar100,
    /// Folders of images: those in `val/` if there is one.
    Folder,
    /// ImageNet's validation images in 1000 class folders.
    ImageNet,
}

impl EvalSet {
    const ALL: [Self; 4] = [Self::Cifar10, Self::Cifar100, Self::Folder, Self::ImageNet];
    const LATER: [&str; 3] = ["imagenet-v2", "imagenet-a", "imagenet-o"];

    fn name(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Folder => "folder",
            Self::ImageNet => "imagenet",
        }
    }
}

impl fmt::Display for EvalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EvalSet {
    type Err = TransferError;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(set) = Self::ALL.into_iter().find(|set| set.name() == text) {
            return Ok(set);
        }
        let works = Self::ALL.map(Self::name).join(", ");
        Err(TransferError::Request(if Self::LATER.contains(&text) {
            format!("{text} cannot be evaluated yet; what works is {works}")
        } else {
            format!("no set {text:?}; give one of {works}")
        }))
    }
}

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// The data set's kind.
    pub set: EvalSet,
    /// Images per run of the model, where it leaves that free.
    pub batch_size: usize,
    /// Compute predictions only.
    pub ignore_labels: bool,
    /// Where and how to run the model.
    pub session: SessionOptions,
}

/// What the model said to one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Path of the image below its split, or its index in CIFAR's file.
    pub file: String,
    /// The model's class of the image's label; the label itself where labels are ignored.
    pub label: usize,
    /// The class with the highest score.
    pub top1: usize,
    /// Its probability.
    pub score: f32,
}

/// The outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Fraction of the images whose class has the highest score; none where labels are ignored.
    pub top1: Option<f64>,
    /// Fraction of the images whose class is among the five highest scores.
    pub top5: Option<f64>,
    /// Number of images.
    pub n: usize,
    /// Images per second, from file to score.
    pub images_per_second: f64,
    /// Where the model ran.
    #[serde(serialize_with = "as_text")]
    pub provider: Provider,
    /// How the data's classes found the model's.
    pub matching: Matching,
    /// Every image, in the data set's order.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

fn as_text<S: Serializer>(value: &Provider, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Evaluates the model in a file. `progress` is told the images done and the images in all.
///
/// ONNX Runtime must be installed ([`genas_runtime::ensure`]).
pub fn evaluate(
    model: &Path,
    data: &Path,
    options: &EvaluateOptions,
    progress: &dyn Fn(usize, usize),
) -> Result<Evaluation> {
    if options.batch_size == 0 {
        return Err(TransferError::Request("a batch holds at least one image".to_owned()));
    }
    let dataset = genas_data::open(data)?;
    let label_map = |classes: &[String], classifier: &Classifier| {
        if options.ignore_labels {
            return Ok(LabelMap::ignored());
        }
        LabelMap::new(classes, &classifier.info().class_names).map_err(|mismatch| {
            TransferError::Request(format!("{} on {}: {mismatch}", model.display(), data.display()))
        })
    };
    let classifier = Classifier::open(model, &options.session)?;
    let batch = classifier.fixed_batch().unwrap_or(options.batch_size);
    let wanted = match options.set {
        EvalSet::Cifar10 => Kind::Cifar10,
        EvalSet::Cifar100 => Kind::Cifar100,
        EvalSet::Folder | EvalSet::ImageNet => Kind::ImageFolder,
    };
    if dataset.kind() != wanted {
        return Err(other_kind(options.set, data, &dataset.kind().to_string()));
    }
    match dataset {
        Dataset::Cifar(_) => {
            let map = label_map(&dataset.classes(Split::Test)?, &classifier)?;
            on_cifar(&dataset, Tally::new(classifier, map), batch, progress)
        }
        Dataset::Folder(folder) => {
            let index = folder.index(Split::Test)?;
            if options.set == EvalSet::ImageNet && index.classes.len() != IMAGENET_CLASSES {
                return Err(TransferError::Request(format!(
                    "{}: {} class folders, ImageNet has {IMAGENET_CLASSES}; for other images give --set folder",
                    index.root.display(),
                    index.classes.len()
                )));
            }
            let map = label_map(&index.classes, &classifier)?;
            let transform = transform(&classifier);
            let source = EvalSource::from_index(&index, transform, batch)?;
            on_files(&source, Tally::new(classifier, map), transform.crop, progress)
        }
    }
}

fn other_kind(set: EvalSet, data: &Path, found: &str) -> TransferError {
    let fits = match found {
        "CIFAR-10" => "--set cifar10",
        "CIFAR-100" => "--set cifar100",
        _ => "--set folder",
    };
    TransferError::Request(format!(
        "{}: this is {found}, not {set}; give other data, or {fits}",
        data.display()
    ))
}

/// The preprocessing that the model was trained for.
fn transform(classifier: &Classifier) -> EvalTransform {
    let (crop, normalization) = (classifier.side(), classifier.normalization());
    if crop <= LARGEST_WHOLE {
        return EvalTransform { resize: crop, crop, normalization };
    }
    EvalTransform { resize: (crop as f64 * 256.0 / 224.0).round() as usize, crop, normalization }
}

fn on_cifar(
    dataset: &Dataset,
    mut tally: Tally,
    batch: usize,
    progress: &dyn Fn(usize, usize),
) -> Result<Evaluation> {
    let set = dataset.load(Split::Test, 32)?.with_normalization(tally.classifier.normalization());
    let side = set.height;
    if tally.classifier.side() != side && !tally.classifier.takes_any_size() {
        return Err(TransferError::Request(format!(
            "{}: the model takes images of {s}x{s}, {} holds {side}x{side}; evaluate a model of the CIFAR network",
            tally.classifier.path().display(),
            set.name,
            s = tally.classifier.side(),
        )));
    }
    progress(0, set.len());
    let started = Instant::now();
    let indices: Vec<usize> = (0..set.len()).collect();
    for chunk in indices.chunks(batch) {
        let images = genas_data::normalized(&set, chunk);
        let named = chunk.iter().map(|&i| (i.to_string(), usize::from(set.labels[i])));
        tally.add(&images, side, named.collect())?;
        progress(tally.n(), set.len());
    }
    tally.finish(started)
}

fn on_files(
    source: &EvalSource,
    mut tally: Tally,
    side: usize,
    progress: &dyn Fn(usize, usize),
) -> Result<Evaluation> {
    progress(0, source.len());
    let started = Instant::now();
    for batch in source.batches() {
        let batch = batch?;
        let named = batch.names.into_iter().zip(batch.labels).collect();
        tally.add(&batch.images, side, named)?;
        progress(tally.n(), source.len());
    }
    tally.finish(started)
}

/// Counts as the images go by.
struct Tally {
    classifier: Classifier,
    map: LabelMap,
    hits1: usize,
    hits5: usize,
    predictions: Vec<Prediction>,
}

impl Tally {
    fn new(classifier: Classifier, map: LabelMap) -> Self {
        Self { classifier, map, hits1: 0, hits5: 0, predictions: Vec::new() }
    }

    fn n(&self) -> usize {
        self.predictions.len()
    }

    /// Names and labels of the images of one run.
    fn add(&mut self, images: &[f32], side: usize, named: Vec<(String, usize)>) -> Result<()> {
        let logits = self.classifier.logits(images, named.len(), side)?;
        let classes = logits.len() / named.len().max(1);
        for ((file, label), logits) in named.into_iter().zip(logits.chunks_exact(classes.max(1))) {
            if logits.iter().any(|v| !v.is_finite()) {
                return Err(TransferError::Request(format!(
                    "{}: a score of {file} is not a finite number; the model is damaged, or its precision too low",
                    self.classifier.path().display()
                )));
            }
            let (top1, score) = best(logits);
            let class = self.map.class(label);
            if let Some(class) = class {
                let rank = rank(logits, class);
                self.hits1 += usize::from(rank < 1);
                self.hits5 += usize::from(rank < 5);
            }
            self.predictions.push(Prediction { file, label: class.unwrap_or(label), top1, score });
        }
        Ok(())
    }

    fn finish(self, started: Instant) -> Result<Evaluation> {
        let n = self.n();
        if n == 0 {
            return Err(TransferError::Request("the data set holds no image".to_owned()));
        }
        let seconds = started.elapsed().as_secs_f64().max(1e-9);
        let matching = self.map.matching;
        let fraction = |hits: usize| (matching != Matching::Ignored).then_some(hits as f64 / n as f64);
        Ok(Evaluation {
            top1: fraction(self.hits1),
            top5: fraction(self.hits5),
            n,
            images_per_second: n as f64 / seconds,
            provider: self.classifier.session().provider_used(),
            matching,
            predictions: self.predictions,
        })
    }
}

/// The class of the highest score, the first of equals, and its probability.
fn best(logits: &[f32]) -> (usize, f32) {
    let mut top1 = 0;
    for (class, &value) in logits.iter().enumerate() {
        if value > logits[top1] {
            top1 = class;
        }
    }
    let sum: f64 = logits.iter().map(|&v| (f64::from(v) - f64::from(logits[top1])).exp()).sum();
    (top1, (1.0 / sum) as f32)
}

/// The number of classes before a class when they are sorted by score.
fn rank(logits: &[f32], class: usize) -> usize {
    let before =
        |(other, &value): (usize, &f32)| value > logits[class] || (value == logits[class] && other < class);
    logits.iter().enumerate().filter(|&entry| before(entry)).count()
}

/// Writes a table of `file,label,top1,score`.
pub fn write_predictions(path: &Path, predictions: &[Prediction]) -> Result<()> {
    let failed = |source: csv::Error| TransferError::Predictions { path: path.to_owned(), source };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(["file", "label", "top1", "score"]).map_err(failed)?;
    for p in predictions {
        let row = [p.file.clone(), p.label.to_string(), p.top1.to_string(), p.score.to_string()];
        writer.write_record(row).map_err(failed)?;
    }
    writer.flush().map_err(|e| failed(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_export::{Dim, GraphOptions, ModelInfo, export_classifier};
    use genas_net::{EvalNet, NetworkKind, Weights};
    use genas_space::{Streams, random_candidate};
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Mutex;

    #[test]
    fn ranks_and_probabilities() {
        assert_eq!(best(&[0.0, 2.0, 2.0]).0, 1);
        assert!((best(&[0.0, 0.0]).1 - 0.5).abs() < 1e-7);
        assert!((best(&[1000.0, -1000.0]).1 - 1.0).abs() < 1e-7);
        assert_eq!([0, 1, 2, 3].map(|c| rank(&[1.0, 3.0, 1.0, 5.0], c)), [2, 1, 3, 0]);
    }

    #[test]
    fn sets_have_names_and_later_ones_say_so() {
        for set in EvalSet::ALL {
            assert_eq!(set.to_string().parse::<EvalSet>().unwrap(), set);
        }
        let error = "imagenet-o".parse::<EvalSet>().unwrap_err().to_string();
        assert!(error.contains("yet") && error.contains("cifar100"), "{error}");
    }

    /// A model of the CIFAR network with ten classes.
    fn model(dir: &Path, batch: Dim) -> PathBuf {
        let genotype = random_candidate(&mut Streams::new(1).rng("cell", 0)).genotype();
        let net = EvalNet {
            kind: NetworkKind::Cifar,
            genotype,
            channels: 4,
            layers: 3,
            classes: 10,
            auxiliary: false,
        };
        let weights = Weights::init(net.layout().into(), &Streams::new(2));
        let info = ModelInfo {
            class_names: (0..10).map(|n| format!("c{n}")).collect(),
            mean: [0.5; 3],
            std: [0.25; 3],
            input_size: 32,
            training_data: "none".to_owned(),
            source_run: "none".to_owned(),
        };
        let path = dir.join("model.onnx");
        export_classifier(&path, &net, &weights, &info, &GraphOptions { batch, ..GraphOptions::square(32) })
            .unwrap();
        path
    }

    fn cifar(dir: &Path, n: usize) {
        let record = |i: usize| {
            let pixels = (0..3072).map(move |p| (p * (i + 3) / 7 + i * 31) as u8);
            std::iter::once((i % 10) as u8).chain(pixels)
        };
        fs::write(dir.join("test_batch.bin"), (0..n).flat_map(record).collect::<Vec<u8>>()).unwrap();
    }

    fn options(batch_size: usize) -> EvaluateOptions {
        let session =
            SessionOptions { provider: Provider::Cpu, intra_threads: 1, ..SessionOptions::default() };
        EvaluateOptions { set: EvalSet::Cifar10, batch_size, ignore_labels: false, session }
    }

    #[test]
    fn cifar_through_onnx_runtime_whatever_the_batch() {
        let dir = tempfile::tempdir().unwrap();
        cifar(dir.path(), 21);
        let free = model(dir.path(), Dim::dynamic("batch"));
        let seen = Mutex::new(Vec::new());
        let progress = |done, total| seen.lock().unwrap().push((done, total));
        let whole = evaluate(&free, dir.path(), &options(64), &|_, _| ()).unwrap();
        let parts = evaluate(&free, dir.path(), &options(8), &progress).unwrap();
        assert_eq!(*seen.lock().unwrap(), [(0, 21), (8, 21), (16, 21), (21, 21)]);
        let fixed =
            evaluate(&model(dir.path(), Dim::Fixed(4)), dir.path(), &options(64), &|_, _| ()).unwrap();
        let classes = |e: &Evaluation| e.predictions.iter().map(|p| (p.label, p.top1)).collect::<Vec<_>>();
        assert_eq!(classes(&whole), classes(&parts));
        assert_eq!(classes(&whole), classes(&fixed));
        assert_eq!((whole.n, whole.matching), (21, Matching::ByOrder));
        let hits = classes(&whole).iter().filter(|(label, top1)| label == top1).count();
        assert_eq!(whole.top1, Some(hits as f64 / 21.0));
        assert!(whole.top5 >= whole.top1 && whole.images_per_second > 0.0);

        let csv = dir.path().join("p.csv");
        write_predictions(&csv, &whole.predictions).unwrap();
        let text = fs::read_to_string(csv).unwrap();
        assert!(text.starts_with("file,label,top1,score\n0,0,"), "{text}");
        assert_eq!(text.lines().count(), 22);
    }

    #[test]
    fn other_data_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        cifar(dir.path(), 3);
        let model = model(dir.path(), Dim::dynamic("batch"));
        let folder = EvaluateOptions { set: EvalSet::Folder, ..options(4) };
        let error = evaluate(&model, dir.path(), &folder, &|_, _| ()).unwrap_err().to_string();
        assert!(error.contains("--set cifar10"), "{error}");
        let ignored = EvaluateOptions { ignore_labels: true, ..options(4) };
        let evaluation = evaluate(&model, dir.path(), &ignored, &|_, _| ()).unwrap();
        assert_eq!((evaluation.top1, evaluation.predictions[1].label), (None, 1));
    }

    #[test]
    fn latency_rows() {
        let dir = tempfile::tempdir().unwrap();
        let model = model(dir.path(), Dim::dynamic("batch"));
        let options = crate::BenchOptions {
            batches: vec![1, 3],
            seconds: 0.0,
            session: options(1).session,
            ..crate::BenchOptions::default()
        };
        let report = crate::bench(&model, &options, &|_, _| ()).unwrap();
        assert_eq!(report.rows.iter().map(|r| r.batch).collect::<Vec<_>>(), [1, 3]);
        assert!(report.rows.iter().all(|r| r.median_ms > 0.0 && r.p95_ms >= r.median_ms));
    }
}
