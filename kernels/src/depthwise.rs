//! Depthwise convolution: one filter per channel (`groups == ci == co`). Weight `[c, 1, kh, kw]`.
//!
//! Each plane is copied, padded, to a buffer whose rows are split by column residue modulo the stride, so that every
//! kernel tap reads consecutive elements. Stride 1 with a 3x3, 5x5 or 7x7 kernel computes several output rows at once from
//! the rows it loads; anything else goes tap by tap.

use crate::simd::{Kernel, Level, Simd, fill_pieces};
use crate::{ConvShape, scratch};
use rayon::prelude::*;

/// Output rows computed together, and rows that a buffer has to spare for that.
const ROWS: usize = 4;
/// Elements that a row has to spare for the widest vector.
const LANES: usize = 16;
/// Images whose contributions to a weight's gradient are summed by one task.
const IMAGES: usize = 16;

/// The output, `[n, c, out_h, out_w]`, for `x` `[n, c, h, w]`; of `max(x, 0)` with `relu_input`.
pub fn forward(x: &[f32], w: &[f32], shape: &ConvShape, relu_input: bool) -> Vec<f32> {
    check(shape, Some(x), Some(w), None);
    let level = Level::current();
    let (oh, ow) = (shape.out_h(), shape.out_w());
    let (c, kk, plane) = (shape.ci, shape.kh * shape.kw, shape.h * shape.w);
    let geometry = Geometry {
        h: shape.h,
        w: shape.w,
        oh,
        ow,
        kh: shape.kh,
        kw: shape.kw,
        stride: shape.stride,
        top: shape.pad_h as isize,
        left: shape.pad_w as isize,
        dilation: shape.dilation,
    };
    let buffer = Buffer::new(&geometry);
    fill_pieces(
        shape.out_len(),
        oh * ow,
        planes_per_task(oh * ow, kk),
        || scratch::zeroed(buffer.len),
        |padded, i, out| {
            let x = &x[i * plane..][..plane];
            let w = &w[i % c * kk..][..kk];
            Plane { geometry: &geometry, buffer: &buffer, x, w, relu_input, padded, out }.correlate(level);
        },
    )
}

/// The gradient of the input, `[n, c, h, w]`, for the output's gradient `g`; 0 where `relu_mask`, the input of a
/// [`forward`] with `relu_input`, is not positive.
pub fn backward_input(g: &[f32], w: &[f32], shape: &ConvShape, relu_mask: Option<&[f32]>) -> Vec<f32> {
    check(shape, relu_mask, Some(w), Some(g));
    let level = Level::current();
    let (oh, ow) = (shape.out_h(), shape.out_w());
    let (c, kk, plane) = (shape.ci, shape.kh * shape.kw, shape.h * shape.w);
    if oh * ow == 0 {
        return vec![0.0; shape.in_len()];
    }
    let flipped: Vec<f32> = w.chunks_exact(kk).flat_map(|w| w.iter().rev().copied()).collect();
    // For stride 1 the gradient is the correlation of `g` with the flipped filter.
    let geometry = Geometry {
        h: oh,
        w: ow,
        oh: shape.h,
        ow: shape.w,
        kh: shape.kh,
        kw: shape.kw,
        stride: 1,
        top: (shape.dilation * (shape.kh - 1)) as isize - shape.pad_h as isize,
        left: (shape.dilation * (shape.kw - 1)) as isize - shape.pad_w as isize,
        dilation: shape.dilation,
    };
    let group = planes_per_task(plane, kk);
    if shape.stride == 1 {
        let buffer = Buffer::new(&geometry);
        return fill_pieces(
            shape.in_len(),
            plane,
            group,
            || scratch::zeroed(buffer.len),
            |padded, i, out| {
                let g = &g[i * oh * ow..][..oh * ow];
                let w = &flipped[i % c * kk..][..kk];
                let correlation = Plane {
                    geometry: &geometry,
                    buffer: &buffer,
                    x: g,
                    w,
                    relu_input: false,
                    padded,
                    out: &mut *out,
                };
                correlation.correlate(level);
                if let Some(mask) = relu_mask {
                    level.run(crate::elementwise::MaskInPlace { x: &mask[i * plane..][..plane], g: out });
                }
            },
        );
    }
    let phases = Phases::new(shape);
    fill_pieces(
        shape.in_len(),
        plane,
        group,
        || (scratch::zeroed(phases.padded_len), scratch::take(ROWS * shape.stride * phases.row_len)),
        |(padded, rows), i, out| {
            let g = &g[i * oh * ow..][..oh * ow];
            let w = &w[i % c * kk..][..kk];
            level.run_narrow(Scatter { phases: &phases, shape, g, w, padded, rows, out: &mut *out });
            if let Some(mask) = relu_mask {
                level.run(crate::elementwise::MaskInPlace { x: &mask[i * plane..][..plane], g: out });
            }
        },
    )
}

