//! `genas zoo`.

use anyhow::{Result, bail};
use genas_space::{Candidate, Genotype, PaperRow, ZooEntry, parse_cell};
use serde::Serialize;
use serde_json::json;

use crate::args::{ZooAction, ZooArgs};
use crate::context::Ctx;
use crate::output::{fields, table};

/// An entry as programs read it.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    aliases: &'static [&'static str],
    space: &'static str,
    normal: String,
    reduce: String,
    genotype: Genotype,
    /// The 28 integers; none for cells outside the space of 14 edges.
    candidate: Option<Candidate>,
    source: &'static str,
    note: &'static str,
    paper: Option<PaperRow>,
    /// Width of the ImageNet network of the paper's row.
    channels: Option<usize>,
}

impl Listed {
    fn new(entry: &'static ZooEntry) -> Self {
        let genotype = entry.genotype();
        Self {
            name: entry.name,
            aliases: entry.aliases,
            space: "darts",
            normal: genotype.normal.to_string(),
            reduce: genotype.reduce.to_string(),
            candidate: Candidate::try_from(&genotype).ok(),
            genotype,
            source: entry.source,
            note: entry.note,
            paper: entry.paper,
            channels: entry.channels,
        }
    }

    fn details(&self) -> String {
        let mut pairs = vec![("name", self.name.to_owned())];
        if !self.aliases.is_empty() {
            pairs.push(("also", self.aliases.join(", ")));
        }
        pairs.extend([("normal", self.normal.clone()), ("reduce", self.reduce.clone())]);
        if let Some(candidate) = &self.candidate {
            pairs.push(("candidate", candidate.to_string()));
        }
        pairs.extend([("source", self.source.to_owned()), ("note", self.note.to_owned())]);
        if let Some(row) = &self.paper {
            pairs.push(("paper", paper(row)));
        }
        if let Some(channels) = self.channels {
            pairs.push(("channels", format!("{channels} in the ImageNet network of that row")));
        }
        fields(&pairs)
    }
}

fn paper(row: &PaperRow) -> String {
    let top5 = row.top5.map_or_else(String::new, |top5| format!(", top-5 {top5:.2}"));
    format!(
        "{}, searched on {}: {:.1} M parameters, {:.2} G FLOPs, ImageNet top-1 {:.2}{top5}",
        row.method, row.search_set, row.params_m, row.flops_g, row.top1
    )
}

pub fn run(ctx: &Ctx, args: &ZooArgs) -> Result<()> {
    match &args.action {
        None => list(ctx),
        Some(ZooAction::Show { name }) => show(ctx, name),
    }
}

fn list(ctx: &Ctx) -> Result<()> {
    let cells: Vec<Listed> = genas_space::zoo().iter().map(Listed::new).collect();
    let unpublished = genas_space::unpublished();
    ctx.out.result(&json!({ "cells": cells, "unpublished": unpublished }), || {
        let dash = || "-".to_owned();
        let figure = |cell: &Listed, of: fn(&PaperRow) -> String| cell.paper.as_ref().map_or_else(dash, of);
        let rows: Vec<Vec<String>> = cells
            .iter()
            .map(|cell| {
                vec![
                    cell.name.to_owned(),
                    figure(cell, |row| row.search_set.to_owned()),
                    cell.channels.map_or_else(dash, |c| c.to_string()),
                    figure(cell, |row| format!("{:.1}", row.params_m)),
                    figure(cell, |row| format!("{:.2}", row.flops_g)),
                    figure(cell, |row| format!("{:.2}", row.top1)),
                ]
            })
            .collect();
        let head = ["cell", "searched on", "channels", "params (M)", "FLOPs (G)", "ImageNet top-1"];
        let names: Vec<&str> = unpublished.iter().map(|row| row.name).collect();
        format!(
            "{}\nFigures are those of the GeNAS paper. `genas zoo show NAME` tells more.\nNot published by anyone: {}\n",
            table(&head, &rows),
            names.join(", ")
        )
    })
}

fn show(ctx: &Ctx, name: &str) -> Result<()> {
    let Some(entry) = genas_space::find(name) else {
        // The error names what is unpublished, and the nearest names.
        parse_cell(name)?;
        bail!("{name} is a cell, but not the name of one; names are in `genas zoo`");
    };
    let cell = Listed::new(entry);
    ctx.out.result(&json!({ "cells": [&cell] }), || cell.details())
}
