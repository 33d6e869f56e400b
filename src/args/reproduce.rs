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
    /// Search metrics, by ImageNet accuracy
    Table2,
    /// Methods of the DARTS space, by ImageNet accuracy
    Table3,
    /// Methods by accuracy on shifted sets, detection and segmentation
    Table4,
    /// Flatness by the range of sigma, against true accuracies
    Table5,
    /// Flatness by alpha
    Table6,
    /// Flatness by which weights are perturbed, and in which direction
    Table7,
    /// Angle and flatness: the share of flatness in the score, by gamma
    Table8,
    /// Accuracy and flatness, likewise
    Table9,
    /// Angle and accuracy: the share of accuracy
    Table10,
    /// Minima of a cell found by angle, and of one found by flatness
    Fig1,
    /// Loss under noise of the best, middle and worst cells of NAS-Bench-201
    Fig2,
    /// Loss under noise of cells found by different metrics
    Fig3,
    /// What a search costs
    Fig4,
    /// The cell found by flatness on CIFAR-100
    Fig5,
    /// The cell found by angle
    Fig6,
    /// The cell found by angle and flatness
    Fig7,
}

impl Target {
    /// As it is typed: `table5`.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// As the paper calls it: `Table 5`.
    pub fn title(self) -> String {
        let name = self.name();
        match name.strip_prefix("table") {
            Some(number) => format!("Table {number}"),
            None => format!("Figure {}", name.trim_start_matches("fig")),
        }
    }
}

/// The paper's tables and figures beside what is measured here
///
/// Every table has the paper's numbers and the measured ones in one row, and says which is which; what cannot be had is
/// said in a line. Tables go to DIR/tables as JSON, figures to DIR/figures as SVG.
///
/// Tables 1, 5, 6 and 7 are of NAS-Bench-201: what DIR lacks is run (the supernet, cells) with --config, --data and
/// --truth, and what DIR holds is not measured again: then it takes seconds, and needs none of them. DIR is a run of `genas
/// rank`, with everything in it. The paper's numbers are of all 15,625 cells and a supernet of 250 epochs: preset
/// nb201-ablations-cifar10, work for a GPU.
///
/// Tables 2 to 4 count the published cells, and put the runs of --run beside them. Tables 8 to 10 are of the scores of a
/// search (--run). Figures 1 to 3 measure losses with the weights of --run on --data, Figure 4 is of the times of --run, and
/// Figures 5 to 7 are drawn.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Presets: nb201-ablations, nb201-ablations-cifar10

Examples:
  genas reproduce table5 --config nb201-ablations --data cifar-10-batches-bin --truth nb201_15625.csv --sample 500 --out runs/a
  genas reproduce table7 --out runs/a              of the same cells, in seconds
  genas reproduce table1 --config nb201-ablations-cifar10 --data ImageNet16 --set data.image-size=16 --out runs/b
  genas reproduce table4 --run runs/mine --out paper
  genas reproduce table8 --run runs/angle-flatness --out paper
  genas reproduce fig2 --run runs/a --data cifar-10-batches-bin --out paper
  genas reproduce fig5 --out paper")]
pub struct ReproduceArgs {
    /// What to reproduce
    #[arg(value_enum, value_name = "TARGET")]
    pub target: Target,
    /// Where results go; of tables 1, 5, 6 and 7 the run directory
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A run that the table or figure is of, or that stands in it; may be repeated
    #[arg(long, value_name = "RUN")]
    pub run: Vec<PathBuf>,
    /// Settings: a file or one of the presets below [default: RUN's]
    #[arg(long, value_name = "FILE|PRESET")]
    pub config: Option<PathBuf>,
    /// The images, if anything must be measured; of tables CIFAR-10, CIFAR-100 or ImageNet16-120
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
