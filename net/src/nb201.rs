//! The networks of NAS-Bench-201 (spec 01-B; D-X-Y/AutoDL-Projects): the stand-alone network of one cell, and the supernet
//! of RLNAS.
//!
//! Three stages of search cells with a residual block between them, which halves the size and doubles the width. Search
//! cells and residual blocks are counted through, as published: with five cells per stage, cells 0 to 4, 6 to 10 and 12 to
//! 16 stand under `cells`, blocks 5 and 11 under `residuals`. A side of the image must be divisible by 4.
//!
//! A `none` is left out of its node's sum. Published code adds zeros, which is the same; only what no other edge uses has
//! no gradient here and a gradient of zeros there, so that its weights do not decay under
//! [`UnsampledOps`](crate::UnsampledOps) until they have been used once. A node with no input but `none` is a map of zeros.

use crate::cost::Cost;
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, Linear, Pool};
use crate::layout::Layout;
use genas_space::nb201::{NB201_EDGES, NB201_SOURCES, Nb201Cell, Nb201Op, edges_of_node};
use serde::{Deserialize, Serialize};

/// Stages of search cells; the width doubles from one to the next.
const STAGES: usize = 3;

/// A network of one cell, as the benchmark trained 15,625.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nb201Net {
    /// The cell.
    pub cell: Nb201Cell,
    /// Width of the first stage (16 in the benchmark).
    pub channels: usize,
    /// Search cells per stage (5 in the benchmark).
    pub cells_per_stage: usize,
    /// Number of classes.
    pub classes: usize,
}

/// The supernet: every edge of every search cell holds all operations. BatchNorm has no scale and shift in search cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nb201Supernet {
    /// Width of the first stage (16 as published).
    pub channels: usize,
    /// Search cells per stage (5 as published).
    pub cells_per_stage: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Which operations a forward of the supernet reads.
#[derive(Clone, Copy, Debug)]
pub enum Nb201Path<'a> {
    /// One cell at every position: how a cell is scored.
    Shared(&'a Nb201Cell),
    /// A cell for each position, in order: how the supernet is trained.
    PerCell(&'a [Nb201Cell]),
    /// All of them, to declare or count every parameter.
    All,
}

impl Nb201Path<'_> {
    /// The operations on an edge of the search cell that is the `n`-th, residual blocks not counted.
    fn operations(&self, n: usize, edge: usize) -> &[Nb201Op] {
        match self {
            Nb201Path::Shared(cell) => &cell.0[edge..=edge],
            Nb201Path::PerCell(cells) => &cells[n].0[edge..=edge],
            Nb201Path::All => &Nb201Op::ALL,
        }
    }
}

/// What the network of a cell costs by the benchmark's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nb201NetCost {
    /// Parameters.
    pub params: u64,
    /// Multiply-accumulates of convolutions; inputs times outputs, plus outputs, of the classifier.
    pub flops: u64,
}

impl Nb201Net {
    /// The benchmark's network of a cell.
    pub fn benchmark(cell: Nb201Cell, classes: usize) -> Self {
        Self { cell, channels: 16, cells_per_stage: 5, classes }
    }

    /// All parameters and buffers.
    pub fn layout(&self) -> Layout {
        layout(|i, x| self.forward(i, x))
    }

    /// Images `[n, 3, h, w]` to logits `[n, classes, 1, 1]`.
    pub fn forward<I: Interpreter>(&self, i: &mut I, x: &I::Value) -> I::Value {
        let Self { cell, channels, cells_per_stage, classes } = self;
        let skeleton = Skeleton {
            channels: *channels,
            cells_per_stage: *cells_per_stage,
            classes: *classes,
            affine: true,
        };
        skeleton.forward(i, Nb201Path::Shared(cell), x)
    }

    /// What it costs for an image of `side` pixels.
    pub fn cost(&self, side: usize) -> Nb201NetCost {
        let report = Cost::of([3, side, side], |i, x| {
            self.forward(i, x);
        });
        Nb201NetCost { params: report.params, flops: report.macs + self.classes as u64 }
    }
}

impl Nb201Supernet {
    /// Number of search cells: how many a [`Nb201Path::PerCell`] has.
    pub fn n_cells(&self) -> usize {
        STAGES * self.cells_per_stage
    }

    /// All parameters and buffers.
    pub fn layout(&self) -> Layout {
        layout(|i, x| self.forward(i, Nb201Path::All, x))
    }

