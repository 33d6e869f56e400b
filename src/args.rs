//! Arguments as they are typed. The doc comments are the help texts.

mod draw;
mod landscape;
mod rank;
mod report;
mod reproduce;
mod transfer;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use genas_data::Nb201Set;
use genas_data::shapes::Scale;
use genas_net::{DeviceSpec, NetworkKind};
use genas_runtime::Provider;
use genas_search::Metric;
use genas_transfer::EvalSet;

pub use self::draw::{DrawArgs, DrawNetwork};
pub use self::landscape::{LandscapeArgs, NoiseScaleArg, SourceArg};
pub use self::rank::RankArgs;
pub use self::report::{CompareArgs, PublishedArg, ReportArgs};
pub use self::reproduce::{ReproduceArgs, Target};
pub use self::transfer::{CityscapesArgs, CocoArgs, FineTuneArgs, TransferAction, TransferArgs};
use crate::values::{colours, count, even_width, flops, positive_colours, seconds};

/// Finds CNN cells that generalise, by the flatness of their loss surface, and exports them as ONNX
#[derive(Debug, Parser)]
#[command(
    name = "genas",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Begin here:
  genas quickstart --out demo                 the whole path on generated data, in minutes
  genas doctor                                what this machine can do

A search, its result trained from scratch, and the model for deployment:
  genas search  --config darts-cifar10 --data cifar-10-batches-bin --out runs/a
  genas retrain --config darts-cifar10 --data cifar-10-batches-bin --out runs/a --network cifar
  genas export  --run runs/a --onnx a.onnx
  genas evaluate a.onnx --set cifar10 --data cifar-10-batches-bin --out runs/a
  genas report runs/a                         all of it as one page, to look at and to send

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (continue with --resume).")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that every verb takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where burn computes (training, scoring): auto, cpu, cuda or cuda:N. An explicit device that
    /// is not there is an error; auto says what it took
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceSpec,
    /// Where ONNX Runtime computes (evaluation): auto, cpu, cuda, cuda:N or tensorrt
    #[arg(long, global = true, value_name = "PROVIDER", default_value = "auto")]
    pub provider: Provider,
    /// Threads to use [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Seed of every random number [default: the configuration's, else 0]
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
    /// Print the result as one JSON object; everything else goes to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but errors and the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Report progress in lines, as when stderr is not a terminal, instead of a bar
    #[arg(long, global = true)]
    pub no_progress: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Quickstart(QuickstartArgs),
    Doctor(DoctorArgs),
    Runtime(RuntimeArgs),
    Data(DataArgs),
    Zoo(ZooArgs),
    Cost(CostArgs),
    Draw(DrawArgs),
    Supernet(SupernetArgs),
    Search(SearchArgs),
    Score(ScoreArgs),
    Retrain(RetrainArgs),
    Import(ImportArgs),
    Export(ExportArgs),
    Verify(VerifyArgs),
    Evaluate(EvaluateArgs),
    Bench(BenchArgs),
    Rank(RankArgs),
    Landscape(LandscapeArgs),
    Reproduce(ReproduceArgs),
    Transfer(TransferArgs),
    Report(ReportArgs),
    Compare(CompareArgs),
}

/// Which network a cell is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkArg {
    /// 3x3 stem, 20 cells: for images of about 32 pixels
    Cifar,
    /// Strided stem, 14 cells: for images of about 224 pixels
    Imagenet,
}

impl From<NetworkArg> for NetworkKind {
    fn from(network: NetworkArg) -> Self {
        match network {
            NetworkArg::Cifar => NetworkKind::Cifar,
            NetworkArg::Imagenet => NetworkKind::ImageNet,
        }
    }
}

/// A network whose cost is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CostNetwork {
    /// The ImageNet network: 14 cells, 224 pixels, 1000 classes
    Imagenet,
    /// The CIFAR network: 20 cells, 32 pixels, 10 classes
    Cifar,
    /// The supernet: 8 cells, 32 pixels, 10 classes
    Supernet,
}

/// A data set of NAS-Bench-201.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Nb201SetArg {
    /// CIFAR-10
    Cifar10,
    /// CIFAR-100
    Cifar100,
    /// ImageNet16-120
    Imagenet16,
}