/// The gradient of the weight, `[c, 1, kh, kw]`, for input `x` (`max(x, 0)` with `relu_input`) and output gradient `g`.
pub fn backward_weight(x: &[f32], g: &[f32], shape: &ConvShape, relu_input: bool) -> Vec<f32> {
    check(shape, Some(x), None, Some(g));
    let level = Level::current();
    let (oh, ow) = (shape.out_h(), shape.out_w());
    let (n, c, kk, plane) = (shape.n, shape.ci, shape.kh * shape.kw, shape.h * shape.w);
    if oh * ow == 0 || n == 0 {
        return vec![0.0; c * kk];
    }
    let geometry = Geometry {
        h: shape.h,
        w: shape.w,
        oh,
        ow,
        kh: shape.kh,
        kw: shape.kw,
        stride: shape.stride,
        top: shape.pad_h as isize,
        left: shape.pad_w as isize,
        dilation: shape.dilation,
    };
    let buffer = Buffer::new(&geometry);
    let parts = n.div_ceil(IMAGES);
    let task = |t: usize, out: &mut [f32]| {
        let (part, channel) = (t / c, t % c);
        let mut padded = scratch::zeroed(buffer.len);
        for image in part * IMAGES..((part + 1) * IMAGES).min(n) {
            let i = image * c + channel;
            let x = &x[i * plane..][..plane];
            let g = &g[i * oh * ow..][..oh * ow];
            let gradient = WeightGradient {
                geometry: &geometry,
                buffer: &buffer,
                x,
                g,
                relu_input,
                padded: &mut padded,
                out: &mut *out,
            };
            gradient.add(level);
        }
    };
    let mut sums = vec![0.0; parts * c * kk];
    sums.par_chunks_mut(kk).enumerate().for_each(|(t, out)| task(t, out));
    let (first, rest) = sums.split_at_mut(c * kk);
    for part in rest.chunks_exact(c * kk) {
        for (sum, value) in first.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums.truncate(c * kk);
    sums
}

fn check(shape: &ConvShape, x: Option<&[f32]>, w: Option<&[f32]>, g: Option<&[f32]>) {
    assert!(shape.groups == shape.ci && shape.ci == shape.co, "depthwise: groups, ci and co must be equal");
    assert!(x.is_none_or(|x| x.len() == shape.in_len()), "input length does not match {shape:?}");
    assert!(w.is_none_or(|w| w.len() == shape.weight_len()), "weight length does not match {shape:?}");
    assert!(g.is_none_or(|g| g.len() == shape.out_len()), "gradient length does not match {shape:?}");
}

/// Enough planes that a task is worth handing to another thread.
fn planes_per_task(plane: usize, taps: usize) -> usize {
    (80_000 / (plane * (taps + 3)).max(1)).clamp(1, 64)
}

/// One plane's correlation; `top` and `left` are the padding in front, negative to skip rows or columns.
struct Geometry {
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    kh: usize,
    kw: usize,
    stride: usize,
    top: isize,
    left: isize,
    dilation: usize,
}

/// Layout of the padded copy of a plane: rows of `stride` pieces of `piece` elements; column `x` is element
/// `x / stride` of piece `x % stride`.
struct Buffer {
    pitch: usize,
    piece: usize,
    rows: usize,
    len: usize,
    /// Offset of each tap from the first element of an output row.
    taps: Vec<usize>,
}

impl Buffer {
    fn new(g: &Geometry) -> Buffer {
        let piece = g.ow.next_multiple_of(LANES) + g.dilation * (g.kw - 1) / g.stride + 1;
        let pitch = piece * g.stride;
        // Filled rows, and those that a block of output rows reaches beyond the last one.
        let rows = g.oh.saturating_sub(1) * g.stride + g.dilation * (g.kh - 1) + 1;
        let spare = ROWS * g.stride * g.dilation;
        let taps = (0..g.kh * g.kw)
            .map(|t| {
                let (y, x) = (t / g.kw * g.dilation, t % g.kw * g.dilation);
                y * pitch + x % g.stride * piece + x / g.stride
            })
            .collect();
        Buffer { pitch, piece, rows, len: (rows + spare) * pitch + LANES, taps }
    }

    /// Copies a plane into `padded`, which is zero outside the image and stays so.
    #[inline(always)]
    fn fill<S: Simd>(&self, s: S, g: &Geometry, x: &[f32], relu: bool, padded: &mut [f32]) {
        if g.stride == 1 {
            let skip = (-g.left).max(0) as usize;
            let left = g.left.max(0) as usize;
            let width = g.w.saturating_sub(skip).min(self.piece.saturating_sub(left));
            for y in 0..g.h {
                let row = y as isize + g.top;
                if row < 0 || row as usize >= self.rows {
                    continue;
                }
                let (from, to) = (y * g.w + skip, row as usize * self.pitch + left);
                copy_row(s, &x[from..from + width], &mut padded[to..to + width], relu);
            }
            return;
        }
        for y in 0..g.h {
            let row = y as isize + g.top;
            if row < 0 || row as usize >= self.rows {
                continue;
            }
            let padded = &mut padded[row as usize * self.pitch..][..self.pitch];
            let x = &x[y * g.w..][..g.w];
            if g.stride == 2 && g.left >= 0 {
                let (first, second) = padded.split_at_mut(self.piece);
                let at = g.left as usize / 2;
                // Columns 0, 2, .. and 1, 3, .. of the image.
                if g.left % 2 == 0 {
                    split_row(x, &mut first[at..], &mut second[at..], relu);
                } else {
                    split_row(x, &mut second[at..], &mut first[at + 1..], relu);
                }
                continue;
            }
            for residue in 0..g.stride {
                // The first column whose padded place has this residue.
                let first = (residue as isize - g.left).rem_euclid(g.stride as isize) as usize;
                let place = first as isize + g.left;
                let skip = ((-place).max(0) as usize).div_ceil(g.stride);
                let column = first + skip * g.stride;
                if column >= g.w {
                    continue;
                }
                let at = (column as isize + g.left) as usize / g.stride;
                if at >= self.piece {
                    continue;
                }
                let to = &mut padded[residue * self.piece + at..(residue + 1) * self.piece];
                for (to, from) in to.iter_mut().zip(x[column..].iter().step_by(g.stride)) {
                    *to = if relu && *from < 0.0 { 0.0 } else { *from };
                }
            }
        }
    }
}

/// Elements 0, 2, .. to `even` and 1, 3, .. to `odd`, as far as they reach.
#[inline(always)]
pub(crate) fn split_row(x: &[f32], even: &mut [f32], odd: &mut [f32], relu: bool) {
    let (pairs, _) = x.as_chunks::<2>();
    let count = pairs.len().min(even.len()).min(odd.len());
    if let (Some(x), Some(even)) = (x.get(2 * count), even.get_mut(count)) {
        *even = if relu && *x < 0.0 { 0.0 } else { *x };
    }
    for ((pair, even), odd) in pairs[..count].iter().zip(&mut even[..count]).zip(&mut odd[..count]) {
        let zero = |v: f32| if relu && v < 0.0 { 0.0 } else { v };
        (*even, *odd) = (zero(pair[0]), zero(pair[1]));
    }
}

#[inline(always)]
fn copy_row<S: Simd>(s: S, from: &[f32], to: &mut [f32], relu: bool) {
    let len = from.len().min(to.len());
    let mut at = 0;
    while at + S::LANES <= len {
        let v = s.load(from, at);
        s.store(if relu { s.relu(v) } else { v }, to, at);
        at += S::LANES;
    }
    for (to, from) in to[at..len].iter_mut().zip(&from[at..len]) {
        *to = if relu && *from < 0.0 { 0.0 } else { *from };
    }
}

/// One plane, padded in `padded` and correlated with `w`.
struct Plane<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    x: &'a [f32],
    w: &'a [f32],
    relu_input: bool,
    padded: &'a mut [f32],
    out: &'a mut [f32],
}

