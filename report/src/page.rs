//! The report of a run: its sections, in the order in which a reader asks.

use crate::html::{Section, Width, code, document, marked};
use crate::model::{Fault, Kind, Run};
use crate::pictures::Budget;
use crate::section;

/// Bytes of pictures in a page, as text. With everything else a report stays below the 8 megabytes that mail servers take.
const PICTURES: usize = 5_000_000;

/// What the sections share.
pub(crate) struct Canvas {
    /// Room for pictures.
    pub budget: Budget,
    /// What is found damaged while the sections are written.
    pub faults: Vec<Fault>,
}

impl Canvas {
    /// Notes what is wrong with a file.
    pub fn fault(&mut self, file: &str, reason: impl Into<String>) {
        self.faults.push(Fault { file: file.to_owned(), reason: reason.into() });
    }
}

/// A report.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page.
    pub html: String,
    /// What is damaged in the run, as the page says it too.
    pub faults: Vec<Fault>,
}

/// The page of a run.
pub fn page(run: &Run) -> Page {
    let mut canvas = Canvas { budget: Budget::new(PICTURES), faults: Vec::new() };
    let sections: Vec<Section> = [
        Some(section::summary::section(run)),
        section::cells::section(run),
        section::search::section(run),
        section::ranking::section(run),
        section::training::section(run),
        section::accuracy::section(run),
        section::detection::section(run, &mut canvas),
        section::segmentation::section(run, &mut canvas),
        section::landscape::section(run, &mut canvas),
        section::time::section(run),
        section::exports::section(run),
        section::configuration::section(run),
        section::commands::section(run),
    ]
    .into_iter()
    .flatten()
    .collect();
    let faults: Vec<Fault> = run.faults.iter().cloned().chain(canvas.faults).collect();
    let lead = format!("<p>{}</p>\n{}", lead(run), notes(run, &faults));
    let mut values = serde_json::to_value(run).unwrap_or_default();
    if let Some(object) = values.as_object_mut() {
        object.remove("path");
        object.insert("faults".to_owned(), serde_json::json!(faults));
        object.insert("genas".to_owned(), env!("CARGO_PKG_VERSION").into());
    }
    Page { html: document(&run.name, &lead, &sections, &values, Width::Text), faults }
}

fn lead(run: &Run) -> &'static str {
    match run.kind {
        Kind::Search => "Report of an architecture search with genas.",
        Kind::Ranking => "Report of a ranking of NAS-Bench-201’s cells with genas.",
        Kind::Training => "Report of a training with genas.",
    }
}

/// What is missing and what is damaged, file by file.
fn notes(run: &Run, faults: &[Fault]) -> String {
    let list = |title: &str, id: &str, items: Vec<(&str, &str)>| {
        if items.is_empty() {
            return String::new();
        }
        let items =
            items.iter().map(|(file, reason)| format!("<li>{}: {}</li>\n", code(file), marked(reason)));
        format!(
            "<div class=\"note\">\n<h2 id=\"{id}\">{title}</h2>\n<ul>\n{}</ul>\n</div>\n",
            items.collect::<String>()
        )
    };
    let missing = run.missing.iter().map(|m| (m.file.as_str(), m.reason.as_str())).collect();
    let damaged = faults.iter().map(|f| (f.file.as_str(), f.reason.as_str())).collect();
    list("Damaged", "damaged", damaged) + &list("Not there yet", "missing", missing)
}
