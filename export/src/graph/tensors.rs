//! Plain operators in a graph, for what follows a network and is no layer: tensors of any rank and type, by name.

use super::{OnnxGraph, Producer, Value, value_info};
use crate::error::Result;
use crate::options::Dim;
use crate::proto::{AttributeProto, DataType, ModelProto, TensorProto};
use genas_net::Interpreter;

/// A tensor in a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tensor(String);

impl Tensor {
    /// As nodes read it.
    pub(super) fn into_name(self) -> String {
        self.0
    }
}

impl OnnxGraph<'_> {
    /// Some of a value's dimensions, when the model runs.
    pub(super) fn part_of_shape(&mut self, value: Value, [from, to]: [i64; 2]) -> Tensor {
        let value = self.computed(value);
        let shape = self.operator("Shape", "shape", &[&value], Vec::new());
        let [from, to] = [from, to].map(|end| self.integers(&[end]));
        self.operator("Slice", "part", &[&shape, &from, &to], Vec::new())
    }

    /// Images filled up with zeros, right and bottom, to sides that are multiples of `divisor`: for networks whose maps do
    /// not fit together otherwise. Images of a fixed size are expected to have such sides.
    pub(crate) fn filled_up(&mut self, images: Value, divisor: usize) -> Value {
        let info = &self.values[images.0];
        let (channels, size) = (info.channels, info.size);
        if size.is_some_and(|sides| sides.iter().all(Option::is_some)) {
            return images;
        }
        self.scope("fill", |graph| {
            let sides = graph.part_of_shape(images, [2, 4]);
            let negative = graph.operator("Neg", "negative", &[&sides], Vec::new());
            let divisor = graph.integers(&[divisor as i64]);
            // Of the divisor's sign, as Python's.
            let missing = graph.operator("Mod", "missing", &[&negative, &divisor], Vec::new());
            // Nothing before any axis, nor behind images and channels.
            let none = graph.integers(&[0; 6]);
            let pads =
                graph.operator("Concat", "pads", &[&none, &missing], vec![AttributeProto::int("axis", 0)]);
            let images = graph.computed(images);
            let (output, node) =
                graph.node("Pad", graph.node_name("filled"), vec![images.0, pads.0], Vec::new());
            graph.value(output, Producer::Node(node), channels, size)
        })
    }

    /// What a layer computes.
    pub(crate) fn computed(&mut self, value: Value) -> Tensor {
        Tensor(self.read(value))
    }

    /// A node in the current scope.
    pub(crate) fn operator(
        &mut self,
        op_type: &str,
        name: &str,
        inputs: &[&Tensor],
        attributes: Vec<AttributeProto>,
    ) -> Tensor {
        let inputs = inputs.iter().map(|tensor| tensor.0.clone()).collect();
        Tensor(self.node(op_type, self.node_name(name), inputs, attributes).0)
    }

    /// A node of two outputs in the current scope.
    pub(crate) fn operator_of_two(
        &mut self,
        op_type: &str,
        name: &str,
        inputs: &[&Tensor],
        attributes: Vec<AttributeProto>,
    ) -> [Tensor; 2] {
        let inputs = inputs.iter().map(|tensor| tensor.0.clone()).collect();
        let (first, node) = self.node(op_type, self.node_name(name), inputs, attributes);
        let second = format!("{first}_1");
        self.graph.node[node].output.push(second.clone());
        [Tensor(first), Tensor(second)]
    }

    /// A constant list of integers.
    pub(crate) fn integers(&mut self, values: &[i64]) -> Tensor {
        let words: Vec<String> = values.iter().map(i64::to_string).collect();
        let name = format!("constants.int64_{}", words.join("_"));
        Tensor(
            self.initializer_of(&name.clone(), name, |name| TensorProto::i64(name, &[values.len()], values)),
        )
    }

    /// Constant integers `[n, 1]` under a name that must belong to them alone.
    pub(crate) fn integer_column(&mut self, name: &str, values: &[i64]) -> Tensor {
        let name = format!("constants.{name}");
        let shape = [values.len(), 1];
        Tensor(self.initializer_of(&name.clone(), name, |name| TensorProto::i64(name, &shape, values)))
    }

    /// A constant integer without dimensions.
    pub(crate) fn integer(&mut self, value: i64) -> Tensor {
        let name = format!("constants.int64_scalar_{value}");
        Tensor(self.initializer_of(&name.clone(), name, |name| TensorProto::i64(name, &[], &[value])))
    }

    /// Constant floats under a name that must belong to them alone.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Tensor {
        let name = format!("constants.{name}");
        Tensor(self.initializer_of(&name.clone(), name, |name| TensorProto::f32(name, shape, values)))
    }

    /// Gives a tensor that a node computes another name.
    pub(crate) fn rename(&mut self, tensor: &Tensor, name: &str) -> Tensor {
        for node in &mut self.graph.node {
            for held in node.input.iter_mut().chain(&mut node.output).filter(|held| **held == tensor.0) {
                name.clone_into(held);
            }
        }
        Tensor(name.to_owned())
    }

    /// The model with these outputs, under the names that the tensors have.
    pub(crate) fn finish_tensors(mut self, outputs: &[(Tensor, DataType, Vec<Dim>)]) -> Result<ModelProto> {
        for (tensor, elements, dims) in outputs {
            self.graph.output.push(value_info(&tensor.0, *elements, dims));
        }
        self.finish(&[])
    }
}
