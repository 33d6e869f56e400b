//! Arguments of `genas rank`.

use std::path::PathBuf;

use clap::Args;

use super::Nb201SetArg;
use crate::values::count;

/// How well metrics rank the cells of NAS-Bench-201, against their accuracies trained alone
///
/// Trains a supernet, measures cells with its weights, and computes Kendall's tau, with 95 % intervals, of flatness, angle,
/// accuracy, loss and more with the benchmark's accuracies; also among the better half of the cells, and against
/// parameters and FLOPs, which need no training. A cell is measured once for all metrics.
///
/// RUN receives the supernet, cells.jsonl (to resume from), scores.csv, result.json, and scatter/ with a picture for each
/// metric.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Presets: nb201-laptop, nb201-cifar10, nb201-ablations, nb201-ablations-cifar10

Examples:
  genas rank --config nb201-laptop --data cifar-10-batches-bin --truth nb201_15625.csv --out runs/rank --sample 1000
  genas rank --config nb201-laptop --data cifar-10-batches-bin --truth nb201_15625.csv --out runs/rank --resume
  genas rank --config nb201-laptop --data cifar-10-batches-bin --truth nb201_15625.csv --out runs/rank --resume \
    --evolve noisy-loss/paper --set evolution.seeds=3
  genas rank --config nb201-laptop --data ImageNet16 --set data.image-size=16 --truth nb201_15625.csv --out runs/16
  genas rank --config my.toml --data cifar100 --truth nb201_15625.csv --out runs/100 --sample 500 --unique")]
pub struct RankArgs {
    /// Settings: a file or one of the presets below
    #[arg(long, value_name = "FILE|PRESET")]
    pub config: PathBuf,
    /// CIFAR-10, CIFAR-100 or ImageNet16-120, whose training images are halved
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Accuracies of all cells: a table with a column `arch` (docs/nasbench201.md)
    #[arg(long, value_name = "CSV|DIR")]
    pub truth: PathBuf,
    /// Which accuracies [default: by the number of classes of the data]
    #[arg(long, value_name = "SET")]
    pub truth_set: Option<Nb201SetArg>,
    /// The run directory
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Only so many cells, drawn by the seed; a smaller sample is part of a larger one [default: all 15,625]
    #[arg(long, value_name = "N", value_parser = count(2, 15_625))]
    pub sample: Option<usize>,
    /// Measure isomorphic cells once
    #[arg(long)]
    pub unique: bool,
    /// Evolve by this metric too, several times, and say how far what it finds is from the best cell, beside random search
    /// with as many cells; cells that are met on the way are measured
    #[arg(long, value_name = "METRIC")]
    pub evolve: Option<String>,
    /// Continue where the run stopped; also after --sample or metrics were changed
    #[arg(long)]
    pub resume: bool,
    /// Override a setting, such as measure.validation-images=1000; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}
