//! How a network keeps its maps large: a reduction does not stride, and what comes behind it is dilated instead, with the
//! same weights (Chen et al. 2017; for DARTS cells spec 06-5).
//!
//! In the exact form the small map is contained in the large one: every fourth pixel of a map of stride 8 in each direction
//! is a pixel of the map of stride 32 that the network has when it strides, the others are those of the shifted image. In
//! the simpler form, MMSegmentation's "contract dilation", a reduction cell as a whole keeps the dilation that was.

use crate::ops::CellShape;

/// Output stride, and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dilation {
    /// Pixels of the image per pixel of the last cell's map: 8, 16 or 32.
    pub output_stride: usize,
    /// Whether maps are exactly those of the striding network, more densely. If not, a reduction cell that does not stride
    /// keeps the dilation of the cells before it, and the halves of a FactorizedReduce read the same pixels.
    pub exact: bool,
}

impl Dilation {
    /// The output strides that there are.
    pub const OUTPUT_STRIDES: [usize; 3] = [8, 16, 32];

    /// Every reduction strides.
    pub const NONE: Self = Self { output_stride: 32, exact: true };

    /// Why there is no such output stride, if there is none.
    pub fn problem(&self) -> Option<String> {
        (!Self::OUTPUT_STRIDES.contains(&self.output_stride))
            .then(|| format!("an output stride of {} cannot be had; take 8, 16 or 32", self.output_stride))
    }

    /// What each cell does where it stood for a halving, and elsewhere.
    pub(crate) fn paces(&self, shapes: &[CellShape]) -> Vec<CellPace> {
        // Of the ImageNet network. The other one has no output stride, and all its reductions stride.
        let (mut stride, mut rate) = (8, 1);
        let mut last = Pace::halving();
        shapes
            .iter()
            .map(|shape| {
                let preprocess0 = last;
                if !shape.reduction {
                    return CellPace { preprocess0, inputs: Pace::keeping(rate), inner: Pace::keeping(rate) };
                }
                stride *= 2;
                let before = rate;
                last = if stride <= self.output_stride {
                    Pace { first: rate, rest: rate, ..Pace::halving() }
                } else {
                    rate *= 2;
                    let (rest, shift) = if self.exact { (rate, before) } else { (before, 0) };
                    Pace { halves: true, stride: 1, first: before, rest, shift }
                };
                CellPace { preprocess0, inputs: last, inner: Pace::keeping(last.rest) }
            })
            .collect()
    }
}

/// How an operation moves over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Whether the operation halves the size, or would if it strode.
    pub halves: bool,
    /// Its stride.
    pub stride: usize,
    /// Dilation of the layer that has the stride, or would have it.
    pub first: usize,
    /// Dilation of the layers behind that one.
    pub rest: usize,
    /// By how much the second half of a FactorizedReduce is shifted.
    pub shift: usize,
}

impl Pace {
    /// Stride 2.
    pub fn halving() -> Self {
        Self { halves: true, stride: 2, first: 1, rest: 1, shift: 1 }
    }

    /// Stride 1 at a dilation.
    pub fn keeping(rate: usize) -> Self {
        Self { halves: false, stride: 1, first: rate, rest: rate, shift: 0 }
    }
}

/// How the parts of a cell move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellPace {
    /// The FactorizedReduce that brings the cell before the last to size.
    pub preprocess0: Pace,
    /// Edges from the cell's inputs.
    pub inputs: Pace,
    /// Edges between nodes.
    pub inner: Pace,
}

impl CellPace {
    /// Without dilation.
    pub fn plain(reduction: bool) -> Self {
        let inner = Pace::keeping(1);
        let inputs = if reduction { Pace::halving() } else { inner };
        Self { preprocess0: Pace::halving(), inputs, inner }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::stack;

    /// Stride, dilation where it stands, dilation behind it, shift.
    type Figures = (usize, usize, usize, usize);

    #[test]
    fn cells_move_as_the_specification_says() {
        let shapes = stack(14, 16, [16, 16], true, |_| 4);
        let figures = |pace: Pace| -> Figures { (pace.stride, pace.first, pace.rest, pace.shift) };
        let of = |output_stride, exact| Dilation { output_stride, exact }.paces(&shapes);
        // Cell 4, cell 9; FactorizedReduce of cells 5 and 10; dilation of cells 3, 5 and 10.
        let table: [(usize, bool, [Figures; 4], [usize; 3]); 5] = [
            (32, true, [(2, 1, 1, 1); 4], [1, 1, 1]),
            (16, true, [(2, 1, 1, 1), (1, 1, 2, 1), (2, 1, 1, 1), (1, 1, 2, 1)], [1, 1, 2]),
            (16, false, [(2, 1, 1, 1), (1, 1, 1, 0), (2, 1, 1, 1), (1, 1, 1, 0)], [1, 1, 2]),
            (8, true, [(1, 1, 2, 1), (1, 2, 4, 2), (1, 1, 2, 1), (1, 2, 4, 2)], [1, 2, 4]),
            (8, false, [(1, 1, 1, 0), (1, 2, 2, 0), (1, 1, 1, 0), (1, 2, 2, 0)], [1, 2, 4]),
        ];
        for (output_stride, exact, halving, keeping) in table {
            let paces = of(output_stride, exact);
            let found = [paces[4].inputs, paces[9].inputs, paces[5].preprocess0, paces[10].preprocess0];
            assert_eq!(found.map(figures), halving, "{output_stride} {exact}");
            for (cell, rate) in [3, 5, 10].into_iter().zip(keeping) {
                assert_eq!(paces[cell].inputs, Pace::keeping(rate), "{output_stride} {exact}, cell {cell}");
                assert_eq!(paces[cell].inner, Pace::keeping(rate), "{output_stride} {exact}, cell {cell}");
            }
            assert_eq!(paces[9].inner, Pace::keeping(paces[9].inputs.rest));
            // The stem always strides.
            assert_eq!(paces[0].preprocess0, Pace::halving());
        }
        assert_eq!(
            of(32, true).iter().zip(&shapes).find(|(p, s)| **p != CellPace::plain(s.reduction)),
            None,
            "without dilation every cell is as in training"
        );
        assert!(
            Dilation { output_stride: 4, exact: true }.problem().is_some_and(|p| p.contains("8, 16 or 32"))
        );
    }
}
