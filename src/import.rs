//! `genas import`.

use std::sync::Arc;

use anyhow::Result;
use genas_net::{EvalNet, Network, NetworkKind, WeightsFile, read_torch, write_weights};
use serde_json::{Map, json};

use crate::args::ImportArgs;
use crate::cell;
use crate::context::Ctx;
use crate::output::{fields, grouped};
use crate::weights::{IMAGENET_MEAN, IMAGENET_STD};

pub fn run(ctx: &Ctx, args: &ImportArgs) -> Result<()> {
    let genotype = cell::resolve(&args.cell)?;
    let kind = NetworkKind::from(args.network);
    let layers = args.layers.unwrap_or_else(|| EvalNet::default_layers(kind));
    let (channels, classes) = (args.channels, args.classes);
    let net = EvalNet { kind, genotype, channels, layers, classes, auxiliary: false };
    let (weights, ignored) = read_torch(&args.checkpoint, Arc::new(net.layout()))?;
    let extra = Map::from_iter([
        ("mean".to_owned(), json!(IMAGENET_MEAN)),
        ("std".to_owned(), json!(IMAGENET_STD)),
        ("input_size".to_owned(), json!(EvalNet::default_image_size(kind))),
        ("source_run".to_owned(), json!(args.checkpoint.display().to_string())),
    ]);
    write_weights(&args.out, &weights, &WeightsFile { network: Network::Eval(net), extra })?;
    let params = weights.parameters().len();
    for name in &ignored {
        ctx.detail(&format!("ignored: {name}"));
    }
    ctx.out.result(&json!({ "params": params, "ignored": ignored, "out": args.out }), || {
        fields(&[
            ("parameters", grouped(params as u64)),
            ("ignored", format!("{} tensors without a role in inference", ignored.len())),
            ("written", args.out.display().to_string()),
        ])
    })
}
