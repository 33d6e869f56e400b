//! The atrous identity: a network of output stride 8 is the network of output stride 32 evaluated densely.
//!
//! The striding network sees an image shifted by (dy, dx); its pixel (i, j) must be the dilated network's pixel at
//! (32 i + dy, 32 j + dx) of the image. Borders are where the two are not alike, as a shifted image ends elsewhere: what is
//! compared is further from them than any pixel of the image can act, which a reading of the wiring finds out.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use genas_net::{
    BatchNorm, Conv, Devices, Dilation, EvalNet, FactorizedReduce, Feature, Interpreter, Linear, Mode,
    NetworkKind, Pool, Role, Tensors, Weights,
};
use genas_space::{Candidate, Genotype, Op, Streams, random_candidate};
use rand::RngExt;
use std::collections::HashSet;
use std::sync::Arc;

/// The interpreter that finds how far a map's pixels see.
struct Reach;

/// Of one map, in pixels of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight {
    stride: usize,
    reach: usize,
}

impl Sight {
    fn window(self, stride: usize, reach: usize) -> Self {
        Sight { stride: self.stride * stride, reach: self.reach + self.stride * reach }
    }
}

impl Interpreter for Reach {
    type Value = Sight;

    fn scope<R>(&mut self, _: &str, body: impl FnOnce(&mut Self) -> R) -> R {
        body(self)
    }

    fn conv(&mut self, _: &str, conv: &Conv, x: &Sight) -> Sight {
        // Centred on the pixel.
        assert_eq!(conv.padding[0], conv.dilation * (conv.kernel[0] - 1) / 2);
        x.window(conv.stride[0], conv.padding[0])
    }

    fn batch_norm(&mut self, _: &str, _: &BatchNorm, x: &Sight) -> Sight {
        *x
    }

    fn relu(&mut self, x: &Sight) -> Sight {
        *x
    }

    fn max_pool(&mut self, pool: &Pool, x: &Sight) -> Sight {
        x.window(pool.stride, pool.dilation * (pool.kernel - 1) / 2)
    }

    fn avg_pool(&mut self, pool: &Pool, x: &Sight) -> Sight {
        self.max_pool(pool, x)
    }

    fn sum(&mut self, xs: &[Sight]) -> Sight {
        assert!(xs.iter().all(|x| x.stride == xs[0].stride));
        Sight { stride: xs[0].stride, reach: xs.iter().map(|x| x.reach).max().unwrap() }
    }

    fn zeros(&mut self, _: &Sight) -> Sight {
        unreachable!("a backbone has none")
    }

    fn concat(&mut self, xs: &[Sight]) -> Sight {
        self.sum(xs)
    }

    fn factorized_reduce(&mut self, reduce: &FactorizedReduce, x: &Sight) -> Sight {
        x.window(reduce.stride, reduce.shift)
    }

    fn upsample(&mut self, _: &Sight) -> Sight {
        unreachable!("a backbone has none")
    }

    fn resize(&mut self, _: &Sight, _: &Sight, _: bool) -> Sight {
        unreachable!("a backbone has none")
    }

    fn global_avg_pool(&mut self, _: &Sight) -> Sight {
        unreachable!("a backbone has none")
    }

    fn linear(&mut self, _: &str, _: &Linear, _: &Sight) -> Sight {
        unreachable!("a backbone has none")
    }
}

/// Cells: normal, reduction, normal, reduction, normal.
fn network(genotype: Genotype) -> EvalNet {
    EvalNet { kind: NetworkKind::ImageNet, genotype, channels: 4, layers: 5, classes: 1, auxiliary: false }
}

fn sight(net: &EvalNet, dilation: Dilation) -> Sight {
    net.backbone_at(dilation, &mut Reach, &Sight { stride: 1, reach: 0 }, false)[3]
}

/// Which operations stand where: in a reduction cell or not, from which input or from a node.
fn positions(net: &EvalNet) -> HashSet<(bool, usize, Op)> {
    let cells = [(false, &net.genotype.normal), (true, &net.genotype.reduce)];
    let edges = cells.into_iter().flat_map(|(reduction, cell)| {
        cell.nodes.iter().flatten().map(move |&(op, source)| (reduction, source.min(2), op))
    });
    edges.collect()
}

/// Random cells that together have every operation in every position, and do not see too far.
fn networks() -> Vec<EvalNet> {
    let operations = Op::PRIMITIVES.iter().filter(|op| **op != Op::None).count();
    let (mut found, mut covered) = (Vec::new(), HashSet::new());
    for draw in 0..10_000 {
        let candidate: Candidate = random_candidate(&mut Streams::new(5).rng("cell", draw));
        let net = network(candidate.genotype());
        let new = positions(&net).difference(&covered).count();
        // Few networks: each has to bring much that is new, less and less.
        let wanted = 10usize.saturating_sub(draw as usize / 60).max(1);
        if new >= wanted && sight(&net, Dilation::NONE).reach <= 500 {
            covered.extend(positions(&net));
            found.push(net);
        }
        if covered.len() == 2 * 3 * operations {
            return found;
        }
    }
    panic!("{} positions only", covered.len());
}

