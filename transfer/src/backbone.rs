//! [`Backbone`]: the trained network that a fine-tuning begins with.

use genas_export::ModelInfo;
use genas_net::{EvalNet, Weights};

use crate::error::{Result, TransferError};

/// A trained network whose features a detector or segmenter begins with.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// The network.
    pub net: EvalNet,
    /// Its weights; a classifier's are not needed.
    pub weights: Weights,
    /// How its images were prepared.
    pub info: ModelInfo,
    /// Where it comes from, for people.
    pub source: String,
}

/// Copies the backbone's entry `name`.
///
/// # Errors
///
/// If it has none of this length.
pub(crate) fn copy(weights: &Weights, name: &str, values: &mut [f32]) -> Result<()> {
    let own = weights.get(name).filter(|own| own.len() == values.len());
    let own = own.ok_or_else(|| {
        TransferError::Request(format!("the backbone has no {name} of {} numbers", values.len()))
    })?;
    values.copy_from_slice(own);
    Ok(())
}
