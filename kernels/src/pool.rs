//! Max and average pooling with square windows, dilated or not, over planes `[h, w]`.
//!
//! Planes are copied to padded buffers, split by column residue modulo the stride, so that the same window element of
//! neighbouring outputs is contiguous.

use crate::depthwise::split_row;
use crate::simd::{Kernel, Level, Simd, fill_pieces, fill_pieces_with};
use crate::{out_len, scratch};

/// Elements that a row has to spare for the widest vector.
const LANES: usize = 16;

/// Window, stride, padding and dilation of a pooling layer over planes of `[h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Planes: images times channels.
    pub planes: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Window height and width, at most 16.
    pub k: usize,
    /// Stride.
    pub stride: usize,
    /// Padding on each side, at most half of what the window spans.
    pub pad: usize,
    /// Distance between neighbours in the window.
    pub dilation: usize,
}

impl PoolShape {
    /// Output height.
    pub fn out_h(&self) -> usize {
        out_len(self.h, self.k, self.stride, self.pad, self.dilation)
    }

    /// Output width.
    pub fn out_w(&self) -> usize {
        out_len(self.w, self.k, self.stride, self.pad, self.dilation)
    }

    /// Elements of the input.
    pub fn in_len(&self) -> usize {
        self.planes * self.h * self.w
    }

    /// Elements of the output.
    pub fn out_len(&self) -> usize {
        self.planes * self.out_h() * self.out_w()
    }

    /// Rows, and columns, from a window's first element to its last.
    fn span(&self) -> usize {
        self.dilation * (self.k - 1) + 1
    }

    fn check(&self) {
        assert!(
            self.k <= 16 && 2 * self.pad <= self.span(),
            "a window of at most 16, padded by at most half"
        );
    }
}

/// The maximum of each window, and where it is: `ky * k + kx` within the window. As in PyTorch, the first maximum in
/// row-major order wins, NaN counts as larger than anything (the last one wins), padding never does.
pub fn max_forward(x: &[f32], shape: &PoolShape) -> (Vec<f32>, Vec<u8>) {
    shape.check();
    assert_eq!(x.len(), shape.in_len(), "input length");
    let level = Level::current();
    let padded = Padded::input(shape);
    let (plane, out_plane) = (shape.h * shape.w, padded.oh * padded.ow);
    let mut argmax = vec![0; shape.out_len()];
    let y = fill_pieces_with(
        shape.out_len(),
        out_plane,
        group(out_plane),
        &mut argmax,
        out_plane * group(out_plane),
        |argmax| {
            let mut buffer = scratch::take(padded.len);
            buffer.fill(f32::NEG_INFINITY);
            (buffer, argmax.chunks_exact_mut(out_plane))
        },
        |(buffer, argmax), i, out| {
            let x = &x[i * plane..][..plane];
            let argmax = argmax.next().expect("as many planes of positions");
            let padded = &padded;
            macro_rules! run {
                ($k:literal, $stride:literal, $dilation:literal) => {
                    level.run_for_width(
                        padded.ow,
                        MaxForward::<$k, $stride, $dilation> { shape, padded, x, buffer, out, argmax },
                    )
                };
            }
            match (shape.k, shape.stride, shape.dilation) {
                (3, 1, 1) => run!(3, 1, 1),
                (3, 2, 1) => run!(3, 2, 1),
                (3, 1, _) => run!(3, 1, 0),
                _ => run!(0, 0, 0),
            }
        },
    );
    (y, argmax)
}

/// The gradient of the input, for the output's gradient `g` and [`max_forward`]'s positions.
pub fn max_backward(g: &[f32], argmax: &[u8], shape: &PoolShape) -> Vec<f32> {
    shape.check();
    assert!(g.len() == shape.out_len() && argmax.len() == g.len(), "gradient or position length");
    let (oh, ow) = (shape.out_h(), shape.out_w());
    let (plane, out_plane) = (shape.h * shape.w, oh * ow);
    if out_plane == 0 {
        return vec![0.0; shape.in_len()];
    }
    // Where each position of the window at the top left is, from that window's pixel in the image's corner; the window
    // begins `pad` rows and columns before it, so that some wrap around.
    let places: [usize; 256] = std::array::from_fn(|i| {
        let (y, x) = (i / shape.k * shape.dilation, i % shape.k * shape.dilation);
        (y * shape.w + x).wrapping_sub(shape.pad * shape.w + shape.pad)
    });
    fill_pieces(
        shape.in_len(),
        plane,
        group(plane),
        || (),
        |_, i, out| {
            let (g, argmax) = (&g[i * out_plane..][..out_plane], &argmax[i * out_plane..][..out_plane]);
            let rows = g.chunks_exact(ow).zip(argmax.chunks_exact(ow));
            for (y, (g, argmax)) in rows.enumerate() {
                let mut corner = y * shape.stride * shape.w;
                for (g, place) in g.iter().zip(argmax) {
                    // `max_forward` gives places inside the image only.
                    out[corner.wrapping_add(places[usize::from(*place)])] += *g;
                    corner += shape.stride;
                }
            }
        },
    )
}