impl Plane<'_> {
    /// Each case is a kernel of its own, small enough for the compiler to keep its addresses in registers. Stride and
    /// dilation are constants where they are common, so that the taps of a row are at constant offsets.
    fn correlate(self, level: Level) {
        let Plane { geometry: g, buffer, x, w, relu_input, padded, out } = self;
        level.run(Fill { geometry: g, buffer, x, relu_input, padded: &mut *padded });
        let padded = &*padded;
        macro_rules! rows {
            ($k:literal, $stride:literal, $d:literal) => {
                level.run_for_width(
                    g.ow,
                    CorrelateRows::<$k, $stride, $d> { geometry: g, buffer, w, padded, out },
                )
            };
        }
        match (g.kh, g.kw, g.stride, g.dilation) {
            (3, 3, 1, 1) => rows!(3, 1, 1),
            (3, 3, 1, 2) => rows!(3, 1, 2),
            (3, 3, 1, _) => rows!(3, 1, 0),
            (3, 3, 2, 1) => rows!(3, 2, 1),
            (3, 3, 2, 2) => rows!(3, 2, 2),
            (5, 5, 1, 1) => rows!(5, 1, 1),
            (5, 5, 1, 2) => rows!(5, 1, 2),
            (5, 5, 1, _) => rows!(5, 1, 0),
            (5, 5, 2, 1) => rows!(5, 2, 1),
            (5, 5, 2, 2) => rows!(5, 2, 2),
            (7, 7, 1, 1) => rows!(7, 1, 1),
            (7, 7, 2, 1) => rows!(7, 2, 1),
            _ => level.run_for_width(g.ow, CorrelateTaps { geometry: g, buffer, w, padded, out }),
        }
    }
}

