//! Data sets in their official layouts, decoding, augmentation, loaders, and the generated `shapes`
//! set.
//!
//! [`open`] recognises a folder and [`load`] reads a split of it into an [`ImageSet`], which a
//! [`TrainLoader`] turns into batches. Sets that do not fit into memory, and photos for models that
//! are evaluated as ONNX, are streamed by an [`EvalSource`]. [`check`] reads a data set through.
//! ImageNet is trained on from disk: a [`PhotoSource`] (class folders or tar shards), a [`PhotoLoader`] that augments
//! as a [`PhotoAugment`] says, and a [`PhotoEval`] for the validation images.
//! Nothing here knows networks or devices: images leave as `f32` in N x C x H x W.

mod augment;
mod check;
mod cifar;
pub mod coco;
mod dataset;
mod decode;
mod error;
mod eval;
mod folder;
mod image_set;
mod imagenet16;
mod loader;
mod nb201;
mod period_loader;
mod photo;
mod photo_eval;
mod photo_loader;
mod photo_source;
mod pickle;
mod picture;
mod prefetch;
pub mod segmentation;
pub mod shapes;
mod shards;
mod split;

pub use augment::AugmentConfig;
pub use check::{BadFile, CheckReport, check};
pub use cifar::{CifarFolder, CifarKind};
pub use dataset::{Dataset, Kind, Split, load, open};
pub use decode::decode_file;
pub use error::{DataError, LAYOUTS};
pub use eval::{EvalBatch, EvalItem, EvalSource, EvalTransform};
pub use folder::{FolderIndex, ImageFolder, images_in};
pub use image_set::{ImageSet, Normalization, normalized};
pub use imagenet16::ImageNet16Folder;
pub use loader::{Batch, TrainLoader};
pub use nb201::{GroundTruth, Nb201Set};
pub use period_loader::{PeriodLoader, StepSet};
pub use photo::{ColorJitter, ColorStep, CropKind, PhotoAugment, PhotoChange, Window};
pub use photo_eval::{Interpolation, PhotoEval, PhotoEvalTransform};
pub use photo_loader::{OnBroken, PhotoLoader};
pub use photo_source::PhotoSource;
pub use picture::{Picture, shorter_side};
pub use prefetch::{Prefetch, Workers};
pub use shards::ShardIndex;
pub use split::{half_split, read_split, read_test_split};
