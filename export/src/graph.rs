//! The interpreter that reads a network's wiring as an ONNX graph.
//!
//! - Nodes are named by scope (`/cells.3/edges.7/sep_conv_3x3/depthwise1`), initializers like the
//!   parameters (`cells.3.edges.7.sep_conv_3x3.depthwise1.weight`), so that a file can be read, and
//!   weights read back from it ([`weights_from_onnx`](crate::weights_from_onnx)).
//! - FactorizedReduce is written without slices, see [`factorized_reduce`], and pooling with dilation in what other
//!   programs compute, see [`dilated_pool`].
//! - With [`GraphOptions::fold_bn`] a convolution is only written when something reads it: a
//!   BatchNorm takes it over with scaled weights, anything else gets it as it is.
//! - A concatenation too is only written when it is read, and where only its ReLU is, the parts are rectified
//!   instead of the whole: most of them are already, and ONNX Runtime fuses the rest with what computes them.
//! - The same input gives the same bytes.

mod dilated_pool;
mod factorized_reduce;
mod interpreter;
mod tensors;

use crate::error::{ExportError, Result};
use crate::fold::ChannelAffine;
use crate::options::{Dim, GraphOptions, OPSETS};
use crate::proto::{
    AttributeProto, DataType, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, f32_bytes, ir_version,
};
pub(crate) use factorized_reduce::ODD_PIXELS;
use genas_net::{Interpreter, Pool, Weights};
use prost::Message;
use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;
pub(crate) use tensors::Tensor;

/// Name of the graph's input: images `[batch, 3, height, width]`, RGB, normalised.
pub const INPUT: &str = "input";
/// Name of a classifier's output: `[batch, classes]`.
pub const LOGITS: &str = "logits";
/// Names of a backbone's outputs: `[batch, channels, height, width]` at strides 4, 8, 16 and 32.
pub const BACKBONE_OUTPUTS: [&str; 4] = ["c2", "c3", "c4", "c5"];

/// A value of an [`OnnxGraph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value(usize);

/// What is known of a value.
struct ValueInfo {
    name: String,
    producer: Producer,
    channels: usize,
    /// Height and width where they are known; `None` for a value without pixels.
    size: Option<[Option<usize>; 2]>,
    /// `relu` of this value, once it was asked for.
    relu: Option<Value>,
}

enum Producer {
    Input,
    Node(usize),
    /// A convolution that is written when something reads it.
    Deferred(Rc<Convolution>),
    /// A concatenation that is written when something reads it.
    Concat(Rc<Concat>),
}

/// A concatenation of channels before it is written.
struct Concat {
    node_path: String,
    parts: Vec<Value>,
}

/// A convolution before it is written.
struct Convolution {
    /// Its scope and name, dotted: `{path}.weight` is its initializer.
    path: String,
    /// Its scope and name as a node's name.
    node_name: String,
    input: Value,
    weight_shape: [usize; 4],
    source: WeightSource,
    strides: [usize; 2],
    /// Top, left, bottom, right.
    pads: [usize; 4],
    dilation: usize,
    groups: usize,
    bias: bool,
}

impl Convolution {
    fn attributes(&self) -> Vec<AttributeProto> {
        vec![
            AttributeProto::ints("kernel_shape", &self.weight_shape[2..]),
            AttributeProto::ints("strides", &self.strides),
            AttributeProto::ints("pads", &self.pads),
            AttributeProto::ints("dilations", &[self.dilation; 2]),
            AttributeProto::int("group", self.groups),
        ]
    }
}

/// Where a convolution's weights come from.
enum WeightSource {
    /// The parameter of the convolution's own name.
    Own,
    /// The `conv_1.weight` and `conv_2.weight` of a FactorizedReduce.
    FactorizedReduce([String; 2]),
}

/// Taps of the 2x2 kernel that hold `conv_1` and `conv_2`, as offsets: (0, 0) and (1, 1).
pub(crate) const FACTORIZED_TAPS: [usize; 2] = [0, 3];
/// Names of its two halves.
pub(crate) const FACTORIZED_HALVES: [&str; 2] = ["conv_1.weight", "conv_2.weight"];
/// Name under which a FactorizedReduce is written.
pub(crate) const FACTORIZED_REDUCE: &str = "factorized_reduce";

/// An ONNX graph that grows while a network's wiring is read.
pub struct OnnxGraph<'w> {
    weights: &'w Weights,
    options: GraphOptions,
    graph: GraphProto,
    values: Vec<ValueInfo>,
    /// Scope names joined by dots, as parameters are named.
    path: String,
    /// Scope names joined by slashes, as nodes are named.
    node_path: String,
    /// How often a node name was taken.
    node_names: HashMap<String, usize>,
    /// From an initializer's name to what it holds.
    initializers: HashMap<String, String>,
    error: Option<ExportError>,
}

