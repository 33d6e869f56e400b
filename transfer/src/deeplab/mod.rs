//! DeepLab-v3's training (spec 06, section 5): MMSegmentation's defaults. The network itself is
//! [`genas_net::DeepLabV3`]; what a trained one is worth is in [`segmentation`](crate::segmentation).
//!
//! | module | concept |
//! |---|---|
//! | [`config`] | every constant, by name |
//! | [`class_weights`] | what rare classes count |
//! | [`weights`] | before training |
//! | [`training`] | the fine-tuning of a backbone |

pub mod class_weights;
pub mod config;
pub mod training;
pub mod weights;

pub use config::DeepLabConfig;
