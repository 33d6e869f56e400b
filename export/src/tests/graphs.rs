//! Names, shared values, outputs and mistakes.

use super::samples::{burn_values, eval_net, images, parity, weights};
use crate::verify::open_bytes;
use crate::{Dim, ExportError, GraphOptions, OnnxGraph, classifier_model, classifier_proto};
use genas_net::{BatchNorm, Conv, Interpreter, Layout, NetworkKind};
use genas_space::parse_cell;
use std::collections::HashSet;

fn fold(side: usize) -> GraphOptions {
    GraphOptions { fold_bn: true, ..GraphOptions::square(side) }
}

#[test]
fn names_are_stable_and_unique() {
    let mut net = eval_net(NetworkKind::Cifar, 3, 0);
    net.genotype = parse_cell("normal: s3(0) s3(1); reduce: sk(0) d5(1)").unwrap();
    let weights = weights(net.layout(), 0);
    let model = classifier_proto(&net, &weights, &GraphOptions::square(32)).unwrap();
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
    let graph = model.graph.unwrap();
    let nodes: HashSet<&str> = graph.node.iter().map(|n| n.name.as_str()).collect();
    let initializers: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    assert_eq!((nodes.len(), initializers.len()), (graph.node.len(), graph.initializer.len()));
    for name in [
        "/stem/conv",
        "/cells.0/ops.1/sep_conv_3x3/depthwise1",
        "/cells.1/ops.0/skip_connect/factorized_reduce",
        "/cells.0/preprocess0/relu",
        "/classifier",
    ] {
        assert!(nodes.contains(name), "{name}: {nodes:?}");
    }
    for entry in weights.layout().entries() {
        let factorized = entry.name.contains("conv_1.") || entry.name.contains("conv_2.");
        assert_eq!(initializers.contains(entry.name.as_str()), !factorized, "{}", entry.name);
    }
    assert!(initializers.contains("cells.1.ops.0.skip_connect.factorized_reduce.weight"));
    let mut known: HashSet<&str> = initializers.iter().copied().chain(["input"]).collect();
    for node in &graph.node {
        assert!(node.input.iter().all(|i| known.contains(i.as_str())), "{}: {:?}", node.name, node.input);
        assert!(node.output.iter().all(|o| known.insert(o)), "{}: {:?}", node.name, node.output);
    }
    assert_eq!(graph.output[0].name, "logits");
    assert!(graph.node.iter().all(|n| n.op_type != "Identity"));
}

#[test]
fn a_value_is_rectified_once() {
    let net = eval_net(NetworkKind::Cifar, 5, 1);
    let graph =
        classifier_proto(&net, &weights(net.layout(), 0), &GraphOptions::square(32)).unwrap().graph.unwrap();
    let relus: Vec<_> = graph.node.iter().filter(|n| n.op_type == "Relu").map(|n| &n.input[0]).collect();
    assert_eq!(relus.iter().collect::<HashSet<_>>().len(), relus.len());
}

#[test]
fn folding_leaves_batch_norms_after_pools_only() {
    let net = eval_net(NetworkKind::Cifar, 3, 1);
    let graph = classifier_proto(&net, &weights(net.layout(), 0), &fold(32)).unwrap().graph.unwrap();
    assert!(graph.node.iter().all(|n| n.op_type != "BatchNormalization"));
    assert!(graph.initializer.iter().all(|t| !t.name.contains(".running_")));
}

/// No slices; folded, no kernel is three quarters zeros either.
#[test]
fn reductions_have_no_slices() {
    let mut net = eval_net(NetworkKind::ImageNet, 4, 1);
    net.genotype = parse_cell("normal: s3(0) s3(1); reduce: sk(0) d5(1)").unwrap();
    let held = weights(net.layout(), 0);
    for (options, two_by_two) in [(GraphOptions::square(64), "dense"), (fold(64), "depthwise")] {
        let graph = classifier_proto(&net, &held, &options).unwrap().graph.unwrap();
        assert!(graph.node.iter().all(|node| node.op_type != "Slice"));
        let kernels: Vec<_> =
            graph.initializer.iter().filter(|t| t.dims.len() == 4 && t.dims[2..] == [2, 2]).collect();
        assert!(!kernels.is_empty());
        for kernel in kernels {
            assert_eq!(kernel.dims[1] == 1, two_by_two == "depthwise", "{two_by_two}: {}", kernel.name);
        }
    }
}