impl<'w> OnnxGraph<'w> {
    /// An empty graph with its input: RGB images.
    pub fn new(name: &str, weights: &'w Weights, options: &GraphOptions) -> (Self, Value) {
        let graph = GraphProto { name: name.to_owned(), ..GraphProto::default() };
        let error = (!OPSETS.contains(&options.opset)).then_some(ExportError::Opset(options.opset));
        let mut graph = Self {
            weights,
            options: options.clone(),
            graph,
            values: Vec::new(),
            path: String::new(),
            node_path: String::new(),
            node_names: HashMap::new(),
            initializers: HashMap::new(),
            error,
        };
        let dims = [options.batch.clone(), Dim::Fixed(3), options.height.clone(), options.width.clone()];
        graph.graph.input.push(value_info(INPUT, DataType::Float, &dims));
        let size = [options.height.fixed(), options.width.fixed()];
        let input = graph.value(INPUT.to_owned(), Producer::Input, 3, Some(size));
        (graph, input)
    }

    /// The model with these outputs, under these names.
    pub fn finish(mut self, outputs: &[(&str, Value)]) -> Result<ModelProto> {
        for &(name, value) in outputs {
            self.output(name, value);
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        let metadata = self.options.metadata;
        Ok(ModelProto {
            ir_version: ir_version(self.options.opset),
            producer_name: "genas".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            doc_string: String::new(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.options.opset }],
            metadata_props: metadata
                .into_iter()
                .map(|(key, value)| StringStringEntryProto { key, value })
                .collect(),
        })
    }

    /// As [`finish`](Self::finish), but the bytes of the file.
    pub fn finish_bytes(self, outputs: &[(&str, Value)]) -> Result<Vec<u8>> {
        Ok(self.finish(outputs)?.encode_to_vec())
    }

    /// Declares an output: the node that computes it writes it under the output's name.
    fn output(&mut self, name: &str, value: Value) {
        let computed_as = self.read(value);
        let taken = self.graph.output.iter().any(|o| o.name == computed_as);
        match self.values[value.0].producer {
            Producer::Node(node) if !taken => {
                for input in self.graph.node[node + 1..].iter_mut().flat_map(|n| &mut n.input) {
                    if *input == computed_as {
                        *input = name.to_owned();
                    }
                }
                self.graph.node[node].output = vec![name.to_owned()];
                self.values[value.0].name = name.to_owned();
            }
            _ => {
                self.node("Identity", format!("/{name}"), vec![computed_as], Vec::new());
                if let Some(node) = self.graph.node.last_mut() {
                    node.output = vec![name.to_owned()];
                }
            }
        }
        let info = &self.values[value.0];
        let mut dims = vec![self.options.batch.clone(), Dim::Fixed(info.channels)];
        for (size, axis) in info.size.iter().flatten().zip(["height", "width"]) {
            dims.push(size.map_or_else(|| Dim::Dynamic(format!("{name}_{axis}")), Dim::Fixed));
        }
        self.graph.output.push(value_info(name, DataType::Float, &dims));
    }

    /// A value's name, for a node that reads it.
    fn read(&mut self, value: Value) -> String {
        let written = match &self.values[value.0].producer {
            Producer::Deferred(convolution) => {
                let convolution = Rc::clone(convolution);
                Some(self.write_convolution(&convolution, None))
            }
            Producer::Concat(concat) => {
                let concat = Rc::clone(concat);
                Some(self.write_concat(&concat, &concat.parts))
            }
            Producer::Input | Producer::Node(_) => None,
        };
        if let Some((name, node)) = written {
            self.values[value.0].name = name;
            self.values[value.0].producer = Producer::Node(node);
        }
        self.values[value.0].name.clone()
    }

    fn value(
        &mut self,
        name: String,
        producer: Producer,
        channels: usize,
        size: Option<[Option<usize>; 2]>,
    ) -> Value {
        self.values.push(ValueInfo { name, producer, channels, size, relu: None });
        Value(self.values.len() - 1)
    }

    /// Appends a node of one output; returns the output's name and the node's index.
    fn node(
        &mut self,
        op_type: &str,
        mut name: String,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) -> (String, usize) {
        let taken = self.node_names.entry(name.clone()).or_default();
        if *taken > 0 {
            name = format!("{name}_{taken}");
        }
        *taken += 1;
        let output = format!("{name}_output");
        self.graph.node.push(NodeProto {
            op_type: op_type.to_owned(),
            name,
            input,
            output: vec![output.clone()],
            attribute,
            ..NodeProto::default()
        });
        (output, self.graph.node.len() - 1)
    }