/// The average of each window over the elements inside the image (`count_include_pad = false`).
pub fn avg_forward(x: &[f32], shape: &PoolShape) -> Vec<f32> {
    shape.check();
    assert_eq!(x.len(), shape.in_len(), "input length");
    let level = Level::current();
    let padded = Padded::input(shape);
    let (plane, out_plane) = (shape.h * shape.w, padded.oh * padded.ow);
    let weights = inverse_counts(shape);
    fill_pieces(
        shape.out_len(),
        out_plane,
        group(out_plane),
        || scratch::zeroed(padded.len),
        |buffer, i, out| {
            let x = &x[i * plane..][..plane];
            let (padded, weights) = (&padded, &weights[..]);
            macro_rules! run {
                ($k:literal, $stride:literal, $dilation:literal) => {
                    level.run_for_width(
                        padded.ow,
                        AvgForward::<$k, $stride, $dilation> { shape, padded, x, weights, buffer, out },
                    )
                };
            }
            match (shape.k, shape.stride, shape.dilation) {
                (3, 1, 1) => run!(3, 1, 1),
                (3, 2, 1) => run!(3, 2, 1),
                (3, 1, _) => run!(3, 1, 0),
                _ => run!(0, 0, 0),
            }
        },
    )
}

/// The gradient of [`avg_forward`]'s input.
pub fn avg_backward(g: &[f32], shape: &PoolShape) -> Vec<f32> {
    shape.check();
    assert_eq!(g.len(), shape.out_len(), "gradient length");
    let level = Level::current();
    let (oh, ow, k, dilation) = (shape.out_h(), shape.out_w(), shape.k, shape.dilation);
    let (plane, out_plane) = (shape.h * shape.w, oh * ow);
    if out_plane == 0 {
        return vec![0.0; shape.in_len()];
    }
    let weights = inverse_counts(shape);
    if shape.stride == 1 {
        let padded = Padded::gradient(shape);
        return fill_pieces(
            shape.in_len(),
            plane,
            group(plane),
            || scratch::zeroed(padded.len),
            |buffer, i, out| {
                let g = &g[i * out_plane..][..out_plane];
                let (padded, weights) = (&padded, &weights[..]);
                macro_rules! run {
                    ($k:literal, $dilation:literal) => {
                        level.run_for_width(
                            shape.w,
                            AvgBackward::<$k, $dilation> { shape, padded, g, weights, buffer, out },
                        )
                    };
                }
                match (k, dilation) {
                    (3, 1) => run!(3, 1),
                    (3, _) => run!(3, 0),
                    _ => run!(0, 0),
                }
            },
        );
    }
    // Rows of window sums first, then the rows of the image that each touches.
    let width = (ow - 1) * shape.stride + shape.span();
    fill_pieces(
        shape.in_len(),
        plane,
        group(plane),
        || scratch::take(width.max(shape.w + shape.pad)),
        |row, i, out| {
            let g = &g[i * out_plane..][..out_plane];
            for y in 0..oh {
                row.fill(0.0);
                for x in 0..ow {
                    let value = g[y * ow + x] * weights[y * ow + x];
                    for to in row[x * shape.stride..].iter_mut().step_by(dilation).take(k) {
                        *to += value;
                    }
                }
                for ky in 0..k {
                    let iy = (y * shape.stride + ky * dilation).wrapping_sub(shape.pad);
                    if iy < shape.h {
                        let from = &row[shape.pad..][..shape.w];
                        for (to, from) in out[iy * shape.w..][..shape.w].iter_mut().zip(from) {
                            *to += from;
                        }
                    }
                }
            }
        },
    )
}

fn group(plane: usize) -> usize {
    (8 * 1024 / plane.max(1)).max(1)
}

/// One over the window elements inside the image, per output.
fn inverse_counts(shape: &PoolShape) -> Vec<f32> {
    let inside = |outputs: usize, len: usize| -> Vec<usize> {
        let image = shape.pad..shape.pad + len;
        let taps = |o: usize| (0..shape.k).map(move |tap| o * shape.stride + tap * shape.dilation);
        (0..outputs).map(|o| taps(o).filter(|at| image.contains(at)).count()).collect()
    };
    let (rows, columns) = (inside(shape.out_h(), shape.h), inside(shape.out_w(), shape.w));
    rows.iter().flat_map(|rows| columns.iter().map(move |columns| 1.0 / (rows * columns) as f32)).collect()
}

