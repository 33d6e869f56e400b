//! What happened, in words.

use crate::html::{Section, code, data, escaped, paragraph};
use crate::model::transferred::Transferred;
use crate::model::{Kind, Run};
use crate::number::{grouped, of, percent, significant};

pub(crate) fn section(run: &Run) -> Section {
    let mut sentences = Vec::new();
    match run.kind {
        Kind::Search => sentences.extend([supernet(run), searched(run), found(run)].into_iter().flatten()),
        Kind::Ranking => sentences.extend([supernet(run), ranked(run)].into_iter().flatten()),
        Kind::Training => {}
    }
    let more =
        [retrained(run), evaluated(run), detection(&run.coco), segmentation(&run.cityscapes), exported(run)];
    sentences.extend(more.into_iter().flatten());
    let html = if sentences.is_empty() {
        paragraph("Nothing has come to its end yet.")
    } else {
        sentences.iter().map(|sentence| format!("<p class=\"lede\">{sentence}</p>\n")).collect()
    };
    Section::new("summary", "Summary", html)
}

fn supernet(run: &Run) -> Option<String> {
    let curves = run.supernet.get().filter(|curves| !curves.rows.is_empty())?;
    let epochs = curves.rows.len();
    let ends = curves.column("loss");
    let (first, last) = (ends.first()?.1, ends.last()?.1);
    Some(format!(
        "The supernet was trained for {}; its mean training loss went from {} to {}.",
        data(epochs, of(epochs, "epoch")),
        data(first, significant(first, 3)),
        data(last, significant(last, 3))
    ))
}

fn searched(run: &Run) -> Option<String> {
    let scored = run.search.candidates.get().filter(|scored| !scored.is_empty())?;
    let (n, generations) = (scored.len(), run.search.generations.len());
    let failed = scored.iter().filter(|c| c.score.is_none()).count();
    let partial = scored.iter().filter(|c| c.partial.is_some()).count();
    let metric = metric(run).map_or_else(String::new, |metric| format!(" by {}", code(&metric)));
    let mut text = format!(
        "Evolution scored {} in {}{metric}.",
        data(n, of(n, "candidate")),
        data(generations, of(generations, "generation"))
    );
    if failed > 0 {
        text += &format!(" Scoring failed for {} of them.", data(failed, failed));
    }
    if partial > 0 {
        text += &format!(
            " They raced: {} were measured on a part of the images, and their scores are estimates.",
            data(partial, grouped(partial as u64))
        );
    }
    Some(text)
}

/// The metric, of the winner or of the settings.
pub(crate) fn metric(run: &Run) -> Option<String> {
    let winner = run.winner.get().and_then(|winner| winner.metric.clone());
    winner.or_else(|| Some(run.settings.get()?.string("metric.name")?.to_owned()))
}

fn found(run: &Run) -> Option<String> {
    let winner = run.winner.get()?;
    let Some(score) = winner.score else { return Some("The run’s cell was not searched here.".to_owned()) };
    let scored = run.search.candidates.get();
    let source = scored.and_then(|all| all.iter().find(|c| c.genotype.as_ref() == Some(&winner.genotype)));
    let from = source.map_or_else(String::new, |candidate| {
        format!(", number {} of generation {},", candidate.index, candidate.generation + 1)
    });
    let median = run.search.generations.first().map_or_else(String::new, |first| {
        let median = first.quartiles[1];
        format!("; the median of the first generation is {}", data(median, significant(median, 3)))
    });
    Some(format!("The winner{from} has a score of {}{median}.", data(score, significant(score, 4))))
}

fn retrained(run: &Run) -> Option<String> {
    let retrained = &run.retrained;
    let top1 = retrained.top1()?;
    let result = retrained.result.get();
    let epochs = retrained.curves.get().map(|curves| curves.rows.len()).filter(|epochs| *epochs > 0);
    let epochs =
        epochs.map_or_else(String::new, |epochs| format!(" for {}", data(epochs, of(epochs, "epoch"))));
    let size = result.and_then(|r| r.params).map_or_else(String::new, |params| {
        format!(", a network of {} parameters,", data(params, grouped(params)))
    });
    let whose = if run.kind == Kind::Search { "Trained from scratch" } else { "Trained" };
    let on =
        result.and_then(|r| r.data.as_deref()).map_or_else(String::new, |d| format!(" on {}", escaped(d)));
    let chance = result.and_then(|r| r.chance).map_or_else(String::new, |chance| {
        format!(", where guessing gives {}", data(chance, percent(chance, 1)))
    });
    let end = if retrained.finished { "" } else { " so far" };
    Some(format!(
        "{whose}{on}{epochs}, the cell{size} names {} of the test images right{end}{chance}.",
        data(top1, percent(top1, 1))
    ))
}

fn evaluated(run: &Run) -> Option<String> {
    let results = run.evaluations.get()?;
    let measured: Vec<String> = results
        .iter()
        .filter_map(|e| {
            let top1 = e.top1?;
            let n = data(e.n, grouped(e.n));
            Some(format!("{} on {} ({n} images)", data(top1, percent(top1, 1)), escaped(&e.set)))
        })
        .collect();
    (!measured.is_empty()).then(|| {
        format!("The ONNX file’s top-1 accuracy, measured in ONNX Runtime: {}.", measured.join("; "))
    })
}

fn detection(coco: &Transferred) -> Option<String> {
    let ap = coco.number("ap")?;
    let images = coco.number("n_images")?;
    Some(format!(
        "A RetinaNet on the backbone has an average precision of {} on {} images.",
        data(ap, percent(ap, 1)),
        data(images, grouped(images as u64))
    ))
}

fn segmentation(cityscapes: &Transferred) -> Option<String> {
    let miou = cityscapes.number("miou")?;
    let images = cityscapes.number("n_images")?;
    Some(format!(
        "A DeepLab-v3 on the backbone has a mean IoU of {} on {} images.",
        data(miou, percent(miou, 1)),
        data(images, grouped(images as u64))
    ))
}

fn ranked(run: &Run) -> Option<String> {
    let all = &run.ranked.outcome.get()?.all;
    let best = *all.order().first()?;
    let tau = all.tau[best];
    let interval = all.tau_interval.get(best).map_or_else(String::new, |[low, high]| {
        format!(" (95 %: {} to {})", data(low, format!("{low:.3}")), data(high, format!("{high:.3}")))
    });
    Some(format!(
        "Of {} metrics, {} ranks the {} cells best: Kendall’s tau {}{interval} with their accuracies trained alone.",
        data(all.tau.len(), all.tau.len()),
        code(best),
        data(all.n, grouped(all.n)),
        data(tau, format!("{tau:.3}"))
    ))
}

fn exported(run: &Run) -> Option<String> {
    let errors: Vec<f64> = run.exports.iter().filter_map(|e| e.about.get()?.max_abs_error).collect();
    let worst = errors.iter().copied().reduce(f64::max)?;
    let n = errors.len();
    let files = if n == 1 { "It was written as ONNX" } else { "ONNX files were written" };
    Some(format!(
        "{files} and compared with burn: the largest difference of an output is {}.",
        data(worst, significant(worst, 2))
    ))
}
