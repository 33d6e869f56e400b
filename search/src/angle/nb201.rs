//! The angle of a NAS-Bench-201 cell as RLNAS defines it (spec 02-6): a skip adds nothing to the vector, a convolution its
//! weight alone, and the classifier's bias is in it.

use super::{POOL_WEIGHT, Part, between};
use crate::metric::AngleScore;
use genas_net::{Nb201Supernet, Weights};
use genas_space::nb201::{Nb201Cell, Nb201Op};

/// The paths from a cell's input to its output, as edges.
const PATHS: [&[usize]; 4] = [&[3], &[1, 5], &[0, 2, 5], &[0, 4]];

/// Angle between a cell's weights before and after training. 0, of vectors without length, for a cell all of whose paths
/// have a `none`.
pub fn nb201_angle(
    net: &Nb201Supernet,
    cell: &Nb201Cell,
    initial: &Weights,
    trained: &Weights,
) -> AngleScore {
    let live: Vec<_> =
        PATHS.into_iter().filter(|path| path.iter().all(|&edge| cell.0[edge] != Nb201Op::None)).collect();
    if live.is_empty() {
        return AngleScore { radians: 0.0, over_pi: 0.0, vector_length: 0 };
    }
    let mut parts = Vec::new();
    for (number, width) in net.search_cells() {
        for (edge, op) in cell.0.into_iter().enumerate() {
            let times = live.iter().filter(|path| path.contains(&edge)).count();
            match op {
                _ if times == 0 => {}
                Nb201Op::None | Nb201Op::SkipConnect => {}
                Nb201Op::NorConv1x1 | Nb201Op::NorConv3x3 => {
                    let name = format!("cells.{number}.edges.{edge}.{op}.conv.weight");
                    parts.push(Part::Weight { name, times });
                }
                Nb201Op::AvgPool3x3 => {
                    parts.push(Part::Constant { count: times * width * 9, value: POOL_WEIGHT });
                }
            }
        }
    }
    let mut layers = vec!["stem.conv".to_owned(), "stem.bn".to_owned(), "last.bn".to_owned()];
    for number in net.residual_blocks() {
        let block = ["conv_a.conv", "conv_a.bn", "conv_b.conv", "conv_b.bn", "shortcut.conv"];
        layers.extend(block.map(|layer| format!("residuals.{number}.{layer}")));
    }
    layers.push("classifier".to_owned());
    for layer in layers {
        parts.push(Part::Weight { name: format!("{layer}.weight"), times: 1 });
        if !layer.ends_with("conv") {
            parts.push(Part::Weight { name: format!("{layer}.bias"), times: 1 });
        }
    }
    between(&parts, initial, trained)
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;
    use std::sync::Arc;

    /// Vector lengths of spec 02-6.
    #[test]
    fn published_lengths() {
        let net = Nb201Supernet { channels: 16, cells_per_stage: 5, classes: 10 };
        let initial = Weights::init(Arc::new(net.layout()), &Streams::new(0));
        let trained = Weights::init(Arc::new(net.layout()), &Streams::new(1));
        for (text, length) in [
            (
                "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
                2_008_666,
            ),
            (
                "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
                1_336_666,
            ),
            (
                "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
                73_306,
            ),
            // One path, of pools: 5 cells of each width, 2 edges, 9 elements.
            (
                "|none~0|+|avg_pool_3x3~0|none~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|",
                73_306 + 5 * 112 * 2 * 9,
            ),
        ] {
            let cell: Nb201Cell = text.parse().unwrap();
            let found = nb201_angle(&net, &cell, &initial, &trained);
            assert_eq!(found.vector_length, length, "{cell}");
            assert!(found.radians > 0.1, "{cell}: {}", found.radians);
            assert!(nb201_angle(&net, &cell, &initial, &initial).radians < 1e-7);
        }
        // Every path has a `none`.
        let dead: Nb201Cell =
            "|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|none~2|".parse().unwrap();
        let found = nb201_angle(&net, &dead, &initial, &trained);
        assert_eq!((found.radians, found.vector_length), (0.0, 0));
    }

    /// Two weights by hand: a cell whose 1x1 convolutions, all else equal, turn by a right angle.
    #[test]
    fn a_weight_counts_once_for_each_path() {
        let net = Nb201Supernet { channels: 1, cells_per_stage: 1, classes: 1 };
        let cell: Nb201Cell =
            "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|"
                .parse()
                .unwrap();
        let mut initial = Weights::neutral(Arc::new(net.layout()));
        initial.parameters_mut().fill(0.0);
        let mut trained = initial.clone();
        let set = |weights: &mut Weights, name: &str, value: f32| {
            let entry = weights.layout().get(name).unwrap().clone();
            weights.slice_mut(&entry).fill(value);
        };
        for weights in [&mut initial, &mut trained] {
            set(weights, "classifier.bias", 1.0);
        }
        set(&mut initial, "cells.0.edges.0.nor_conv_1x1.conv.weight", 1.0);
        set(&mut trained, "cells.0.edges.0.nor_conv_1x1.conv.weight", -1.0);
        // Edge 0 is on two paths: (1, 1, 1) against (1, -1, -1).
        let found = nb201_angle(&net, &cell, &initial, &trained);
        assert!((found.radians - (-1.0f64 / 3.0).acos()).abs() < 1e-12, "{}", found.radians);
    }
}