/// Layout of a padded plane: rows of `stride` pieces.
struct Padded {
    oh: usize,
    ow: usize,
    piece: usize,
    pitch: usize,
    len: usize,
    pad: usize,
    dilation: usize,
}

impl Padded {
    fn new(oh: usize, ow: usize, shape: &PoolShape, stride: usize, pad: usize) -> Padded {
        let (span, dilation) = (shape.span(), shape.dilation);
        let piece = ow.next_multiple_of(LANES) + span / stride + 1;
        let pitch = piece * stride;
        let rows = oh.saturating_sub(1) * stride + span;
        Padded { oh, ow, piece, pitch, len: rows * pitch + LANES, pad, dilation }
    }

    fn input(shape: &PoolShape) -> Padded {
        Padded::new(shape.out_h(), shape.out_w(), shape, shape.stride, shape.pad)
    }

    /// For stride 1: the output's gradient, so that the window at an input pixel is the outputs that it is part of.
    fn gradient(shape: &PoolShape) -> Padded {
        Padded::new(shape.h, shape.w, shape, 1, shape.span() - 1 - shape.pad)
    }

    #[inline(always)]
    fn fill<S: Simd>(&self, s: S, h: usize, w: usize, stride: usize, x: &[f32], buffer: &mut [f32]) {
        let rows = self.oh.saturating_sub(1) * stride + self.len / self.pitch.max(1);
        for y in 0..h.min(rows) {
            let at = (y + self.pad) * self.pitch;
            if at + self.pitch > buffer.len() {
                break;
            }
            let row = &mut buffer[at..][..self.pitch];
            let x = &x[y * w..][..w];
            if stride == 1 {
                let len = w.min(self.piece - self.pad);
                let mut i = 0;
                while i < len {
                    let v = s.load_part(x, i, len - i);
                    s.store_part(v, row, self.pad + i, len - i);
                    i += S::LANES;
                }
            } else if stride == 2 {
                let (first, second) = row.split_at_mut(self.piece);
                let at = self.pad / 2;
                if self.pad.is_multiple_of(2) {
                    split_row(s, x, &mut first[at..], &mut second[at..], false);
                } else {
                    split_row(s, x, &mut second[at..], &mut first[at + 1..], false);
                }
            } else {
                for residue in 0..stride {
                    let first = (residue + stride * self.pad - self.pad) % stride;
                    if first >= w {
                        continue;
                    }
                    let place = (first + self.pad) / stride;
                    let to = &mut row[residue * self.piece..(residue + 1) * self.piece];
                    for (to, x) in to[place.min(self.piece)..].iter_mut().zip(x[first..].chunks(stride)) {
                        *to = x[0];
                    }
                }
            }
        }
    }
}

/// `K`, `STRIDE` and `DILATION` of 0 are any.
struct MaxForward<'a, const K: usize, const STRIDE: usize, const DILATION: usize> {
    shape: &'a PoolShape,
    padded: &'a Padded,
    x: &'a [f32],
    buffer: &'a mut [f32],
    out: &'a mut [f32],
    argmax: &'a mut [u8],
}

impl<const K: usize, const STRIDE: usize, const DILATION: usize> Kernel
    for MaxForward<'_, K, STRIDE, DILATION>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let MaxForward { shape, padded, x, buffer, out, argmax } = self;
        padded.fill(s, shape.h, shape.w, shape.stride, x, buffer);
        max_plane::<S, K, STRIDE, DILATION>(s, shape, padded, buffer, out, argmax);
        // A window of nothing but minus infinity chose nothing: PyTorch says its first element inside the image.
        let (k, stride, pad, dilation) = (shape.k, shape.stride, shape.pad, shape.dilation);
        for y in 0..padded.oh {
            for x in 0..padded.ow {
                let border = y * stride < pad || x * stride < pad;
                if border && out[y * padded.ow + x] == f32::NEG_INFINITY {
                    let first = |o: usize| pad.saturating_sub(o * stride).div_ceil(dilation);
                    let (ky, kx) = (first(y), first(x));
                    argmax[y * padded.ow + x] = (ky * k + kx) as u8;
                }
                if y * stride >= pad && x * stride >= pad {
                    break;
                }
            }
        }
    }
}

