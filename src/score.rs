//! `genas score`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use genas_net::{Layout, Network, Supernet, Weights, read_torch, read_weights};
use genas_search::config::ScorerKind;
use genas_search::scorer::Scorer;
use genas_search::supernet::read_halves;
use genas_search::{Config, RunDir, Score};
use genas_space::Candidate;
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::args::ScoreArgs;
use crate::cell;
use crate::context::Ctx;
use crate::supernet::config;

pub fn run(ctx: &Ctx, args: &ScoreArgs) -> Result<()> {
    let (net, trained, initial, mut settings) = supernet(ctx, args)?;
    settings.metric.name = args.metric.unwrap_or(settings.metric.name);
    let metric = settings.metric.name;
    let halves = match &args.data {
        Some(data) if metric.needs_data() => Some(read_halves(&settings, data)?),
        _ => None,
    };
    if metric.needs_data() && settings.metric.scorer == ScorerKind::Ort {
        ctx.ensure_runtime()?;
    }
    let scorer =
        Scorer::new(net, trained, initial, halves.as_ref(), &settings, &ctx.devices()?, ctx.global.provider)?;
    let score = |(index, text): (usize, &String)| {
        let candidate =
            Candidate::try_from(&cell::resolve(text)?).with_context(|| format!("--cell {text}"))?;
        let parts = scorer.score(&candidate, index as u64)?;
        Ok(describe(text, &candidate, &parts, parts.combined(&settings.metric)))
    };
    let mut results = args.cell.par_iter().enumerate().map(score).collect::<Result<Vec<Value>>>()?;
    let value = if results.len() == 1 { results.remove(0) } else { json!({ "cells": results }) };
    ctx.out.result(&value, || serde_json::to_string_pretty(&value).unwrap_or_default())
}

fn describe(cell: &str, candidate: &Candidate, parts: &Score, score: f64) -> Value {
    let mut value = json!({ "cell": cell, "candidate": candidate, "score": score });
    if let (Some(map), Ok(Value::Object(parts))) = (value.as_object_mut(), serde_json::to_value(parts)) {
        map.extend(parts);
    }
    value
}

/// The supernet, its weights before and after training, and the settings.
fn supernet(ctx: &Ctx, args: &ScoreArgs) -> Result<(Supernet, Weights, Option<Weights>, Config)> {
    let given = args.config.as_deref().map(|path| config(ctx, path, &args.set)).transpose()?;
    if let Some(root) = &args.run {
        let (run, own) = RunDir::existing(root, &args.set)?;
        let (net, trained) = read(&run.trained(), None)?;
        let initial = read(&run.initial(), None)?.1;
        return Ok((net, trained, Some(initial), given.unwrap_or(own)));
    }
    let Some(weights) = &args.weights else { bail!("give --run RUN, or --weights FILE") };
    let declared = args.channels.zip(args.classes);
    let declared = declared.map(|(channels, classes)| Supernet { channels, layers: args.layers, classes });
    let (net, trained) = read(weights, declared)?;
    let initial = args.initial.as_deref().map(|path| read(path, Some(net))).transpose()?.map(|(_, w)| w);
    let settings = match given {
        Some(settings) => settings,
        None => Config::parse("", &args.set).map_err(anyhow::Error::msg)?,
    };
    Ok((net, trained, initial, settings))
}

/// Reads supernet weights: safetensors of ours, or a published checkpoint of the `declared` network.
fn read(path: &Path, declared: Option<Supernet>) -> Result<(Supernet, Weights)> {
    if path.extension().is_some_and(|e| e == "safetensors") {
        let (weights, about) = read_weights(path)?;
        return match about.network {
            Network::Supernet(net) => Ok((net, weights)),
            _ => bail!("{} holds no supernet of the DARTS space", path.display()),
        };
    }
    let Some(net) = declared else {
        bail!("{}: a PyTorch checkpoint needs --channels and --classes", path.display())
    };
    let layout: Arc<Layout> = Arc::new(net.layout());
    Ok((net, read_torch(path, layout)?.0))
}
