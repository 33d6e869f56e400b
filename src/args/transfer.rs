//! Arguments of `genas transfer`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use crate::values::{count, positive, size};

/// What a backbone is worth for other tasks
#[derive(Clone, Debug, Args)]
pub struct TransferArgs {
    #[command(subcommand)]
    pub action: TransferAction,
}

impl TransferArgs {
    /// Whether a model is trained or run, which takes its time.
    pub fn runs_a_model(&self) -> bool {
        match &self.action {
            TransferAction::Coco(args) => args.results.is_none(),
            TransferAction::Cityscapes(_) => true,
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
pub enum TransferAction {
    Coco(CocoArgs),
    Cityscapes(CityscapesArgs),
}

/// A model to fine-tune on a backbone.
#[derive(Clone, Debug, Args)]
pub struct FineTuneArgs {
    /// A trained network of the ImageNet kind to fine-tune a model on: .onnx of genas (BatchNorm not folded) or
    /// .safetensors
    #[arg(long, value_name = "MODEL", groups = ["source", "pictures"], requires = "out")]
    pub backbone: Option<PathBuf>,
    /// With --backbone: settings, a file or one of the presets below [default: of an unfinished training its own; else the
    /// first preset]
    #[arg(long, value_name = "FILE|PRESET", requires = "backbone")]
    pub config: Option<PathBuf>,
    /// With --backbone: the run directory
    #[arg(long, value_name = "RUN", requires = "backbone")]
    pub out: Option<PathBuf>,
    /// With --backbone: continue where the training stopped
    #[arg(long, requires = "backbone")]
    pub resume: bool,
    /// With --backbone: override a setting, such as solver.batch-size=8; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "backbone")]
    pub set: Vec<String>,
}

/// Objects in photos: a RetinaNet fine-tuned on a backbone, and the average precision of it, of another detector, or of
/// a file of detections, as pycocotools computes it
///
/// Numbers are fractions; -1 stands for an average over no objects. A detector's pictures are resized, and its objects
/// chosen, as its file says; on a CPU each core runs pictures of its own.
///
/// With --backbone, RUN/coco receives the training's state and curves, the detector as detector.onnx (from images to
/// objects) and detector-raw.onnx (from images to the network's numbers), what it found on val2017, and pictures of that.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("source").required(true))]
#[command(group = ArgGroup::new("pictures").multiple(true))]
#[command(after_help = "\
Presets: coco-retinanet-1x, coco-retinanet-3x, coco-shapes

Examples:
  genas transfer coco --backbone a.onnx --data coco --config coco-retinanet-1x --out runs/a
  genas transfer coco --backbone a.onnx --data coco --out runs/a --set solver.accumulate=4 --resume
  genas transfer coco --model detector.onnx --data coco --detections found.json
  genas transfer coco --model detector.onnx --data coco --draw pictures --draw-above 0.5
  genas transfer coco --results found.json --data coco
  genas transfer coco --results found.json --data instances_val2017.json --per-class --curves curves.svg")]
pub struct CocoArgs {
    #[command(flatten)]
    pub fine_tune: FineTuneArgs,
    /// A detector that genas wrote, raw or end-to-end
    #[arg(long, value_name = "DETECTOR.onnx", group = "source")]
    pub model: Option<PathBuf>,
    /// Detections in COCO's results format: a list of image_id, category_id, bbox and score
    #[arg(long, value_name = "JSON", group = "source")]
    pub results: Option<PathBuf>,
    /// COCO 2017: annotations/instances_SPLIT.json, and the images in SPLIT; for --results, an instances file will do
    #[arg(long, value_name = "DIR|JSON")]
    pub data: PathBuf,
    /// The images, such as train2017
    #[arg(long, value_name = "SPLIT", default_value = "val2017")]
    pub split: String,
    /// Write what the detector found, in COCO's results format
    #[arg(long, value_name = "JSON", conflicts_with = "results")]
    pub detections: Option<PathBuf>,
    /// The first images only: a try, not a result
    #[arg(long, value_name = "N", value_parser = count(1, usize::MAX), conflicts_with = "results")]
    pub limit: Option<usize>,
    /// Every class too
    #[arg(long)]
    pub per_class: bool,
    /// Draw precision against recall
    #[arg(long, value_name = "SVG")]
    pub curves: Option<PathBuf>,
    /// Draw detections, and dashed what there is, on images: PNG files in this directory
    #[arg(long, value_name = "DIR", group = "pictures")]
    pub draw: Option<PathBuf>,
    /// How many images are drawn, from the first on
    #[arg(long, value_name = "N", default_value = "12", value_parser = count(1, usize::MAX), requires = "pictures")]
    pub draw_images: usize,
    /// Only detections with higher scores are drawn
    #[arg(long, value_name = "SCORE", default_value = "0.3", requires = "pictures")]
    pub draw_above: f64,
}

/// Classes of pixels: a DeepLab-v3 fine-tuned on a backbone, and the mean IoU of it or of another segmenter
///
/// Cityscapes as it is distributed, or any images with label files: `genas data check DIR` says whether they are
/// understood. Pictures are resized and cut into windows as the segmenter's file says; on a CPU each core runs pictures of
/// its own.
///
/// With --backbone, RUN/cityscapes receives the training's state and curves, the segmenter as segmenter.onnx (from images to
/// logits of their size) and segmenter-labels.onnx (to labels), its result on the split, the confusion matrix, and a sheet of
/// pictures.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("source").required(true))]
#[command(group = ArgGroup::new("pictures").multiple(true))]
#[command(after_help = "\
Presets: cityscapes-deeplabv3-40k, cityscapes-deeplabv3-80k, cityscapes-deeplabv3-769, cityscapes-camvid

Examples:
  genas transfer cityscapes --backbone a.onnx --data cityscapes --config cityscapes-deeplabv3-40k --out runs/a
  genas transfer cityscapes --backbone a.onnx --data camvid --classes camvid --config cityscapes-camvid --out runs/a
  genas transfer cityscapes --model segmenter.onnx --data cityscapes --predictions labels --per-class
  genas transfer cityscapes --model segmenter.onnx --data cityscapes --scales 0.5,1,1.5 --flip
  genas transfer cityscapes --model segmenter.onnx --data cityscapes --crop 769x769 --stride 513x513")]
pub struct CityscapesArgs {
    #[command(flatten)]
    pub fine_tune: FineTuneArgs,
    /// A segmenter that genas wrote
    #[arg(long, value_name = "SEGMENTER.onnx", group = "source")]
    pub model: Option<PathBuf>,
    /// Images with labels: Cityscapes (leftImg8bit, gtFine), SPLIT and SPLITannot, or images/SPLIT and labels/SPLIT
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// What the values in label files mean: a file, or the built-in cityscapes or camvid [default: classes.toml of the data;
    /// for its layout Cityscapes; else the segmenter's own]
    #[arg(long, value_name = "FILE|TABLE")]
    pub classes: Option<String>,
    /// The images that are measured
    #[arg(long, value_name = "SPLIT", default_value = "val")]
    pub split: String,
    /// The first images only: a try, not a result
    #[arg(long, value_name = "N", value_parser = count(1, usize::MAX))]
    pub limit: Option<usize>,
    /// Measure at these sizes and average: factors of the pictures' own, separated by commas
    #[arg(long, value_name = "FACTOR,...", value_delimiter = ',', value_parser = positive)]
    pub scales: Vec<f64>,
    /// Measure mirrored pictures too, and average
    #[arg(long)]
    pub flip: bool,
    /// Whole pictures, even if the segmenter's file says windows
    #[arg(long, conflicts_with = "crop")]
    pub whole: bool,
    /// Cut pictures into windows of this size, and average where they overlap
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size, requires = "stride")]
    pub crop: Option<[usize; 2]>,
    /// With --crop: from one window to the next
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size, requires = "crop")]
    pub stride: Option<[usize; 2]>,
    /// Every class too
    #[arg(long)]
    pub per_class: bool,
    /// Write what the segmenter says as PNG files of label ids
    #[arg(long, value_name = "DIR")]
    pub predictions: Option<PathBuf>,
    /// Write it in colours over the pictures
    #[arg(long, value_name = "DIR")]
    pub overlays: Option<PathBuf>,
    /// Draw the confusion matrix
    #[arg(long, value_name = "SVG")]
    pub confusion: Option<PathBuf>,
    /// Draw a sheet of picture, labels and prediction, row by row
    #[arg(long, value_name = "PNG", group = "pictures")]
    pub sheet: Option<PathBuf>,
    /// How many rows the sheet has, from the first image on
    #[arg(long, value_name = "N", default_value = "8", value_parser = count(1, 1000), requires = "pictures")]
    pub sheet_images: usize,
}
