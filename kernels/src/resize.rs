//! Bilinear resizing of planes `[h, w]`, as PyTorch's `interpolate` with `mode="bilinear"` and no antialiasing.
//!
//! With aligned corners the middles of the corner pixels lie on each other, without them the corners of the images do;
//! places beyond a border's middle get the border.
//!
//! Rows first, then columns: what is picked one by one is then as small as the smaller image is high, and the rest are
//! sums of whole rows.

use crate::scratch;
use crate::simd::{Kernel, Level, Simd, fill_pieces};

/// Sizes, and how they lie on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeShape {
    /// Planes: images times channels.
    pub planes: usize,
    /// Height and width of the input.
    pub from: [usize; 2],
    /// Height and width of the output.
    pub to: [usize; 2],
    /// Whether the middles of the corner pixels coincide.
    pub align_corners: bool,
}

impl ResizeShape {
    /// Elements of the input.
    pub fn in_len(&self) -> usize {
        self.planes * self.from[0] * self.from[1]
    }

    /// Elements of the output.
    pub fn out_len(&self) -> usize {
        self.planes * self.to[0] * self.to[1]
    }

    fn axes(&self) -> [Vec<Mix>; 2] {
        assert!(self.out_len() == 0 || self.in_len() > 0, "an image without pixels has no larger one");
        [0, 1].map(|axis| mixes(self.from[axis], self.to[axis], self.align_corners))
    }
}

/// An output as a mixture of two neighbours, or twice the same pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// The first of them.
    pub first: usize,
    /// The one after it, or the first again at the border.
    pub second: usize,
    /// Share of the second.
    pub share: f32,
}

/// The outputs of one axis: for those who resize row by row, because they need not keep all of them.
///
/// `from` is at least 1.
pub fn mixes(from: usize, to: usize, align_corners: bool) -> Vec<Mix> {
    let place = |o: usize| {
        let o = o as f64;
        if align_corners {
            if to > 1 { o * (from - 1) as f64 / (to - 1) as f64 } else { 0.0 }
        } else {
            ((o + 0.5) * from as f64 / to as f64 - 0.5).max(0.0)
        }
    };
    (0..to)
        .map(|o| {
            let place = place(o);
            let first = (place as usize).min(from - 1);
            Mix { first, second: (first + 1).min(from - 1), share: (place - first as f64) as f32 }
        })
        .collect()
}

/// The mixture of one axis as a matrix `[to, from]`: what resizing multiplies by from either side.
pub fn matrix(from: usize, to: usize, align_corners: bool) -> Vec<f32> {
    let mut matrix = vec![0.0; from * to];
    for (row, mix) in matrix.chunks_exact_mut(from.max(1)).zip(mixes(from, to, align_corners)) {
        row[mix.first] += 1.0 - mix.share;
        row[mix.second] += mix.share;
    }
    matrix
}

/// The resized planes.
pub fn forward(x: &[f32], shape: &ResizeShape) -> Vec<f32> {
    assert_eq!(x.len(), shape.in_len(), "input length");
    let ([rows, columns], level) = (shape.axes(), Level::current());
    let (plane, out_plane) = (shape.from[0] * shape.from[1], shape.to[0] * shape.to[1]);
    fill_pieces(
        shape.out_len(),
        out_plane,
        group(out_plane),
        || scratch::take(shape.from[0] * shape.to[1]),
        |wide, i, out| {
            let x = &x[i * plane..][..plane];
            level.run(Forward { x, width: shape.from[1], rows: &rows, columns: &columns, wide, out });
        },
    )
}

/// The gradient of [`forward`]'s input.
pub fn backward(g: &[f32], shape: &ResizeShape) -> Vec<f32> {
    assert_eq!(g.len(), shape.out_len(), "gradient length");
    let ([rows, columns], level) = (shape.axes(), Level::current());
    let (plane, out_plane) = (shape.from[0] * shape.from[1], shape.to[0] * shape.to[1]);
    fill_pieces(
        shape.in_len(),
        plane,
        group(out_plane),
        || scratch::take(shape.from[0] * shape.to[1]),
        |wide, i, out| {
            let g = &g[i * out_plane..][..out_plane];
            level.run(Backward { g, width: shape.from[1], rows: &rows, columns: &columns, wide, out });
        },
    )
}

fn group(plane: usize) -> usize {
    (16 * 1024 / plane.max(1)).max(1)
}

/// One plane.
struct Forward<'a> {
    x: &'a [f32],
    width: usize,
    rows: &'a [Mix],
    columns: &'a [Mix],
    /// The input with the output's columns.
    wide: &'a mut [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.columns.len();
        for (x, wide) in self.x.chunks_exact(self.width).zip(self.wide.chunks_exact_mut(width)) {
            for (to, mix) in wide.iter_mut().zip(self.columns) {
                *to = x[mix.first] + mix.share * (x[mix.second] - x[mix.first]);
            }
        }
        for (out, mix) in self.out.chunks_exact_mut(width).zip(self.rows) {
            let (first, second) =
                (&self.wide[mix.first * width..][..width], &self.wide[mix.second * width..][..width]);
            let share = s.splat(mix.share);
            for at in (0..width).step_by(S::LANES) {
                let left = width - at;
                let (a, b) = (s.load_part(first, at, left), s.load_part(second, at, left));
                s.store_part(s.fma(share, s.sub(b, a), a), out, at, left);
            }
        }
    }
}

/// One plane.
struct Backward<'a> {
    g: &'a [f32],
    width: usize,
    rows: &'a [Mix],
    columns: &'a [Mix],
    /// The gradient with the input's rows.
    wide: &'a mut [f32],
    /// Zeros.
    out: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.columns.len();
        self.wide.fill(0.0);
        for (g, mix) in self.g.chunks_exact(width).zip(self.rows) {
            for (row, share) in [(mix.first, 1.0 - mix.share), (mix.second, mix.share)] {
                let (row, share) = (&mut self.wide[row * width..][..width], s.splat(share));
                for at in (0..width).step_by(S::LANES) {
                    let left = width - at;
                    let sum = s.fma(share, s.load_part(g, at, left), s.load_part(row, at, left));
                    s.store_part(sum, row, at, left);
                }
            }
        }
        for (out, wide) in self.out.chunks_exact_mut(self.width).zip(self.wide.chunks_exact(width)) {
            for (g, mix) in wide.iter().zip(self.columns) {
                out[mix.first] += (1.0 - mix.share) * g;
                out[mix.second] += mix.share * g;
            }
        }
    }
}
