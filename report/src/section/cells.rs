//! The winner's cells.

use crate::html::{Section, data, facts, verbatim};
use crate::model::Run;
use crate::number::{grouped, significant};

pub(crate) fn section(run: &Run) -> Option<Section> {
    let genotype = match run.winner.get() {
        Some(winner) => winner.genotype.clone(),
        None => run.retrained.result.get()?.network.as_ref()?.genotype.clone(),
    };
    let mut pairs = Vec::new();
    if let Some(winner) = run.winner.get() {
        if let Some(score) = winner.score {
            pairs.push(("score", data(score, significant(score, 6))));
        }
        if let Some([seen, of]) = winner.partial {
            pairs.push(("measured on", format!("{} of {} images", data(seen, seen), data(of, of))));
        }
    }
    if let Some(result) = run.retrained.result.get() {
        let count = |value: Option<u64>| value.map(|value| data(value, grouped(value)));
        let known = [
            ("parameters", count(result.params)),
            ("multiply-accumulates", count(result.macs)),
            ("FLOPs as in the paper", count(result.paper_flops)),
            ("width of the first cell", result.network.as_ref().map(|net| data(net.channels, net.channels))),
            ("cells", result.network.as_ref().map(|net| data(net.layers, net.layers))),
        ];
        pairs.extend(known.into_iter().filter_map(|(name, html)| Some((name, html?))));
    }
    let drawing = crate::drawing::genotype(&genotype, &run.name, "winner");
    let text = verbatim("Genotype", &genotype.to_string().replace("; ", "\n"));
    let html = drawing + &facts(&pairs) + &text;
    Some(Section::new("cells", "Cells", html))
}
