//! Arguments of `genas draw`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use crate::values::{count, even_width};

/// A network that a cell is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DrawNetwork {
    /// The ImageNet network: 14 cells, 224 pixels, 1000 classes
    Imagenet,
    /// The CIFAR network: 20 cells, 32 pixels, 10 classes
    Cifar,
    /// The network of NAS-Bench-201: three stages of 5 cells, 32 pixels, 10 classes
    Nb201,
}

/// Draws cells, or a whole network, as an SVG picture
///
/// A cell's picture has its inputs, nodes, operations and output, as in the paper's Figures 5 to 7; several cells stand side
/// by side. A network's picture has its stages, from the image down, with their widths, sizes, strides and parameters: that
/// of a file of any kind (--model: classifiers, backbones, detectors, segmenters, .onnx or .safetensors), or the one that a
/// cell is put into (--network). Pictures are readable in print and on dark ground, and say more where they are pointed at.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["cell", "run", "model"]))]
#[command(after_help = "\
Examples:
  genas draw --cell GENAS_FLATNESS_CIFAR100 --svg figure5.svg
  genas draw --cell RLDARTS_OURS_GT --cell runs/a --svg side-by-side.svg
  genas draw --run runs/a --svg winner.svg
  genas draw --cell GENAS_FLATNESS_CIFAR100 --network imagenet --channels 46 --svg network.svg
  genas draw --model segmenter.onnx --svg segmenter.svg
  genas draw --cell '|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|' --svg nb201.svg")]
pub struct DrawArgs {
    /// A name of the zoo, 28 integers, any written form of a genotype, a file or a run with one; or a cell of
    /// NAS-Bench-201 (6 integers, its string, or a name). May be repeated
    #[arg(long, value_name = "CELL", allow_hyphen_values = true)]
    pub cell: Vec<String>,
    /// The winner of a run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["cell", "model"])]
    pub run: Option<PathBuf>,
    /// The network of a file that genas wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cell", "network"])]
    pub model: Option<PathBuf>,
    /// Draw the network that the cell is put into
    #[arg(long, value_enum)]
    pub network: Option<DrawNetwork>,
    /// Width of the first cell; an even number [default: 46 (imagenet), 36 (cifar), 16 (nb201)]
    #[arg(long, value_name = "C", value_parser = even_width, requires = "network")]
    pub channels: Option<usize>,
    /// Number of cells; of nb201, in a stage
    #[arg(long, value_name = "L", value_parser = count(1, 1000), requires = "network")]
    pub layers: Option<usize>,
    /// Number of classes
    #[arg(long, value_name = "N", value_parser = count(1, 1_000_000), requires = "network")]
    pub classes: Option<usize>,
    /// Side of the image that sizes are given for [default: the network's usual; 512 for detectors and segmenters]
    #[arg(long, value_name = "PIXELS", value_parser = count(32, 65_536))]
    pub image: Option<usize>,
    /// The picture to write
    #[arg(long, value_name = "FILE")]
    pub svg: PathBuf,
}