    /// A node in the current scope, and its output's channels and size.
    fn layer(
        &mut self,
        op_type: &str,
        name: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
        (channels, size): (usize, Option<[Option<usize>; 2]>),
    ) -> Value {
        let (output, node) = self.node(op_type, self.node_name(name), input, attribute);
        self.value(output, Producer::Node(node), channels, size)
    }

    fn node_name(&self, name: &str) -> String {
        format!("{}/{name}", self.node_path)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn fail(&mut self, error: ExportError) {
        self.error.get_or_insert(error);
    }

    /// A tensor of the weights. A mistake is reported by [`finish`](Self::finish); zeros stand in.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Cow<'w, [f32]> {
        match self.weights.layout().get(name) {
            Some(entry) if entry.shape == shape => return self.weights.slice(entry).into(),
            Some(entry) => {
                let (found, expected) = (entry.shape.clone(), shape.to_vec());
                self.fail(ExportError::WeightShape { name: name.to_owned(), found, expected });
            }
            None => self.fail(ExportError::MissingWeight { name: name.to_owned() }),
        }
        vec![0.0; shape.iter().product()].into()
    }

    /// The float initializer that holds `content`.
    fn initializer(
        &mut self,
        content: &str,
        name: String,
        shape: &[usize],
        bytes: impl FnOnce() -> Vec<u8>,
    ) -> String {
        self.initializer_of(content, name, |name| TensorProto::f32_raw(name, shape, bytes()))
    }

    /// The initializer that holds `content`, written under `name` when it is first asked for. If the
    /// name holds something else already, a number is appended.
    fn initializer_of(
        &mut self,
        content: &str,
        name: String,
        tensor: impl FnOnce(String) -> TensorProto,
    ) -> String {
        let mut unique = name;
        let length = unique.len();
        let mut number = 1;
        while let Some(taken_by) = self.initializers.get(&unique) {
            if taken_by == content {
                return unique;
            }
            number += 1;
            unique.truncate(length);
            unique.push_str(&format!("_{number}"));
        }
        self.graph.initializer.push(tensor(unique.clone()));
        self.initializers.insert(unique.clone(), content.to_owned());
        unique
    }

    /// A tensor of the weights as an initializer of the same name.
    fn parameter(&mut self, name: String, shape: &[usize]) -> String {
        let values = self.tensor(&name, shape);
        self.initializer(&name.clone(), name, shape, || f32_bytes(&values))
    }

    /// A vector that holds one value, for a BatchNorm without parameters.
    fn constant(&mut self, value: f32, len: usize) -> String {
        let name = format!("constants.{value}x{len}");
        self.initializer(&name.clone(), name, &[len], || f32_bytes(&vec![value; len]))
    }

