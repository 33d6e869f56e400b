//! [`FineTuning`]: what trainings on a backbone have in common, whatever is trained.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use genas_net::{Devices, Freeze, Network, Weights, WeightsFile, atomic_write};
use genas_runtime::SessionOptions;
use genas_train::settings::to_toml;
use genas_train::{Observer, TrainError};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::backbone::Backbone;
use crate::error::{Result, TransferError};

/// The resolved settings, beside the weights.
pub const CONFIG: &str = "config.toml";

/// Where and how something is fine-tuned.
pub struct FineTuning<'a, Config> {
    /// Where everything goes.
    pub directory: &'a Path,
    /// What it begins with.
    pub backbone: &'a Backbone,
    /// The settings.
    pub config: &'a Config,
    /// Where burn computes.
    pub devices: &'a Devices,
    /// Where ONNX Runtime computes, for the evaluations.
    pub session: SessionOptions,
    /// Continue an interrupted training.
    pub resume: bool,
    /// Progress.
    pub observer: &'a dyn Observer,
}

impl<Config: Serialize> FineTuning<'_, Config> {
    /// The weights after the last step.
    pub(crate) fn weights(&self) -> PathBuf {
        self.directory.join("final.safetensors")
    }

    /// Writes the settings down, and says what is trained on. A finished or unfinished training keeps its own settings,
    /// whatever is wanted now: it may be refused.
    pub(crate) fn begin(&self, say: impl FnOnce()) -> Result<()> {
        if !self.weights().exists() && !self.directory.join("latest").exists() {
            atomic_write(&self.directory.join(CONFIG), to_toml(self.config).as_bytes())?;
            say();
        }
        Ok(())
    }

    /// What stands beside the weights: the network, and what the model's files will say about it.
    pub(crate) fn about(&self, network: Network, info: &impl Serialize) -> WeightsFile {
        let mut extra = match serde_json::to_value(info) {
            Ok(Value::Object(facts)) => facts,
            _ => Map::new(),
        };
        extra.insert("backbone".to_owned(), self.backbone.source.clone().into());
        WeightsFile { network, extra }
    }

    /// Runs `measure` with a watcher that reports images done of all as an evaluation of `what` after `steps` steps, and
    /// stops it when the user wants that.
    pub(crate) fn watched<M>(
        &self,
        what: &str,
        steps: usize,
        measure: impl FnOnce(&dyn Fn(usize, usize) -> ControlFlow<()>) -> Result<M>,
    ) -> Result<M> {
        let watch = |done: usize, total: usize| {
            let stands = format!("measuring {what}: image {done}/{total}");
            self.observer.advance(steps as u64, &stands);
            self.observer.dashboard(&[stands]);
            if self.observer.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        measure(&watch).map_err(|error| match error {
            // The loop saves its state when this fails.
            TransferError::Interrupted => TrainError::Interrupted.into(),
            error => error,
        })
    }

    /// Refuses to do what is done: only `--resume` may find a finished training.
    pub(crate) fn check_finished(&self, was_finished: bool) -> Result<()> {
        if !was_finished || self.resume {
            return Ok(());
        }
        Err(TransferError::Request(format!(
            "{}: a finished training is here; use --resume to export and evaluate it again, or another --out",
            self.weights().display()
        )))
    }

    /// The run that the weights come from.
    pub(crate) fn source_run(&self) -> String {
        self.directory.parent().unwrap_or(self.directory).display().to_string()
    }
}

/// How a model's file names what it was trained on.
pub(crate) fn training_data(folder: &Path, split: &str) -> String {
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    format!("{name} {split}")
}

/// Leaves the stem of the backbone, up to stride 4, and all its BatchNorms as they are, or not.
pub(crate) fn freeze(backbone: &str, stem: bool, batch_norm: bool) -> Freeze {
    let part = |frozen: bool, name: &str| {
        if frozen { vec![format!("{backbone}.{name}")] } else { Vec::new() }
    };
    Freeze { parameters: part(stem, "stem0."), batch_norm: part(batch_norm, "") }
}

/// Fills the entries of `weights` below `scope` with the backbone's own, and the others by `fill`, which is given the entry
/// and its values.
///
/// # Errors
///
/// If the backbone lacks an entry, or those of `fill`.
pub(crate) fn initial_weights(
    mut weights: Weights,
    scope: &str,
    backbone: &Weights,
    mut fill: impl FnMut(&genas_net::Entry, &mut [f32]) -> Result<()>,
) -> Result<Weights> {
    let scope = format!("{scope}.");
    for entry in weights.layout().clone().entries() {
        let values = weights.slice_mut(entry);
        let Some(name) = entry.name.strip_prefix(&scope) else {
            fill(entry, values)?;
            continue;
        };
        let own = backbone.get(name).filter(|own| own.len() == values.len());
        let own = own.ok_or_else(|| {
            TransferError::Request(format!("the backbone has no {name} of {} numbers", values.len()))
        })?;
        values.copy_from_slice(own);
    }
    Ok(weights)
}
