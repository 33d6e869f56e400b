//! PyTorch checkpoints of the published implementation (clovaai/GeNAS) and of DARTS.

use crate::error::NetError;
use crate::layout::Layout;
use crate::weights::Weights;
use genas_space::Op;
use pytorch_reader::{DType, PytorchReader, Tensor};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zip::read::{ArchiveOffset, Config};

/// Keys that carry nothing of the network: BatchNorm's batch counters.
const IGNORED_SUFFIX: &str = ".num_batches_tracked";

/// The published implementation's name for one of ours.
pub fn torch_name(name: &str, layout: &Layout) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["stem", layer, leaf] => format!("stem.{}.{leaf}", if *layer == "conv" { 0 } else { 1 }),
        ["stem0", layer, leaf] => {
            let n = match *layer {
                "conv1" => 0,
                "bn1" => 1,
                "conv2" => 3,
                _ => 4,
            };
            format!("stem0.{n}.{leaf}")
        }
        ["stem1", layer, leaf] => format!("stem1.{}.{leaf}", if *layer == "conv" { 1 } else { 2 }),
        ["auxiliary", "classifier", leaf] => format!("auxiliary_head.classifier.{leaf}"),
        ["auxiliary", layer, leaf] => {
            let n = match *layer {
                "conv1" => 2,
                "bn1" => 3,
                "conv2" => 5,
                _ => 6,
            };
            format!("auxiliary_head.features.{n}.{leaf}")
        }
        ["cells", cell, input @ ("preprocess0" | "preprocess1"), layer, leaf] => {
            let prefix = format!("cells.{cell}.{input}");
            let factorized = layout.get(&format!("{prefix}.conv_1.weight")).is_some();
            match (*layer, factorized) {
                (layer, true) => format!("{prefix}.{layer}.{leaf}"),
                ("conv", false) => format!("{prefix}.op.1.{leaf}"),
                (_, false) => format!("{prefix}.op.2.{leaf}"),
            }
        }
        ["cells", cell, "edges", edge, op, layer, leaf] => {
            let op: Option<Op> = op.parse().ok();
            let index = op.and_then(Op::index).unwrap_or_default();
            format!("cells.{cell}._ops.{edge}._ops.{index}.{}", operation_name(op, layer, leaf))
        }
        ["cells", cell, "ops", position, op, layer, leaf] => {
            format!("cells.{cell}._ops.{position}.{}", operation_name(op.parse().ok(), layer, leaf))
        }
        _ => name.to_owned(),
    }
}

/// Name of a layer inside an operation.
fn operation_name(op: Option<Op>, layer: &str, leaf: &str) -> String {
    let n = match (op, layer) {
        (Some(Op::SkipConnect), _) => return format!("{layer}.{leaf}"),
        (Some(Op::MaxPool3x3 | Op::AvgPool3x3), _) => return format!("1.{leaf}"),
        (_, "depthwise" | "depthwise1" | "conv_1x7") => 1,
        (_, "pointwise" | "pointwise1" | "conv_7x1") => 2,
        (_, "bn" | "bn1") => 3,
        (_, "depthwise2") => 5,
        (_, "pointwise2") => 6,
        _ => 7,
    };
    format!("op.{n}.{leaf}")
}

/// Reads a checkpoint (`.pth`, `.pth.tar`; the weights themselves or under `state_dict`; with or
/// without `module.`) as weights of `layout`.
///
/// Every tensor is accounted for: returns the weights and the keys that were ignored (batch
/// counters, and an auxiliary head that `layout` does not have). Missing, unknown and mis-shaped
/// tensors are errors that name them.
pub fn read_torch(path: &Path, layout: Arc<Layout>) -> Result<(Weights, Vec<String>), NetError> {
    // Tensors are read from the file when they are asked for, so a copy lives until the end.
    let (tensors, _copy) = open(path)?;
    let mut tensors: HashMap<String, Tensor> = tensors
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix("module.").map(str::to_owned).unwrap_or(name), tensor))
        .collect();
    let mut weights = Weights::neutral(layout.clone());
    let mut missing = Vec::new();
    for entry in layout.entries() {
        let name = torch_name(&entry.name, &layout);
        let Some(tensor) = tensors.remove(&name) else {
            missing.push(name);
            continue;
        };
        if tensor.shape() != entry.shape || tensor.dtype() != DType::F32 {
            let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            return Err(NetError::format(
                path,
                format!(
                    "{name} is {found}, expected F32 {:?}; check the cell, the width and the number of classes",
                    entry.shape
                ),
            ));
        }
        let bytes = tensor.read().map_err(NetError::io(path, "read"))?;
        crate::checkpoint::read_f32(&bytes, weights.slice_mut(entry));
    }
    let head = |name: &String| name.starts_with("auxiliary_head.");
    let mut unknown: Vec<String> = tensors.into_keys().collect();
    unknown.sort();
    let ignored;
    (ignored, unknown) = unknown.into_iter().partition(|n| n.ends_with(IGNORED_SUFFIX) || head(n));
    if !missing.is_empty() || !unknown.is_empty() {
        let list = |names: &[String]| match names {
            [] => "none".to_owned(),
            [first, rest @ ..] => {
                format!("{} ({first}{})", names.len(), if rest.is_empty() { "" } else { ", ..." })
            }
        };
        return Err(NetError::format(
            path,
            format!(
                "does not fit this network: missing tensors {}, unknown tensors {}; check the cell, the \
                 number of layers and the kind of network",
                list(&missing),
                list(&unknown)
            ),
        ));
    }
    Ok((weights, ignored))
}