impl From<Nb201SetArg> for Nb201Set {
    fn from(set: Nb201SetArg) -> Self {
        match set {
            Nb201SetArg::Cifar10 => Self::Cifar10,
            Nb201SetArg::Cifar100 => Self::Cifar100,
            Nb201SetArg::Imagenet16 => Self::Imagenet16,
        }
    }
}

/// What computes validation losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScorerArg {
    /// ONNX Runtime
    Ort,
    /// burn
    Burn,
}

/// The whole path on generated data: search, retrain, export, evaluate, report
///
/// Takes minutes on two cores and needs no download but ONNX Runtime, which it installs if it is missing.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  genas quickstart --out demo")]
pub struct QuickstartArgs {
    /// Directory for the data and the run
    #[arg(long, value_name = "DIR", default_value = "runs/quickstart")]
    pub out: PathBuf,
    /// Continue where an earlier run stopped
    #[arg(long)]
    pub resume: bool,
}

/// What this machine can do, and what to do about what is missing
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  genas doctor")]
pub struct DoctorArgs {}

/// ONNX Runtime, which runs exported models
#[derive(Clone, Debug, Args)]
pub struct RuntimeArgs {
    #[command(subcommand)]
    pub action: RuntimeAction,
}

#[derive(Clone, Debug, Subcommand)]
pub enum RuntimeAction {
    /// Installs the pinned ONNX Runtime, checked by its SHA-256, for this user
    ///
    /// Verbs that need it do the same on first use, unless GENAS_NO_INSTALL=1 is set. There are builds for
    /// Linux (x86-64, aarch64), macOS (arm64) and Windows (x86-64, arm64), with CUDA for Linux and for
    /// Windows x86-64. It goes to ~/.local/share/genas (XDG_DATA_HOME counts), on Windows to
    /// %LOCALAPPDATA%\genas; GENAS_HOME names another directory.
    #[command(after_help = "\
Examples:
  genas runtime install                       through pip, the release that genas pins
  genas runtime install --cuda                the build for NVIDIA GPUs
  genas runtime install --wheel FILE.whl      from a downloaded wheel, without a network")]
    Install {
        /// With the CUDA and TensorRT providers (on Linux aarch64, CUDA only)
        #[arg(long)]
        cuda: bool,
        /// A downloaded wheel instead of a download
        #[arg(long, value_name = "FILE")]
        wheel: Option<PathBuf>,
    },
}

/// Data sets: generating and checking them
#[derive(Clone, Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    pub action: DataAction,
}

#[derive(Clone, Debug, Subcommand)]
pub enum DataAction {
    /// Writes the generated `shapes` data set in the official layouts of the real ones
    #[command(after_help = "\
Example:
  genas data shapes shapes --scale tiny
  genas data check shapes/cifar10")]
    Shapes {
        /// Directory to create
        dir: PathBuf,
        /// How many images: tiny (1,200), small (12,000) or full (60,000) in the CIFAR layout, and
        /// others in proportion
        #[arg(long, default_value = "small", value_name = "tiny|small|full")]
        scale: Scale,
    },
    /// Reads a data set through and names broken files; exit code 1 if there are any
    ///
    /// Recognises CIFAR-10 and CIFAR-100 binary folders, ImageNet16's batches, folders of images (train/CLASS, val/CLASS),
    /// tar shards and COCO (annotations/instances_SPLIT.json with images in SPLIT).
    #[command(after_help = "Example:\n  genas data check cifar-10-batches-bin")]
    Check {
        /// The data set
        dir: PathBuf,
    },
}

/// Published cells, with their sources and published figures
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas zoo
  genas zoo show GENAS_FLATNESS_CIFAR100")]