    /// The parameters and buffers that a cell uses.
    pub fn cell_layout(&self, cell: &Nb201Cell) -> Layout {
        layout(|i, x| self.forward(i, Nb201Path::Shared(cell), x))
    }

    /// Images `[n, 3, h, w]` to logits `[n, classes, 1, 1]`.
    pub fn forward<I: Interpreter>(&self, i: &mut I, path: Nb201Path, x: &I::Value) -> I::Value {
        let Self { channels, cells_per_stage, classes } = *self;
        Skeleton { channels, cells_per_stage, classes, affine: false }.forward(i, path, x)
    }

    /// Number and width of every search cell; the numbers are those of `cells.N`.
    pub fn search_cells(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Self { channels, cells_per_stage, .. } = *self;
        (0..STAGES).flat_map(move |stage| {
            let first = stage * (cells_per_stage + 1);
            (first..first + cells_per_stage).map(move |number| (number, channels << stage))
        })
    }

    /// Number of every residual block; the numbers are those of `residuals.N`.
    pub fn residual_blocks(&self) -> impl Iterator<Item = usize> + use<> {
        let cells_per_stage = self.cells_per_stage;
        (1..STAGES).map(move |stage| stage * (cells_per_stage + 1) - 1)
    }
}

fn layout<V>(forward: impl FnOnce(&mut crate::layout::Declare, &[usize; 3]) -> V) -> Layout {
    // Parameters do not depend on the image's size.
    Layout::of([3, 32, 32], |i, x| {
        forward(i, x);
    })
}

/// What both networks are around their cells.
struct Skeleton {
    channels: usize,
    cells_per_stage: usize,
    classes: usize,
    /// Whether BatchNorm has scale and shift in search cells.
    affine: bool,
}

impl Skeleton {
    fn forward<I: Interpreter>(&self, i: &mut I, path: Nb201Path, x: &I::Value) -> I::Value {
        if let Nb201Path::PerCell(cells) = path {
            assert_eq!(cells.len(), STAGES * self.cells_per_stage, "a path has a cell for each position");
        }
        let mut x = i.scope("stem", |i| {
            let x = i.conv("conv", &Conv::dense(3, self.channels, 3, 1, 1), x);
            i.batch_norm("bn", &BatchNorm::new(self.channels), &x)
        });
        let mut width = self.channels;
        for stage in 0..STAGES {
            let first = stage * (self.cells_per_stage + 1);
            if stage > 0 {
                x = i.scope(&format!("residuals.{}", first - 1), |i| residual(i, width, 2 * width, &x));
                width *= 2;
            }
            for n in 0..self.cells_per_stage {
                let operations = |edge| path.operations(stage * self.cells_per_stage + n, edge);
                let bn = BatchNorm { channels: width, affine: self.affine };
                x = i.scope(&format!("cells.{}", first + n), |i| cell(i, &bn, operations, &x));
            }
        }
        x = i.scope("last", |i| i.batch_norm("bn", &BatchNorm::new(width), &x));
        x = i.relu(&x);
        x = i.global_avg_pool(&x);
        i.linear("classifier", &Linear { c_in: width, c_out: self.classes }, &x)
    }
}

/// A search cell: node 3 of four, each the sum of what its edges give.
fn cell<'a, I: Interpreter>(
    i: &mut I,
    bn: &BatchNorm,
    operations: impl Fn(usize) -> &'a [Nb201Op],
    x: &I::Value,
) -> I::Value {
    let mut nodes: [I::Value; 4] = std::array::from_fn(|_| x.clone());
    for node in 1..nodes.len() {
        let mut branches = Vec::with_capacity(NB201_EDGES);
        for edge in edges_of_node(node) {
            let source = &nodes[NB201_SOURCES[edge]];
            i.scope(&format!("edges.{edge}"), |i| {
                for op in operations(edge) {
                    branches.extend(operation(i, *op, bn, source));
                }
            });
        }
        nodes[node] = if branches.is_empty() { i.zeros(x) } else { i.sum(&branches) };
    }
    let [.., output] = nodes;
    output
}

/// An operation's map; none of `none`.
fn operation<I: Interpreter>(i: &mut I, op: Nb201Op, bn: &BatchNorm, x: &I::Value) -> Option<I::Value> {
    i.scope(op.name(), |i| match op {
        Nb201Op::None => None,
        Nb201Op::SkipConnect => Some(x.clone()),
        Nb201Op::NorConv1x1 => Some(relu_conv_bn(i, &Conv::pointwise(bn.channels, bn.channels), bn, x)),
        Nb201Op::NorConv3x3 => Some(relu_conv_bn(i, &Conv::dense(bn.channels, bn.channels, 3, 1, 1), bn, x)),
        Nb201Op::AvgPool3x3 => Some(i.avg_pool(&Pool::same(3, 1, 1), x)),
    })
}