#[test]
fn parts_are_rectified_and_not_their_concatenation() {
    let net = eval_net(NetworkKind::Cifar, 5, 1);
    let graph = classifier_proto(&net, &weights(net.layout(), 0), &fold(32)).unwrap().graph.unwrap();
    let cells =
        |node: &&crate::proto::NodeProto| node.op_type == "Concat" && !node.name.contains("factorized");
    let concats: Vec<_> = graph.node.iter().filter(cells).map(|node| &node.output[0]).collect();
    assert_eq!(concats.len(), net.layers);
    assert!(graph.node.iter().all(|node| node.op_type != "Relu" || !concats.contains(&&node.input[0])));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let net = eval_net(NetworkKind::ImageNet, 4, 2);
    let weights = weights(net.layout(), 0);
    let mut options = fold(64);
    options.metadata.extend(["b", "c", "a"].map(|key| (key.to_owned(), "value".to_owned())));
    let model = |_| classifier_model(&net, &weights.clone(), &options).unwrap();
    let models: Vec<_> = (0..3).map(model).collect();
    assert!(models.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A convolution whose output is read besides its BatchNorm, one BatchNorm without parameters, one
/// convolution that two BatchNorms follow, and a value that two outputs show.
fn tangled<I: Interpreter>(i: &mut I, x: &I::Value) -> Vec<I::Value> {
    i.scope("head", |i| {
        let before = i.conv("conv", &Conv::dense(3, 4, 3, 1, 1), x);
        let plain = i.batch_norm("plain", &BatchNorm { channels: 4, affine: false }, &before);
        let affine = i.batch_norm("affine", &BatchNorm::new(4), &before);
        let again = i.conv("conv", &Conv::dense(3, 4, 3, 1, 1), x);
        let again = i.batch_norm("affine", &BatchNorm::new(4), &again);
        let rectified = i.relu(&affine);
        let sum = i.sum(&[before, plain, rectified, again]);
        vec![sum.clone(), affine, sum]
    })
}

#[test]
fn shared_values_and_parameters() {
    let layout = Layout::of([3, 5, 6], |i, x| drop(tangled(i, x)));
    let weights = weights(layout, 0);
    let shape = [2, 3, 5, 6];
    for fold_bn in [false, true] {
        let options = GraphOptions { fold_bn, height: Dim::Fixed(5), width: Dim::dynamic("w"), ..fold(0) };
        let (mut graph, input) = OnnxGraph::new("tangled", &weights, &options);
        let values = tangled(&mut graph, &input);
        let names = ["sum", "affine", "same"];
        let outputs: Vec<_> = names.into_iter().zip(values).collect();
        let mut session = open_bytes(&graph.finish_bytes(&outputs).unwrap()).unwrap();
        let found = session.run_f32(&images(shape, 0), &shape).unwrap();
        let all = burn_values(&weights, &images(shape, 0), shape, |i, x| tangled(i, x));
        for (n, (found, expected)) in found.iter().zip(all).enumerate() {
            assert_eq!((found.name.as_str(), &found.shape), (names[n], &vec![2, 4, 5, 6]));
            let parity = parity(&found.values, &expected);
            assert!(parity.holds(), "{} fold {fold_bn}: {parity:?}", names[n]);
        }
    }
}

#[test]
fn mistakes_are_named() {
    let net = eval_net(NetworkKind::Cifar, 3, 0);
    let held = weights(net.layout(), 0);
    let message = |net: &genas_net::EvalNet, options: &GraphOptions| {
        classifier_model(net, &held, options).unwrap_err().to_string()
    };
    let opset = GraphOptions { opset: 12, ..GraphOptions::square(32) };
    assert!(matches!(classifier_model(&net, &held, &opset), Err(ExportError::Opset(12))));
    let mut wide = net.clone();
    wide.channels = 16;
    assert!(message(&wide, &GraphOptions::square(32)).starts_with("stem.conv.weight: shape mismatch"));
    let deep = genas_net::EvalNet { layers: 4, ..net.clone() };
    let text = message(&deep, &GraphOptions::square(32));
    assert!(text.contains("cells."), "{text}");
    let imagenet = eval_net(NetworkKind::ImageNet, 3, 0);
    let text = message(&imagenet, &GraphOptions::square(64));
    assert!(text.contains("stem0.conv1.weight"), "{text}");
}

#[test]
fn an_input_that_is_too_small_is_an_error() {
    let large = Conv::dense(3, 4, 7, 1, 0);
    let weights = weights(
        Layout::of([3, 9, 9], |i, x| {
            i.conv("conv", &large, x);
        }),
        0,
    );
    let (mut graph, input) = OnnxGraph::new("small", &weights, &GraphOptions::square(6));
    let out = graph.conv("conv", &large, &input);
    let text = graph.finish(&[("out", out)]).unwrap_err().to_string();
    assert!(text.contains("6x6 is too small for this network at conv"), "{text}");
}