struct Fill<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    x: &'a [f32],
    relu_input: bool,
    padded: &'a mut [f32],
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.buffer.fill(s, self.geometry, self.x, self.relu_input, self.padded);
    }
}

/// What the taps of one kernel row read for one output vector: a slice per column residue, of a length that is constant
/// where stride and dilation are, so that their range is checked once.
#[inline(always)]
fn window<S: Simd>(row: &[f32], x: usize, piece: usize, k: usize, stride: usize, d: usize) -> [&[f32]; 2] {
    let len = S::LANES + (k - 1) * d / stride;
    let first = &row[x..][..len];
    if stride == 1 { [first, first] } else { [first, &row[x + piece..][..len]] }
}

/// Stride 1 or 2: each loaded vector is used for all the output rows of a block that it touches. Rows of a block are the
/// dilation apart, so that they share input rows. A dilation `D` of 0 is any.
struct CorrelateRows<'a, const K: usize, const STRIDE: usize, const D: usize> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    w: &'a [f32],
    padded: &'a [f32],
    out: &'a mut [f32],
}

impl<const K: usize, const STRIDE: usize, const D: usize> Kernel for CorrelateRows<'_, K, STRIDE, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let CorrelateRows { geometry: g, buffer, w, padded, out } = self;
        let d = if D == 0 { g.dilation } else { D };
        let (pitch, piece) = (buffer.pitch, buffer.piece);
        let mut weights = [[s.zero(); K]; K];
        for ky in 0..K {
            for kx in 0..K {
                weights[ky][kx] = s.splat(w[ky * K + kx]);
            }
        }
        for residue in 0..d.min(g.oh) {
            let mut first = residue;
            while first < g.oh {
                // The input rows of the block, so that the loop below has one moving index.
                let mut rows = [&padded[..0]; 16];
                for j in 0..STRIDE * (ROWS - 1) + K {
                    rows[j] = &padded[(STRIDE * first + j * d) * pitch..][..pitch];
                }
                let mut ox = 0;
                while ox < g.ow {
                    let mut acc = [s.zero(); ROWS];
                    for j in 0..STRIDE * (ROWS - 1) + K {
                        let row = window::<S>(rows[j], ox, piece, K, STRIDE, d);
                        for kx in 0..K {
                            let v = s.load(row[kx * d % STRIDE], kx * d / STRIDE);
                            for r in 0..ROWS {
                                if j >= STRIDE * r && j - STRIDE * r < K {
                                    acc[r] = s.fma(v, weights[j - STRIDE * r][kx], acc[r]);
                                }
                            }
                        }
                    }
                    for r in 0..ROWS {
                        let y = first + r * d;
                        if y < g.oh {
                            s.store_part(acc[r], out, y * g.ow + ox, g.ow - ox);
                        }
                    }
                    ox += S::LANES;
                }
                first += ROWS * d;
            }
        }
    }
}

