//! The angle metric (spec 02-6): how far training turned a candidate's weight vector.
//!
//! Computed in f64 and clamped; the published code's f32 cosine exceeds 1 for nearly parallel
//! vectors and its angle is then NaN.

mod nb201;

pub use nb201::nb201_angle;

use crate::metric::AngleScore;
use genas_net::{Supernet, Weights};
use genas_space::{Candidate, N_NODES, Op, edge_index};
use std::f64::consts::PI;

/// Added to the product of the norms (PyTorch's cosine similarity).
const EPS: f64 = 1e-8;
/// Value of every element of the constant that stands for a pooling: the mean of a 3x3 window.
const POOL_WEIGHT: f64 = 1.0 / 9.0;

/// Angle between a candidate's weights before and after training.
///
/// `fix_dil_bn`: take scale and shift of dil_conv's BatchNorm; the published code takes the scale twice.
pub fn angle(
    net: &Supernet,
    candidate: &Candidate,
    initial: &Weights,
    trained: &Weights,
    fix_dil_bn: bool,
) -> AngleScore {
    between(&parts(net, candidate, fix_dil_bn), initial, trained)
}

/// Angle between the vectors of these parts.
fn between(parts: &[Part], initial: &Weights, trained: &Weights) -> AngleScore {
    let mut sums = Sums::default();
    for part in parts {
        match *part {
            Part::Constant { count, value } => {
                // `count` elements of the same value in both vectors.
                let square = count as f64 * value * value;
                sums.add([square, square, square], count);
            }
            Part::Weight { ref name, times } => {
                let (Some(a), Some(b)) = (initial.get(name), trained.get(name)) else {
                    panic!("these weights belong to another supernet: they lack {name}");
                };
                let mut products = [0.0; 3];
                for (&a, &b) in a.iter().zip(b) {
                    let (a, b) = (f64::from(a), f64::from(b));
                    products[0] += a * b;
                    products[1] += a * a;
                    products[2] += b * b;
                }
                sums.add(products.map(|p| p * times as f64), a.len() * times);
            }
        }
    }
    let [ab, aa, bb] = sums.products;
    let cosine = ab / (aa.sqrt() * bb.sqrt()).max(EPS);
    let radians = cosine.clamp(-1.0, 1.0).acos();
    AngleScore { radians, over_pi: radians / PI, vector_length: sums.length }
}

/// Inner product, squared norms and length so far.
#[derive(Default)]
struct Sums {
    products: [f64; 3],
    length: u64,
}

impl Sums {
    fn add(&mut self, products: [f64; 3], length: usize) {
        for (sum, p) in self.products.iter_mut().zip(products) {
            *sum += p;
        }
        self.length += length as u64;
    }
}

/// A part of the weight vector.
enum Part {
    /// A named tensor that stands in the vector `times` times.
    Weight { name: String, times: usize },
    /// Elements that training does not change.
    Constant { count: usize, value: f64 },
}

/// The weight vector's parts: cells by paths, stem, preprocessing, classifier weight.
fn parts(net: &Supernet, candidate: &Candidate, fix_dil_bn: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let once = |parts: &mut Vec<Part>, names: &[String]| {
        parts.extend(names.iter().map(|name| Part::Weight { name: name.clone(), times: 1 }));
    };
    let bn = |prefix: &str| [format!("{prefix}.weight"), format!("{prefix}.bias")];
    let cells = net.reductions().into_iter().zip(net.widths()).zip(net.after_reduction());
    for (n, ((reduction, width), after_reduction)) in cells.enumerate() {
        let genes = if reduction { &candidate.reduce } else { &candidate.normal };
        for (edge, times) in edge_multiplicities(genes).into_iter().enumerate().filter(|(_, t)| *t > 0) {
            let op = Op::from_index(genes[edge]).unwrap_or(Op::None);
            let stride = if reduction && is_input_edge(edge) { 2 } else { 1 };
            edge_parts(&mut parts, &format!("cells.{n}.edges.{edge}"), op, width, stride, times, fix_dil_bn);
        }
        for (input, factorized) in [("preprocess0", after_reduction), ("preprocess1", false)] {
            let prefix = format!("cells.{n}.{input}");
            let convs: &[&str] = if factorized { &["conv_1", "conv_2"] } else { &["conv"] };
            once(&mut parts, &convs.iter().map(|c| format!("{prefix}.{c}.weight")).collect::<Vec<_>>());
            once(&mut parts, &bn(&format!("{prefix}.bn")));
        }
    }
    once(&mut parts, &["stem.conv.weight".to_owned(), "classifier.weight".to_owned()]);
    once(&mut parts, &bn("stem.bn"));
    parts
}