/// A temporary file, removed in the end.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Opens a checkpoint, under `state_dict` if it has that key. The tensors may lie in a copy.
fn open(path: &Path) -> Result<(HashMap<String, Tensor>, Option<Temporary>), NetError> {
    File::open(path).map_err(NetError::io(path, "read"))?;
    let read = |path: &Path| {
        PytorchReader::with_top_level_key(path, "state_dict").or_else(|_| PytorchReader::new(path))
    };
    let error = match read(path) {
        Ok(reader) => return Ok((reader.into_tensors(), None)),
        Err(error) => error,
    };
    // Some archives fool the detection of their start (burn-notes.md); a fresh copy reads well.
    // The reader takes archives from files only.
    let broken =
        |reason: String| NetError::format(path, format!("not a PyTorch checkpoint, or damaged ({reason})"));
    let copy = repack(path).map_err(|e| broken(e.to_string()))?;
    match read(&copy.0) {
        Ok(reader) => Ok((reader.into_tensors(), Some(copy))),
        Err(_) => Err(broken(error.to_string())),
    }
}

/// Copies the entries of an archive that starts at the file's first byte into a new one.
fn repack(path: &Path) -> Result<Temporary, zip::result::ZipError> {
    static COPIES: AtomicU64 = AtomicU64::new(0);
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut source = zip::ZipArchive::with_config(config, BufReader::new(File::open(path)?))?;
    let name = format!("genas-{}-{}.pth", std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
    let copy = std::env::temp_dir().join(name);
    let file = File::create_new(&copy)?;
    let copy = Temporary(copy);
    let mut target = zip::ZipWriter::new(BufWriter::new(file));
    for n in 0..source.len() {
        let mut entry = source.by_index(n)?;
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let name = entry.name()?.into_owned();
        target.start_file(name, stored)?;
        std::io::copy(&mut entry, &mut target)?;
    }
    target.finish()?.flush()?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evalnet::{EvalNet, NetworkKind};
    use crate::supernet::Supernet;
    use std::collections::HashSet;

    /// Every entry has a name of its own, none of it ours.
    fn names(layout: &Layout) -> HashSet<String> {
        let mut seen = HashSet::new();
        for entry in layout.entries() {
            let name = torch_name(&entry.name, layout);
            let ours =
                ["edges", "ops", "depthwise", "pointwise", "stem.conv", "stem.bn", "conv1", "auxiliary."];
            let parts: Vec<&str> = name.split('.').collect();
            assert!(
                !ours.iter().any(|o| parts.contains(o) || name.starts_with(o)),
                "{} -> {name}",
                entry.name
            );
            assert!(seen.insert(name.clone()), "{name} stands for two entries, {} among them", entry.name);
        }
        assert_eq!(seen.len(), layout.entries().len());
        seen
    }

    #[test]
    fn every_entry_of_the_supernet_has_its_own_published_name() {
        let names = names(&Supernet { channels: 4, layers: 8, classes: 10 }.layout());
        for known in [
            "stem.0.weight",
            "stem.1.running_var",
            "cells.0.preprocess0.op.1.weight",
            "cells.3.preprocess0.conv_2.weight",
            "cells.3.preprocess0.bn.bias",
            "cells.2._ops.0._ops.3.conv_1.weight",
            "cells.7._ops.13._ops.1.1.running_mean",
            "cells.0._ops.0._ops.4.op.6.weight",
            "cells.0._ops.0._ops.5.op.7.weight",
            "cells.0._ops.0._ops.6.op.2.weight",
            "cells.0._ops.0._ops.7.op.3.bias",
            "classifier.bias",
        ] {
            assert!(names.contains(known), "{known}");
        }
    }

    #[test]
    fn every_entry_of_the_networks_has_its_own_published_name() {
        for entry in genas_space::zoo() {
            for kind in [NetworkKind::Cifar, NetworkKind::ImageNet] {
                let genotype = entry.genotype();
                let net = EvalNet { kind, genotype, channels: 4, layers: 4, classes: 3, auxiliary: true };
                let names = names(&net.layout());
                assert!(names.contains("auxiliary_head.features.5.weight"), "{}", entry.name);
                assert!(names.contains("auxiliary_head.classifier.weight"), "{}", entry.name);
            }
        }
    }
}
