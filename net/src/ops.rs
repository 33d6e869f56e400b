//! The candidate operations of a cell as wiring (spec 01-A1; DARTS `operations.py`).

use crate::dilation::Pace;
use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, FactorizedReduce, Pool};
use genas_space::Op;

/// Added to the variance in every batch normalisation.
pub const BN_EPS: f64 = 1e-5;
/// Weight of the new batch in the running statistics.
pub const BN_MOMENTUM: f64 = 0.1;

/// ReLU, 1x1 convolution, BatchNorm: brings a cell's input to the cell's width.
pub(crate) fn relu_conv_bn<I: Interpreter>(i: &mut I, c_in: usize, c_out: usize, x: &I::Value) -> I::Value {
    let x = i.relu(x);
    let x = i.conv("conv", &Conv::pointwise(c_in, c_out), &x);
    i.batch_norm("bn", &BatchNorm::new(c_out), &x)
}

/// ReLU, FactorizedReduce, BatchNorm: halves the size, unless dilation stands for that.
pub(crate) fn factorized_reduce<I: Interpreter>(
    i: &mut I,
    c_in: usize,
    c_out: usize,
    pace: Pace,
    x: &I::Value,
) -> I::Value {
    let x = i.relu(x);
    let x =
        i.factorized_reduce(&FactorizedReduce { c_in, c_out, stride: pace.stride, shift: pace.shift }, &x);
    i.batch_norm("bn", &BatchNorm::new(c_out), &x)
}

/// Two depthwise separable convolutions in a row; the first carries the stride.
fn sep_conv<I: Interpreter>(i: &mut I, c: usize, kernel: usize, pace: Pace, x: &I::Value) -> I::Value {
    let mut x = x.clone();
    for (n, stride, dilation) in [(1, pace.stride, pace.first), (2, 1, pace.rest)] {
        x = i.relu(&x);
        x = i.conv(&format!("depthwise{n}"), &Conv::depthwise(c, kernel, stride, dilation), &x);
        x = i.conv(&format!("pointwise{n}"), &Conv::pointwise(c, c), &x);
        x = i.batch_norm(&format!("bn{n}"), &BatchNorm::new(c), &x);
    }
    x
}

/// One dilated depthwise separable convolution.
fn dil_conv<I: Interpreter>(i: &mut I, c: usize, kernel: usize, pace: Pace, x: &I::Value) -> I::Value {
    let x = i.relu(x);
    let x = i.conv("depthwise", &Conv::depthwise(c, kernel, pace.stride, 2 * pace.first), &x);
    let x = i.conv("pointwise", &Conv::pointwise(c, c), &x);
    i.batch_norm("bn", &BatchNorm::new(c), &x)
}

/// 1x7 then 7x1 convolution (AmoebaNet only).
fn conv_7x1_1x7<I: Interpreter>(i: &mut I, c: usize, pace: Pace, x: &I::Value) -> I::Value {
    // Each of the two is the one that strides in its direction.
    let (stride, dilation) = (pace.stride, pace.first);
    let dense = Conv { dilation, ..Conv::dense(c, c, 1, 1, 0) };
    let (across, down) = ([0, 3 * dilation], [3 * dilation, 0]);
    let x = i.relu(x);
    let x = i.conv("conv_1x7", &Conv { kernel: [1, 7], stride: [1, stride], padding: across, ..dense }, &x);
    let x = i.conv("conv_7x1", &Conv { kernel: [7, 1], stride: [stride, 1], padding: down, ..dense }, &x);
    i.batch_norm("bn", &BatchNorm::new(c), &x)
}

/// One operation at width `c`. `None` where the operation contributes nothing (`none`).
///
/// `pool_bn`: the supernet follows its pools with a BatchNorm, the retrained network does not
/// (spec 01-A1).
pub(crate) fn operation<I: Interpreter>(
    i: &mut I,
    op: Op,
    c: usize,
    pace: Pace,
    pool_bn: bool,
    x: &I::Value,
) -> Option<I::Value> {
    let pool = Pool::same(3, pace.stride, pace.first);
    i.scope(op.name(), |i| match op {
        Op::None => None,
        Op::MaxPool3x3 | Op::AvgPool3x3 => {
            let y = if op == Op::MaxPool3x3 { i.max_pool(&pool, x) } else { i.avg_pool(&pool, x) };
            Some(if pool_bn { i.batch_norm("bn", &BatchNorm::new(c), &y) } else { y })
        }
        Op::SkipConnect if !pace.halves => Some(x.clone()),
        Op::SkipConnect => Some(factorized_reduce(i, c, c, pace, x)),
        Op::SepConv3x3 => Some(sep_conv(i, c, 3, pace, x)),
        Op::SepConv5x5 => Some(sep_conv(i, c, 5, pace, x)),
        Op::SepConv7x7 => Some(sep_conv(i, c, 7, pace, x)),
        Op::DilConv3x3 => Some(dil_conv(i, c, 3, pace, x)),
        Op::DilConv5x5 => Some(dil_conv(i, c, 5, pace, x)),
        Op::Conv7x1_1x7 => Some(conv_7x1_1x7(i, c, pace, x)),
    })
}

/// The two inputs of a cell brought to its width: `preprocess0`, which moves at `pace` if it reduces, and `preprocess1`.
pub(crate) fn preprocess<I: Interpreter>(
    i: &mut I,
    shape: &CellShape,
    pace: Pace,
    s0: &I::Value,
    s1: &I::Value,
) -> [I::Value; 2] {
    let s0 = i.scope("preprocess0", |i| {
        if shape.reduction_prev {
            factorized_reduce(i, shape.c_prev_prev, shape.c, pace, s0)
        } else {
            relu_conv_bn(i, shape.c_prev_prev, shape.c, s0)
        }
    });
    let s1 = i.scope("preprocess1", |i| relu_conv_bn(i, shape.c_prev, shape.c, s1));
    [s0, s1]
}

/// Widths of one cell in the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellShape {
    /// Channels of the cell before the previous one.
    pub c_prev_prev: usize,
    /// Channels of the previous cell.
    pub c_prev: usize,
    /// Width of this cell.
    pub c: usize,
    /// Whether this cell halves the size.
    pub reduction: bool,
    /// Whether the previous cell did.
    pub reduction_prev: bool,
}

/// The stack of cells: widths double at the reductions, at a third and two thirds of the depth.
///
/// `stem` are the channels of the two values that enter cell 0, `n_concat(reduction)` the number
/// of states that a cell concatenates.
pub(crate) fn stack(
    layers: usize,
    channels: usize,
    stem: [usize; 2],
    reduction_before: bool,
    n_concat: impl Fn(bool) -> usize,
) -> Vec<CellShape> {
    let [mut c_prev_prev, mut c_prev] = stem;
    let (mut c, mut reduction_prev) = (channels, reduction_before);
    (0..layers)
        .map(|layer| {
            let reduction = layer == layers / 3 || layer == 2 * layers / 3;
            if reduction {
                c *= 2;
            }
            let shape = CellShape { c_prev_prev, c_prev, c, reduction, reduction_prev };
            (c_prev_prev, c_prev) = (c_prev, c * n_concat(reduction));
            reduction_prev = reduction;
            shape
        })
        .collect()
}
