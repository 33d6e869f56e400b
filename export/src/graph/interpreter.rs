//! What each layer of a network's wiring becomes.

use super::{Concat, Convolution, FACTORIZED_REDUCE, OnnxGraph, Producer, Value, WeightSource};
use crate::fold::ChannelAffine;
use crate::proto::{AttributeProto, f32_bytes};
use genas_net::{BN_EPS, BatchNorm, Conv, FactorizedReduce, Interpreter, Linear, Pool};
use std::rc::Rc;

impl Interpreter for OnnxGraph<'_> {
    type Value = Value;

    fn scope<R>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> R) -> R {
        let marks = (self.path.len(), self.node_path.len());
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        self.node_path.push('/');
        self.node_path.push_str(name);
        let result = body(self);
        self.path.truncate(marks.0);
        self.node_path.truncate(marks.1);
        result
    }

    fn conv(&mut self, name: &str, conv: &Conv, x: &Value) -> Value {
        let size = self.windowed(name, *x, |s| conv.output_size(s));
        let [vertical, horizontal] = conv.padding;
        let convolution = Convolution {
            path: self.path_of(name),
            node_name: self.node_name(name),
            input: *x,
            weight_shape: conv.weight_shape(),
            source: WeightSource::Own,
            strides: conv.stride,
            pads: [vertical, horizontal, vertical, horizontal],
            dilation: conv.dilation,
            groups: conv.groups,
            bias: conv.bias,
        };
        self.convolution(convolution, size)
    }

    fn batch_norm(&mut self, name: &str, bn: &BatchNorm, x: &Value) -> Value {
        let path = self.path_of(name);
        let (channels, size) = (self.values[x.0].channels, self.values[x.0].size);
        let shape = [bn.channels];
        if let Producer::Deferred(convolution) = &self.values[x.0].producer {
            let convolution = Rc::clone(convolution);
            let mut vector = |suffix| self.tensor(&format!("{path}.{suffix}"), &shape);
            let affine = bn.affine.then(|| (vector("weight"), vector("bias")));
            let (mean, variance) = (vector("running_mean"), vector("running_var"));
            let affine = affine.as_ref().map(|(gamma, beta)| (&**gamma, &**beta));
            let affine = ChannelAffine::new(affine, &mean, &variance);
            let (output, node) = self.write_convolution(&convolution, Some((&path, affine)));
            return self.value(output, Producer::Node(node), channels, size);
        }
        let mut inputs = vec![self.read(*x)];
        if bn.affine {
            inputs
                .extend(["weight", "bias"].map(|suffix| self.parameter(format!("{path}.{suffix}"), &shape)));
        } else {
            inputs.extend([1.0, 0.0].map(|value| self.constant(value, bn.channels)));
        }
        let statistics = ["running_mean", "running_var"];
        inputs.extend(statistics.map(|suffix| self.parameter(format!("{path}.{suffix}"), &shape)));
        let epsilon = vec![AttributeProto::float("epsilon", BN_EPS as f32)];
        self.layer("BatchNormalization", name, inputs, epsilon, (channels, size))
    }

    fn relu(&mut self, x: &Value) -> Value {
        if let Some(rectified) = self.values[x.0].relu {
            return rectified;
        }
        let unwritten = match &self.values[x.0].producer {
            Producer::Concat(concat) => Some(Rc::clone(concat)),
            _ => None,
        };
        let (channels, size) = (self.values[x.0].channels, self.values[x.0].size);
        let rectified = match unwritten {
            Some(concat) => {
                let (name, node) = self.rectified_parts(&concat);
                self.value(name, Producer::Node(node), channels, size)
            }
            None => {
                let input = self.read(*x);
                self.layer("Relu", "relu", vec![input], Vec::new(), (channels, size))
            }
        };
        self.values[x.0].relu = Some(rectified);
        rectified
    }

    fn max_pool(&mut self, pool: &Pool, x: &Value) -> Value {
        self.pool("MaxPool", "max_pool", pool, *x)
    }

    fn avg_pool(&mut self, pool: &Pool, x: &Value) -> Value {
        if pool.dilation > 1 {
            return self.dilated_mean(pool, *x);
        }
        self.pool("AveragePool", "avg_pool", pool, *x)
    }

    /// A chain of `Add`: ONNX Runtime fuses each with the convolution before it.
    fn sum(&mut self, xs: &[Value]) -> Value {
        let mut total = xs[0];
        for x in &xs[1..] {
            let inputs = vec![self.read(total), self.read(*x)];
            let info = &self.values[x.0];
            total = self.layer("Add", "add", inputs, Vec::new(), (info.channels, info.size));
        }
        total
    }

    fn zeros(&mut self, x: &Value) -> Value {
        let inputs = vec![self.read(*x), self.constant(0.0, 1)];
        let info = &self.values[x.0];
        self.layer("Mul", "zeros", inputs, Vec::new(), (info.channels, info.size))
    }

    fn concat(&mut self, xs: &[Value]) -> Value {
        if let [x] = xs {
            return *x;
        }
        let channels = xs.iter().map(|x| self.values[x.0].channels).sum();
        let concat = Concat { node_path: self.node_path.clone(), parts: xs.to_vec() };
        self.value(String::new(), Producer::Concat(Rc::new(concat)), channels, self.values[xs[0].0].size)
    }

    fn factorized_reduce(&mut self, reduce: &FactorizedReduce, x: &Value) -> Value {
        let size = self.windowed(FACTORIZED_REDUCE, *x, |s| Some(reduce.output_size(s)));
        let convolution = self.reduce(reduce, *x);
        self.convolution(convolution, size)
    }

    fn upsample(&mut self, x: &Value) -> Value {
        let name = "constants.upsample".to_owned();
        let scales = self.initializer(&name.clone(), name, &[4], || f32_bytes(&[1.0, 1.0, 2.0, 2.0]));
        let size = self.values[x.0].size.map(|size| size.map(|axis| axis.map(|s| 2 * s)));
        // An empty name is an input that is left out: the region of interest.
        let inputs = vec![self.read(*x), String::new(), scales];
        let attributes = vec![
            AttributeProto::string("mode", "nearest"),
            AttributeProto::string("coordinate_transformation_mode", "asymmetric"),
            AttributeProto::string("nearest_mode", "floor"),
        ];
        self.layer("Resize", "upsample", inputs, attributes, (self.values[x.0].channels, size))
    }

    fn resize(&mut self, x: &Value, like: &Value, align_corners: bool) -> Value {
        // Images and channels of the one, height and width of the other.
        let parts = [(*x, [0, 2]), (*like, [2, 4])].map(|(value, range)| self.part_of_shape(value, range));
        let inputs = parts.iter().collect::<Vec<_>>();
        let attributes = vec![AttributeProto::int("axis", 0)];
        let sizes = self.operator("Concat", "resize/sizes", &inputs, attributes).into_name();
        let mode = if align_corners { "align_corners" } else { "half_pixel" };
        let attributes = vec![
            AttributeProto::string("mode", "linear"),
            AttributeProto::string("coordinate_transformation_mode", mode),
        ];
        // Empty names are inputs that are left out: the region of interest, scales.
        let inputs = vec![self.read(*x), String::new(), String::new(), sizes];
        let (channels, size) = (self.values[x.0].channels, self.values[like.0].size);
        self.layer("Resize", "resize", inputs, attributes, (channels, size))
    }

    fn global_avg_pool(&mut self, x: &Value) -> Value {
        let input = self.read(*x);
        let size = self.values[x.0].size.map(|_| [Some(1); 2]);
        self.layer(
            "GlobalAveragePool",
            "global_avg_pool",
            vec![input],
            Vec::new(),
            (self.values[x.0].channels, size),
        )
    }

    fn linear(&mut self, name: &str, linear: &Linear, x: &Value) -> Value {
        let input = self.read(*x);
        let flat = self.layer(
            "Flatten",
            "flatten",
            vec![input],
            vec![AttributeProto::int("axis", 1)],
            (linear.c_in, None),
        );
        let weight = self.parameter(self.path_of(&format!("{name}.weight")), &[linear.c_out, linear.c_in]);
        let bias = self.parameter(self.path_of(&format!("{name}.bias")), &[linear.c_out]);
        let inputs = vec![self.read(flat), weight, bias];
        self.layer("Gemm", name, inputs, vec![AttributeProto::int("transB", 1)], (linear.c_out, None))
    }
}
