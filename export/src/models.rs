//! Networks as ONNX models in memory.

use crate::error::Result;
use crate::graph::{BACKBONE_OUTPUTS, LOGITS, OnnxGraph};
use crate::options::{Features, GraphOptions, ModelKind};
use crate::proto::ModelProto;
use genas_net::{EvalNet, Interpreter, Layout, Nb201Path, Nb201Supernet, Path, Supernet, Weights};
use genas_space::Candidate;
use genas_space::nb201::Nb201Cell;
use prost::Message;

/// Outputs of a network exported as `kind`, by name: the one reading that graph, burn and layout share.
pub(crate) fn read_outputs<I: Interpreter>(
    net: &EvalNet,
    kind: ModelKind,
    i: &mut I,
    x: &I::Value,
) -> Vec<(&'static str, I::Value)> {
    match kind {
        ModelKind::Classifier => vec![(LOGITS, net.forward(i, x))],
        ModelKind::Backbone(features) => {
            let maps = net.backbone(i, x, features == Features::Relu);
            BACKBONE_OUTPUTS.into_iter().zip(maps).collect()
        }
    }
}

/// What a network exported as `kind` reads of its weights.
pub(crate) fn layout_of(net: &EvalNet, kind: ModelKind) -> Layout {
    match kind {
        ModelKind::Classifier => EvalNet { auxiliary: false, ..net.clone() }.layout(),
        ModelKind::Backbone(_) => net.backbone_layout(),
    }
}

/// A network as a message, as classifier or as backbone.
pub(crate) fn model_proto(
    net: &EvalNet,
    kind: ModelKind,
    weights: &Weights,
    options: &GraphOptions,
) -> Result<ModelProto> {
    let (mut graph, input) = OnnxGraph::new(kind.name(), weights, options);
    let outputs = read_outputs(net, kind, &mut graph, &input);
    graph.finish(&outputs)
}

/// A classifier as a message; its auxiliary head, if it has one, is left out.
pub fn classifier_proto(net: &EvalNet, weights: &Weights, options: &GraphOptions) -> Result<ModelProto> {
    model_proto(net, ModelKind::Classifier, weights, options)
}

/// A classifier as the bytes of a file.
pub fn classifier_model(net: &EvalNet, weights: &Weights, options: &GraphOptions) -> Result<Vec<u8>> {
    Ok(classifier_proto(net, weights, options)?.encode_to_vec())
}

/// A candidate of a supernet, for scoring: only what lies on its path is written. `weights` may be
/// the whole supernet's or those of the path.
pub fn supernet_model(
    net: &Supernet,
    candidate: &Candidate,
    weights: &Weights,
    options: &GraphOptions,
) -> Result<Vec<u8>> {
    let (mut graph, input) = OnnxGraph::new("supernet", weights, options);
    let logits = net.forward(&mut graph, Path::Candidate(candidate), &input);
    graph.finish_bytes(&[(LOGITS, logits)])
}

/// A cell of a NAS-Bench-201 supernet at every position, for scoring, as [`supernet_model`].
pub fn nb201_supernet_model(
    net: &Nb201Supernet,
    cell: &Nb201Cell,
    weights: &Weights,
    options: &GraphOptions,
) -> Result<Vec<u8>> {
    let (mut graph, input) = OnnxGraph::new("nb201-supernet", weights, options);
    let logits = net.forward(&mut graph, Nb201Path::Shared(cell), &input);
    graph.finish_bytes(&[(LOGITS, logits)])
}
