use super::*;
use crate::cost::Cost;
use crate::evalnet::{EvalNet, NetworkKind};
use crate::{AuxiliaryHead, DeepLabV3, Nb201Net, Probability, RetinaNet, Supernet};

fn backbone(channels: usize) -> EvalNet {
    let genotype = genas_space::zoo::find("DARTS_V2").expect("a published cell").genotype();
    EvalNet { kind: NetworkKind::ImageNet, genotype, channels, layers: 14, classes: 10, auxiliary: false }
}

fn detector() -> RetinaNet {
    RetinaNet {
        backbone: backbone(16),
        relu_features: false,
        batch_norm: false,
        channels: 64,
        head_convolutions: 4,
        anchors: 9,
        classes: 5,
    }
}

fn segmenter() -> DeepLabV3 {
    DeepLabV3 {
        backbone: backbone(16),
        output_stride: 8,
        exact_dilation: true,
        relu_features: true,
        channels: 32,
        rates: vec![12, 24, 36],
        classes: 11,
        auxiliary: Some(AuxiliaryHead { channels: 16 }),
        dropout: Probability::new(0.1).unwrap(),
        align_corners: false,
    }
}

fn names(graph: &BlockGraph) -> Vec<&str> {
    graph.blocks.iter().map(|b| b.name.as_str()).collect()
}

fn sources<'a>(graph: &'a BlockGraph, name: &str) -> Vec<&'a str> {
    let names = names(graph);
    let to = names.iter().position(|n| *n == name).unwrap();
    graph.links.iter().filter(|link| link.1 == to).map(|link| names[link.0]).collect()
}

#[test]
fn stages_of_a_classifier() {
    let graph = BlockGraph::of(&Network::Eval(backbone(16)), 224);
    assert_eq!(
        names(&graph),
        [
            "image",
            "stem0",
            "stem1",
            "cells.0 to 3",
            "cells.4",
            "cells.5 to 8",
            "cells.9",
            "cells.10 to 13",
            "classifier"
        ]
    );
    let what: Vec<&str> = graph.blocks.iter().map(|b| b.what.as_str()).collect();
    assert_eq!(what[3..6], ["4 normal cells", "reduction cell", "4 normal cells"]);
    assert_eq!(graph.blocks[3].shape, [64, 28, 28]);
    // The second of its inputs: the cell before the last.
    assert_eq!(sources(&graph, "cells.0 to 3"), ["stem0", "stem1"]);
    assert_eq!(sources(&graph, "cells.5 to 8"), ["cells.0 to 3", "cells.4"]);
}

/// Nothing is lost on the way.
#[test]
fn costs_are_those_of_the_network() {
    let (detector, segmenter, classifier) = (detector(), segmenter(), backbone(16));
    let supernet = Supernet { channels: 8, layers: 8, classes: 10 };
    let cell = genas_space::nb201::nb201_zoo()[0].cell();
    let nb201 = Nb201Net::benchmark(cell, 10);
    let of = |side: usize, forward: &dyn Fn(&mut Cost, &[usize; 3])| Cost::of([3, side, side], forward);
    for (network, side, cost) in [
        (
            Network::Eval(classifier.clone()),
            224,
            of(224, &|i, x| {
                classifier.forward(i, x);
            }),
        ),
        (
            Network::RetinaNet(detector.clone()),
            256,
            of(256, &|i, x| {
                detector.forward(i, x);
            }),
        ),
        (
            Network::DeepLabV3(segmenter.clone()),
            256,
            of(256, &|i, x| {
                segmenter.segment(i, x);
            }),
        ),
        (
            Network::Supernet(supernet),
            32,
            of(32, &|i, x| {
                supernet.forward(i, Path::All, x);
            }),
        ),
        (
            Network::Nb201(nb201),
            32,
            of(32, &|i, x| {
                nb201.forward(i, x);
            }),
        ),
    ] {
        let graph = BlockGraph::of(&network, side);
        assert_eq!(graph.blocks.iter().map(|b| b.params).sum::<u64>(), cost.params, "{network:?}");
        assert_eq!(graph.blocks.iter().map(|b| b.macs).sum::<u64>(), cost.macs, "{network:?}");
        assert!(graph.links.iter().all(|(from, to)| from < to), "{network:?}");
        // All but the outputs is read.
        let unread: Vec<&str> = (0..graph.blocks.len())
            .filter(|n| graph.links.iter().all(|link| link.0 != *n))
            .map(|n| graph.blocks[n].name.as_str())
            .collect();
        let ends = if matches!(network, Network::RetinaNet(_)) { 2 } else { 1 };
        assert_eq!(unread.len(), ends, "{unread:?}");
    }
}

#[test]
fn heads_are_shared_and_branches_are_not() {
    let graph = BlockGraph::of(&Network::RetinaNet(detector()), 256);
    let head = graph.blocks.iter().find(|b| b.name == "head.classes").unwrap();
    assert_eq!((head.uses, head.what.as_str(), head.shape), (5, "5 convolutions", [45, 32, 32]));
    assert_eq!(sources(&graph, "head.classes").len(), 5);
    // BatchNorms of each level do not take the heads apart.
    let normalized = RetinaNet { batch_norm: true, ..detector() };
    let graph = BlockGraph::of(&Network::RetinaNet(normalized.clone()), 256);
    let head = graph.blocks.iter().find(|b| b.name == "head.boxes").unwrap();
    assert_eq!((head.uses, head.what.as_str()), (5, "5 convolutions"));
    let params: u64 = graph.blocks.iter().map(|b| b.params).sum();
    assert_eq!(params, normalized.layout().n_parameters() as u64);
    let graph = BlockGraph::of(&Network::DeepLabV3(segmenter()), 256);
    let branches: Vec<&str> = graph
        .blocks
        .iter()
        .filter(|b| b.name.starts_with("head.branches."))
        .map(|b| b.what.as_str())
        .collect();
    assert_eq!(
        branches,
        [
            "1x1 convolution",
            "3x3 convolution, dilation 12",
            "3x3 convolution, dilation 24",
            "3x3 convolution, dilation 36"
        ]
    );
    assert_eq!(sources(&graph, "head.bottleneck").len(), 5);
    let what = |name: &str| graph.blocks.iter().find(|b| b.name == name).unwrap().what.clone();
    assert_eq!(what("head.image_pool"), "mean over pixels, 1x1 convolution, resizing");
    assert_eq!(what("head.bottleneck"), "concatenation, 3x3 convolution");
    assert_eq!(what("head.classifier"), "1x1 convolution, resizing");
    // Stride 8 to the end.
    assert_eq!(graph.blocks.iter().find(|b| b.name == "backbone.cells.10 to 13").unwrap().shape[1], 32);
}

#[test]
fn nb201_has_three_stages() {
    let cell = genas_space::nb201::nb201_zoo()[0].cell();
    let graph = BlockGraph::of(&Network::Nb201(Nb201Net::benchmark(cell, 10)), 32);
    assert_eq!(
        names(&graph)[1..7],
        ["stem", "cells.0 to 4", "residuals.5", "cells.6 to 10", "residuals.11", "cells.12 to 16"]
    );
}
