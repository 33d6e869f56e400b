//! What `--backbone` needs, whatever is trained on it.

use std::path::Path;

use anyhow::Result;
use genas_net::EvalNet;
use genas_search::Observer;
use genas_transfer::{Backbone, TransferError};

use crate::args::FineTuneArgs;
use crate::context::Ctx;
use crate::weights;

/// The settings that `args` names, those of the training in `own` if it is to be resumed, or the preset `default`.
pub fn settings<C>(
    ctx: &Ctx,
    args: &FineTuneArgs,
    own: &Path,
    default: &str,
    read: impl Fn(&Path, &[String]) -> Result<C>,
) -> Result<C> {
    let path = match &args.config {
        Some(path) => path.as_path(),
        None if args.resume && own.is_file() => own,
        None => {
            ctx.observer.message(&format!("settings: {default}"));
            Path::new(default)
        }
    };
    read(path, &args.set)
}

/// Reads a trained network.
pub fn backbone(model: &Path) -> Result<Backbone> {
    let trained = weights::read(model)?;
    Ok(Backbone {
        net: EvalNet { auxiliary: false, ..trained.net },
        weights: trained.weights,
        info: trained.info,
        source: model.display().to_string(),
    })
}

/// Errors of what follows a training: it is there by now, and `--resume` goes straight to the rest.
pub fn after_training(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(TransferError::Interrupted) => genas_train::TrainError::Interrupted.into(),
        _ => error,
    }
}
