//! Random cells: burn against ONNX Runtime, BatchNorm kept and folded.

use super::samples::{burn_values, parity};
use super::samples::{candidate, eval_net, images, supernet, weights};
use crate::verify::open_bytes;
use crate::{Dim, GraphOptions, classifier_model, nb201_supernet_model, supernet_model};
use genas_net::{Nb201Path, Nb201Supernet, NetworkKind, Path, Tensors};
use genas_space::nb201::Nb201Cell;

const BATCH: usize = 2;

fn options(size: [usize; 2], fold_bn: bool, opset: i64) -> GraphOptions {
    let [height, width] = size.map(Dim::Fixed);
    GraphOptions { fold_bn, opset, height, width, ..GraphOptions::square(0) }
}

/// `model` must compute `expected`, and the logits must depend on the image.
fn check(what: &str, model: &[u8], shape: [usize; 4], expected: &[f32]) {
    let mut session = open_bytes(model).unwrap();
    let found = session.run_f32(&images(shape, 1), &shape).unwrap().remove(0);
    let classes = expected.len() / BATCH;
    assert_eq!((found.name.as_str(), found.shape), ("logits", vec![BATCH, classes]), "{what}");
    let found = parity(&found.values, expected);
    assert!(found.holds(), "{what}: {found:?}");
    let (first, second) = expected.split_at(classes);
    let spread = parity(first, second).max_abs_error;
    assert!(spread > 10.0 * found.allowed, "{what}: the images give the same logits: {spread}");
}

fn check_eval_net(kind: NetworkKind, layers: usize, seed: u64, size: [usize; 2]) {
    let net = eval_net(kind, layers, seed);
    let weights = weights(net.layout(), seed);
    let shape = [BATCH, 3, size[0], size[1]];
    let expected = burn_values(&weights, &images(shape, 1), shape, |i, x| vec![net.forward(i, x)]).remove(0);
    for (fold_bn, opset) in [(false, 13), (true, 17), (false, 21)] {
        let what = format!("{kind:?} {layers} layers, cell {seed}, {size:?}, fold {fold_bn}, opset {opset}");
        let model = classifier_model(&net, &weights, &options(size, fold_bn, opset)).unwrap();
        check(&what, &model, shape, &expected);
    }
    let dynamic = GraphOptions {
        height: Dim::dynamic("height"),
        width: Dim::dynamic("width"),
        ..options(size, false, 17)
    };
    check("dynamic", &classifier_model(&net, &weights, &dynamic).unwrap(), shape, &expected);
}

#[test]
fn cifar_networks() {
    for (seed, layers) in [(1, 3), (2, 4), (3, 5), (4, 3)] {
        check_eval_net(NetworkKind::Cifar, layers, seed, [32, 32]);
    }
}

#[test]
fn imagenet_networks() {
    for (seed, layers) in [(5, 3), (6, 4), (7, 5)] {
        check_eval_net(NetworkKind::ImageNet, layers, seed, [64, 64]);
    }
}

#[test]
fn odd_sizes() {
    for seed in [8, 9, 10] {
        check_eval_net(NetworkKind::ImageNet, 4, seed, [33, 47]);
    }
    check_eval_net(NetworkKind::Cifar, 3, 11, [33, 47]);
}

/// With the BatchNorm of the supernet's pools, which nothing can take over.
#[test]
fn supernet_candidates() {
    let net = supernet();
    let all = weights(net.layout(), 3);
    for seed in 0..4 {
        let candidate = candidate(seed);
        let part = all.restrict(net.candidate_layout(&candidate).into());
        for size in [[32, 32], [19, 27]] {
            let shape = [BATCH, 3, size[0], size[1]];
            let forward = |i: &mut Tensors, x: &_| vec![net.forward(i, Path::Candidate(&candidate), x)];
            let expected = burn_values(&all, &images(shape, 1), shape, forward).remove(0);
            for fold_bn in [false, true] {
                let options = options(size, fold_bn, 17);
                let model = supernet_model(&net, &candidate, &part, &options).unwrap();
                let what = format!("candidate {seed}, {size:?}, fold {fold_bn}");
                check(&what, &model, shape, &expected);
                assert_eq!(model, supernet_model(&net, &candidate, &all, &options).unwrap(), "{what}");
            }
        }
    }
}

/// All operations, a node of zeros that convolutions read, a node that nothing reads, skips alone.
#[test]
fn nas_bench_201_cells() {
    let net = Nb201Supernet { channels: 8, cells_per_stage: 2, classes: 6 };
    let all = weights(net.layout(), 3);
    for text in [
        "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|",
        "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|",
        "|avg_pool_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|none~2|",
        "|skip_connect~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|skip_connect~2|",
    ] {
        let cell: Nb201Cell = text.parse().unwrap();
        let part = all.restrict(net.cell_layout(&cell).into());
        for side in [32, 16] {
            let shape = [BATCH, 3, side, side];
            let forward = |i: &mut Tensors, x: &_| vec![net.forward(i, Nb201Path::Shared(&cell), x)];
            let expected = burn_values(&all, &images(shape, 1), shape, forward).remove(0);
            for fold_bn in [false, true] {
                let options = options([side, side], fold_bn, 17);
                let model = nb201_supernet_model(&net, &cell, &part, &options).unwrap();
                let what = format!("{cell}, {side}, fold {fold_bn}");
                check(&what, &model, shape, &expected);
                assert_eq!(model, nb201_supernet_model(&net, &cell, &all, &options).unwrap(), "{what}");
            }
        }
    }
}

/// Cells of zeros see no image, and are a model nevertheless.
#[test]
fn a_nas_bench_201_cell_of_zeros() {
    let net = Nb201Supernet { channels: 8, cells_per_stage: 1, classes: 6 };
    let all = weights(net.layout(), 3);
    let cell: Nb201Cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|".parse().unwrap();
    let shape = [BATCH, 3, 32, 32];
    let forward = |i: &mut Tensors, x: &_| vec![net.forward(i, Nb201Path::Shared(&cell), x)];
    let expected = burn_values(&all, &images(shape, 1), shape, forward).remove(0);
    let model = nb201_supernet_model(&net, &cell, &all, &options([32, 32], true, 17)).unwrap();
    let found = open_bytes(&model).unwrap().run_f32(&images(shape, 2), &shape).unwrap().remove(0);
    assert!(parity(&found.values, &expected).holds());
}

#[test]
fn parity_refuses_numbers_that_are_not_finite() {
    for (found, expected) in [(f32::NAN, 0.0), (0.0, f32::NAN), (f32::INFINITY, f32::INFINITY), (0.1, 0.0)] {
        assert!(!parity(&[1.0, found], &[1.0, expected]).holds(), "{found} {expected}");
    }
    assert!(!parity(&[], &[1.0]).holds());
    assert!(parity(&[500.01, 0.0], &[500.0, 0.0]).holds());
}
