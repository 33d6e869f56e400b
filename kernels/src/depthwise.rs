//! Depthwise convolution: one filter per channel (`groups == ci == co`). Weight `[c, 1, kh, kw]`.
//!
//! Each plane is copied, padded, to a buffer whose rows are split by column residue modulo the stride, so that every
//! kernel tap reads consecutive elements. Stride 1 with a 3x3, 5x5 or 7x7 kernel computes several output rows at once from
//! the rows it loads; anything else goes tap by tap.

use crate::elementwise::MaskInPlace;
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
    let batch = buffer.planes();
    fill_pieces(
        shape.out_len(),
        oh * ow * batch,
        planes_per_task(oh * ow, kk).div_ceil(batch),
        || scratch::zeroed(buffer.len * batch),
        |padded, i, out| {
            let (first, count) = (i * batch, out.len() / (oh * ow));
            let x = &x[first * plane..][..count * plane];
            let filters = Filters { all: w, first, channels: c };
            Planes { geometry: &geometry, buffer: &buffer, x, filters, relu_input, padded, out }
                .correlate(level);
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
        let batch = buffer.planes();
        return fill_pieces(
            shape.in_len(),
            plane * batch,
            group.div_ceil(batch),
            || scratch::zeroed(buffer.len * batch),
            |padded, i, out| {
                let (first, count) = (i * batch, out.len() / plane);
                let correlation = Planes {
                    geometry: &geometry,
                    buffer: &buffer,
                    x: &g[first * oh * ow..][..count * oh * ow],
                    filters: Filters { all: &flipped, first, channels: c },
                    relu_input: false,
                    padded,
                    out: &mut *out,
                };
                correlation.correlate(level);
                if let Some(mask) = relu_mask {
                    level.run(MaskInPlace { x: &mask[first * plane..][..out.len()], g: out });
                }
            },
        );
    }
    let phases = Phases::new(shape);
    let batch = batch(phases.padded_len);
    fill_pieces(
        shape.in_len(),
        plane * batch,
        group.div_ceil(batch),
        || (scratch::zeroed(phases.padded_len * batch), scratch::take(ROWS * shape.stride * phases.row_len)),
        |(padded, rows), i, out| {
            let (first, count) = (i * batch, out.len() / plane);
            let g = &g[first * oh * ow..][..count * oh * ow];
            let filters = Filters { all: w, first, channels: c };
            level.run_for_width(
                shape.w.div_ceil(shape.stride),
                Scatter { phases: &phases, shape, g, filters, padded, rows, out: &mut *out },
            );
            if let Some(mask) = relu_mask {
                level.run(MaskInPlace { x: &mask[first * plane..][..out.len()], g: out });
            }
        },
    )
}

/// The gradient of the weight, `[c, 1, kh, kw]`, for input `x` (`max(x, 0)` with `relu_input`) and output gradient `g`.
pub fn backward_weight(x: &[f32], g: &[f32], shape: &ConvShape, relu_input: bool) -> Vec<f32> {
    check(shape, Some(x), None, Some(g));
    let level = Level::current();
    let (oh, ow) = (shape.out_h(), shape.out_w());
    let (n, c, kk) = (shape.n, shape.ci, shape.kh * shape.kw);
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
    let (batch, parts) = (buffer.planes(), n.div_ceil(IMAGES));
    let task = |t: usize, out: &mut [f32]| {
        let (part, channel) = (t / c, t % c);
        let mut padded = scratch::zeroed(buffer.len * batch);
        // A vector per tap; its lanes are added up once.
        let mut lanes = scratch::zeroed(kk * LANES);
        let end = ((part + 1) * IMAGES).min(n);
        for image in (part * IMAGES..end).step_by(batch) {
            let gradient = WeightGradient {
                geometry: &geometry,
                buffer: &buffer,
                images: Images { x, g, first: image * c + channel, step: c, count: batch.min(end - image) },
                relu_input,
                padded: &mut padded,
                lanes: &mut lanes,
            };
            gradient.add(level);
        }
        level.run_for_width(ow, Lanes { lanes: &lanes, out });
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
    (80_000 / (plane * (taps + 3)).max(1)).clamp(1, 128)
}

/// Planes that are padded before the first of them is read: their buffers stay in the nearest cache, entering a kernel
/// is paid once for all, and loads do not have to wait for stores that overlap them in part.
fn batch(padded_len: usize) -> usize {
    (4096 / padded_len.max(1)).clamp(1, 16)
}

/// The filters of consecutive planes from number `first` on.
#[derive(Clone, Copy)]
struct Filters<'a> {
    all: &'a [f32],
    first: usize,
    channels: usize,
}

