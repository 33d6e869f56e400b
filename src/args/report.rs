//! Arguments of `genas report` and `genas compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A run as one page, to look at and to send: what was done, what was found, and how to do it again
///
/// One HTML file that loads nothing: it opens without a network, from an e-mail, on a phone. It has sections for what is in
/// the run's folder: cells, search, training, accuracy, detection, segmentation, ranking, loss landscape, time, exported
/// files, settings and commands. A run that is half done, or whose files are damaged, has a report too, which names what is
/// missing.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas report runs/a
  genas report runs/a --out a.html
  genas evaluate a.onnx --set imagenet-v2 --data imagenetv2 --out runs/a    and then the report has it")]
pub struct ReportArgs {
    /// The run's folder
    pub run: PathBuf,
    /// File to write [default: RUN/report.html]
    #[arg(long, value_name = "HTML")]
    pub out: Option<PathBuf>,
}

/// Which published rows stand beside measured ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PublishedArg {
    /// Every row of the paper's Tables 2 to 4
    All,
    /// The rows of the cells that are compared
    Cells,
    /// None
    None,
}

/// Runs and cells side by side, as in the paper's Tables 2 to 4, with published rows beside measured ones
///
/// A run shows what was measured of its cell; a model file or a cell shows what it costs, counted exactly. Every row says
/// whether it was measured here, counted, or published.
///
/// Published accuracies are of single trainings on ImageNet; a row that was measured on other data says so, and is not to
/// be compared with them.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  genas compare runs/a runs/b
  genas compare runs/a GENAS_FLATNESS_CIFAR100 model.onnx --published cells
  genas compare runs/* --published none --html compared.html --csv compared.csv")]
pub struct CompareArgs {
    /// Folders of runs, ONNX files of genas, names of the zoo, or any written form of a genotype
    #[arg(required = true, value_name = "RUN|MODEL|CELL")]
    pub items: Vec<String>,
    /// Published rows beside them
    #[arg(long, value_enum, default_value = "all")]
    pub published: PublishedArg,
    /// Write a page with tables, charts and cells
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write all rows as a table
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}
