//! What a finished run would have and this one has not.

use serde::Serialize;

use super::files::Reader;
use super::{Kind, Part, Run};

/// Something that is not there, and what it means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missing {
    /// The file, in the run's folder.
    pub file: String,
    /// What that means, and what to do.
    pub reason: String,
}

/// What is missing of a run.
pub fn of(run: &Run, files: &Reader) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut note = |file: &str, reason: String| {
        missing.push(Missing { file: file.to_owned(), reason });
    };
    if run.kind != Kind::Training && run.settings.is_absent() {
        note("config.toml", "the settings are lost, and the run cannot be continued or repeated".to_owned());
    }
    let supernet_done = files.has("supernet/final.safetensors");
    if run.kind != Kind::Training && !supernet_done {
        note("supernet/final.safetensors", format!("the supernet is not trained to its end{}", epochs(run)));
    }
    if run.kind == Kind::Search {
        searched(run, supernet_done, &mut note);
        retrained(run, files, &mut note);
    }
    if run.kind == Kind::Ranking && supernet_done {
        let cells = run.ranked.measured.get().map_or(0, |measured| measured.cells);
        let reason = format!(
            "the ranking has not ended: {cells} cells are measured; continue with `genas rank ... --resume`"
        );
        for (file, absent) in
            [("result.json", run.ranked.outcome.is_absent()), ("scores.csv", run.ranked.scores.is_absent())]
        {
            if absent {
                note(file, reason.clone());
            }
        }
    }
    for (transferred, verb) in [(&run.coco, "coco"), (&run.cityscapes, "cityscapes")] {
        if !transferred.is_there() {
            continue;
        }
        if !transferred.finished {
            note(
                &format!("{verb}/final.safetensors"),
                format!("the training has not ended; continue with `genas transfer {verb} ... --resume`"),
            );
        } else if transferred.result.is_absent() {
            note(
                &format!("{verb}/result.json"),
                format!("the trained model was not measured; `genas transfer {verb} ... --resume` does it"),
            );
        }
    }
    missing
}

/// How far the supernet is.
fn epochs(run: &Run) -> String {
    let done = run.supernet.get().map_or(0, |curves| curves.rows.len());
    let of = run.settings.get().and_then(|settings| settings.count("supernet.epochs"));
    match of {
        Some(of) => format!(": {done} of {of} epochs are done; continue with `--resume`"),
        None => format!(": {done} epochs are done; continue with `--resume`"),
    }
}

fn searched(run: &Run, supernet_done: bool, note: &mut impl FnMut(&str, String)) {
    let scored = run.search.candidates.get().map_or(0, Vec::len);
    let settings = run.settings.get();
    let planned =
        settings.and_then(|s| Some(s.count("evolution.generations")? * s.count("evolution.population")?));
    let far = match planned {
        Some(planned) => format!("{scored} of {planned} candidates are scored"),
        None => format!("{scored} candidates are scored"),
    };
    if run.search.candidates.is_absent() && supernet_done {
        note("search.jsonl", "no candidate is scored yet; `genas search ... --resume` does it".to_owned());
    }
    if run.winner.is_absent() && !run.search.candidates.is_absent() {
        note(
            "genotype.json",
            format!("the search has not ended: {far}; continue with `genas search ... --resume`"),
        );
    } else if run.winner.is_absent() && supernet_done {
        note("genotype.json", "the search has not begun".to_owned());
    }
    if matches!(run.winner, Part::Present(_)) && run.search.top.is_absent() {
        note(
            "top.json",
            "the ten best are not listed; `genas search ... --resume` writes them again".to_owned(),
        );
    }
}

fn retrained(run: &Run, files: &Reader, note: &mut impl FnMut(&str, String)) {
    if files.has("retrain") && !run.retrained.finished {
        let done = run.retrained.curves.get().map_or(0, |curves| curves.rows.len());
        let of = run.retrained.settings.get().and_then(|s| s.count("retrain.epochs"));
        let of = of.map_or_else(String::new, |of| format!(" of {of}"));
        note(
            "retrain/final.safetensors",
            format!(
                "the training from scratch has not ended: {done}{of} epochs are done; continue with `genas retrain ... --resume`"
            ),
        );
    }
    if run.retrained.finished && run.retrained.curves.is_absent() {
        note("retrain/training.csv", "the curves of the training are lost".to_owned());
    }
}