pub struct ZooArgs {
    #[command(subcommand)]
    pub action: Option<ZooAction>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ZooAction {
    /// Everything known about one cell
    Show {
        /// Its name; case does not count
        name: String,
    },
}

/// Exact cost of a network: parameters and operations for one image
///
/// `macs` counts multiply-accumulates; `paper_flops` is the count that the paper calls FLOPs, which
/// differs in the classifier only. With --target-flops the width is found that comes nearest.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas cost --cell GENAS_FLATNESS_CIFAR100 --network imagenet --channels 46
  genas cost --cell RUN/genotype.json --network imagenet --target-flops 600M
  genas cost --cell DROPNAS --network cifar --channels 36")]
pub struct CostArgs {
    /// A name of the zoo, 28 integers, any written form of a genotype, or a file with one
    #[arg(long, value_name = "CELL", allow_hyphen_values = true)]
    pub cell: String,
    /// The network
    #[arg(long, value_enum)]
    pub network: CostNetwork,
    /// Width of the first cell; an even number
    #[arg(long, value_name = "C", value_parser = even_width, required_unless_present = "target_flops")]
    pub channels: Option<usize>,
    /// Number of classes
    #[arg(long, value_name = "N", value_parser = count(1, 1_000_000))]
    pub classes: Option<usize>,
    /// Number of cells
    #[arg(long, value_name = "L", value_parser = count(1, 1000))]
    pub layers: Option<usize>,
    /// Side of the image
    #[arg(long, value_name = "PIXELS", value_parser = count(8, 65_536))]
    pub image: Option<usize>,
    /// Find the width whose paper FLOPs are nearest: 600M, 0.6G or a number
    #[arg(long, value_name = "FLOPS", value_parser = flops)]
    pub target_flops: Option<u64>,
}

/// What a run is made of.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Settings of the run: a file, or a preset (quickstart, laptop-cifar10, darts-cifar10, darts-cifar100)
    #[arg(long, value_name = "FILE|PRESET")]
    pub config: PathBuf,
    /// The data set
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The run directory
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Continue where the run stopped
    #[arg(long)]
    pub resume: bool,
    /// Override a setting, such as supernet.epochs=50; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Trains a supernet by sampling one path per step
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  genas supernet --config darts-cifar10 --data cifar-10-batches-bin --out runs/a")]
pub struct SupernetArgs {
    #[command(flatten)]
    pub run: RunArgs,
}

/// Searches a cell: trains the supernet if the run has none, then evolves candidates
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas search --config darts-cifar10 --data cifar-10-batches-bin --out runs/a
  genas search --config darts-cifar10 --data cifar-10-batches-bin --out runs/b \\
      --supernet runs/a --metric angle+flatness --set evolution.generations=5
  genas search ... --racing --set racing.budget=0.05   on a twentieth of the images, with estimates
  genas search ... --resume                   after an interruption: the same result as without it")]
pub struct SearchArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// How candidates are scored: flatness, angle, accuracy, angle+flatness, accuracy+flatness,
    /// angle+accuracy or angle+noisy-accuracy (docs/nasbench201.md)
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<Metric>,
    /// What computes the validation losses
    #[arg(long, value_enum)]
    pub scorer: Option<ScorerArg>,
    /// Let candidates race: one that certainly is not, or certainly is, among the parents is measured no further
    ///
    /// All candidates then share noise and recalibration images (metric.common-random-numbers). Scores of
    /// candidates that were not measured in full are estimates, marked in search.jsonl and top.json; the winner's
    /// is complete. A place is decided at racing.standard-errors (3). racing.budget (1) limits the images of a
    /// generation to a share of a full search's: 0.05 takes a twentieth of the images, and then places may be
    /// open when they are used up. docs/racing.md has measurements.
    #[arg(long)]
    pub racing: bool,
    /// Take the trained supernet of another run: of the same seed, images, supernet and data settings
    #[arg(long, value_name = "RUN")]
    pub supernet: Option<PathBuf>,
}

/// Scores given cells with a trained supernet
///
/// The supernet is a run's, or a file of weights: safetensors, or a published .pth.tar.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("source").required(true)))]
#[command(after_help = "\
Examples:
  genas score --cell GENAS_FLATNESS_CIFAR10 --run runs/a --data cifar-10-batches-bin
  genas score --cell DROPNAS --weights final.pth.tar --initial epoch_0.pth.tar \\
      --channels 16 --classes 10 --metric angle")]
