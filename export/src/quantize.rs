//! A model in 8-bit integers: static quantisation, written as `QuantizeLinear` and `DequantizeLinear` (QDQ).
//!
//! The graph is written in 32 bits first, with BatchNorm folded. Then
//! - every value that a node reads goes through a pair of `QuantizeLinear` and `DequantizeLinear`, once, behind the
//!   node that computes it; so do the outputs, but for those of a linear layer, which stay as they are computed;
//! - weights are signed and symmetric, with a scale for each output channel, between -127 and 127;
//! - biases are 32-bit integers in units of the input's scale times the weights', as integer kernels add them.
//!
//! Runtimes fuse the pairs with the layers between them. What they ask of the parameters, they get:
//! - a value that only a ReLU reads has the ReLU's range: what is cut off is what the ReLU would cut off, and
//!   with an unsigned type the ReLU is part of the rounding;
//! - pooling by maxima, flattening and picking odd pixels only move numbers: their output has their input's
//!   parameters.

use crate::calibrate::{Calibration, Range};
use crate::error::{ExportError, Result};
use crate::graph::ODD_PIXELS;
use crate::options::Activations;
use crate::proto::{AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto, f32_bytes};
use crate::verify::optimized;
use prost::Message;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Largest magnitude of an 8-bit weight and of a symmetric activation.
const LARGEST: f32 = 127.0;
/// Largest magnitude of a 32-bit bias: half of what fits, so that sums have room.
const LARGEST_BIAS: f32 = (1 << 30) as f32;

/// How many convolutions ONNX Runtime computes in integers, on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IntegerShare {
    /// Convolutions of the model.
    pub convolutions: usize,
    /// Those that became integer ones.
    pub integer: usize,
}

/// Asks ONNX Runtime's optimiser.
pub(crate) fn integer_share(model: &ModelProto) -> Result<IntegerShare> {
    let count = |model: &ModelProto, op_type: &str| {
        let nodes = model.graph.iter().flat_map(|graph| &graph.node);
        nodes.filter(|node| node.op_type == op_type).count()
    };
    let integer = count(&optimized(&model.encode_to_vec())?, "QLinearConv");
    Ok(IntegerShare { convolutions: count(model, "Conv"), integer })
}

/// The same model in 8-bit integers.
pub(crate) fn to_int8(what: &str, mut model: ModelProto, calibration: &Calibration) -> Result<ModelProto> {
    if let Some(graph) = model.graph.take() {
        model.graph = Some(Quantizer::new(what, graph, calibration)?.run()?);
    }
    Ok(model)
}

/// Scale and zero point: a number is `scale * (integer - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Parameters {
    scale: f32,
    zero_point: u8,
}

impl Parameters {
    fn new(range: Range, activations: Activations) -> Self {
        // Zero must be exact: it is what pads images.
        let (low, high) = (range.low.min(0.0), range.high.max(0.0));
        let scale = match activations {
            Activations::Uint8 => (high - low) / 255.0,
            Activations::Int8 => high.max(-low) / LARGEST,
        };
        let scale = usable(scale);
        let zero_point = match activations {
            Activations::Uint8 => (-low / scale).round().clamp(0.0, 255.0) as u8,
            Activations::Int8 => 0,
        };
        Self { scale, zero_point }
    }
}

/// A scale that can divide; a value that is always zero takes any.
fn usable(scale: f32) -> f32 {
    if scale >= f32::MIN_POSITIVE { scale } else { 1.0 }
}

struct Quantizer<'c> {
    what: String,
    calibration: &'c Calibration,
    /// What is being replaced.
    old: GraphProto,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    written: HashSet<String>,
    weights: HashMap<String, TensorProto>,
    parameters: HashMap<String, Parameters>,
    /// From a value to what its readers read now.
    read_as: HashMap<String, String>,
}

impl<'c> Quantizer<'c> {
    fn new(what: &str, mut old: GraphProto, calibration: &'c Calibration) -> Result<Self> {
        let weights = std::mem::take(&mut old.initializer).into_iter().map(|t| (t.name.clone(), t)).collect();
        let mut quantizer = Self {
            what: what.to_owned(),
            calibration,
            old,
            nodes: Vec::new(),
            initializers: Vec::new(),
            written: HashSet::new(),
            weights,
            parameters: HashMap::new(),
            read_as: HashMap::new(),
        };
        quantizer.choose_parameters()?;
        Ok(quantizer)
    }