impl<'a> Filters<'a> {
    #[inline(always)]
    fn of(&self, plane: usize, taps: usize) -> &'a [f32] {
        &self.all[(self.first + plane) % self.channels * taps..][..taps]
    }
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

    fn planes(&self) -> usize {
        batch(self.len)
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
                    split_row(s, x, &mut first[at..], &mut second[at..], relu);
                } else {
                    split_row(s, x, &mut second[at..], &mut first[at + 1..], relu);
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
pub(crate) fn split_row<S: Simd>(s: S, x: &[f32], even: &mut [f32], odd: &mut [f32], relu: bool) {
    let (evens, odds) = (x.len().div_ceil(2).min(even.len()), (x.len() / 2).min(odd.len()));
    let mut at = 0;
    while at < evens {
        let a = s.load_part(x, 2 * at, x.len() - 2 * at);
        let second = 2 * at + S::LANES;
        let b = if second < x.len() { s.load_part(x, second, x.len() - second) } else { s.zero() };
        let (a, b) = if relu { (s.relu(a), s.relu(b)) } else { (a, b) };
        let (a, b) = s.deinterleave(a, b);
        s.store_part(a, even, at, evens - at);
        let at_odd = at.min(odds);
        s.store_part(b, odd, at_odd, odds - at_odd);
        at += S::LANES;
    }
}

#[inline(always)]
fn copy_row<S: Simd>(s: S, from: &[f32], to: &mut [f32], relu: bool) {
    let len = from.len().min(to.len());
    let mut at = 0;
    while at < len {
        let v = s.load_part(from, at, len - at);
        s.store_part(if relu { s.relu(v) } else { v }, to, at, len - at);
        at += S::LANES;
    }
}

/// Consecutive planes, padded in `padded` and correlated with their filters.
struct Planes<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    x: &'a [f32],
    filters: Filters<'a>,
    relu_input: bool,
    padded: &'a mut [f32],
    out: &'a mut [f32],
}

impl Planes<'_> {
    /// Each case is a kernel of its own, small enough for the compiler to keep its addresses in registers. Stride and
    /// dilation are constants where they are common, so that the taps of a row are at constant offsets.
    fn correlate(self, level: Level) {
        let Planes { geometry: g, buffer, x, filters, relu_input, padded, out } = self;
        let images = Images { x, g: &[], first: 0, step: 1, count: out.len() / (g.oh * g.ow) };
        level.run_for_width(g.w, Fill { geometry: g, buffer, images, relu_input, padded: &mut *padded });
        let padded = &*padded;
        macro_rules! rows {
            ($k:literal, $stride:literal, $d:literal) => {
                level.run_for_width(
                    g.ow,
                    CorrelateRows::<$k, $stride, $d> { geometry: g, buffer, filters, padded, out },
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
            _ => level.run_for_width(g.ow, CorrelateTaps { geometry: g, buffer, filters, padded, out }),
        }
    }
}

/// Planes `first`, `first + step`, .. of `x` and of `g`.
#[derive(Clone, Copy)]
struct Images<'a> {
    x: &'a [f32],
    g: &'a [f32],
    first: usize,
    step: usize,
    count: usize,
}

struct Fill<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    images: Images<'a>,
    relu_input: bool,
    padded: &'a mut [f32],
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Fill { geometry, buffer, images, relu_input, padded } = self;
        let plane = geometry.h * geometry.w;
        for (i, padded) in padded.chunks_exact_mut(buffer.len).enumerate().take(images.count) {
            let x = &images.x[(images.first + i * images.step) * plane..][..plane];
            buffer.fill(s, geometry, x, relu_input, padded);
        }
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

/// Stride 1 or 2: with 1, each loaded vector is used for all the output rows of a block that it touches. Rows of a block are the
/// dilation apart, so that they share input rows. A dilation `D` of 0 is any.
struct CorrelateRows<'a, const K: usize, const STRIDE: usize, const D: usize> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    filters: Filters<'a>,
    padded: &'a [f32],
    out: &'a mut [f32],
}

impl<const K: usize, const STRIDE: usize, const D: usize> Kernel for CorrelateRows<'_, K, STRIDE, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let CorrelateRows { geometry: g, buffer, filters, padded, out } = self;
        let planes = padded.chunks_exact(buffer.len).zip(out.chunks_exact_mut(g.oh * g.ow));
        for (i, (padded, out)) in planes.enumerate() {
            Self::plane(s, g, buffer, filters.of(i, K * K), padded, out);
        }
    }
}