pub struct ScoreArgs {
    /// A name of the zoo, 28 integers, any written form of a genotype, or a file with one
    #[arg(long, value_name = "CELL", required = true, allow_hyphen_values = true)]
    pub cell: Vec<String>,
    /// The run whose supernet scores
    #[arg(long, value_name = "RUN", group = "source", conflicts_with = "initial")]
    pub run: Option<PathBuf>,
    /// Trained weights of a supernet
    #[arg(long, value_name = "FILE", group = "source")]
    pub weights: Option<PathBuf>,
    /// Its weights before training, which the angle needs
    #[arg(long, value_name = "FILE", requires = "weights")]
    pub initial: Option<PathBuf>,
    /// Width of the supernet's first cell; an even number
    #[arg(long, value_name = "C", value_parser = even_width)]
    pub channels: Option<usize>,
    /// Number of classes of the supernet
    #[arg(long, value_name = "N", value_parser = count(1, 1_000_000))]
    pub classes: Option<usize>,
    /// Number of cells of the supernet
    #[arg(long, value_name = "L", default_value = "8", value_parser = count(1, 1000))]
    pub layers: usize,
    /// flatness, angle, accuracy, angle+flatness, accuracy+flatness, angle+accuracy or angle+noisy-accuracy
    #[arg(long, value_name = "METRIC")]
    pub metric: Option<Metric>,
    /// The data set, for every metric but the angle
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Settings, a file or a preset, where they are not the run's
    #[arg(long, value_name = "FILE|PRESET")]
    pub config: Option<PathBuf>,
    /// Override a setting, such as metric.validation-images=5000; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Trains a found cell from scratch, or fine-tunes a trained model on your own images
///
/// With --network imagenet and no --config, the recipe is the preset `imagenet` (PC-DARTS); `imagenet-genas` is the one
/// of the released GeNAS code. Photos are streamed from disk: DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg, or
/// WebDataset shards, DIR/train*.tar and DIR/val*.tar. RUN/retrain gets best.safetensors (best top-1),
/// final.safetensors, training.csv and, for TensorBoard, tensorboard/.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas retrain --config darts-cifar10 --data cifar-10-batches-bin --out runs/a --network cifar
  genas retrain --cell GENAS_FLATNESS_CIFAR100 --network imagenet --target-flops 600M \\
      --data imagenet --out runs/imagenet
  genas retrain --fine-tune model.onnx --data my-photos --out runs/mine
  genas export --onnx mine.onnx --run runs/mine")]
pub struct RetrainArgs {
    /// A name of the zoo, 28 integers, any written form of a genotype, or a file with one
    /// [default: the genotype that the run found]
    #[arg(long, value_name = "CELL", allow_hyphen_values = true)]
    pub cell: Option<String>,
    /// The run whose genotype is trained [default: --out]
    #[arg(long, value_name = "RUN", conflicts_with = "cell")]
    pub run: Option<PathBuf>,
    /// A trained model to go on from, .onnx of genas (BatchNorm not folded) or .safetensors: its network, image size
    /// and normalisation are kept, its classifier too if the classes are the same
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["cell", "run", "network", "channels", "layers", "target_flops"])]
    pub fine_tune: Option<PathBuf>,
    /// The network
    #[arg(long, value_enum, required_unless_present = "fine_tune")]
    pub network: Option<NetworkArg>,
    /// Settings, a file or a preset [default: of an unfinished training its own; else the preset imagenet or
    /// fine-tune, or for the CIFAR network the run's]
    #[arg(long, value_name = "FILE|PRESET")]
    pub config: Option<PathBuf>,
    /// The data set
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The run directory
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Width of the first cell; an even number
    #[arg(long, value_name = "C", value_parser = even_width, conflicts_with = "target_flops")]
    pub channels: Option<usize>,
    /// Number of cells
    #[arg(long, value_name = "L", value_parser = count(1, 1000))]
    pub layers: Option<usize>,
    /// Take the width whose paper FLOPs are nearest: 600M, 0.6G or a number
    #[arg(long, value_name = "FLOPS", value_parser = flops)]
    pub target_flops: Option<u64>,
    /// Compute every batch in this many replicas: the GPUs 0 to N-1, or on the CPU threads of their own
    #[arg(long, value_name = "N", value_parser = count(1, 1024))]
    pub replicas: Option<usize>,
    /// Continue where the run stopped
    #[arg(long)]
    pub resume: bool,
    /// Override a setting, such as retrain.epochs=100; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// How the images that a checkpoint was trained on were normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NormalizationArg {
    /// Not at all: colours from 0 to 1, as the published GeNAS code trains on ImageNet
    None,
    /// By ImageNet's mean and standard deviation, as DARTS and PC-DARTS train on ImageNet
    Imagenet,
    /// By CIFAR-10's, as DARTS trains from scratch
    Cifar10,
    /// By CIFAR-100's
    Cifar100,
}

