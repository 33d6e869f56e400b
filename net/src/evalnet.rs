//! The networks that found cells are trained in: the CIFAR network (spec 01-A6) and the ImageNet
//! network (spec 01-A7) of DARTS.

use crate::dilation::{CellPace, Dilation};
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, Linear, Pool};
use crate::layout::Layout;
use crate::ops::{CellShape, operation, preprocess, stack};
use genas_space::{Cell, Genotype, Op};
use serde::{Deserialize, Serialize};

/// Which stem and which auxiliary head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// 3x3 stem at full size, for images of about 32 pixels.
    Cifar,
    /// Three strided 3x3 convolutions (stride 8 before the first cell), for images of about 224 pixels.
    ImageNet,
}

/// A network of one genotype.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EvalNet {
    /// Stem and heads.
    pub kind: NetworkKind,
    /// The cells.
    pub genotype: Genotype,
    /// Width of the first cell. Even.
    pub channels: usize,
    /// Number of cells: 20 (CIFAR) or 14 (ImageNet) in the paper.
    pub layers: usize,
    /// Number of classes.
    pub classes: usize,
    /// Whether the network has an auxiliary head, used in training only.
    pub auxiliary: bool,
}

/// Feature maps of a network.
#[derive(Clone, Debug)]
pub struct Taps<V> {
    /// Stem output before the cells: stride 4 in the ImageNet network (`stem0`), 1 in the CIFAR network.
    pub stem: V,
    /// Output of every cell.
    pub cells: Vec<V>,
}

impl EvalNet {
    /// Number of cells in the published networks.
    pub fn default_layers(kind: NetworkKind) -> usize {
        match kind {
            NetworkKind::Cifar => 20,
            NetworkKind::ImageNet => 14,
        }
    }

    /// Image side that the network was designed for.
    pub fn default_image_size(kind: NetworkKind) -> usize {
        match kind {
            NetworkKind::Cifar => 32,
            NetworkKind::ImageNet => 224,
        }
    }

    /// All parameters and buffers, the auxiliary head's included if there is one.
    pub fn layout(&self) -> Layout {
        let side = Self::default_image_size(self.kind);
        Layout::of([3, side, side], |i, x| {
            self.forward_with_auxiliary(i, x);
        })
    }

    fn shapes(&self) -> Vec<CellShape> {
        let c = self.channels;
        let n_concat = |reduction| self.cell(reduction).concat.len();
        match self.kind {
            NetworkKind::Cifar => stack(self.layers, c, [3 * c, 3 * c], false, n_concat),
            NetworkKind::ImageNet => stack(self.layers, c, [c, c], true, n_concat),
        }
    }

    /// Whether each cell is a reduction cell.
    pub fn reductions(&self) -> Vec<bool> {
        self.shapes().iter().map(|shape| shape.reduction).collect()
    }

    fn cell(&self, reduction: bool) -> &Cell {
        if reduction { &self.genotype.reduce } else { &self.genotype.normal }
    }

    /// Cell whose output feeds the auxiliary head: the second reduction.
    fn auxiliary_cell(&self) -> usize {
        2 * self.layers / 3
    }

    /// Indices of the cells that end the stages of stride 8, 16 and 32 (ImageNet network).
    pub fn stage_ends(&self) -> [usize; 3] {
        [
            (self.layers / 3).saturating_sub(1),
            (2 * self.layers / 3).saturating_sub(1),
            self.layers.saturating_sub(1),
        ]
    }

    /// Images `[n, 3, h, w]` to the maps after the stem and after every cell.
    pub fn features<I: Interpreter>(&self, i: &mut I, x: &I::Value) -> Taps<I::Value> {
        self.features_at(Dilation::NONE, i, x)
    }

    fn features_at<I: Interpreter>(&self, dilation: Dilation, i: &mut I, x: &I::Value) -> Taps<I::Value> {
        let mut cells = Vec::with_capacity(self.layers);
        let (stem, _) = self.cells(dilation, i, x, |_, map| cells.push(map.clone()));
        Taps { stem, cells }
    }

