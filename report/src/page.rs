//! The report of a run: its sections, in the order in which a reader asks.

use crate::html::{Section, Width, code, document, marked};
use crate::model::{Fault, Kind, Run};
use crate::pictures::Budget;
use crate::section;

/// Bytes of pictures in a page, as text. With everything else a report stays below the 8 megabytes that mail servers take.
const PICTURES: usize = 4_000_000;

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

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::fs;

    use super::*;

    /// What mail servers take, of which base64 of the mail itself takes a third more.
    const MAIL: usize = 8_000_000;

    #[test]
    fn large_runs_can_be_sent() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = String::new();
        for n in 0..3000_u64 {
            let value = |factor: u64| (n * factor % 3001) as f64 / 7919.0;
            let _ = writeln!(
                journal,
                "{{\"index\":{n},\"generation\":{},\"candidate\":[],\"score\":{},\"parts\":{{\"angle\":{{\"radians\":{}}},\
                 \"accuracy\":{},\"flatness\":{{\"score\":{},\"losses\":[{}]}}}},\"cost\":{{\"paper_flops\":{}}},\"seconds\":1}}",
                n / 50,
                value(17),
                value(19),
                value(23),
                value(29),
                value(31),
                n * 1000
            );
        }
        fs::write(dir.path().join("search.jsonl"), journal).unwrap();
        // Noise does not compress.
        fs::create_dir_all(dir.path().join("coco/pictures")).unwrap();
        let mut state = 1_u32;
        for n in 0..40 {
            let picture = image::RgbImage::from_fn(560, 420, |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
            });
            picture.save(dir.path().join(format!("coco/pictures/{n}.png"))).unwrap();
        }
        let search = page(&Run::read(dir.path()).unwrap());
        assert!(search.faults.is_empty(), "{:?}", search.faults);
        assert!(search.html.len() < MAIL && search.html.contains("pictures more"), "{}", search.html.len());

        let dir = tempfile::tempdir().unwrap();
        let metrics: Vec<String> = (0..19).map(|n| format!("a-metric-of-noise/{n}")).collect();
        let mut scores = format!("index,architecture,truth,{}\n", metrics.join(","));
        for n in 0..15_625 {
            let cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|";
            let _ = write!(scores, "{n},{cell},{}", f64::from(n) / 171.0);
            for m in 0..19 {
                let _ = write!(scores, ",{}", f64::from(n * m % 15_601) / 7919.0);
            }
            scores.push('\n');
        }
        fs::write(dir.path().join("scores.csv"), scores).unwrap();
        let ranking = page(&Run::read(dir.path()).unwrap());
        assert!(
            ranking.html.len() < MAIL && ranking.html.contains("11 metrics more"),
            "{}",
            ranking.html.len()
        );
    }
}
