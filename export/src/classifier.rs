//! Networks as ONNX models in memory.

use crate::error::Result;
use crate::graph::{LOGITS, OnnxGraph};
use crate::options::GraphOptions;
use crate::proto::ModelProto;
use genas_net::{EvalNet, Path, Supernet, Weights};
use genas_space::Candidate;
use prost::Message;

/// A classifier as a message; its auxiliary head, if it has one, is left out.
pub fn classifier_proto(net: &EvalNet, weights: &Weights, options: &GraphOptions) -> Result<ModelProto> {
    let (mut graph, input) = OnnxGraph::new("classifier", weights, options);
    let logits = net.forward(&mut graph, &input);
    graph.finish(&[(LOGITS, logits)])
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