    /// Images to the stem's and the last cell's map; `see` sees every cell's. Maps that nobody keeps are freed on the
    /// way: training recomputes them.
    fn cells<I: Interpreter>(
        &self,
        dilation: Dilation,
        i: &mut I,
        x: &I::Value,
        mut see: impl FnMut(usize, &I::Value),
    ) -> (I::Value, I::Value) {
        let (stem, mut s0, mut s1) = self.stem(i, x);
        let shapes = self.shapes();
        for (n, (shape, pace)) in shapes.iter().zip(dilation.paces(&shapes)).enumerate() {
            let genes = self.cell(shape.reduction);
            let out = i.scope(&format!("cells.{n}"), |i| cell(i, genes, shape, pace, &s0, &s1));
            see(n, &out);
            (s0, s1) = (s1, out);
        }
        (stem, s1)
    }

    /// Images to the maps at [`BACKBONE_STRIDES`](Self::BACKBONE_STRIDES), finest first (spec 06-2). Outputs of
    /// stem and cells are not rectified, because every consumer in the network rectifies; `rectified` maps are.
    ///
    /// The ImageNet network of at least three cells only ([`backbone_problem`](Self::backbone_problem)).
    pub fn backbone<I: Interpreter>(&self, i: &mut I, x: &I::Value, rectified: bool) -> [I::Value; 4] {
        self.backbone_at(Dilation::NONE, i, x, rectified)
    }

    /// [`backbone`](Self::backbone) with strides up to an output stride only, and the same weights.
    pub fn backbone_at<I: Interpreter>(
        &self,
        dilation: Dilation,
        i: &mut I,
        x: &I::Value,
        rectified: bool,
    ) -> [I::Value; 4] {
        let taps = self.features_at(dilation, i, x);
        let [c3, c4, c5] = self.stage_ends().map(|n| taps.cells[n].clone());
        let maps = [taps.stem, c3, c4, c5];
        if rectified { i.scope("backbone", |i| maps.map(|map| i.relu(&map))) } else { maps }
    }

    /// Pixels of the image per pixel of each of the maps of [`backbone`](Self::backbone).
    pub const BACKBONE_STRIDES: [usize; 4] = [4, 8, 16, 32];

    /// Channels of the maps of [`backbone`](Self::backbone).
    pub fn backbone_channels(&self) -> [usize; 4] {
        let [c3, c4, c5] = self.stage_ends().map(|n| self.width_after(n));
        [self.channels, c3, c4, c5]
    }

    /// The parameters and buffers that [`backbone`](Self::backbone) reads: no classifier.
    pub fn backbone_layout(&self) -> Layout {
        let side = Self::default_image_size(self.kind);
        Layout::of([3, side, side], |i, x| {
            self.backbone(i, x, false);
        })
    }

    /// Why this network has no maps at these strides, if it has none.
    pub fn backbone_problem(&self) -> Option<String> {
        match self.kind {
            NetworkKind::Cifar => Some(
                "the CIFAR network has strides 1, 2 and 4 only; a backbone needs 4, 8, 16 and 32: take the cell in the ImageNet network"
                    .to_owned(),
            ),
            NetworkKind::ImageNet if self.layers < 3 => Some(format!(
                "a network of {} cells has no stage of each stride; a backbone needs at least 3 cells",
                self.layers
            )),
            NetworkKind::ImageNet => None,
        }
    }

    /// Last cell's output to logits `[n, classes, 1, 1]`.
    fn classify<I: Interpreter>(&self, i: &mut I, last: &I::Value) -> I::Value {
        let pooled = i.global_avg_pool(last);
        i.linear(
            "classifier",
            &Linear { c_in: self.width_after(self.layers - 1), c_out: self.classes },
            &pooled,
        )
    }

    /// Images to logits.
    pub fn forward<I: Interpreter>(&self, i: &mut I, x: &I::Value) -> I::Value {
        let (_, last) = self.cells(Dilation::NONE, i, x, |_, _| ());
        self.classify(i, &last)
    }