    /// Parameters of the graph's input and of every node's output.
    fn choose_parameters(&mut self) -> Result<()> {
        let mut readers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
        for node in &self.old.node {
            node.input.iter().for_each(|input| readers.entry(input).or_default().push(node));
        }
        let outputs: HashSet<&str> = self.old.output.iter().map(|output| output.name.as_str()).collect();
        let mut parameters = HashMap::new();
        let inputs = self.old.input.iter().map(|input| (input.name.as_str(), None));
        let computed = self.old.node.iter().map(|node| (node.output[0].as_str(), Some(node)));
        for (value, node) in inputs.chain(computed) {
            let moved = node.filter(|node| match node.op_type.as_str() {
                "MaxPool" | "Flatten" => true,
                "Conv" => node.input[1].starts_with(ODD_PIXELS),
                _ => false,
            });
            let own = match moved {
                Some(node) => parameters[&node.input[0]],
                None => {
                    let rectified = readers.get(value).filter(|readers| {
                        !outputs.contains(value) && readers.iter().all(|reader| reader.op_type == "Relu")
                    });
                    let of = rectified.map_or(value, |readers| &readers[0].output[0]);
                    let range = self.calibration.ranges.get(of).ok_or_else(|| {
                        let problem =
                            "the calibration is of another network or kind of file: it has no range of";
                        ExportError::Info(format!("{}: {problem} {of}", self.what))
                    })?;
                    Parameters::new(*range, self.calibration.activations)
                }
            };
            parameters.insert(value.to_owned(), own);
        }
        self.parameters = parameters;
        Ok(())
    }

    fn run(mut self) -> Result<GraphProto> {
        let old_nodes = std::mem::take(&mut self.old.node);
        let outputs: HashSet<String> = self.old.output.iter().map(|output| output.name.clone()).collect();
        for input in self.old.input.clone() {
            self.pair(&input.name, &input.name, &format!("{}_dequantized", input.name));
        }
        for mut node in old_nodes {
            let value = node.output[0].clone();
            let activation = node.input[0].clone();
            for input in &mut node.input {
                if let Some(name) = self.read_as.get(input) {
                    input.clone_from(name);
                }
            }
            let linear = node.op_type == "Gemm";
            if linear || node.op_type == "Conv" {
                self.layer(&mut node, self.parameters[&activation])?;
            }
            let is_output = outputs.contains(&value);
            match (is_output, linear) {
                (true, true) => self.nodes.push(node),
                (true, false) => {
                    // The output is what the pair gives, under the output's name.
                    let computed = format!("{value}_computed");
                    node.output[0].clone_from(&computed);
                    self.nodes.push(node);
                    self.pair(&value, &computed, &value);
                }
                (false, _) => {
                    self.nodes.push(node);
                    self.pair(&value, &value, &format!("{value}_dequantized"));
                }
            }
        }
        self.old.node = self.nodes;
        self.old.initializer = self.initializers;
        Ok(self.old)
    }

    /// A value's pair: from the name `from` to the name `to`.
    fn pair(&mut self, value: &str, from: &str, to: &str) {
        let Parameters { scale, zero_point } = self.parameters[value];
        let data_type = match self.calibration.activations {
            Activations::Uint8 => DataType::Uint8,
            Activations::Int8 => DataType::Int8,
        };
        let scale = self.initializer(format!("{value}_scale"), DataType::Float, &[], f32_bytes(&[scale]));
        let zero = self.initializer(format!("{value}_zero_point"), data_type, &[], vec![zero_point]);
        let stem = if value.starts_with('/') { value.trim_end_matches("_output") } else { value };
        let named = |name: &str| format!("{}{stem}/{name}", if stem.starts_with('/') { "" } else { "/" });
        let quantized = format!("{value}_quantized");
        for (op_type, name, from, to) in [
            ("QuantizeLinear", named("quantize"), from, quantized.as_str()),
            ("DequantizeLinear", named("dequantize"), quantized.as_str(), to),
        ] {
            self.nodes.push(NodeProto {
                op_type: op_type.to_owned(),
                name,
                input: vec![from.to_owned(), scale.clone(), zero.clone()],
                output: vec![to.to_owned()],
                ..NodeProto::default()
            });
        }
        self.read_as.insert(value.to_owned(), to.to_owned());
    }

