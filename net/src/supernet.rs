//! The weight-sharing supernet of the DARTS space (spec 01-A5): every edge holds all operations,
//! a candidate picks one per edge.

use crate::dilation::CellPace;
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, Linear};
use crate::layout::Layout;
use crate::ops::{CellShape, operation, preprocess, stack};
use genas_space::{Candidate, N_NODES, Op, edge_index};
use serde::{Deserialize, Serialize};

/// States that a supernet cell concatenates.
const MULTIPLIER: usize = 4;
/// The stem's channels over the first cell's.
const STEM_MULTIPLIER: usize = 3;

/// The supernet's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Supernet {
    /// Width of the first cell (16 in the paper). Even.
    pub channels: usize,
    /// Number of cells (8 in the paper).
    pub layers: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Which operations a forward of the supernet reads.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// One operation per edge.
    Candidate(&'a Candidate),
    /// All of them, to declare or count every parameter.
    All,
}

impl Supernet {
    /// All parameters and buffers.
    pub fn layout(&self) -> Layout {
        Layout::of(self.nominal_shape(), |i, x| {
            self.forward(i, Path::All, x);
        })
    }

    /// The parameters and buffers that a candidate uses.
    pub fn candidate_layout(&self, candidate: &Candidate) -> Layout {
        Layout::of(self.nominal_shape(), |i, x| {
            self.forward(i, Path::Candidate(candidate), x);
        })
    }

    /// An input shape that the network accepts; parameters do not depend on it.
    fn nominal_shape(&self) -> [usize; 3] {
        [3, 32, 32]
    }

    fn shapes(&self) -> Vec<CellShape> {
        let stem = STEM_MULTIPLIER * self.channels;
        stack(self.layers, self.channels, [stem, stem], false, |_| MULTIPLIER)
    }

    /// For each cell whether it is a reduction cell.
    pub fn reductions(&self) -> Vec<bool> {
        self.shapes().iter().map(|s| s.reduction).collect()
    }

    /// Width of each cell.
    pub fn widths(&self) -> Vec<usize> {
        self.shapes().iter().map(|s| s.c).collect()
    }

    /// For each cell whether its `preprocess0` is a FactorizedReduce.
    pub fn after_reduction(&self) -> Vec<bool> {
        self.shapes().iter().map(|s| s.reduction_prev).collect()
    }

    /// Images `[n, 3, h, w]` to logits `[n, classes, 1, 1]`.
    pub fn forward<I: Interpreter>(&self, i: &mut I, path: Path, x: &I::Value) -> I::Value {
        let stem_channels = STEM_MULTIPLIER * self.channels;
        let stem = i.scope("stem", |i| {
            let x = i.conv("conv", &Conv::dense(3, stem_channels, 3, 1, 1), x);
            i.batch_norm("bn", &BatchNorm::new(stem_channels), &x)
        });
        let (mut s0, mut s1) = (stem.clone(), stem);
        let mut width = 0;
        for (n, shape) in self.shapes().iter().enumerate() {
            let out = i.scope(&format!("cells.{n}"), |i| cell(i, shape, path, &s0, &s1));
            (s0, s1) = (s1, out);
            width = shape.c * MULTIPLIER;
        }
        let pooled = i.global_avg_pool(&s1);
        i.linear("classifier", &Linear { c_in: width, c_out: self.classes }, &pooled)
    }
}

fn cell<I: Interpreter>(i: &mut I, shape: &CellShape, path: Path, s0: &I::Value, s1: &I::Value) -> I::Value {
    let pace = CellPace::plain(shape.reduction);
    let mut states = preprocess(i, shape, pace.preprocess0, s0, s1).to_vec();
    for node in 0..N_NODES {
        let mut branches = Vec::new();
        for (source, x) in states.iter().enumerate() {
            let edge = edge_index(node, source);
            let pace = if source < 2 { pace.inputs } else { pace.inner };
            i.scope(&format!("edges.{edge}"), |i| {
                for op in chosen(path, shape.reduction, edge) {
                    branches.extend(operation(i, op, shape.c, pace, true, x));
                }
            });
        }
        states.push(i.sum(&branches));
    }
    i.concat(&states[2..])
}

/// The operations that `path` reads on an edge.
fn chosen(path: Path, reduction: bool, edge: usize) -> Vec<Op> {
    match path {
        Path::All => Op::PRIMITIVES.to_vec(),
        Path::Candidate(candidate) => {
            let half = if reduction { &candidate.reduce } else { &candidate.normal };
            Op::from_index(half[edge]).into_iter().collect()
        }
    }
}