    /// Images to logits and, if the network has the head, auxiliary logits: the forward of training.
    pub fn forward_with_auxiliary<I: Interpreter>(
        &self,
        i: &mut I,
        x: &I::Value,
    ) -> (I::Value, Option<I::Value>) {
        let tapped = self.auxiliary.then(|| self.auxiliary_cell());
        let mut tap = None;
        let (_, last) = self.cells(Dilation::NONE, i, x, |n, map| {
            if Some(n) == tapped {
                tap = Some((n, map.clone()));
            }
        });
        let auxiliary =
            tap.map(|(n, map)| i.scope("auxiliary", |i| self.auxiliary_head(i, self.width_after(n), &map)));
        (self.classify(i, &last), auxiliary)
    }

    fn width_after(&self, cell: usize) -> usize {
        let shape = self.shapes()[cell];
        shape.c * self.cell(shape.reduction).concat.len()
    }

    /// The tapped stem, and the two inputs of cell 0.
    fn stem<I: Interpreter>(&self, i: &mut I, x: &I::Value) -> (I::Value, I::Value, I::Value) {
        let c = self.channels;
        match self.kind {
            NetworkKind::Cifar => {
                let stem = i.scope("stem", |i| {
                    let x = i.conv("conv", &Conv::dense(3, 3 * c, 3, 1, 1), x);
                    i.batch_norm("bn", &BatchNorm::new(3 * c), &x)
                });
                (stem.clone(), stem.clone(), stem)
            }
            NetworkKind::ImageNet => {
                let stem0 = i.scope("stem0", |i| {
                    let x = i.conv("conv1", &Conv::dense(3, c / 2, 3, 2, 1), x);
                    let x = i.batch_norm("bn1", &BatchNorm::new(c / 2), &x);
                    let x = i.relu(&x);
                    let x = i.conv("conv2", &Conv::dense(c / 2, c, 3, 2, 1), &x);
                    i.batch_norm("bn2", &BatchNorm::new(c), &x)
                });
                let stem1 = i.scope("stem1", |i| {
                    let x = i.relu(&stem0);
                    let x = i.conv("conv", &Conv::dense(c, c, 3, 2, 1), &x);
                    i.batch_norm("bn", &BatchNorm::new(c), &x)
                });
                (stem0.clone(), stem0, stem1)
            }
        }
    }

    /// ReLU, pooling to 2x2, two convolutions, classifier. The ImageNet head has no BatchNorm after
    /// the second convolution, as in DARTS (spec 01-A7).
    fn auxiliary_head<I: Interpreter>(&self, i: &mut I, c: usize, x: &I::Value) -> I::Value {
        let stride = match self.kind {
            NetworkKind::Cifar => 3,
            NetworkKind::ImageNet => 2,
        };
        let x = i.relu(x);
        let x = i.avg_pool(&Pool::new(5, stride, 0), &x);
        let x = i.conv("conv1", &Conv::pointwise(c, 128), &x);
        let x = i.batch_norm("bn1", &BatchNorm::new(128), &x);
        let x = i.relu(&x);
        let mut x = i.conv("conv2", &Conv::dense(128, 768, 2, 1, 0), &x);
        if self.kind == NetworkKind::Cifar {
            x = i.batch_norm("bn2", &BatchNorm::new(768), &x);
        }
        let x = i.relu(&x);
        i.linear("classifier", &Linear { c_in: 768, c_out: self.classes }, &x)
    }
}

fn cell<I: Interpreter>(
    i: &mut I,
    genes: &Cell,
    shape: &CellShape,
    pace: CellPace,
    s0: &I::Value,
    s1: &I::Value,
) -> I::Value {
    let mut states = preprocess(i, shape, pace.preprocess0, s0, s1).to_vec();
    let mut position = 0;
    for inputs in &genes.nodes {
        let mut branches = Vec::with_capacity(inputs.len());
        for &(op, source) in inputs {
            let pace = if source < 2 { pace.inputs } else { pace.inner };
            let x = states[source].clone();
            let y = i.scope(&format!("ops.{position}"), |i| operation(i, op, shape.c, pace, false, &x));
            // Drop path leaves identities alone: dropping one would cut the only path without weights.
            let identity = op == Op::SkipConnect && !pace.halves;
            branches.extend(y.map(|y| if identity { y } else { i.drop_path(y) }));
            position += 1;
        }
        states.push(i.sum(&branches));
    }
    let kept: Vec<_> = genes.concat.iter().map(|&state| states[state].clone()).collect();
    i.concat(&kept)
}
