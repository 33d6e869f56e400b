//! Several runs and cells side by side, in the form of the paper's Tables 2 to 4, with published rows beside them.
//!
//! | module | concept |
//! |---|---|
//! | [`published`] | the paper's rows |
//! | [`of_run`] | a run as a row |
//! | [`page`] | everything as HTML |

pub mod of_run;
pub mod page;
pub mod published;

use genas_net::{Cost, EvalNet, NetworkKind};
use genas_space::Genotype;
use serde::Serialize;

use crate::model::Run;
use crate::number::percent;

/// Where a row's figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// In a run's folder.
    Measured,
    /// By counting: a network that nobody has trained here.
    Counted,
    /// By the paper.
    Published,
}

impl Origin {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Counted => "counted",
            Self::Published => "published",
        }
    }
}

/// A cell with what is known of it. Accuracies are fractions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Where its figures come from.
    pub origin: Origin,
    /// The run, the file, or the cell.
    pub name: String,
    /// What it was searched on.
    pub search_set: Option<String>,
    /// What the search maximised, or the method's name.
    pub metric: Option<String>,
    /// The network whose figures these are.
    pub network: Option<String>,
    /// Parameters.
    pub params: Option<f64>,
    /// Multiply-accumulates by the paper's count, for one image.
    pub flops: Option<f64>,
    /// What it was trained and tested on.
    pub tested_on: Option<String>,
    /// Top-1 accuracy.
    pub top1: Option<f64>,
    /// Top-5 accuracy.
    pub top5: Option<f64>,
    /// Top-1 accuracy on ImageNet-V2.
    pub imagenet_v2: Option<f64>,
    /// Top-1 accuracy on ImageNet-A.
    pub imagenet_a: Option<f64>,
    /// Average precision on COCO.
    pub coco_ap: Option<f64>,
    /// Mean IoU on Cityscapes.
    pub cityscapes_miou: Option<f64>,
    /// Where the figures stand: files of a run, or tables of the paper.
    pub source: String,
    /// The cells, if they are known.
    #[serde(skip)]
    pub genotype: Option<Genotype>,
}

impl Row {
    /// A row that says nothing yet.
    pub fn new(origin: Origin, name: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            origin,
            name: name.into(),
            search_set: None,
            metric: None,
            network: None,
            params: None,
            flops: None,
            tested_on: None,
            top1: None,
            top5: None,
            imagenet_v2: None,
            imagenet_a: None,
            coco_ap: None,
            cityscapes_miou: None,
            source: source.into(),
            genotype: None,
        }
    }

    /// What a network costs, counted for one image of `side` pixels.
    pub fn counted(name: impl Into<String>, net: &EvalNet, side: usize, source: impl Into<String>) -> Self {
        let mut row = Self::new(Origin::Counted, name, source);
        row.count(net, side);
        row
    }

    fn count(&mut self, net: &EvalNet, side: usize) {
        let cost = Cost::of([3, side, side], |i, x| {
            net.forward(i, x);
        });
        (self.params, self.flops) = (Some(cost.params as f64), Some(cost.paper_flops as f64));
        self.network = Some(network(net, side));
        self.genotype = Some(net.genotype.clone());
    }

    /// Whether it has a figure of the second table.
    fn has_transfer(&self) -> bool {
        [self.imagenet_v2, self.imagenet_a, self.coco_ap, self.cityscapes_miou].iter().any(Option::is_some)
    }
}

/// A network in a few words.
pub fn network(net: &EvalNet, side: usize) -> String {
    let kind = match net.kind {
        NetworkKind::Cifar => "CIFAR",
        NetworkKind::ImageNet => "ImageNet",
    };
    format!(
        "{kind} network, {} cells, {} channels, {} classes, {side} pixels",
        net.layers, net.channels, net.classes
    )
}

/// What is compared.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
    /// Rows: those that were asked for in their order, then published ones.
    pub rows: Vec<Row>,
    /// The runs among them.
    #[serde(skip)]
    pub runs: Vec<Run>,
}

impl Comparison {
    /// Adds a run.
    pub fn run(&mut self, run: Run) {
        self.rows.push(of_run::row(&run));
        self.runs.push(run);
    }

    /// Adds published rows: all, or those of the cells that are compared.
    pub fn publish(&mut self, all: bool) {
        let compared: Vec<Genotype> = self.rows.iter().filter_map(|row| row.genotype.clone()).collect();
        let belongs = |row: &Row| row.genotype.as_ref().is_some_and(|genotype| compared.contains(genotype));
        self.rows.extend(published::rows().into_iter().filter(|row| all || belongs(row)));
    }

