//! A run as a row.

use super::{Origin, Row};
use crate::model::commands::verb;
use crate::model::evaluations::Evaluated;
use crate::model::exports::About;
use crate::model::{Kind, Run};
use crate::section::summary;

/// Sets that are shifted, or of which other things than accuracies are measured.
const SHIFTED: [&str; 3] = ["imagenet-v2", "imagenet-a", "imagenet-o"];

/// What a run says of its cell.
pub fn row(run: &Run) -> Row {
    let mut row = Row::new(Origin::Measured, &run.name, "");
    let mut sources: Vec<&str> = Vec::new();
    row.genotype = run.winner.get().map(|winner| winner.genotype.clone());
    if run.kind == Kind::Search {
        row.metric = summary::metric(run);
        row.search_set = searched_on(run);
    }
    let result = run.retrained.result.get();
    let about =
        run.exports.iter().find_map(|export| export.about.get().filter(|about| about.network.is_some()));
    if let Some(result) = result {
        row.params = result.params.map(|n| n as f64);
        row.flops = result.paper_flops.map(|n| n as f64);
        let side = result.image_size.unwrap_or_default() as usize;
        row.network = result.network.as_ref().map(|net| super::network(net, side));
        row.genotype = row.genotype.or_else(|| Some(result.network.as_ref()?.genotype.clone()));
        sources.push("retrain/result.json");
    } else if let Some(About { network: Some(net), input_size: Some(side), .. }) = about {
        let found = row.genotype.take();
        row.count(net, *side as usize);
        row.genotype = found.or_else(|| row.genotype.take());
        sources.push("export");
    }
    let evaluations = run.evaluations.get().map_or(&[][..], Vec::as_slice);
    let of = |set: &str| evaluations.iter().rev().find(|e| e.set == set);
    let plain: Vec<&Evaluated> =
        evaluations.iter().rev().filter(|e| !SHIFTED.contains(&e.set.as_str()) && e.top1.is_some()).collect();
    let chosen = plain.iter().find(|e| e.set == "imagenet").or(plain.first());
    if let Some(evaluated) = chosen {
        (row.top1, row.top5) = (evaluated.top1, evaluated.top5);
        row.tested_on = Some(evaluated.set.clone());
    } else if run.retrained.top1().is_some() {
        (row.top1, row.top5) = (run.retrained.top1(), run.retrained.top5());
        row.tested_on = result.and_then(|result| result.data.clone());
        sources.push("retrain/training.csv");
    }
    row.imagenet_v2 = of("imagenet-v2").and_then(|e| e.top1);
    row.imagenet_a = of("imagenet-a").and_then(|e| e.top1);
    row.coco_ap = run.coco.number("ap");
    row.cityscapes_miou = run.cityscapes.number("miou");
    let files = [
        ("evaluate.jsonl", !evaluations.is_empty()),
        ("coco/result.json", row.coco_ap.is_some()),
        ("cityscapes/result.json", row.cityscapes_miou.is_some()),
    ];
    sources.extend(files.iter().filter(|(_, used)| *used).map(|(file, _)| *file));
    row.source = sources.join(", ");
    row
}

/// The data that the search was given, by the command that began it; of a run that was retrained on the same data, by its
/// name.
fn searched_on(run: &Run) -> Option<String> {
    let commands = run.commands.get().map_or(&[][..], Vec::as_slice);
    let given = commands.iter().find_map(|command| {
        let words = &command.began.command;
        verb(words).filter(|verb| ["search", "supernet"].contains(verb))?;
        let at = words.iter().position(|word| word == "--data")?;
        words.get(at + 1).cloned()
    });
    let last = |path: String| path.trim_end_matches('/').rsplit('/').next().map(str::to_owned);
    given.and_then(last).or_else(|| run.retrained.result.get()?.data.clone())
}
