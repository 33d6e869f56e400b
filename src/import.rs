//! `genas import`.

use std::sync::Arc;

use anyhow::Result;
use genas_data::Normalization;
use genas_net::{EvalNet, Network, NetworkKind, WeightsFile, read_torch, write_weights};
use serde_json::{Map, json};

use crate::args::{ImportArgs, NormalizationArg};
use crate::cell;
use crate::context::Ctx;
use crate::output::{fields, grouped};

pub fn run(ctx: &Ctx, args: &ImportArgs) -> Result<()> {
    let genotype = cell::resolve(&args.cell)?;
    let kind = NetworkKind::from(args.network);
    let layers = args.layers.unwrap_or_else(|| EvalNet::default_layers(kind));
    let (channels, classes) = (args.channels, args.classes);
    let net = EvalNet { kind, genotype, channels, layers, classes, auxiliary: false };
    let (weights, ignored) = read_torch(&args.checkpoint, Arc::new(net.layout()))?;
    let normalization = normalization(args, kind);
    let extra = Map::from_iter([
        ("mean".to_owned(), json!(normalization.mean)),
        ("std".to_owned(), json!(normalization.std)),
        ("input_size".to_owned(), json!(EvalNet::default_image_size(kind))),
        ("source_run".to_owned(), json!(args.checkpoint.display().to_string())),
    ]);
    write_weights(&args.out, &weights, &WeightsFile { network: Network::Eval(net), extra })?;
    let params = weights.parameters().len();
    for name in &ignored {
        ctx.detail(&format!("ignored: {name}"));
    }
    let Normalization { mean, std } = normalization;
    let result = json!({ "params": params, "ignored": ignored, "out": args.out, "mean": mean, "std": std });
    ctx.out.result(&result, || {
        fields(&[
            ("parameters", grouped(params as u64)),
            ("ignored", format!("{} tensors without a role in inference", ignored.len())),
            ("normalisation", format!("mean {mean:?}, std {std:?}, colours from 0 to 1")),
            ("written", args.out.display().to_string()),
        ])
    })
}

/// What is said, or else what the published code does (spec 04, sections 3a and 6).
fn normalization(args: &ImportArgs, kind: NetworkKind) -> Normalization {
    let usual = match kind {
        NetworkKind::ImageNet => NormalizationArg::None,
        NetworkKind::Cifar if args.classes == 100 => NormalizationArg::Cifar100,
        NetworkKind::Cifar => NormalizationArg::Cifar10,
    };
    match args.normalization.unwrap_or(usual) {
        NormalizationArg::None => Normalization::NONE,
        NormalizationArg::Imagenet => Normalization::IMAGENET,
        NormalizationArg::Cifar10 => Normalization::CIFAR10_RETRAIN,
        NormalizationArg::Cifar100 => Normalization::CIFAR100,
    }
}