    /// The tables, without those that would be empty.
    pub fn tables(&self) -> Vec<Plain<'_>> {
        let rows: Vec<&Row> = self.rows.iter().collect();
        let accuracy = Plain {
            title: "Accuracy and cost, as in the paper’s Tables 2 and 3",
            columns: vec![
                WHAT,
                ORIGIN,
                SEARCHED,
                METRIC,
                PARAMS,
                FLOPS,
                TESTED,
                ("top-1 (%)", |row| share(row.top1)),
                ("top-5 (%)", |row| share(row.top5)),
            ],
            rows: rows.clone(),
        };
        let transfer = Plain {
            title: "Shifted sets and other tasks, as in the paper’s Table 4",
            columns: vec![
                WHAT,
                ORIGIN,
                SEARCHED,
                METRIC,
                PARAMS,
                FLOPS,
                ("V2 (%)", |row| share(row.imagenet_v2)),
                ("A (%)", |row| share(row.imagenet_a)),
                ("COCO AP (%)", |row| share(row.coco_ap)),
                ("Cityscapes mIoU (%)", |row| share(row.cityscapes_miou)),
            ],
            rows: rows.into_iter().filter(|row| row.has_transfer()).collect(),
        };
        [accuracy, transfer].into_iter().filter(|table| !table.rows.is_empty()).collect()
    }

    /// Head and rows of everything, numbers with all their digits.
    pub fn csv(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let number = |number: Option<f64>| number.map_or_else(String::new, |number| number.to_string());
        let rows = self.rows.iter().map(|row| {
            vec![
                row.name.clone(),
                row.origin.name().to_owned(),
                text(&row.search_set),
                text(&row.metric),
                text(&row.network),
                number(row.params),
                number(row.flops),
                text(&row.tested_on),
                number(row.top1),
                number(row.top5),
                number(row.imagenet_v2),
                number(row.imagenet_a),
                number(row.coco_ap),
                number(row.cityscapes_miou),
                row.source.clone(),
            ]
        });
        let head = vec![
            "name",
            "origin",
            "search_set",
            "metric",
            "network",
            "params",
            "flops",
            "tested_on",
            "top1",
            "top5",
            "imagenet_v2",
            "imagenet_a",
            "coco_ap",
            "cityscapes_miou",
            "source",
        ];
        (head, rows.collect())
    }
}

/// A column: its head, and what it says of a row: all digits, and as people read it.
type Column = (&'static str, fn(&Row) -> Option<(Option<f64>, String)>);

const WHAT: Column = ("cell or run", |row| Some((None, row.name.clone())));
const ORIGIN: Column = ("figures", |row| Some((None, row.origin.name().to_owned())));
const SEARCHED: Column = ("searched on", |row| row.search_set.clone().map(|text| (None, text)));
const METRIC: Column = ("metric", |row| row.metric.clone().map(|text| (None, text)));
const PARAMS: Column = ("params (M)", |row| row.params.map(|n| (Some(n), millions(n))));
const FLOPS: Column = ("FLOPs (G)", |row| row.flops.map(|n| (Some(n), billions(n))));
const TESTED: Column = ("tested on", |row| row.tested_on.clone().map(|text| (None, text)));

/// Small networks keep digits that mean something.
fn millions(number: f64) -> String {
    if number < 1e6 { format!("{:.3}", number / 1e6) } else { format!("{:.1}", number / 1e6) }
}

fn billions(number: f64) -> String {
    if number < 1e8 { format!("{:.4}", number / 1e9) } else { format!("{:.2}", number / 1e9) }
}

fn share(fraction: Option<f64>) -> Option<(Option<f64>, String)> {
    fraction.map(|f| (Some(f), percent(f, 2).trim_end_matches(" %").to_owned()))
}

/// A table before it is text or HTML.
pub struct Plain<'a> {
    /// What it shows.
    pub title: &'static str,
    columns: Vec<Column>,
    rows: Vec<&'a Row>,
}

impl Plain<'_> {
    /// Names of its columns.
    pub fn head(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(name, _)| *name).collect()
    }

    /// Its cells as people read them; `-` where nothing is known.
    pub fn text(&self) -> Vec<Vec<String>> {
        let cell =
            |value: Option<(Option<f64>, String)>| value.map_or_else(|| "-".to_owned(), |(_, text)| text);
        let row = |row: &&Row| self.columns.iter().map(|(_, of)| cell(of(row))).collect();
        self.rows.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_rows_stand_beside_counted_ones() {
        let entry = genas_space::find("GENAS_FLATNESS_CIFAR100").unwrap();
        let net = EvalNet {
            kind: NetworkKind::ImageNet,
            genotype: entry.genotype(),
            channels: 46,
            layers: 14,
            classes: 1000,
            auxiliary: false,
        };
        let mut comparison = Comparison::default();
        comparison.rows.push(Row::counted("mine", &net, 224, "counted"));
        comparison.publish(false);
        let (_, params, flops) = entry.check.unwrap();
        let names: Vec<(&str, Origin)> =
            comparison.rows.iter().map(|r| (r.name.as_str(), r.origin)).collect();
        assert_eq!(names, [("mine", Origin::Counted), ("GENAS_FLATNESS_CIFAR100", Origin::Published)]);
        assert_eq!(
            (comparison.rows[0].params, comparison.rows[0].flops),
            (Some(params as f64), Some(flops as f64))
        );
        let tables = comparison.tables();
        assert_eq!(tables.len(), 2);
        let text = tables[0].text();
        assert_eq!(text[0][4..], ["5.2", "0.58", "-", "-", "-"]);
        assert_eq!(
            text[1][1..],
            ["published", "CIFAR-100", "GeNAS (Flatness)", "5.2", "0.58", "ImageNet", "76.05", "92.64"]
        );
        // Table 4: 63.38, 5.65, 37.05, 72.58.
        assert_eq!(tables[1].text()[0][6..], ["63.38", "5.65", "37.05", "72.58"]);
        let (head, rows) = comparison.csv();
        assert!(rows.iter().all(|row| row.len() == head.len()));
    }
}