/// BatchNorms as of a trained network.
fn weights(net: &EvalNet) -> Weights {
    let streams = Streams::new(11);
    let mut weights = Weights::init(Arc::new(net.backbone_layout()), &streams);
    for entry in weights.layout().clone().entries() {
        let range = match entry.role {
            Role::Gamma => 0.5..1.5,
            Role::Beta | Role::RunningMean => -0.3..0.3,
            Role::RunningVar => 0.5..1.5,
            _ => continue,
        };
        let mut rng = streams.rng(&entry.name, 1);
        for value in weights.slice_mut(entry) {
            *value = rng.random_range(range.clone());
        }
    }
    weights
}

/// A square image's maps of strides 16 and 32, or what they are with dilation: values and side.
fn maps(
    net: &EvalNet,
    weights: &Weights,
    dilation: Dilation,
    image: &[f32],
    side: usize,
) -> [(Vec<f32>, usize); 2] {
    let device = Devices::cpu().plain();
    let mut i = Tensors::new(weights, device.clone(), Mode::Inference);
    let x = Feature::from_values(image.to_vec(), [1, 3, side, side], &device);
    let [_, _, c4, c5] = net.backbone_at(dilation, &mut i, &x, false);
    [c4, c5].map(|map| {
        let tensor = map.tensor();
        let side = tensor.dims()[3];
        (tensor.into_data().try_to_vec().unwrap(), side)
    })
}

/// The largest difference between the dilated network and the striding one on shifted images, relative to the largest
/// value, and over how many values.
fn difference(net: &EvalNet, dilation: Dilation) -> (f32, usize) {
    let weights = weights(net);
    let [reach, dilated] = [Dilation::NONE, dilation].map(|dilation| sight(net, dilation).reach);
    assert!(!dilation.exact || dilated == reach, "the same pixels count: {dilated}, {reach}");
    let reach = reach.max(dilated);
    // Room for the largest shift, and for three pixels of the last map.
    let cropped = (2 * reach + 3 * 32).next_multiple_of(32);
    let side = cropped + 32;
    let mut rng = Streams::new(3).rng("image", 0);
    let image: Vec<f32> = (0..3 * side * side).map(|_| rng.random_range(-2.0..2.0)).collect();
    let dense = maps(net, &weights, dilation, &image, side);
    let (mut worst, mut size, mut compared) = (0.0f32, 0.0f32, 0);
    for dy in (0..32).step_by(dilation.output_stride) {
        for dx in (0..32).step_by(dilation.output_stride) {
            let rows = (0..3 * cropped).map(|row| (row / cropped * side + row % cropped + dy) * side + dx);
            let crop: Vec<f32> = rows.flat_map(|at| image[at..][..cropped].iter().copied()).collect();
            let striding = maps(net, &weights, Dilation::NONE, &crop, cropped);
            for (((dense, width), (striding, own)), stride) in dense.iter().zip(&striding).zip([16, 32]) {
                let step = dilation.output_stride.min(stride);
                let inner: Vec<usize> =
                    (0..*own).filter(|i| stride * i >= reach && stride * i + reach < cropped).collect();
                assert!(inner.len() >= 2, "{own} {reach}");
                for channel in 0..striding.len() / (own * own) {
                    for &i in &inner {
                        for &j in &inner {
                            let [y, x] = [(stride * i + dy) / step, (stride * j + dx) / step];
                            // At output stride 16, the map of stride 16 is the striding network's own.
                            let a = dense[(channel * width + y) * width + x];
                            let b = striding[(channel * own + i) * own + j];
                            assert!(a.is_finite() && b.is_finite());
                            worst = worst.max((a - b).abs());
                            size = size.max(b.abs());
                            compared += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(size > 0.1, "the maps are not all but empty: {size}");
    (worst / size.max(1.0), compared)
}

#[test]
fn a_dilated_network_is_the_striding_one_evaluated_densely() {
    let networks = networks();
    println!("{} networks", networks.len());
    for (n, net) in networks.iter().enumerate() {
        for output_stride in [8, 16] {
            let (off, compared) = difference(net, Dilation { output_stride, exact: true });
            println!("network {n}, output stride {output_stride}: {off:.1e} over {compared} values");
            assert!(off < 1e-4, "network {n}, output stride {output_stride}: {off}");
        }
    }
    // The simpler form is another network: the comparison can tell.
    let (off, _) = difference(&networks[0], Dilation { output_stride: 8, exact: false });
    assert!(off > 1e-2, "{off}");
}
