//! A model in half precision.
//!
//! The graph is written in 32 bits first, with BatchNorm folded: the statistics vanish into the
//! convolutions in f64, so that neither a large variance nor a small one has to be held in 16 bits, and a
//! convolution's output is already normalised when it is rounded. Then every float becomes 16 bits, and
//! inputs and outputs get a `Cast`, unless they are to be 16 bits too.
//!
//! Weights must fit: one that is rounded to infinity is an error. So must activations: ONNX Runtime
//! computes half precision on CPUs in 32 bits and leaves casts out where it can, and would hide an overflow
//! that a GPU shows. They are therefore measured in the 32-bit model ([`check_activations`]).

use crate::activations::open_with_all_values;
use crate::error::{ExportError, Result};
use crate::proto::{AttributeProto, DataType, ModelProto, NodeProto, TensorProto, ValueInfoProto, f16_bytes};
use half::f16;
use std::collections::HashMap;

const NOTHING_WRITTEN: &str = "nothing was written";

/// The same model in half precision.
pub(crate) fn to_half(what: &str, mut model: ModelProto, half_io: bool) -> Result<ModelProto> {
    let Some(graph) = model.graph.as_mut() else { return Ok(model) };
    for tensor in &mut graph.initializer {
        halve(what, tensor)?;
    }
    if half_io {
        graph.input.iter_mut().chain(&mut graph.output).for_each(set_half);
        return Ok(model);
    }
    let mut inner = HashMap::new();
    let mut before = Vec::new();
    for input in &graph.input {
        let halved = format!("{}_fp16", input.name);
        before.push(cast(&input.name, &halved, DataType::Float16));
        inner.insert(input.name.clone(), halved);
    }
    let mut after = Vec::new();
    for output in &graph.output {
        let halved = format!("{}_fp16", output.name);
        after.push(cast(&halved, &output.name, DataType::Float));
        inner.insert(output.name.clone(), halved);
    }
    for name in graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
        if let Some(halved) = inner.get(name) {
            name.clone_from(halved);
        }
    }
    let nodes = std::mem::take(&mut graph.node);
    graph.node = before.into_iter().chain(nodes).chain(after).collect();
    Ok(model)
}

/// Refuses a 32-bit model whose activations do not fit into half precision for these images.
pub(crate) fn check_activations(
    what: &str,
    model: &ModelProto,
    images: &[f32],
    shape: &[usize],
) -> Result<()> {
    let mut too_large = None;
    open_with_all_values(model)?.run_f32_each(images, shape, |name, values| {
        let largest = largest(values);
        if too_large.is_none() && !f16::from_f32(largest).is_finite() {
            too_large = Some(overflow(what, format!("the activation {name}"), largest));
        }
    })?;
    too_large.map_or(Ok(()), Err)
}

fn halve(what: &str, tensor: &mut TensorProto) -> Result<()> {
    let Some(values) = tensor.to_f32() else { return Ok(()) };
    let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
    if halves.iter().any(|value| !value.is_finite()) {
        return Err(overflow(what, format!("the weight {}", tensor.name), largest(&values)));
    }
    tensor.data_type = DataType::Float16 as i32;
    tensor.float_data.clear();
    tensor.raw_data = f16_bytes(&halves);
    Ok(())
}

fn overflow(what: &str, tensor: String, value: f32) -> ExportError {
    ExportError::HalfOverflow { what: what.to_owned(), tensor, value, outcome: NOTHING_WRITTEN }
}

/// Largest absolute value; not a number if one is not.
fn largest(values: &[f32]) -> f32 {
    values.iter().map(|value| value.abs()).fold(0.0, |a: f32, b| if a > b || a.is_nan() { a } else { b })
}

fn set_half(value: &mut ValueInfoProto) {
    if let Some(tensor) = value.r#type.as_mut().and_then(|t| t.tensor_type.as_mut()) {
        tensor.elem_type = DataType::Float16 as i32;
    }
}

fn cast(from: &str, to: &str, data_type: DataType) -> NodeProto {
    NodeProto {
        op_type: "Cast".to_owned(),
        name: format!("/{to}/cast"),
        input: vec![from.to_owned()],
        output: vec![to.to_owned()],
        attribute: vec![AttributeProto::int("to", data_type as usize)],
        ..NodeProto::default()
    }
}