/// Reads a PyTorch checkpoint and writes safetensors
///
/// Takes the published checkpoints of GeNAS and of DARTS; PyTorch is not needed. A checkpoint does not say how its
/// images were normalised, and a wrong normalisation costs accuracy: see --normalization.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  genas import model_best.pth.tar --cell GENAS_FLATNESS_CIFAR100 --network imagenet \\
      --channels 46 --classes 1000 --out genas.safetensors")]
pub struct ImportArgs {
    /// The checkpoint: .pth or .pth.tar
    pub checkpoint: PathBuf,
    /// The cell that it was trained with
    #[arg(long, value_name = "CELL", allow_hyphen_values = true)]
    pub cell: String,
    /// The network
    #[arg(long, value_enum)]
    pub network: NetworkArg,
    /// Width of the first cell; an even number
    #[arg(long, value_name = "C", value_parser = even_width)]
    pub channels: usize,
    /// Number of classes
    #[arg(long, value_name = "N", value_parser = count(1, 1_000_000))]
    pub classes: usize,
    /// Number of cells [default: 14 for imagenet, 20 for cifar]
    #[arg(long, value_name = "L", value_parser = count(1, 1000))]
    pub layers: Option<usize>,
    /// How its images were normalised [default: none for imagenet; for cifar cifar10, with 100 classes cifar100]
    #[arg(long, value_enum)]
    pub normalization: Option<NormalizationArg>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// What an ONNX file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportKind {
    /// Output `logits`
    Classifier,
    /// Outputs `c2`, `c3`, `c4`, `c5` at strides 4, 8, 16 and 32, for detectors and segmenters
    Backbone,
    /// A trained detector: see --form
    Detector,
    /// A trained segmenter: see --form
    Segmenter,
}

/// What the file of a detector or a segmenter gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormArg {
    /// Of a detector: outputs `boxes`, `scores`, `labels` and `batch_index`
    EndToEnd,
    /// Of a detector: logits, box corrections and anchors of each level
    Raw,
    /// Of a segmenter: output `logits`, a number for each class at every pixel
    Logits,
    /// Of a segmenter: output `labels`, the class of each pixel
    Labels,
}

/// Number format of an ONNX file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// 32-bit floating point
    Fp32,
    /// 16-bit floating point; BatchNorm is folded, and the weights cannot be read back
    Fp16,
    /// 8-bit integers, by the ranges that --calibrate finds; the weights cannot be read back
    Int8,
}

/// How an int8 file writes what flows between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ActivationsArg {
    /// With zero points: all in integers in ONNX Runtime and OpenVINO
    Uint8,
    /// Symmetric, as TensorRT needs it
    Int8,
}

/// How ranges are chosen for 8-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CalibrationArg {
    /// From the smallest number to the largest
    Minmax,
    /// Without the rarest numbers
    Percentile,
    /// Where the distribution loses the least information, as TensorRT does it
    Entropy,
}

/// Which feature maps a backbone gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FeaturesArg {
    /// As the cells compute them: their consumer rectifies
    Raw,
    /// After a ReLU
    Relu,
}

/// A dimension that an ONNX file leaves free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AxisArg {
    /// Images per run
    Batch,
    /// Image height
    Height,
    /// Image width
    Width,
    /// No dimension: one image of the network's input size
    None,
}

