//! Networks that the proofs of interoperability are about: small, with random weights, and with every
//! operation of the search space at both strides.

use genas_export::{Dim, ExportOptions, Features, GraphOptions, ModelInfo, ModelKind, OPSETS, Precision};
use genas_net::{EvalNet, Layout, NetworkKind, Role, Weights};
use genas_space::{Cell, Genotype, Op, Streams};
use rand::RngExt;
use std::sync::Arc;

/// One model that is written.
pub struct Case {
    /// Its file's name without `.onnx`, and the name of the Rust module that is made of it.
    pub name: &'static str,
    /// Its network.
    pub net: EvalNet,
    /// How it is written.
    pub options: ExportOptions,
    /// The images that it is compared on.
    pub shape: [usize; 4],
}

impl Case {
    /// Whether burn-onnx 0.22.0 imports it. It knows `QuantizeLinear`, but no 8-bit constants:
    /// "UnsupportedConversion { from: U8, to: I64 }".
    pub fn is_for_burn(&self) -> bool {
        self.options.precision != Precision::Int8
    }
}

/// Every model: the kinds, number formats, operator sets and free dimensions that differ in their graphs.
pub fn cases() -> Vec<Case> {
    use Features::Raw;
    use NetworkKind::{Cifar, ImageNet};
    let fp16 = |half_io| Precision::Fp16 { half_io };
    let case = |name, kind, model, precision, shape: [usize; 4], change: &dyn Fn(&mut GraphOptions)| {
        let mut graph = GraphOptions::square(shape[2]);
        change(&mut graph);
        Case { name, net: network(kind), options: ExportOptions::new(model, precision, graph), shape }
    };
    let (classifier, fp32) = (ModelKind::Classifier, Precision::Fp32);
    let (cifar, imagenet, odd) = ([2, 3, 32, 32], [2, 3, 64, 64], [1, 3, 71, 83]);
    vec![
        case("classifier", Cifar, classifier, fp32, cifar, &|_| ()),
        case("folded", Cifar, classifier, fp32, cifar, &|o| o.fold_bn = true),
        case("lowest_opset", Cifar, classifier, fp32, cifar, &|o| o.opset = *OPSETS.start()),
        case("highest_opset", Cifar, classifier, fp32, cifar, &|o| o.opset = *OPSETS.end()),
        case("imagenet", ImageNet, classifier, fp32, imagenet, &|_| ()),
        case("free_sizes", ImageNet, classifier, fp32, odd, &free_sizes),
        case("backbone", ImageNet, ModelKind::Backbone(Raw), fp32, odd, &free_sizes),
        case("half", ImageNet, classifier, fp16(false), imagenet, &|_| ()),
        case("half_io", Cifar, classifier, fp16(true), cifar, &|_| ()),
        case("integers", ImageNet, classifier, Precision::Int8, imagenet, &|_| ()),
    ]
}

fn free_sizes(options: &mut GraphOptions) {
    (options.height, options.width) = (Dim::dynamic("height"), Dim::dynamic("width"));
}

/// A small network with every operation.
pub fn network(kind: NetworkKind) -> EvalNet {
    EvalNet { kind, genotype: genotype(), channels: 4, layers: 4, classes: 5, auxiliary: false }
}

/// Every operation of the space, from an input of the cell (stride 2 in a reduction) and from a node.
fn genotype() -> Genotype {
    use Op::{AvgPool3x3, DilConv3x3, DilConv5x5, MaxPool3x3, SepConv3x3, SepConv5x5, SkipConnect};
    let normal = Cell::with_all_nodes(vec![
        vec![(SepConv3x3, 0), (SkipConnect, 1)],
        vec![(MaxPool3x3, 1), (DilConv5x5, 2)],
        vec![(AvgPool3x3, 0), (SepConv5x5, 3)],
        vec![(DilConv3x3, 2), (SkipConnect, 4)],
    ]);
    let reduce = Cell::with_all_nodes(vec![
        vec![(SkipConnect, 0), (MaxPool3x3, 1)],
        vec![(AvgPool3x3, 1), (SepConv3x3, 2)],
        vec![(SepConv5x5, 0), (DilConv3x3, 1)],
        vec![(DilConv5x5, 0), (SkipConnect, 3)],
    ]);
    Genotype { normal, reduce }
}

/// Weights as of a trained network: BatchNorms that do something, and logits that depend on the image.
pub fn weights(layout: Layout) -> Weights {
    let streams = Streams::new(0);
    let mut weights = Weights::init(Arc::new(layout), &streams);
    for entry in weights.layout().clone().entries() {
        let range = match entry.role {
            Role::Gamma => 0.5..1.5,
            Role::Beta | Role::RunningMean => -0.3..0.3,
            Role::RunningVar => 0.05..0.5,
            _ => continue,
        };
        let mut rng = streams.rng(&entry.name, 1);
        for value in weights.slice_mut(entry) {
            *value = rng.random_range(range.clone());
        }
    }
    weights
}

/// Random images.
pub fn images(shape: [usize; 4]) -> Vec<f32> {
    let mut rng = Streams::new(0).rng("images", 0);
    (0..shape.iter().product::<usize>()).map(|_| rng.random_range(-2.0..2.0)).collect()
}

/// What a network's file says about it.
pub fn info(net: &EvalNet, input_size: usize) -> ModelInfo {
    ModelInfo {
        class_names: (0..net.classes).map(|n| format!("class {n}")).collect(),
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        input_size,
        training_data: "random numbers".to_owned(),
        source_run: "cargo xtask interop".to_owned(),
    }
}
