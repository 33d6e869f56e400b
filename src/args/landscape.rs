//! Arguments of `genas landscape`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::values::{count, positive};

/// Loss against perturbation: how flat the minimum is that a network lies in
///
/// Moves trained weights along random directions, the same for all networks, and measures the loss on images that they were
/// not trained on: as curves, or with --surface on the plane of two directions (the paper's Figures 1 to 3).
///
/// The networks are cells of a run's supernet (its winner, or --cell), retrained networks of one or several runs, or the
/// best, middle and worst cells of a `genas rank` run. DIR receives curves.svg, accuracy.svg, curves.csv and curves.json, or
/// surface.svg, surface.csv and surface.json; and landscape.jsonl, to resume from.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas landscape --run runs/a --data cifar-10-batches-bin
  genas landscape --run runs/a --data cifar-10-batches-bin --cell GENAS_FLATNESS_CIFAR100 \\
      --cell RLDARTS_OURS_GT --max-sigma 0.02 --steps 10 --draws 10
  genas landscape --run runs/a --data cifar-10-batches-bin --surface
  genas landscape --run runs/angle --run runs/angle-flatness --data cifar-10-batches-bin    Figure 3
  genas landscape --run runs/rank --data cifar-100-binary --top-middle-bottom 5             Figure 2

How to read the pictures: docs/landscape.md.")]
pub struct LandscapeArgs {
    /// A run: of search, supernet or rank, or several of retrain to be compared
    #[arg(long, value_name = "RUN", required = true)]
    pub run: Vec<PathBuf>,
    /// The data set of the run
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Which networks of the run [default: supernet if there is one and one run, else retrained]
    #[arg(long, value_enum, value_name = "KIND")]
    pub of: Option<SourceArg>,
    /// A cell of the supernet; may be repeated [default: the run's winner]
    ///
    /// A name of the zoo, 28 integers, any written form of a genotype, or a file with one; of a rank run an architecture
    /// string or an official index.
    #[arg(long, value_name = "CELL", allow_hyphen_values = true, conflicts_with = "top_middle_bottom")]
    pub cell: Vec<String>,
    /// Of a rank run: curves of its K best, K middle and K worst cells [default: 3]
    #[arg(long, value_name = "K", value_parser = count(1, 5_208))]
    pub top_middle_bottom: Option<usize>,
    /// What is best: truth, the accuracies trained alone, or a metric of its scores.csv, such as flatness/paper
    #[arg(long, value_name = "truth|METRIC", default_value = "truth", conflicts_with = "cell")]
    pub by: String,
    /// Noise levels, increasing; 0 is always there
    #[arg(long, value_name = "S,...", value_delimiter = ',', conflicts_with_all = ["max_sigma", "steps", "surface"])]
    pub sigmas: Vec<f64>,
    /// The largest noise level, or how far a surface reaches [default: 0.04; of filter norms 0.3]
    #[arg(long, value_name = "X", value_parser = positive)]
    pub max_sigma: Option<f64>,
    /// Noise levels above 0
    #[arg(long, value_name = "N", value_parser = count(1, 1000), default_value = "8", conflicts_with = "surface")]
    pub steps: usize,
    /// Random directions
    #[arg(long, value_name = "N", value_parser = count(1, 10_000), default_value = "5", conflicts_with = "surface")]
    pub draws: usize,
    /// Images that a loss is of [default: 1000; of photos 250]
    #[arg(long, value_name = "N", value_parser = count(1, 10_000_000))]
    pub images: Option<usize>,
    /// What noise levels are measured in [default: absolute; surfaces are always of filter norms]
    #[arg(long, value_enum, value_name = "SCALE")]
    pub noise_scale: Option<NoiseScaleArg>,
    /// Build BatchNorm's statistics anew under noise; those of retrained networks also without
    #[arg(long)]
    pub recalibrate: bool,
    /// A surface on two directions, of one network, instead of curves
    #[arg(long)]
    pub surface: bool,
    /// Places along a side of the surface, an odd number
    #[arg(long, value_name = "N", value_parser = count(3, 1001), default_value = "15", requires = "surface")]
    pub grid: usize,
    /// Where everything goes [default: RUN/landscape]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write the picture of the loss here instead
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Write the numbers here instead
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Continue where it stopped; also with other cells, levels or draws, and to replace finished pictures
    #[arg(long)]
    pub resume: bool,
}

/// Networks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceArg {
    /// Cells with the weights of the supernet
    Supernet,
    /// The network that was trained from scratch
    Retrained,
}

/// What a noise level is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NoiseScaleArg {
    /// Standard deviation of the noise of each parameter, as in the paper
    Absolute,
    /// Norm of the noise over that of each filter; BatchNorm and biases get none (Li et al. 2018)
    Filter,
}
