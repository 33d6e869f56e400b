//! `genas cost`, and the width that meets a target.

use anyhow::{Context, Result};
use genas_net::{Cost, CostReport, EvalNet, NetworkKind, Path, Supernet};
use genas_space::{Candidate, Genotype};
use serde_json::json;

use crate::args::{CostArgs, CostNetwork};
use crate::cell;
use crate::context::Ctx;
use crate::output::{fields, grouped};

/// No network is wider.
const WIDEST: usize = 4096;
const SUPERNET_LAYERS: usize = 8;

pub fn run(ctx: &Ctx, args: &CostArgs) -> Result<()> {
    let genotype = cell::resolve(&args.cell)?;
    let kind = match args.network {
        CostNetwork::Imagenet => Some(NetworkKind::ImageNet),
        CostNetwork::Cifar => Some(NetworkKind::Cifar),
        CostNetwork::Supernet => None,
    };
    let large = kind == Some(NetworkKind::ImageNet);
    let image = args.image.unwrap_or(if large { 224 } else { 32 });
    let classes = args.classes.unwrap_or(if large { 1000 } else { 10 });
    let layers = args.layers.unwrap_or_else(|| kind.map_or(SUPERNET_LAYERS, EvalNet::default_layers));
    let count: Box<dyn Fn(usize) -> CostReport> = match kind {
        Some(kind) => {
            let net =
                EvalNet { kind, genotype: genotype.clone(), channels: 0, layers, classes, auxiliary: false };
            Box::new(move |channels| eval_cost(&EvalNet { channels, ..net.clone() }, image))
        }
        None => {
            let candidate = Candidate::try_from(&genotype).context("the supernet cannot run this cell")?;
            Box::new(move |channels| {
                supernet_cost(&Supernet { channels, layers, classes }, &candidate, image)
            })
        }
    };
    let channels = match (args.target_flops, args.channels) {
        (Some(target), _) => nearest_width(target, |channels| count(channels).paper_flops),
        (None, channels) => channels.context("give --channels or --target-flops")?,
    };
    let cost = count(channels);
    let network = match args.network {
        CostNetwork::Imagenet => "imagenet",
        CostNetwork::Cifar => "cifar",
        CostNetwork::Supernet => "supernet",
    };
    let result = json!({
        "params": cost.params,
        "macs": cost.macs,
        "paper_flops": cost.paper_flops,
        "channels": channels,
        "layers": layers,
        "classes": classes,
        "image": image,
        "network": network,
        "genotype": genotype.to_string(),
        "target_flops": args.target_flops,
    });
    ctx.out.result(&result, || {
        let params = if kind.is_none() { "parameters (all)" } else { "parameters" };
        let mut pairs = vec![
            ("cell", genotype.to_string()),
            ("network", format!("{network}, {layers} cells, {image}x{image}, {classes} classes")),
            ("channels", channels.to_string()),
            (params, grouped(cost.params)),
            ("multiply-accumulates", grouped(cost.macs)),
            ("FLOPs as in the paper", grouped(cost.paper_flops)),
        ];
        if let Some(target) = args.target_flops {
            pairs.push(("target", grouped(target)));
        }
        fields(&pairs)
    })
}

/// Cost of a network for one image.
fn eval_cost(net: &EvalNet, image: usize) -> CostReport {
    Cost::of([3, image, image], |i, x| {
        net.forward(i, x);
    })
}

/// Parameters of the whole supernet, and operations of the candidate's path.
fn supernet_cost(net: &Supernet, candidate: &Candidate, image: usize) -> CostReport {
    let path = Cost::of([3, image, image], |i, x| {
        net.forward(i, Path::Candidate(candidate), x);
    });
    CostReport { params: net.layout().n_parameters() as u64, ..path }
}

/// The even width whose FLOPs by the paper's count are nearest to a target; costs grow with width.
fn nearest_width(target: u64, flops: impl Fn(usize) -> u64) -> usize {
    // The narrowest width at or above the target, by bisection over half widths.
    let (mut low, mut high) = (1, WIDEST / 2);
    while low < high {
        let middle = (low + high) / 2;
        if flops(2 * middle) >= target { high = middle } else { low = middle + 1 }
    }
    let distance = |channels: usize| flops(channels).abs_diff(target);
    let narrower = 2 * (low - 1).max(1);
    if distance(narrower) <= distance(2 * low) { narrower } else { 2 * low }
}

/// The width of a cell's network whose FLOPs at its usual image size are nearest to a target.
pub fn width_for(
    genotype: &Genotype,
    kind: NetworkKind,
    layers: usize,
    classes: usize,
    target: u64,
) -> usize {
    let net = EvalNet { kind, genotype: genotype.clone(), channels: 0, layers, classes, auxiliary: false };
    let image = EvalNet::default_image_size(kind);
    nearest_width(target, |channels| eval_cost(&EvalNet { channels, ..net.clone() }, image).paper_flops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_even_width_is_found() {
        let square = |c: usize| (c * c) as u64;
        for (target, width) in
            [(1, 2), (4, 2), (9, 2), (11, 4), (26, 4), (27, 6), (36, 6), (u64::MAX, WIDEST)]
        {
            assert_eq!(nearest_width(target, square), width, "{target}");
        }
    }
}
