//! Pointwise convolution: 1x1, stride 1. `x` `[n, ci, hw]`, `w` `[co, ci]`, output `[n, co, hw]`.
//!
//! Forward and input gradient multiply a small matrix by an image; the weight's gradient sums products of channels over
//! the pixels of each image. Images of few pixels are laid side by side first, because products of few columns are slow. With
//! `relu_input` the convolution is of `max(x, 0)`, formed in a per-thread buffer.

use crate::elementwise::{MaskInPlace, Relu};
use crate::scratch;
use crate::simd::{Kernel, Level, Mat, Simd, fill_pieces, fill_pieces_with, matmul};

/// Columns that a matrix product should have.
const COLUMNS: usize = 64;
/// Images are laid side by side below this many pixels.
const SMALL: usize = 48;
/// Parts of the batch whose weight gradients are summed separately.
const PARTS: usize = 16;

/// The output.
pub fn forward(
    x: &[f32],
    w: &[f32],
    n: usize,
    ci: usize,
    co: usize,
    hw: usize,
    relu_input: bool,
) -> Vec<f32> {
    assert_eq!(x.len(), n * ci * hw, "input length");
    assert_eq!(w.len(), co * ci, "weight length");
    let level = Level::current();
    let images = side_by_side(n, hw);
    let w = Weights::new(level, Mat::rows(w, ci), co, ci);
    if images > 1 {
        return fill_pieces(
            n * co * hw,
            images * co * hw,
            1,
            || (),
            |_, i, out| {
                let count = out.len() / (co * hw);
                let columns = count * hw;
                let x = &x[i * images * ci * hw..][..count * ci * hw];
                let (mut wide, mut y) = (scratch::take(ci * columns), scratch::take(co * columns));
                gather(x, count, ci, hw, &mut wide);
                if relu_input {
                    relu_in_place(&mut wide);
                }
                w.multiply(&wide, &mut y, columns, false, None);
                scatter(&y, count, co, hw, out);
            },
        );
    }
    fill_pieces(
        n * co * hw,
        co * hw,
        1,
        || (),
        |_, i, out| {
            let x = &x[i * ci * hw..][..ci * hw];
            w.multiply(x, out, hw, relu_input, None);
        },
    )
}

/// The gradients of the input, `[n, ci, hw]`, and of the weight, `[co, ci]`, for the output's gradient `g`.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    x: &[f32],
    w: &[f32],
    g: &[f32],
    n: usize,
    ci: usize,
    co: usize,
    hw: usize,
    relu_input: bool,
) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(x.len(), n * ci * hw, "input length");
    assert_eq!(w.len(), co * ci, "weight length");
    assert_eq!(g.len(), n * co * hw, "gradient length");
    if n == 0 || ci * co * hw == 0 {
        return (vec![0.0; n * ci * hw], vec![0.0; co * ci]);
    }
    let level = Level::current();
    let images = side_by_side(n, hw);
    let w = Weights::new(level, Mat::rows(w, ci).t(), ci, co);
    // The parts are whole groups of images and depend on the shape only.
    let group = n.div_ceil(images).div_ceil(PARTS);
    let parts = n.div_ceil(images).div_ceil(group);
    let mut weights = vec![0.0; parts * co * ci];
    let piece = images * ci * hw;
    let gx = fill_pieces_with(
        n * ci * hw,
        piece,
        group,
        &mut weights,
        co * ci,
        |gw| gw,
        |gw, i, gx| {
            let count = gx.len() / (ci * hw);
            let x = &x[i * piece..][..gx.len()];
            let g = &g[i * images * co * hw..][..count * co * hw];
            let columns = count * hw;
            if images == 1 {
                let mask = relu_input.then_some(x);
                w.multiply(g, gx, columns, false, mask);
                return weight_gradient(level, x, g, gw, ci, co, columns, relu_input);
            }
            let mut wide_g = scratch::take(co * columns);
            let (mut wide_x, mut wide_gx) = (scratch::take(ci * columns), scratch::take(ci * columns));
            gather(g, count, co, hw, &mut wide_g);
            gather(x, count, ci, hw, &mut wide_x);
            let mask = relu_input.then_some(&wide_x[..]);
            w.multiply(&wide_g, &mut wide_gx, columns, false, mask);
            weight_gradient(level, &wide_x, &wide_g, gw, ci, co, columns, relu_input);
            scatter(&wide_gx, count, ci, hw, gx);
        },
    );
    (gx, sum_parts(weights, co * ci))
}