    /// The weights and the bias of a convolution or a linear layer.
    fn layer(&mut self, node: &mut NodeProto, input: Parameters) -> Result<()> {
        let weight = self.floats(&node.input[1])?;
        let bias = match node.input.get(2).cloned() {
            Some(name) => Some((self.floats(&name)?, name)),
            None => None,
        };
        let channels = weight.dims.first().copied().unwrap_or_default().max(1) as usize;
        let per_channel = (weight.values.len() / channels).max(1);
        let mut scales = Vec::with_capacity(channels);
        let mut integers = Vec::with_capacity(weight.values.len());
        for (channel, row) in weight.values.chunks(per_channel).enumerate() {
            let largest = row.iter().fold(0.0f32, |max, w| max.max(w.abs()));
            // The bias must fit too.
            let bias = bias.as_ref().map_or(0.0, |(bias, _)| bias.values[channel].abs());
            let scale = usable((largest / LARGEST).max(bias / (input.scale * LARGEST_BIAS)));
            integers.extend(row.iter().map(|w| (w / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i8));
            scales.push(scale);
        }
        let bytes = integers.iter().map(|&w| w as u8).collect();
        node.input[1] = self.constant(&node.input[1], &weight.dims, DataType::Int8, bytes, &scales);
        if let Some((bias, name)) = bias {
            let scales: Vec<f32> = scales.iter().map(|scale| scale * input.scale).collect();
            let integers =
                bias.values.iter().zip(&scales).map(|(b, scale)| (b / scale).round_ties_even() as i32);
            let bytes = integers.flat_map(i32::to_le_bytes).collect();
            node.input[2] = self.constant(&name, &bias.dims, DataType::Int32, bytes, &scales);
        }
        Ok(())
    }

    /// A constant with a scale for each entry of its first axis, and the node that makes numbers of it.
    fn constant(
        &mut self,
        name: &str,
        dims: &[i64],
        data_type: DataType,
        bytes: Vec<u8>,
        scales: &[f32],
    ) -> String {
        let dims: Vec<usize> = dims.iter().map(|&d| d as usize).collect();
        let width = bytes.len() / dims.iter().product::<usize>().max(1);
        let zeros = vec![0; scales.len() * width];
        let input = vec![
            self.initializer(format!("{name}_quantized"), data_type, &dims, bytes),
            self.initializer(format!("{name}_scale"), DataType::Float, &[scales.len()], f32_bytes(scales)),
            self.initializer(format!("{name}_zero_point"), data_type, &[scales.len()], zeros),
        ];
        let output = format!("{name}_dequantized");
        if !self.written.insert(output.clone()) {
            return output; // several layers have these weights
        }
        self.nodes.push(NodeProto {
            op_type: "DequantizeLinear".to_owned(),
            name: format!("/{}/dequantize", name.replace('.', "/")),
            input,
            output: vec![output.clone()],
            attribute: vec![AttributeProto::int("axis", 0)],
            ..NodeProto::default()
        });
        output
    }

    fn initializer(&mut self, name: String, data_type: DataType, dims: &[usize], bytes: Vec<u8>) -> String {
        if self.written.insert(name.clone()) {
            let dims = dims.iter().map(|&d| d as i64).collect();
            self.initializers.push(TensorProto {
                name: name.clone(),
                dims,
                data_type: data_type as i32,
                raw_data: bytes,
                ..TensorProto::default()
            });
        }
        name
    }

    fn floats(&self, name: &str) -> Result<Floats> {
        let tensor = self.weights.get(name).and_then(|t| Some((t.dims.clone(), t.to_f32()?)));
        let (dims, values) = tensor.ok_or_else(|| {
            ExportError::Info(format!("{}: {name} is no constant; report this as a bug", self.what))
        })?;
        Ok(Floats { dims, values })
    }
}

/// A constant in 32 bits.
struct Floats {
    dims: Vec<i64>,
    values: Vec<f32>,
}
