//! Segmenters as graphs: burn's numbers at any size, in every operator set and at every output stride.

use super::samples::{burn_values, candidate, eval_net, images, parity, weights};
use crate::verify::open_bytes;
use crate::{GraphOptions, OnnxGraph};
use genas_net::{AuxiliaryHead, DeepLabV3, Dilation, EvalNet, NetworkKind, Probability};
use genas_space::parse_cell;

fn segmenter(output_stride: usize, exact_dilation: bool) -> DeepLabV3 {
    DeepLabV3 {
        backbone: eval_net(NetworkKind::ImageNet, 5, 3),
        output_stride,
        exact_dilation,
        relu_features: false,
        channels: 6,
        rates: vec![2, 4, 6],
        classes: 5,
        auxiliary: Some(AuxiliaryHead { channels: 4 }),
        dropout: Probability::new(0.1).unwrap(),
        align_corners: false,
    }
}

/// The graph at two sizes against burn; both the logits of the map and those of the image.
fn check(net: &DeepLabV3, opset: i64, fold_bn: bool) {
    let weights = weights(net.layout(), 1);
    let options = GraphOptions { opset, fold_bn, ..GraphOptions::any_size() };
    let (mut graph, x) = OnnxGraph::new("segmenter", &weights, &options);
    let (map, auxiliary) = net.forward(&mut graph, &x);
    let logits = net.resize(&mut graph, &map, &x);
    let outputs = [("map", map), ("auxiliary", auxiliary.unwrap()), ("logits", logits)];
    let bytes = graph.finish_bytes(&outputs).unwrap();
    let mut session = open_bytes(&bytes).unwrap();
    // The last is no multiple of any stride, as crops of 769 pixels are not.
    for shape in [[1, 3, 64, 96], [2, 3, 128, 64], [1, 3, 97, 65]] {
        let images = images(shape, 4);
        let expected = burn_values(&weights, &images, shape, |i, x| {
            let (map, auxiliary) = net.forward(i, x);
            let logits = net.resize(i, &map, x);
            vec![map, auxiliary.unwrap(), logits]
        });
        let found = session.run_f32(&images, &shape).unwrap();
        assert_eq!(found.len(), 3);
        for (found, expected) in found.iter().zip(&expected) {
            let parity = parity(&found.values, expected);
            let what = format!(
                "opset {opset} folded {fold_bn} {} {} {shape:?} {}: {parity:?}",
                net.output_stride, net.exact_dilation, found.name
            );
            assert!(parity.holds(), "{what}");
        }
        assert_eq!(found[2].shape, [shape[0], 5, shape[2], shape[3]]);
    }
}

#[test]
fn segmenters_as_graphs_are_burns() {
    for output_stride in Dilation::OUTPUT_STRIDES {
        for exact in [true, false] {
            check(&segmenter(output_stride, exact), 17, false);
        }
        check(&segmenter(output_stride, true), 13, true);
        check(&DeepLabV3 { align_corners: true, ..segmenter(output_stride, true) }, 21, false);
    }
}

#[test]
fn every_operation_is_dilated_as_burn_dilates_it() {
    // Pools, FactorizedReduces and the separable convolutions from inputs and from nodes.
    let cells = [
        "normal: mp(0) ap(1) | ap(1) mp(2) | d3(0) ap(3); reduce: sk(0) ap(1) | mp(0) sk(2) | ap(2) d5(1)",
        "normal: s5(0) d5(1) | s3(2) mp(0); reduce: mp(0) sk(1) | s5(1) d3(2)",
    ];
    let parsed = cells.iter().map(|cell| parse_cell(cell).unwrap());
    let genotypes: Vec<_> = parsed.chain((0..3).map(|seed| candidate(seed).genotype())).collect();
    for (n, genotype) in genotypes.into_iter().enumerate() {
        let mut net = segmenter(8, n % 2 == 0);
        net.backbone = EvalNet { genotype, ..net.backbone };
        check(&net, [13, 17, 21][n % 3], n % 2 == 1);
    }
}