/// What an edge adds to the vector, `times` times.
fn edge_parts(
    parts: &mut Vec<Part>,
    edge: &str,
    op: Op,
    width: usize,
    stride: usize,
    times: usize,
    fix_dil_bn: bool,
) {
    let mut weight = |layer: &str, times: usize| {
        parts.push(Part::Weight { name: format!("{edge}.{}.{layer}", op.name()), times });
    };
    match op {
        Op::MaxPool3x3 | Op::AvgPool3x3 => {
            weight("bn.weight", times);
            weight("bn.bias", times);
            parts.push(Part::Constant { count: times * width * 9, value: POOL_WEIGHT });
        }
        // The identity matrix: `width` ones. The zeros only lengthen the vector.
        Op::SkipConnect if stride == 1 => {
            parts.push(Part::Constant { count: times * width, value: 1.0 });
            parts.push(Part::Constant { count: times * width * (width - 1), value: 0.0 });
        }
        Op::SkipConnect => {
            for layer in ["conv_1.weight", "conv_2.weight", "bn.weight", "bn.bias"] {
                weight(layer, times);
            }
        }
        Op::SepConv3x3 | Op::SepConv5x5 => {
            for n in [1, 2] {
                for layer in ["depthwise", "pointwise", "bn"] {
                    weight(&format!("{layer}{n}.weight"), times);
                }
                weight(&format!("bn{n}.bias"), times);
            }
        }
        Op::DilConv3x3 | Op::DilConv5x5 => {
            weight("depthwise.weight", times);
            weight("pointwise.weight", times);
            weight("bn.weight", if fix_dil_bn { times } else { 2 * times });
            if fix_dil_bn {
                weight("bn.bias", times);
            }
        }
        // `none` is on no path; the others are not in the space.
        Op::None | Op::SepConv7x7 | Op::Conv7x1_1x7 => {}
    }
}

fn is_input_edge(edge: usize) -> bool {
    (0..N_NODES).any(|node| edge == edge_index(node, 0) || edge == edge_index(node, 1))
}

/// How often each edge stands in the vector: the number of live paths through it.
///
/// The paths are all those from an input (state 0 or 1) to a node, 30 in all; a path with a `none`
/// edge is dropped.
fn edge_multiplicities(genes: &[u8]) -> [usize; 14] {
    let mut counts = [0; 14];
    for path in live_paths(genes) {
        for edge in path {
            counts[edge] += 1;
        }
    }
    counts
}

/// The live paths as lists of edges.
fn live_paths(genes: &[u8]) -> Vec<Vec<usize>> {
    // Paths that end at each state; states 0 and 1 have the empty path.
    let mut ending: Vec<Vec<Vec<usize>>> = vec![vec![vec![]], vec![vec![]]];
    for node in 0..N_NODES {
        let mut here = Vec::new();
        for (source, paths) in ending.iter().enumerate() {
            let edge = edge_index(node, source);
            if genes[edge] != 0 {
                here.extend(paths.iter().map(|p| [p.as_slice(), &[edge]].concat()));
            }
        }
        ending.push(here);
    }
    ending.into_iter().skip(2).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;
    use std::sync::Arc;

    /// Vector lengths and live paths of spec 02-6's table (C = 16, L = 8).
    #[test]
    fn published_lengths() {
        let table = [
            ("GENAS_FLATNESS_CIFAR100", 1_197_008, 1_173_968, 16, 12),
            ("GENAS_ANGLE_FLATNESS_CIFAR100", 628_016, 604_976, 11, 10),
            ("GENAS_FLATNESS_CIFAR10", 877_456, 854_416, 14, 15),
            ("RLDARTS_OURS_GT", 496_784, 473_744, 9, 10),
        ];
        for (name, length_100, length_10, normal, reduce) in table {
            let candidate = Candidate::try_from(&genas_space::find(name).unwrap().genotype()).unwrap();
            assert_eq!(live_paths(&candidate.normal).len(), normal, "{name}");
            assert_eq!(live_paths(&candidate.reduce).len(), reduce, "{name}");
            for (classes, want) in [(100, length_100), (10, length_10)] {
                let net = Supernet { channels: 16, layers: 8, classes };
                let weights = Weights::init(Arc::new(net.layout()), &Streams::new(0));
                let same = angle(&net, &candidate, &weights, &weights, false);
                assert_eq!(same.vector_length, want, "{name} {classes}");
                assert!(same.radians < 1e-7, "{}", same.radians);
            }
        }
    }

    #[test]
    fn all_live_gives_thirty_paths() {
        assert_eq!(live_paths(&[3; 14]).len(), 30);
        assert!(is_input_edge(9) && is_input_edge(10) && !is_input_edge(11));
    }
}
