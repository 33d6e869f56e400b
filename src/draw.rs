//! `genas draw`.

use std::path::Path;

use anyhow::{Result, bail};
use genas_export::network_from_onnx;
use genas_figure::{AnyCell, NamedCell, cells_svg, network_svg};
use genas_net::{BlockGraph, EvalNet, Nb201Net, Network, NetworkKind, atomic_write, read_weights};
use genas_space::{Genotype, Nb201Cell};
use serde_json::{Value, json};

use crate::args::{DrawArgs, DrawNetwork};
use crate::cell;
use crate::context::Ctx;
use crate::output::fields;

/// Side of the image that detectors and segmenters are drawn for.
const LARGE: usize = 512;
/// Side of the image of supernets and of NAS-Bench-201.
const SMALL: usize = 32;

pub fn run(ctx: &Ctx, args: &DrawArgs) -> Result<()> {
    let (svg, result) = match &args.model {
        Some(file) => {
            let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
            network(&name, &of_file(file)?, args.image)
        }
        None => {
            let cells = cells(args)?;
            match (args.network, cells.as_slice()) {
                (None, _) => {
                    (cells_svg(&cells), json!({ "cells": cells.iter().map(written).collect::<Vec<_>>() }))
                }
                (Some(kind), [only]) => {
                    let net = around(&only.cell, kind, args)?;
                    let title = if only.name.is_empty() {
                        written(only)["genotype"].to_string()
                    } else {
                        only.name.clone()
                    };
                    network(&title, &net, args.image)
                }
                (Some(_), _) => bail!("a network is drawn for one cell; give --cell once"),
            }
        }
    };
    atomic_write(&args.svg, svg.as_bytes())?;
    let mut result = result;
    result["svg"] = json!(args.svg);
    ctx.out.result(&result, || fields(&[("written", args.svg.display().to_string())]))
}

fn cells(args: &DrawArgs) -> Result<Vec<NamedCell>> {
    match &args.run {
        Some(run) => {
            let genotype = cell::resolve(&run.display().to_string())?;
            Ok(vec![NamedCell { name: run.display().to_string(), cell: AnyCell::Darts(genotype) }])
        }
        None => args.cell.iter().map(|text| cell::resolve_any(text)).collect(),
    }
}

fn written(NamedCell { name, cell }: &NamedCell) -> Value {
    let genotype = match cell {
        AnyCell::Darts(genotype) => genotype.to_string(),
        AnyCell::Nb201(cell) => cell.to_string(),
    };
    json!({ "name": name, "genotype": genotype })
}

fn network(title: &str, net: &Network, image: Option<usize>) -> (String, Value) {
    let usual = match net {
        Network::Eval(net) => EvalNet::default_image_size(net.kind),
        Network::RetinaNet(_) | Network::DeepLabV3(_) => LARGE,
        Network::Supernet(_) | Network::Nb201(_) | Network::Nb201Supernet(_) => SMALL,
    };
    let image = image.unwrap_or(usual);
    let graph = BlockGraph::of(net, image);
    let blocks: Vec<Value> = graph
        .blocks
        .iter()
        .map(|b| json!({ "name": b.name, "what": b.what, "shape": b.shape, "uses": b.uses, "params": b.params, "macs": b.macs }))
        .collect();
    (network_svg(title, &graph), json!({ "image": image, "blocks": blocks, "links": graph.links }))
}

/// The network of a file of any kind.
fn of_file(path: &Path) -> Result<Network> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("onnx") => Ok(network_from_onnx(path)?),
        Some("pth" | "tar" | "pt") => {
            bail!("{} is a PyTorch checkpoint; read it with `genas import` first", path.display())
        }
        _ => Ok(read_weights(path)?.1.network),
    }
}

/// The network that a cell is put into.
fn around(cell: &AnyCell, kind: DrawNetwork, args: &DrawArgs) -> Result<Network> {
    let darts = |kind: NetworkKind, channels: usize, classes: usize| -> Result<Network> {
        let AnyCell::Darts(genotype) = cell else {
            bail!("this network takes cells of the DARTS space; take --network nb201")
        };
        let genotype: Genotype = genotype.clone();
        Ok(Network::Eval(EvalNet {
            kind,
            genotype,
            channels: args.channels.unwrap_or(channels),
            layers: args.layers.unwrap_or(EvalNet::default_layers(kind)),
            classes: args.classes.unwrap_or(classes),
            auxiliary: false,
        }))
    };
    match kind {
        DrawNetwork::Imagenet => darts(NetworkKind::ImageNet, 46, 1000),
        DrawNetwork::Cifar => darts(NetworkKind::Cifar, 36, 10),
        DrawNetwork::Nb201 => {
            let AnyCell::Nb201(cell) = cell else {
                bail!("this network takes cells of NAS-Bench-201; take --network imagenet or cifar")
            };
            let cell: Nb201Cell = *cell;
            let usual = Nb201Net::benchmark(cell, args.classes.unwrap_or(10));
            Ok(Network::Nb201(Nb201Net {
                channels: args.channels.unwrap_or(usual.channels),
                cells_per_stage: args.layers.unwrap_or(usual.cells_per_stage),
                ..usual
            }))
        }
    }
}