/// Writes a trained network as ONNX and verifies it against burn
///
/// The file describes itself (classes, normalisation, input size, genotype, origin): it alone is
/// enough to evaluate, to deploy, and to train on. The same description is written beside it, as FILE.json.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("source").required(true)))]
#[command(after_help = "\
Examples:
  genas export --run runs/a --onnx a.onnx
  genas export --weights genas.safetensors --onnx genas.onnx --fold-bn --opset 17
  genas export --weights a.onnx --onnx b.onnx --dynamic batch,height,width
  genas export --weights a.onnx --onnx backbone.onnx --kind backbone --dynamic batch,height,width
  genas export --run runs/coco --onnx raw.onnx --kind detector --form raw --fold-bn --opset 13
  genas export --run runs/city --onnx labels.onnx --kind segmenter --form labels --fold-bn
  genas export --weights a.onnx --onnx half.onnx --precision fp16 --fp16-io
  genas export --weights a.onnx --onnx int8.onnx --precision int8 --calibrate imagenet")]
pub struct ExportArgs {
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub onnx: PathBuf,
    /// The run whose retrained network is exported
    #[arg(long, value_name = "RUN", group = "source")]
    pub run: Option<PathBuf>,
    /// Weights: .safetensors, or an .onnx that genas wrote; of a detector or segmenter too, such as
    /// RUN/coco/best.safetensors
    #[arg(long, value_name = "FILE", group = "source")]
    pub weights: Option<PathBuf>,
    /// What the file is for
    #[arg(long, value_enum, default_value = "classifier")]
    pub kind: ExportKind,
    /// What the file of a detector or segmenter gives [default: end-to-end, logits]
    #[arg(long, value_enum)]
    pub form: Option<FormArg>,
    /// Feature maps of a backbone [default: raw]
    #[arg(long, value_enum)]
    pub features: Option<FeaturesArg>,
    /// Its number format
    #[arg(long, value_enum, default_value = "fp32")]
    pub precision: PrecisionArg,
    /// With --precision fp16: inputs and outputs in 16 bits too
    #[arg(long)]
    pub fp16_io: bool,
    /// With --precision int8: a data set, or any folder of images like those that the model will see
    #[arg(long, value_name = "DIR")]
    pub calibrate: Option<PathBuf>,
    /// How ranges are chosen
    #[arg(long, value_enum, default_value = "minmax", requires = "calibrate")]
    pub calibration: CalibrationArg,
    /// With --calibration percentile: how many numbers of a hundred lie below the upper end
    #[arg(long, value_name = "P", default_value_t = genas_export::DEFAULT_PERCENTILE, requires = "calibrate")]
    pub percentile: f64,
    /// Images to calibrate with, at most
    #[arg(long, value_name = "N", default_value = "256", value_parser = count(1, 10_000), requires = "calibrate")]
    pub calibration_images: usize,
    /// Other images of --calibrate on which the int8 file is compared with fp32, at most
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count(1, 1_000_000), requires = "calibrate")]
    pub accuracy_images: usize,
    /// How activations are written
    #[arg(long, value_enum, default_value = "uint8", requires = "calibrate")]
    pub activations: ActivationsArg,
    /// Fold BatchNorm into the convolutions; the weights cannot be read back then
    #[arg(long)]
    pub fold_bn: bool,
    /// Operator set, 13 to 21
    #[arg(long, value_name = "N", default_value = "17", value_parser = clap::value_parser!(i64).range(13..=21))]
    pub opset: i64,
    /// Dimensions that stay free, separated by commas [default: batch; of detectors and segmenters all three]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "AXES")]
    pub dynamic: Vec<AxisArg>,
    /// Class names, one a line, in the order of the logits
    #[arg(long, value_name = "FILE")]
    pub classes_file: Option<PathBuf>,
}

impl ExportArgs {
    /// Whether a dimension stays free.
    pub fn is_free(&self, axis: AxisArg) -> bool {
        match self.dynamic.as_slice() {
            [] => axis == AxisArg::Batch || matches!(self.kind, ExportKind::Detector | ExportKind::Segmenter),
            chosen => chosen.contains(&axis),
        }
    }
}