/// Any kernel and stride: a block of consecutive output rows, tap by tap.
struct CorrelateTaps<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    w: &'a [f32],
    padded: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for CorrelateTaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let CorrelateTaps { geometry: g, buffer, w, padded, out } = self;
        let step = g.stride * buffer.pitch;
        let mut first = 0;
        while first < g.oh {
            let mut ox = 0;
            while ox < g.ow {
                let mut acc = [s.zero(); ROWS];
                for (tap, w) in buffer.taps.iter().zip(w) {
                    let w = s.splat(*w);
                    for r in 0..ROWS {
                        acc[r] = s.fma(s.load(padded, (first + r) * step + tap + ox), w, acc[r]);
                    }
                }
                for r in 0..ROWS {
                    if first + r < g.oh {
                        s.store_part(acc[r], out, (first + r) * g.ow + ox, g.ow - ox);
                    }
                }
                ox += S::LANES;
            }
            first += ROWS;
        }
    }
}

/// For stride above 1: the input's gradient by residues. Rows `y` with `(y + pad) % stride == r` get contributions of the
/// taps `ky` with `(ky * dilation) % stride == r` only, and so for columns.
struct Phases {
    pitch: usize,
    padded_len: usize,
    row_len: usize,
    /// Zero rows and columns in front of the gradient.
    top: usize,
    left: usize,
    /// Per row residue and column residue of the input: the offset of a tap, and its weight's index.
    taps: Vec<Vec<(usize, usize)>>,
}

impl Phases {
    fn new(shape: &ConvShape) -> Phases {
        let (oh, ow, s, d) = (shape.out_h(), shape.out_w(), shape.stride, shape.dilation);
        let top = d * (shape.kh - 1) / s + 1;
        let left = d * (shape.kw - 1) / s + 1;
        // (y + pad) / stride is at most this.
        let last_y = (shape.h + shape.pad_h) / s;
        let last_x = (shape.w + shape.pad_w) / s;
        let rows = top + oh.max(last_y + 1) + ROWS;
        let pitch = left + ow.max(last_x + 1) + 2 * LANES;
        let mut taps = vec![vec![]; s * s];
        for (phase, taps) in taps.iter_mut().enumerate() {
            let (py, px) = (phase / s + shape.pad_h, phase % s + shape.pad_w);
            for ky in 0..shape.kh {
                for kx in 0..shape.kw {
                    // Output row and column of the phase's first pixel, shifted to stay positive.
                    let (y, x) = (py + s * top - ky * d, px + s * left - kx * d);
                    if y % s == 0 && x % s == 0 {
                        taps.push((y / s * pitch + x / s, ky * shape.kw + kx));
                    }
                }
            }
        }
        Phases {
            pitch,
            padded_len: rows * pitch + LANES,
            row_len: shape.w.div_ceil(s) + 2 * LANES,
            top,
            left,
            taps,
        }
    }
}