#[inline(always)]
fn max_plane<S: Simd, const K: usize, const STRIDE: usize, const DILATION: usize>(
    s: S,
    shape: &PoolShape,
    padded: &Padded,
    buffer: &[f32],
    out: &mut [f32],
    argmax: &mut [u8],
) {
    let k = if K == 0 { shape.k } else { K };
    let stride = if STRIDE == 0 { shape.stride } else { STRIDE };
    let d = if DILATION == 0 { shape.dilation } else { DILATION };
    let (ow, pitch, piece) = (padded.ow, padded.pitch, padded.piece);
    for y in 0..padded.oh {
        let rows = &buffer[y * stride * pitch..][..(d * (k - 1) + 1) * pitch];
        let (out, argmax) = (&mut out[y * ow..][..ow], &mut argmax[y * ow..][..ow]);
        let mut x = 0;
        while x < ow {
            let mut best = s.splat(f32::NEG_INFINITY);
            let mut place = s.zero();
            for ky in 0..k {
                for kx in 0..k {
                    let kx_at = kx * d % stride * piece + kx * d / stride;
                    let v = s.load(rows, ky * d * pitch + kx_at + x);
                    (best, place) = s.max_step(best, place, v, s.splat((ky * k + kx) as f32));
                }
            }
            s.store_part(best, out, x, ow - x);
            let len = S::LANES.min(ow - x);
            s.store_bytes(place, &mut argmax[x..][..len]);
            x += S::LANES;
        }
    }
}

/// `K`, `STRIDE` and `DILATION` of 0 are any.
struct AvgForward<'a, const K: usize, const STRIDE: usize, const DILATION: usize> {
    shape: &'a PoolShape,
    padded: &'a Padded,
    x: &'a [f32],
    weights: &'a [f32],
    buffer: &'a mut [f32],
    out: &'a mut [f32],
}

impl<const K: usize, const STRIDE: usize, const DILATION: usize> Kernel
    for AvgForward<'_, K, STRIDE, DILATION>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AvgForward { shape, padded, x, weights, buffer, out } = self;
        padded.fill(s, shape.h, shape.w, shape.stride, x, buffer);
        let (k, stride) = if K == 0 { (shape.k, shape.stride) } else { (K, STRIDE) };
        let dilation = if DILATION == 0 { padded.dilation } else { DILATION };
        sum_plane(s, (k, stride, dilation), padded, buffer, Some(weights), out);
    }
}

/// `K` and `DILATION` of 0 are any.
struct AvgBackward<'a, const K: usize, const DILATION: usize> {
    shape: &'a PoolShape,
    padded: &'a Padded,
    g: &'a [f32],
    weights: &'a [f32],
    buffer: &'a mut [f32],
    out: &'a mut [f32],
}

impl<const K: usize, const DILATION: usize> Kernel for AvgBackward<'_, K, DILATION> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AvgBackward { shape, padded, g, weights, buffer, out } = self;
        let (oh, ow) = (shape.out_h(), shape.out_w());
        for y in 0..oh {
            let to = (y + padded.pad) * padded.pitch + padded.pad;
            let mut x = 0;
            while x < ow {
                let v = s.mul(s.load_part(g, y * ow + x, ow - x), s.load_part(weights, y * ow + x, ow - x));
                s.store_part(v, buffer, to + x, ow - x);
                x += S::LANES;
            }
        }
        let k = if K == 0 { shape.k } else { K };
        let dilation = if DILATION == 0 { padded.dilation } else { DILATION };
        sum_plane(s, (k, 1, dilation), padded, buffer, None, out);
    }
}

/// Sums of windows, of this side, stride and dilation, times `weights` where given.
#[inline(always)]
fn sum_plane<S: Simd>(
    s: S,
    (k, stride, d): (usize, usize, usize),
    padded: &Padded,
    buffer: &[f32],
    weights: Option<&[f32]>,
    out: &mut [f32],
) {
    let (ow, pitch, piece) = (padded.ow, padded.pitch, padded.piece);
    for y in 0..padded.oh {
        let rows = &buffer[y * stride * pitch..][..(d * (k - 1) + 1) * pitch];
        let out = &mut out[y * ow..][..ow];
        let mut x = 0;
        while x < ow {
            let mut sum = s.zero();
            for ky in 0..k {
                for kx in 0..k {
                    let kx_at = kx * d % stride * piece + kx * d / stride;
                    sum = s.add(sum, s.load(rows, ky * d * pitch + kx_at + x));
                }
            }
            if let Some(weights) = weights {
                sum = s.mul(sum, s.load_part(weights, y * ow + x, ow - x));
            }
            s.store_part(sum, out, x, ow - x);
            x += S::LANES;
        }
    }
}