fn relu_conv_bn<I: Interpreter>(i: &mut I, conv: &Conv, bn: &BatchNorm, x: &I::Value) -> I::Value {
    let x = i.relu(x);
    let x = i.conv("conv", conv, &x);
    i.batch_norm("bn", bn, &x)
}

/// The block between two stages: two 3x3 convolutions, the first strided, beside a mean of 2x2 pixels and a 1x1
/// convolution.
fn residual<I: Interpreter>(i: &mut I, c_in: usize, c_out: usize, x: &I::Value) -> I::Value {
    let bn = BatchNorm::new(c_out);
    let main = i.scope("conv_a", |i| relu_conv_bn(i, &Conv::dense(c_in, c_out, 3, 2, 1), &bn, x));
    let main = i.scope("conv_b", |i| relu_conv_bn(i, &Conv::dense(c_out, c_out, 3, 1, 1), &bn, &main));
    let shortcut = i.scope("shortcut", |i| {
        let x = i.avg_pool(&Pool::new(2, 2, 0), x);
        i.conv("conv", &Conv::pointwise(c_in, c_out), &x)
    });
    i.sum(&[shortcut, main])
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::nb201::{NB201_COSTS, NB201_SUPERNET_PARAMS};

    const CLASSES: [usize; 3] = [10, 100, 120];

    #[test]
    fn costs_are_the_benchmarks() {
        for check in NB201_COSTS {
            let cell: Nb201Cell = check.arch.parse().unwrap();
            for (classes, params) in CLASSES.into_iter().zip(check.params) {
                let net = Nb201Net::benchmark(cell, classes);
                assert_eq!(net.layout().n_parameters() as u64, params, "{cell}");
                assert_eq!(net.cost(32).params, params, "{cell}");
            }
            assert_eq!(Nb201Net::benchmark(cell, 10).cost(32).flops, check.flops_cifar10, "{cell}");
            assert_eq!(Nb201Net::benchmark(cell, 120).cost(16).flops, check.flops_imagenet16, "{cell}");
        }
    }

    #[test]
    fn the_supernet_has_the_published_parameters() {
        for (classes, params) in CLASSES.into_iter().zip(NB201_SUPERNET_PARAMS) {
            let net = Nb201Supernet { channels: 16, cells_per_stage: 5, classes };
            assert_eq!(net.layout().n_parameters() as u64, params);
        }
    }

    #[test]
    fn cells_and_residual_blocks_are_counted_through() {
        let net = Nb201Supernet { channels: 16, cells_per_stage: 5, classes: 10 };
        let cells: Vec<usize> = net.search_cells().map(|(n, _)| n).collect();
        assert_eq!(cells, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16]);
        assert_eq!(net.residual_blocks().collect::<Vec<_>>(), [5, 11]);
        assert_eq!((net.n_cells(), cells.len()), (15, 15));
        let layout = net.layout();
        for (n, width) in net.search_cells() {
            let conv = layout.get(&format!("cells.{n}.edges.5.nor_conv_3x3.conv.weight")).unwrap();
            assert_eq!(conv.shape, [width, width, 3, 3]);
            assert!(layout.get(&format!("cells.{n}.edges.5.nor_conv_3x3.bn.weight")).is_none());
        }
        assert_eq!(layout.get("residuals.11.conv_a.conv.weight").unwrap().shape, [64, 32, 3, 3]);
    }

    #[test]
    fn a_cell_uses_its_own_part_of_the_supernet() {
        let net = Nb201Supernet { channels: 4, cells_per_stage: 2, classes: 3 };
        let cell: Nb201Cell =
            "|none~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|".parse().unwrap();
        let (part, whole) = (net.cell_layout(&cell), net.layout());
        let inside: Vec<&str> =
            part.entries().iter().map(|e| e.name.as_str()).filter(|n| n.starts_with("cells.")).collect();
        assert_eq!(inside.len(), 6 * 3);
        assert!(inside.iter().all(|name| name.contains(".edges.4.nor_conv_1x1.")), "{inside:?}");
        for entry in part.entries() {
            assert_eq!(whole.get(&entry.name).unwrap().shape, entry.shape);
        }
    }
}