/// Loads a model in ONNX Runtime and compares it with burn
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas verify a.onnx                         with the weights in the file itself
  genas verify folded.onnx --weights a.safetensors")]
pub struct VerifyArgs {
    /// A model that genas wrote
    pub model: PathBuf,
    /// The weights that it was written from: .safetensors or .onnx
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
}

/// Accuracy of model files, through ONNX Runtime
///
/// Classes are matched by name, or by their sorted order where the names differ and the number does not. Folders of
/// ImageNet-V2 are matched by number. On ImageNet-A only the scores of its 200 classes count. ImageNet-O asks how
/// well its images are told from those of --in-distribution. Images are read as Pillow and torchvision read them,
/// EXIF orientation not applied.
///
/// Several models or sets give a Markdown table, and with --json an object with `rows`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas evaluate a.onnx --set cifar10 --data cifar-10-batches-bin
  genas evaluate b.onnx --set folder --data photos --predictions p.csv --ignore-labels
  genas evaluate a.onnx b.onnx --set imagenet --data imagenet \\
      --set imagenet-v2 --data imagenetv2-matched-frequency-format-val --csv table.csv
  genas evaluate a.onnx --set imagenet-v2 --data imagenetv2 --out runs/a     for `genas report runs/a`
  genas evaluate a.onnx --set imagenet-o --data imagenet-o --in-distribution imagenet/val
  genas evaluate resnet.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --size 224 \\
      --set imagenet --data imagenet")]
pub struct EvaluateArgs {
    /// Models that genas wrote; those of other programs with --mean, --std and --size
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// The data set: imagenet, imagenet-v2, imagenet-a, imagenet-o, folder, cifar10 or cifar100; may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub set: Vec<EvalSet>,
    /// Where it is; with several sets one for each, in their order, or one for all
    #[arg(long, value_name = "DIR", required = true)]
    pub data: Vec<PathBuf>,
    /// For imagenet-o: ImageNet's validation images, of which those of imagenet-o's classes are used
    #[arg(long, value_name = "DIR")]
    pub in_distribution: Option<PathBuf>,
    /// Write `file,label,top1,score` of every image
    #[arg(long, value_name = "CSV")]
    pub predictions: Option<PathBuf>,
    /// Write the results, one row per model and set
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Keep the results in the folder of a run too, for its report: a line per model and set in RUN/evaluate.jsonl
    #[arg(long, value_name = "RUN", conflicts_with = "ignore_labels")]
    pub out: Option<PathBuf>,
    /// Compute predictions only, whatever the classes
    #[arg(long)]
    pub ignore_labels: bool,
    /// Images per run
    #[arg(long, value_name = "N", default_value = "64", value_parser = count(1, 65_536))]
    pub batch_size: usize,
    /// What is subtracted from the colours, pixels in 0 to 1 [default: what the file says]
    #[arg(long, value_name = "R,G,B", value_parser = colours, allow_hyphen_values = true)]
    pub mean: Option<[f32; 3]>,
    /// What divides the colours then [default: what the file says]
    #[arg(long, value_name = "R,G,B", value_parser = positive_colours)]
    pub std: Option<[f32; 3]>,
    /// Side of the images [default: what the file says]
    #[arg(long, value_name = "PIXELS", value_parser = count(8, 65_536))]
    pub size: Option<usize>,
}

/// Latency and throughput of a model file
///
/// Warms up, keeps each thread on a core of its own, and gives the median, the 95th percentile and the images per second
/// at the median, for each number of images per run.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas bench a.onnx
  genas bench a.onnx --batch 1,32 --threads 1 --provider cpu")]
pub struct BenchArgs {
    /// A model that genas wrote; another program's with --size
    pub model: PathBuf,
    /// Images per run, separated by commas [default: 1,8,64]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = count(1, 65_536))]
    pub batch: Vec<usize>,
    /// Seconds per batch size
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub seconds: f64,
    /// Side of the images [default: what the file says]
    #[arg(long, value_name = "PIXELS", value_parser = count(8, 65_536))]
    pub size: Option<usize>,
    /// Write the rows as a table
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
