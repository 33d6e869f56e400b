//! Arguments of `genas reproduce`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::values::count;

/// What of the paper is reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Kendall's tau between angle and flatness
    Table1,
    /// Flatness by the range of sigma, against true accuracies
    Table5,
    /// Flatness by alpha
    Table6,
    /// Flatness by which weights are perturbed, and in which direction
    Table7,
}

/// The paper's tables beside what is measured here
///
/// Runs what RUN lacks (the supernet, cells), and prints the paper's value and the measured one, with its 95 % interval, row
/// by row. What RUN holds is not measured again: then neither --data nor --config is needed, and it takes seconds. RUN is
/// that of `genas rank`, with everything in it; the table goes to RUN/tables as JSON.
///
/// The paper's numbers are of all 15,625 cells and a supernet of 250 epochs: preset nb201-ablations-cifar10, work for a GPU.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Presets: nb201-ablations, nb201-ablations-cifar10

Examples:
  genas reproduce table5 --config nb201-ablations --data cifar-10-batches-bin --truth nb201_15625.csv --sample 500 --out runs/a
  genas reproduce table7 --out runs/a              of the same cells, in seconds
  genas reproduce table1 --config nb201-ablations-cifar10 --data ImageNet16 --set data.image-size=16 --out runs/b")]
pub struct ReproduceArgs {
    /// What to reproduce
    #[arg(value_enum, value_name = "TARGET")]
    pub target: Target,
    /// The run directory
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Settings: a file or one of the presets below [default: RUN's]
    #[arg(long, value_name = "FILE|PRESET")]
    pub config: Option<PathBuf>,
    /// CIFAR-10, CIFAR-100 or ImageNet16-120, if anything must be measured
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Accuracies of all cells: a table with a column `arch` (docs/nasbench201.md); table 1 needs none [default: those in
    /// RUN/scores.csv]
    #[arg(long, value_name = "CSV|DIR")]
    pub truth: Option<PathBuf>,
    /// Only so many cells, drawn by the seed; a smaller sample is part of a larger one [default: the cells of
    /// RUN/scores.csv, else all 15,625]
    #[arg(long, value_name = "N", value_parser = count(2, 15_625))]
    pub sample: Option<usize>,
    /// Continue where the run stopped
    #[arg(long)]
    pub resume: bool,
    /// Override a setting, such as measure.validation-images=1000; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}