/// `gw += g x^T`, or of `max(x, 0)`.
#[allow(clippy::too_many_arguments)]
fn weight_gradient(
    level: Level,
    x: &[f32],
    g: &[f32],
    gw: &mut [f32],
    ci: usize,
    co: usize,
    columns: usize,
    relu: bool,
) {
    if columns >= 256 && level.checked() != Level::Portable {
        level.run(Products { x, g, gw, ci, co, columns, spacing: columns, relu });
    } else {
        with_relu(level, x, relu, |x| {
            matmul(gw, ci, true, Mat::rows(g, columns), Mat::rows(x, columns).t(), co, ci, columns);
        });
    }
}

/// [`weight_gradient`] by sums over the columns, 4 by 4 channels at a time.
pub(crate) struct Products<'a> {
    pub x: &'a [f32],
    pub g: &'a [f32],
    pub gw: &'a mut [f32],
    pub ci: usize,
    pub co: usize,
    pub columns: usize,
    /// From one row of `x` or `g` to the next.
    pub spacing: usize,
    pub relu: bool,
}

impl Kernel for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if S::MANY_REGISTERS { self.tiles::<S, 4, 4>(s) } else { self.tiles::<S, 4, 2>(s) }
    }
}

impl Products<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const X: usize, const G: usize>(&mut self, s: S) {
        let (columns, spacing) = (self.columns, self.spacing);
        for first_x in (0..self.ci).step_by(X) {
            // Rows beyond the last repeat it; their sums are not used.
            let mut xs = [&self.x[..0]; X];
            for (i, x) in xs.iter_mut().enumerate() {
                *x = &self.x[(first_x + i).min(self.ci - 1) * spacing..][..columns];
            }
            for first_g in (0..self.co).step_by(G) {
                let mut gs = [&self.g[..0]; G];
                for (i, g) in gs.iter_mut().enumerate() {
                    *g = &self.g[(first_g + i).min(self.co - 1) * spacing..][..columns];
                }
                let mut acc = [[s.zero(); X]; G];
                let mut at = 0;
                while at + S::LANES <= columns {
                    acc = Self::step(s, &xs, &gs, at, S::LANES, self.relu, acc);
                    at += S::LANES;
                }
                if at < columns {
                    acc = Self::step(s, &xs, &gs, at, columns - at, self.relu, acc);
                }
                for i in 0..G.min(self.co - first_g) {
                    for j in 0..X.min(self.ci - first_x) {
                        self.gw[(first_g + i) * self.ci + first_x + j] += s.sum(acc[i][j]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn step<S: Simd, const X: usize, const G: usize>(
        s: S,
        xs: &[&[f32]; X],
        gs: &[&[f32]; G],
        at: usize,
        len: usize,
        relu: bool,
        mut acc: [[S::V; X]; G],
    ) -> [[S::V; X]; G] {
        let mut x = [s.zero(); X];
        for j in 0..X {
            x[j] = s.load_part(xs[j], at, len);
            if relu {
                x[j] = s.relu(x[j]);
            }
        }
        for i in 0..G {
            let g = s.load_part(gs[i], at, len);
            for j in 0..X {
                acc[i][j] = s.fma(g, x[j], acc[i][j]);
            }
        }
        acc
    }
}

/// Rows of the result that are computed together.
const ROWS: usize = 8;

/// The matrix `[m, k]` that images are multiplied by.
struct Weights<'a> {
    level: Level,
    plain: Mat<'a>,
    /// For [`Multiply`]: blocks of `ROWS` rows (zeros after the last), their columns one behind the other. Without
    /// AVX-512 there are too few registers for it and `gemm` is faster.
    packed: Option<Vec<f32>>,
    m: usize,
    k: usize,
}

impl<'a> Weights<'a> {
    fn new(level: Level, plain: Mat<'a>, m: usize, k: usize) -> Self {
        let packed = (level.checked() == Level::Avx512).then(|| {
            let mut packed = vec![0.0; m.div_ceil(ROWS) * ROWS * k];
            for (i, column) in packed.chunks_exact_mut(ROWS).enumerate() {
                let (block, j) = (i / k, i % k);
                for (r, value) in column.iter_mut().enumerate().take(m - block * ROWS) {
                    *value = plain.data[(block * ROWS + r) * plain.row_stride + j * plain.col_stride];
                }
            }
            packed
        });
        Weights { level, plain, packed, m, k }
    }

    /// `out = self * b`, or of `max(b, 0)`; 0 where `mask` is not positive.
    fn multiply(&self, b: &[f32], out: &mut [f32], columns: usize, relu: bool, mask: Option<&[f32]>) {
        let Weights { level, plain, m, k, .. } = *self;
        if let Some(packed) = &self.packed {
            return level.run(Multiply { a: packed, b, out, columns, m, k, relu, mask });
        }
        with_relu(level, b, relu, |b| {
            matmul(out, columns, false, plain, Mat::rows(b, columns), m, columns, k)
        });
        if let Some(x) = mask {
            level.run(MaskInPlace { x, g: out });
        }
    }
}

/// `out = a * b`, or `a * max(b, 0)`, with `a` packed, `b` `[k, columns]` and `out` `[m, columns]`; 0 where `mask`, of
/// `out`'s shape, is not positive.
///
/// By panels of columns: `b`'s panel is copied (and its ReLU taken) to a buffer in a near cache, then multiplied by all of
/// `a`. Each element sums over `k` in order, whatever the panel.
struct Multiply<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
    columns: usize,
    m: usize,
    k: usize,
    relu: bool,
    mask: Option<&'a [f32]>,
}

/// Elements of a panel's copy, and strips in it: rows are read in long runs, so that memory is prefetched.
const PANEL: usize = 16 * 1024;
const RUN: usize = 8;

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Multiply { a, b, out, columns, m, k, relu, mask } = self;
        let width = 2 * S::LANES;
        // A panel is `strips` strips of `width` columns, each stored by rows.
        let strips = (PANEL / (k * width).max(1)).clamp(1, RUN).min(columns.div_ceil(width));
        let mut panel = scratch::take(k * width * strips);
        let panel = &mut panel[..];
        let mut first = 0;
        while first < columns {
            let strips = strips.min((columns - first).div_ceil(width));
            for j in 0..k {
                let row = &b[j * columns + first..(j + 1) * columns];
                for h in 0..2 * strips {
                    let at = (h * S::LANES).min(row.len());
                    let v = s.load_part(row, at, row.len() - at);
                    let to = (h / 2 * k + j) * width + h % 2 * S::LANES;
                    s.store(if relu { s.relu(v) } else { v }, panel, to);
                }
            }
            for strip in panel.chunks_exact(k * width).take(strips) {
                let count = width.min(columns - first);
                for (block, a) in a.chunks_exact(ROWS * k).enumerate() {
                    let mut acc = [[s.zero(); 2]; ROWS];
                    for (a, b) in a.chunks_exact(ROWS).zip(strip.chunks_exact(width)) {
                        let b = [s.load(b, 0), s.load(b, S::LANES)];
                        for r in 0..ROWS {
                            let a = s.splat(a[r]);
                            acc[r][0] = s.fma(a, b[0], acc[r][0]);
                            acc[r][1] = s.fma(a, b[1], acc[r][1]);
                        }
                    }
                    for r in 0..ROWS {
                        let row = block * ROWS + r;
                        if row < m {
                            for h in 0..2 {
                                let from = (h * S::LANES).min(count);
                                let at = row * columns + first + from;
                                let mut v = acc[r][h];
                                if let Some(mask) = mask {
                                    v = s.relu_mask(s.load_part(mask, at, count - from), v);
                                }
                                s.store_part(v, out, at, count - from);
                            }
                        }
                    }
                }
                first += width;
            }
        }
    }
}

/// The first `len` elements plus all following groups of `len`, in order.
pub(crate) fn sum_parts(mut parts: Vec<f32>, len: usize) -> Vec<f32> {
    let (sum, rest) = parts.split_at_mut(len);
    for part in rest.chunks_exact(len) {
        for (sum, value) in sum.iter_mut().zip(part) {
            *sum += value;
        }
    }
    parts.truncate(len);
    parts
}

/// Calls `f` with `x`, or with `max(x, 0)` in a buffer of this thread.
pub(crate) fn with_relu<R>(level: Level, x: &[f32], relu: bool, f: impl FnOnce(&[f32]) -> R) -> R {
    if !relu {
        return f(x);
    }
    let mut positive = scratch::take(x.len());
    level.run(Relu { x, out: &mut positive });
    f(&positive)
}

fn side_by_side(n: usize, hw: usize) -> usize {
    if hw >= SMALL || hw == 0 { 1 } else { (2 * COLUMNS).div_ceil(hw).min(n.max(1)) }
}

/// `[images, c, hw]` to `[c, images * hw]`.
fn gather(x: &[f32], images: usize, c: usize, hw: usize, wide: &mut [f32]) {
    for (i, x) in x.chunks_exact(c * hw).enumerate() {
        for (channel, x) in x.chunks_exact(hw).enumerate() {
            wide[channel * images * hw + i * hw..][..hw].copy_from_slice(x);
        }
    }
}

/// `[c, images * hw]` to `[images, c, hw]`.
fn scatter(wide: &[f32], images: usize, c: usize, hw: usize, out: &mut [f32]) {
    for (i, out) in out.chunks_exact_mut(c * hw).enumerate() {
        for (channel, out) in out.chunks_exact_mut(hw).enumerate() {
            out.copy_from_slice(&wide[channel * images * hw + i * hw..][..hw]);
        }
    }
}

fn relu_in_place(x: &mut [f32]) {
    for x in x {
        *x = if *x < 0.0 { 0.0 } else { *x };
    }
}
