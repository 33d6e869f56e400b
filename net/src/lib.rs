//! Networks: their wiring (written once), its readings, and training with burn.
//!
//! A network is a plain value (`Supernet`, `EvalNet`) with a `forward` that is generic over an
//! [`Interpreter`]. Reading it with [`Declare`] gives the parameters' names and shapes
//! ([`Layout`]), with [`Cost`] the operations, with [`Tensors`] the numbers (burn), and with the
//! exporter's interpreter the ONNX graph. Parameters live on the host in [`Weights`].

mod blocks;
mod checkpoint;
mod cost;
mod deeplab;
mod device;
mod dilation;
mod ema;
mod error;
mod evalnet;
mod extension;
mod freeze;
mod gradient;
mod interpreter;
mod layer;
mod layout;
mod loss;
mod nb201;
mod network;
mod ops;
mod replicas;
mod retinanet;
mod schedule;
mod supernet;
mod synchronised;
mod tensors;
mod torch;
mod trainer;
mod weights;

pub use blocks::{Block, BlockGraph};
pub use burn::tensor::Device;
pub use checkpoint::{WeightsFile, atomic_write, read_weights, write_weights};
pub use cost::{Cost, CostReport};
pub use deeplab::{AuxiliaryHead, DeepLabV3};
pub use device::{DeviceSpec, Devices};
pub use dilation::Dilation;
pub use ema::Ema;
pub use error::NetError;
pub use evalnet::{EvalNet, NetworkKind, Taps};
pub use freeze::Freeze;
pub use genas_kernels::cross_entropy::Average;
pub use gradient::gradient;
pub use interpreter::Interpreter;
pub use layer::{BatchNorm, Conv, FactorizedReduce, Linear, Pool, Probability};
pub use layout::{Declare, Entry, Layout, Role};
pub use loss::{
    AnchorLabels, PixelLabels, cross_entropy, cross_entropy_map, cross_entropy_per_sample,
    sigmoid_focal_loss, smooth_l1_at,
};
pub use nb201::{Nb201Net, Nb201NetCost, Nb201Path, Nb201Supernet};
pub use network::Network;
pub use ops::{BN_EPS, BN_MOMENTUM};
#[cfg(feature = "cuda")]
pub use replicas::OnDevices;
pub use replicas::{AllReduce, InProcess, ReplicaBatchNorm, run_replicas};
pub use retinanet::{LevelMaps, RetinaNet};
pub use schedule::{Cosine, Polynomial, Schedule, WarmUp, drop_path_probability};
pub use supernet::{Path, Supernet};
pub use tensors::{BatchStats, Feature, Mode, Precision, Tensors};
pub use torch::{read_torch, torch_name};
pub use trainer::{SgdConfig, StepReport, Trainer, TrainerState, UnsampledOps, update_statistics};
pub use weights::Weights;