impl<const K: usize, const STRIDE: usize, const D: usize> CorrelateRows<'_, K, STRIDE, D> {
    #[inline(always)]
    fn plane<S: Simd>(s: S, g: &Geometry, buffer: &Buffer, w: &[f32], padded: &[f32], out: &mut [f32]) {
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
                    if STRIDE > 1 {
                        // Little is shared between output rows; the plain loop has no conditions to unroll.
                        for ky in 0..K {
                            for r in 0..ROWS {
                                let row = window::<S>(rows[STRIDE * r + ky], ox, piece, K, STRIDE, d);
                                for kx in 0..K {
                                    let v = s.load(row[kx * d % STRIDE], kx * d / STRIDE);
                                    acc[r] = s.fma(v, weights[ky][kx], acc[r]);
                                }
                            }
                        }
                    }
                    for j in 0..if STRIDE > 1 { 0 } else { ROWS - 1 + K } {
                        let row = window::<S>(rows[j], ox, piece, K, STRIDE, d);
                        for kx in 0..K {
                            let v = s.load(row[kx * d % STRIDE], kx * d / STRIDE);
                            for r in 0..ROWS {
                                if j >= r && j - r < K {
                                    acc[r] = s.fma(v, weights[j - r][kx], acc[r]);
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
    filters: Filters<'a>,
    padded: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for CorrelateTaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let CorrelateTaps { geometry: g, buffer, filters, padded, out } = self;
        let planes = padded.chunks_exact(buffer.len).zip(out.chunks_exact_mut(g.oh * g.ow));
        for (i, (padded, out)) in planes.enumerate() {
            Self::plane(s, g, buffer, filters.of(i, g.kh * g.kw), padded, out);
        }
    }
}

impl CorrelateTaps<'_> {
    #[inline(always)]
    fn plane<S: Simd>(s: S, g: &Geometry, buffer: &Buffer, w: &[f32], padded: &[f32], out: &mut [f32]) {
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
    filters: Filters<'a>,
    padded: &'a mut [f32],
    /// `ROWS * stride` rows of `row_len`.
    rows: &'a mut [f32],
    out: &'a mut [f32],
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Scatter { phases, shape, g, filters, padded, rows, out } = self;
        let (oh, ow) = (shape.out_h(), shape.out_w());
        for (g, padded) in g.chunks_exact(oh * ow).zip(padded.chunks_exact_mut(phases.padded_len)) {
            for (y, g) in g.chunks_exact(ow).enumerate() {
                let to = (y + phases.top) * phases.pitch + phases.left;
                copy_row(s, g, &mut padded[to..to + ow], false);
            }
        }
        let planes = padded.chunks_exact(phases.padded_len).zip(out.chunks_exact_mut(shape.h * shape.w));
        for (i, (padded, out)) in planes.enumerate() {
            let w = filters.of(i, shape.kh * shape.kw);
            if shape.stride == 2 {
                Self::plane2(s, phases, shape, w, padded, out);
            } else {
                Self::plane(s, phases, shape, w, padded, rows, out);
            }
        }
    }
}

impl Scatter<'_> {
    /// Sums of `taps` for a vector in each row of a block, from `from` on.
    #[inline(always)]
    fn sums<S: Simd>(
        s: S,
        phases: &Phases,
        taps: &[(usize, usize)],
        w: &[f32],
        padded: &[f32],
        from: usize,
    ) -> [S::V; ROWS] {
        let mut acc = [s.zero(); ROWS];
        for (tap, weight) in taps {
            let w = s.splat(w[*weight]);
            let window = &padded[tap + from..][..(ROWS - 1) * phases.pitch + S::LANES];
            for r in 0..ROWS {
                acc[r] = s.fma(s.load(window, r * phases.pitch), w, acc[r]);
            }
        }
        acc
    }

    /// Stride 2: the two column residues are interleaved as they are computed.
    #[inline(always)]
    fn plane2<S: Simd>(s: S, phases: &Phases, shape: &ConvShape, w: &[f32], padded: &[f32], out: &mut [f32]) {
        for ry in 0..2.min(shape.h) {
            let count_y = (shape.h - ry).div_ceil(2);
            let [even, odd] = [&phases.taps[2 * ry], &phases.taps[2 * ry + 1]];
            for first in (0..count_y).step_by(ROWS) {
                for at in (0..shape.w.div_ceil(2)).step_by(S::LANES) {
                    let from = first * phases.pitch + at;
                    let even = Self::sums(s, phases, even, w, padded, from);
                    let odd = Self::sums(s, phases, odd, w, padded, from);
                    let rest = shape.w - 2 * at;
                    for r in 0..ROWS.min(count_y - first) {
                        let (a, b) = s.interleave(even[r], odd[r]);
                        let to = (ry + 2 * (first + r)) * shape.w + 2 * at;
                        s.store_part(a, out, to, rest);
                        if rest > S::LANES {
                            s.store_part(b, out, to + S::LANES, rest - S::LANES);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn plane<S: Simd>(
        s: S,
        phases: &Phases,
        shape: &ConvShape,
        w: &[f32],
        padded: &[f32],
        rows: &mut [f32],
        out: &mut [f32],
    ) {
        let stride = shape.stride;
        for ry in 0..stride.min(shape.h) {
            let count_y = (shape.h - ry).div_ceil(stride);
            for first in (0..count_y).step_by(ROWS) {
                for rx in 0..stride.min(shape.w) {
                    let count_x = (shape.w - rx).div_ceil(stride);
                    let taps = &phases.taps[ry * stride + rx];
                    for at in (0..count_x).step_by(S::LANES) {
                        let acc = Self::sums(s, phases, taps, w, padded, first * phases.pitch + at);
                        for r in 0..ROWS {
                            s.store(acc[r], rows, (r * stride + rx) * phases.row_len + at);
                        }
                    }
                }
                for r in 0..ROWS.min(count_y - first) {
                    let out = &mut out[(ry + (first + r) * stride) * shape.w..][..shape.w];
                    let rows = &rows[r * stride * phases.row_len..][..stride * phases.row_len];
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

/// What some images contribute to the gradient of a filter, added to `lanes`, a vector per tap.
struct WeightGradient<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    images: Images<'a>,
    relu_input: bool,
    padded: &'a mut [f32],
    lanes: &'a mut [f32],
}

/// Adds each tap's lanes up; entered as the kernel that wrote them, so that vectors are as wide.
struct Lanes<'a> {
    lanes: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Lanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, out) in self.out.iter_mut().enumerate() {
            *out = s.sum(s.load(self.lanes, i * S::LANES));
        }
    }
}

impl WeightGradient<'_> {
    fn add(self, level: Level) {
        let WeightGradient { geometry: ge, buffer, images, relu_input, padded, lanes } = self;
        level.run_for_width(ge.w, Fill { geometry: ge, buffer, images, relu_input, padded: &mut *padded });
        let padded = &*padded;
        macro_rules! rows {
            ($k:literal, $stride:literal, $d:literal) => {
                level.run_for_width(
                    ge.ow,
                    WeightRows::<$k, $stride, $d> { geometry: ge, buffer, images, padded, lanes },
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
            _ => level.run_for_width(ge.ow, WeightTaps { geometry: ge, buffer, images, padded, lanes }),
        }
    }
}

/// Stride 1 or 2; a dilation `D` of 0 is any.
struct WeightRows<'a, const K: usize, const STRIDE: usize, const D: usize> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    images: Images<'a>,
    padded: &'a [f32],
    lanes: &'a mut [f32],
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
        let plane = ge.oh * ge.ow;
        let mut acc = [[s.zero(); K]; R];
        for (i, padded) in self.padded.chunks_exact(buffer.len).enumerate().take(self.images.count) {
            let g = &self.images.g[(self.images.first + i * self.images.step) * plane..][..plane];
            if STRIDE == 1 {
                // Down the rows of a block of columns; the last `R` gradients stay in registers, so that each vector of
                // the input is loaded once for all the rows of taps. Rows a dilation apart belong together.
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
                                s.load_part(g, (residue + j * d) * ge.ow + x, ge.ow - x)
                            } else {
                                s.zero()
                            };
                            let row =
                                &padded[(residue + (j + ky) * d) * pitch + x..][..S::LANES + (K - 1) * d];
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
                    let mut rows = [&padded[..0]; R];
                    for r in 0..R {
                        rows[r] = &padded[(y * STRIDE + (ky + r) * d) * pitch..][..pitch];
                    }
                    let g = &g[y * ge.ow..][..ge.ow];
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
        }
        // A sum of its own for each batch is more accurate than one long sum.
        for r in 0..R {
            for k in 0..K {
                let at = ((ky + r) * K + k) * S::LANES;
                s.store(s.add(s.load(self.lanes, at), acc[r][k]), self.lanes, at);
            }
        }
    }
}

/// Any kernel and stride: all taps, one after the other.
struct WeightTaps<'a> {
    geometry: &'a Geometry,
    buffer: &'a Buffer,
    images: Images<'a>,
    padded: &'a [f32],
    lanes: &'a mut [f32],
}

impl Kernel for WeightTaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let WeightTaps { geometry: ge, buffer, images, padded, lanes } = self;
        let plane = ge.oh * ge.ow;
        for (i, padded) in padded.chunks_exact(buffer.len).enumerate().take(images.count) {
            let g = &images.g[(images.first + i * images.step) * plane..][..plane];
            for (t, tap) in buffer.taps.iter().enumerate() {
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
                let sum = s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3]));
                s.store(s.add(s.load(lanes, t * S::LANES), sum), lanes, t * S::LANES);
            }
        }
    }
}