struct Scatter<'a> {
    phases: &'a Phases,
    shape: &'a ConvShape,
    g: &'a [f32],
    w: &'a [f32],
    padded: &'a mut [f32],
    /// `ROWS * stride` rows of `row_len`.
    rows: &'a mut [f32],
    out: &'a mut [f32],
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Scatter { phases, shape, g, w, padded, rows, out } = self;
        let (oh, ow, stride) = (shape.out_h(), shape.out_w(), shape.stride);
        for y in 0..oh {
            let to = (y + phases.top) * phases.pitch + phases.left;
            copy_row(s, &g[y * ow..][..ow], &mut padded[to..to + ow], false);
        }
        for ry in 0..stride.min(shape.h) {
            let count_y = (shape.h - ry).div_ceil(stride);
            for first in (0..count_y).step_by(ROWS) {
                for rx in 0..stride.min(shape.w) {
                    let count_x = (shape.w - rx).div_ceil(stride);
                    let taps = &phases.taps[ry * stride + rx];
                    for at in (0..count_x).step_by(S::LANES) {
                        let mut acc = [s.zero(); ROWS];
                        for (tap, weight) in taps {
                            let w = s.splat(w[*weight]);
                            let from = tap + first * phases.pitch + at;
                            for r in 0..ROWS {
                                acc[r] = s.fma(s.load(padded, from + r * phases.pitch), w, acc[r]);
                            }
                        }
                        for r in 0..ROWS {
                            s.store(acc[r], rows, (r * stride + rx) * phases.row_len + at);
                        }
                    }
                }
                for r in 0..ROWS.min(count_y - first) {
                    let out = &mut out[(ry + (first + r) * stride) * shape.w..][..shape.w];
                    let rows = &rows[r * stride * phases.row_len..][..stride * phases.row_len];
                    if stride == 2 {
                        let (even, odd) = rows.split_at(phases.row_len);
                        let (pairs, last) = out.as_chunks_mut::<2>();
                        if let Some(last) = last.first_mut() {
                            *last = even[pairs.len()];
                        }
                        for ((pair, even), odd) in pairs.iter_mut().zip(even).zip(odd) {
                            *pair = [*even, *odd];
                        }
                    } else {
                        for (rx, row) in rows.chunks_exact(phases.row_len).enumerate().take(shape.w) {
                            for (out, value) in out[rx..].iter_mut().step_by(stride).zip(row) {
                                *out = *value;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One plane's contribution to the gradient of its filter, added to `out`.
struct WeightGradient<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    x: &'a [f32],
    g: &'a [f32],
    relu_input: bool,
    padded: &'a mut [f32],
    out: &'a mut [f32],
}

impl WeightGradient<'_> {
    fn add(self, level: Level) {
        let WeightGradient { geometry: ge, buffer, x, g, relu_input, padded, out } = self;
        level.run(Fill { geometry: ge, buffer, x, relu_input, padded: &mut *padded });
        let padded = &*padded;
        macro_rules! rows {
            ($k:literal, $stride:literal, $d:literal) => {
                level.run_for_width(
                    ge.ow,
                    WeightRows::<$k, $stride, $d> { geometry: ge, buffer, g, padded, out },
                )
            };
        }
        match (ge.kh, ge.kw, ge.stride, ge.dilation) {
            (3, 3, 1, 1) => rows!(3, 1, 1),
            (3, 3, 1, 2) => rows!(3, 1, 2),
            (3, 3, 1, _) => rows!(3, 1, 0),
            (3, 3, 2, 1) => rows!(3, 2, 1),
            (3, 3, 2, 2) => rows!(3, 2, 2),
            (5, 5, 1, 1) => rows!(5, 1, 1),
            (5, 5, 1, 2) => rows!(5, 1, 2),
            (5, 5, 1, _) => rows!(5, 1, 0),
            (5, 5, 2, 1) => rows!(5, 2, 1),
            (5, 5, 2, 2) => rows!(5, 2, 2),
            (7, 7, 1, 1) => rows!(7, 1, 1),
            (7, 7, 2, 1) => rows!(7, 2, 1),
            _ => level.run_for_width(ge.ow, WeightTaps { geometry: ge, buffer, g, padded, out }),
        }
    }
}

/// Stride 1 or 2; a dilation `D` of 0 is any.
struct WeightRows<'a, const K: usize, const STRIDE: usize, const D: usize> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    g: &'a [f32],
    padded: &'a [f32],
    out: &'a mut [f32],
}

impl<const K: usize, const STRIDE: usize, const D: usize> Kernel for WeightRows<'_, K, STRIDE, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        // As many rows of taps at once as there are registers for their sums.
        match K {
            3 => self.rows::<S, 3>(s, 0),
            5 if S::MANY_REGISTERS => {
                self.rows::<S, 3>(s, 0);
                self.rows::<S, 2>(s, 3);
            }
            5 => {
                self.rows::<S, 2>(s, 0);
                self.rows::<S, 2>(s, 2);
                self.rows::<S, 1>(s, 4);
            }
            7 if S::MANY_REGISTERS => {
                self.rows::<S, 3>(s, 0);
                self.rows::<S, 3>(s, 3);
                self.rows::<S, 1>(s, 6);
            }
            _ => {
                for ky in 0..K {
                    self.rows::<S, 1>(s, ky);
                }
            }
        }
    }
}

impl<const K: usize, const STRIDE: usize, const D: usize> WeightRows<'_, K, STRIDE, D> {
    /// Adds to the gradients of `R` rows of taps from `ky` on.
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&mut self, s: S, ky: usize) {
        let (ge, buffer) = (self.geometry, self.buffer);
        let d = if D == 0 { ge.dilation } else { D };
        let (pitch, piece) = (buffer.pitch, buffer.piece);
        let mut acc = [[s.zero(); K]; R];
        if STRIDE == 1 {
            // Down the rows of a block of columns; the last `R` gradients stay in registers, so that each vector of the
            // input is loaded once for all the rows of taps. Rows a dilation apart belong together.
            let mut x = 0;
            while x < ge.ow {
                for residue in 0..d.min(ge.oh) {
                    let count = (ge.oh - residue).div_ceil(d);
                    let mut gs = [s.zero(); R];
                    for j in 0..count + R - 1 {
                        for r in (1..R).rev() {
                            gs[r] = gs[r - 1];
                        }
                        gs[0] = if j < count {
                            s.load_part(self.g, (residue + j * d) * ge.ow + x, ge.ow - x)
                        } else {
                            s.zero()
                        };
                        let row =
                            &self.padded[(residue + (j + ky) * d) * pitch + x..][..S::LANES + (K - 1) * d];
                        for k in 0..K {
                            let v = s.load(row, k * d);
                            for r in 0..R {
                                acc[r][k] = s.fma(v, gs[r], acc[r][k]);
                            }
                        }
                    }
                }
                x += S::LANES;
            }
        } else {
            for y in 0..ge.oh {
                let mut rows = [&self.padded[..0]; R];
                for r in 0..R {
                    rows[r] = &self.padded[(y * STRIDE + (ky + r) * d) * pitch..][..pitch];
                }
                let g = &self.g[y * ge.ow..][..ge.ow];
                let mut x = 0;
                while x < ge.ow {
                    let gv = s.load_part(g, x, ge.ow - x);
                    for r in 0..R {
                        let row = window::<S>(rows[r], x, piece, K, STRIDE, d);
                        for k in 0..K {
                            acc[r][k] = s.fma(s.load(row[k * d % STRIDE], k * d / STRIDE), gv, acc[r][k]);
                        }
                    }
                    x += S::LANES;
                }
            }
        }
        for r in 0..R {
            for k in 0..K {
                self.out[(ky + r) * K + k] += s.sum(acc[r][k]);
            }
        }
    }
}

/// Any kernel and stride: all taps, one after the other.
struct WeightTaps<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    g: &'a [f32],
    padded: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for WeightTaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let WeightTaps { geometry: ge, buffer, g, padded, out } = self;
        for (out, tap) in out.iter_mut().zip(&buffer.taps) {
            let mut acc = [s.zero(); 4];
            for y in 0..ge.oh {
                let base = y * ge.stride * buffer.pitch + tap;
                let mut x = 0;
                let mut lane = y;
                while x < ge.ow {
                    let gv = s.load_part(g, y * ge.ow + x, ge.ow - x);
                    acc[lane % 4] = s.fma(s.load(padded, base + x), gv, acc[lane % 4]);
                    lane += 1;
                    x += S::LANES;
                }
            }
            *out += s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3])));
        }
    }
}
