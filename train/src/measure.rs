//! How a network does on images that it is not trained on: what the epoch loop has to know of it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// What a validation measures: finite numbers, because the state of an unfinished training is JSON.
pub trait Measure: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// Names of the columns in `training.csv`, that of the goodness first.
    const NAMES: &'static [&'static str];

    /// The numbers, in the order of [`NAMES`](Self::NAMES).
    fn values(&self) -> Vec<f64>;

    /// From as many numbers as there are names, in their order.
    fn from_values(values: &[f64]) -> Option<Self>;

    /// A fraction by which epochs are compared; higher is better. It decides what is in `best.safetensors`.
    fn goodness(&self) -> f64;

    /// What the goodness is, for people: `top-1`.
    fn goodness_name() -> &'static str;

    /// All of it for people: `validation loss 1.2000, top-1 33.00 %`.
    fn summary(&self) -> String;

    /// Tags and values for TensorBoard: `validation/top-1`.
    fn scalars(&self) -> Vec<(&'static str, f64)>;
}
