//! The cost that `genas_net::Cost` counts stands in the exported graph.

use super::samples::{candidate, eval_net, supernet, weights};
use crate::proto::{AttributeProto, DimensionValue, GraphProto, ModelProto, NodeProto};
use crate::{GraphOptions, classifier_proto, supernet_model};
use genas_net::{Cost, CostReport, EvalNet, NetworkKind, Path};
use prost::Message;
use std::collections::HashMap;

/// Parameters and multiply-accumulates of one image, from the nodes and initializers alone.
fn count(graph: &GraphProto) -> CostReport {
    let mut shapes: HashMap<&str, Vec<usize>> = HashMap::new();
    for initializer in &graph.initializer {
        shapes.insert(&initializer.name, initializer.dims.iter().map(|&d| d as usize).collect());
    }
    let input = graph.input[0].r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().shape.as_ref().unwrap();
    let dims = input.dim.iter().map(|d| match d.value {
        Some(DimensionValue::DimValue(size)) => size as usize,
        _ => 1,
    });
    shapes.insert(&graph.input[0].name, dims.collect());

    let mut cost = CostReport::default();
    for initializer in &graph.initializer {
        let n: usize = shapes[initializer.name.as_str()].iter().product();
        if !initializer.name.contains(".running_") {
            cost.params += (n / structural_zeros(&initializer.name)) as u64;
        }
    }
    for node in &graph.node {
        let x = shapes[node.input[0].as_str()].clone();
        let out = match node.op_type.as_str() {
            "Conv" => {
                let w = &shapes[node.input[1].as_str()];
                assert_eq!(x[1], w[1] * ints(node, "group")[0], "{}", node.name);
                let [h, wd] = window(node, &x);
                let taps = w.iter().product::<usize>() / structural_zeros(&node.input[1]);
                cost.macs += (taps * h * wd) as u64;
                vec![1, w[0], h, wd]
            }
            "MaxPool" | "AveragePool" => {
                let [h, w] = window(node, &x);
                vec![1, x[1], h, w]
            }
            "Add" => {
                assert!(node.input.iter().all(|i| shapes[i.as_str()] == x), "{}", node.name);
                x
            }
            "BatchNormalization" => {
                assert!(node.input[1..].iter().all(|i| shapes[i.as_str()] == x[1..2]), "{}", node.name);
                x
            }
            "Relu" => x,
            "Concat" => vec![1, node.input.iter().map(|i| shapes[i.as_str()][1]).sum(), x[2], x[3]],
            "GlobalAveragePool" => vec![1, x[1], 1, 1],
            "Flatten" => vec![1, x[1..].iter().product()],
            "Gemm" => {
                let w = &shapes[node.input[1].as_str()];
                assert_eq!(x[1], w[1]);
                cost.macs += (w[0] * w[1]) as u64;
                cost.paper_flops += ((w[1] - 1) * w[0]) as u64;
                vec![1, w[0]]
            }
            other => panic!("{other}"),
        };
        shapes.insert(&node.output[0], out);
    }
    cost.paper_flops += cost.macs;
    cost
}

/// A FactorizedReduce holds one weight in each 2x2 kernel, and three zeros.
fn structural_zeros(name: &str) -> usize {
    if name.ends_with(".factorized_reduce.weight") { 4 } else { 1 }
}

fn ints(node: &NodeProto, name: &str) -> Vec<usize> {
    let values = |a: &AttributeProto| a.ints.iter().copied().chain(a.i).map(|v| v as usize).collect();
    node.attribute.iter().find(|a| a.name == name).map_or(vec![1, 1], values)
}

fn window(node: &NodeProto, x: &[usize]) -> [usize; 2] {
    let (kernel, stride) = (ints(node, "kernel_shape"), ints(node, "strides"));
    let (pads, dilation) = (ints(node, "pads"), ints(node, "dilations"));
    [0, 1].map(|a| (x[2 + a] + pads[a] + pads[2 + a] - dilation[a] * (kernel[a] - 1) - 1) / stride[a] + 1)
}

#[test]
fn cost_of_random_cells() {
    for seed in 0..12 {
        let kind = if seed % 2 == 0 { NetworkKind::Cifar } else { NetworkKind::ImageNet };
        let net = eval_net(kind, 3 + seed as usize % 3, seed);
        let side = EvalNet::default_image_size(kind) - seed as usize;
        let expected = Cost::of([3, side, side], |i, x| {
            net.forward(i, x);
        });
        let model = classifier_proto(&net, &weights(net.layout(), 0), &GraphOptions::square(side)).unwrap();
        assert_eq!(count(model.graph.as_ref().unwrap()), expected, "{net:?}");
    }
}

#[test]
fn cost_of_supernet_candidates() {
    let net = supernet();
    let all = weights(net.layout(), 0);
    for seed in 0..6 {
        let candidate = candidate(seed);
        let expected = Cost::of([3, 32, 32], |i, x| {
            net.forward(i, Path::Candidate(&candidate), x);
        });
        let model = supernet_model(&net, &candidate, &all, &GraphOptions::square(32)).unwrap();
        let model = ModelProto::decode(model.as_slice()).unwrap();
        assert_eq!(count(model.graph.as_ref().unwrap()), expected, "candidate {seed}");
    }
}
