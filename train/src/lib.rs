//! What every training shares, whatever it trains: the epoch loop with its checkpoints and curves, and what stands
//! around it.
//!
//! | module | concept |
//! |---|---|
//! | [`fit`] | the epoch loop |
//! | [`batches`] | where a training's batches come from |
//! | [`measure`] | how a network does on images that it is not trained on |
//! | [`settings`] | settings as TOML, with overrides |
//! | [`directory`] | a training's directory: one writer, fingerprints |
//! | [`observer`] | progress, and the wish to stop |
//! | [`tensorboard`] | curves as TensorBoard event files |

pub mod batches;
pub mod directory;
pub mod error;
pub mod fit;
pub mod measure;
pub mod observer;
pub mod settings;
pub mod tensorboard;

pub use batches::{Batches, Images};
pub use error::TrainError;
pub use fit::{EpochRow, Fit, Fitted};
pub use measure::Measure;
pub use observer::Observer;