    /// A convolution's weights `[c_out, c_in / groups, kh, kw]`.
    fn convolution_weights(&mut self, convolution: &Convolution) -> Cow<'w, [f32]> {
        let shape = convolution.weight_shape;
        match &convolution.source {
            WeightSource::Own => self.tensor(&format!("{}.weight", convolution.path), &shape),
            WeightSource::FactorizedReduce(names) => {
                let half = shape[0] / 2 * shape[1];
                let mut kernel = vec![0.0; shape.iter().product()];
                let mut taps = kernel.as_chunks_mut::<4>().0.chunks_exact_mut(half.max(1));
                for (name, tap) in names.iter().zip(FACTORIZED_TAPS) {
                    let values = self.tensor(name, &[shape[0] / 2, shape[1], 1, 1]);
                    for (kernel, &value) in taps.next().into_iter().flatten().zip(values.iter()) {
                        kernel[tap] = value;
                    }
                }
                kernel.into()
            }
        }
    }

    /// Writes a convolution, with the BatchNorm that it takes over.
    fn write_convolution(
        &mut self,
        convolution: &Convolution,
        fold: Option<(&str, ChannelAffine)>,
    ) -> (String, usize) {
        if let WeightSource::FactorizedReduce(names) = &convolution.source
            && (fold.is_some() || convolution.pads == [0; 4])
        {
            return self.write_in_halves(convolution, names, fold);
        }
        let Convolution { path, weight_shape: shape, .. } = convolution;
        let weights = self.convolution_weights(convolution);
        let name = format!("{path}.weight");
        let mut inputs = vec![self.read(convolution.input)];
        match fold {
            None => {
                inputs.push(self.initializer(&name.clone(), name, shape, || f32_bytes(&weights)));
                if convolution.bias {
                    inputs.push(self.parameter(format!("{path}.bias"), &shape[..1]));
                }
            }
            Some((bn, affine)) => {
                let content = format!("{path} folded into {bn}");
                inputs.push(self.initializer(&content, name, shape, || affine.scaled_bytes(&weights)));
                let bias = format!("{path}.bias");
                inputs.push(self.initializer(&content, bias, &shape[..1], || f32_bytes(&affine.bias())));
            }
        }
        self.node("Conv", convolution.node_name.clone(), inputs, convolution.attributes())
    }

    /// Writes a concatenation of these values in another's place.
    fn write_concat(&mut self, concat: &Concat, parts: &[Value]) -> (String, usize) {
        let inputs = parts.iter().map(|part| self.read(*part)).collect();
        self.node("Concat", format!("{}/concat", concat.node_path), inputs, vec![axis(1)])
    }

    /// The rectified parts of a concatenation, concatenated.
    fn rectified_parts(&mut self, concat: &Concat) -> (String, usize) {
        // The parts' own scope: whoever reads the result does not own them.
        let own = std::mem::replace(&mut self.node_path, concat.node_path.clone());
        let parts: Vec<Value> = concat.parts.iter().map(|part| self.relu(part)).collect();
        self.node_path = own;
        self.write_concat(concat, &parts)
    }

    /// A convolution that was met: written now, or when it is read if BatchNorms are folded.
    fn convolution(&mut self, convolution: Convolution, size: Option<[Option<usize>; 2]>) -> Value {
        let channels = convolution.weight_shape[0];
        if self.options.fold_bn {
            return self.value(String::new(), Producer::Deferred(Rc::new(convolution)), channels, size);
        }
        let (output, node) = self.write_convolution(&convolution, None);
        self.value(output, Producer::Node(node), channels, size)
    }

    /// Size after a window operation: `output_size` of the known axes.
    fn windowed(
        &mut self,
        name: &str,
        x: Value,
        output_size: impl Fn([usize; 2]) -> Option<[usize; 2]>,
    ) -> Option<[Option<usize>; 2]> {
        let known = self.values[x.0].size?;
        // An unknown axis is taken as large: the window fits, and the result is dropped.
        let [height, width] = known.map(|s| s.unwrap_or(1 << 20));
        let Some(out) = output_size([height, width]) else {
            let at = self.path_of(name);
            self.fail(ExportError::TooSmall { height, width, at });
            return Some(known);
        };
        Some([known[0].map(|_| out[0]), known[1].map(|_| out[1])])
    }

    fn pool(&mut self, op_type: &str, name: &str, pool: &Pool, x: Value) -> Value {
        let size = self.windowed(name, x, |s| pool.output_size(s));
        let bordered = pool.padding >= pool.kernel;
        let mut attributes = vec![
            AttributeProto::ints("kernel_shape", &[pool.kernel; 2]),
            AttributeProto::ints("strides", &[pool.stride; 2]),
            AttributeProto::ints("pads", &[if bordered { 0 } else { pool.padding }; 4]),
        ];
        if op_type == "AveragePool" {
            attributes.push(AttributeProto::int("count_include_pad", 0));
        } else if pool.dilation > 1 {
            attributes.push(AttributeProto::ints("dilations", &[pool.dilation; 2]));
        }
        let input = if bordered { self.with_lowest_border(pool, x) } else { self.read(x) };
        self.layer(op_type, name, vec![input], attributes, (self.values[x.0].channels, size))
    }
}

fn axis(axis: usize) -> AttributeProto {
    AttributeProto::int("axis", axis)
}

/// A tensor's declaration.
fn value_info(name: &str, elements: DataType, dims: &[Dim]) -> ValueInfoProto {
    let value = |dim: &Dim| match dim {
        Dim::Fixed(size) => DimensionValue::DimValue(*size as i64),
        Dim::Dynamic(name) => DimensionValue::DimParam(name.clone()),
    };
    let dim = dims.iter().map(|d| DimensionProto { value: Some(value(d)) }).collect();
    let tensor_type = TensorTypeProto { elem_type: elements as i32, shape: Some(TensorShapeProto { dim }) };
    let r#type = Some(TypeProto { tensor_type: Some(tensor_type) });
    ValueInfoProto { name: name.to_owned(), r#type, doc_string: String::new() }
}

/// An output whose type ONNX Runtime infers.
pub(crate) fn undeclared(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.to_owned(), ..ValueInfoProto::default() }
}
