//! Any network that weights can belong to, as it is written beside them.

use crate::deeplab::DeepLabV3;
use crate::evalnet::EvalNet;
use crate::layout::Layout;
use crate::nb201::{Nb201Net, Nb201Supernet};
use crate::retinanet::RetinaNet;
use crate::supernet::Supernet;
use serde::{Deserialize, Serialize};

/// The owner of a set of weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Network {
    /// A DARTS-space supernet.
    Supernet(Supernet),
    /// A network of one genotype.
    Eval(EvalNet),
    /// A detector.
    #[serde(rename = "retinanet")]
    RetinaNet(RetinaNet),
    /// A segmenter.
    #[serde(rename = "deeplabv3")]
    DeepLabV3(DeepLabV3),
    /// A NAS-Bench-201 network of one cell.
    Nb201(Nb201Net),
    /// A NAS-Bench-201 supernet.
    Nb201Supernet(Nb201Supernet),
}

impl Network {
    /// All parameters and buffers.
    pub fn layout(&self) -> Layout {
        match self {
            Network::Supernet(net) => net.layout(),
            Network::Eval(net) => net.layout(),
            Network::RetinaNet(net) => net.layout(),
            Network::DeepLabV3(net) => net.layout(),
            Network::Nb201(net) => net.layout(),
            Network::Nb201Supernet(net) => net.layout(),
        }
    }
}
