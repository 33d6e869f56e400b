//! ReLU and addition.

use crate::simd::{Kernel, Level, Simd, fill_pieces};
use rayon::prelude::*;

/// Elements per piece (in the nearest cache with its operands) and pieces per task.
const PIECE: usize = 2048;
const GROUP: usize = 8;

/// `max(x, 0)`; NaN stays.
pub fn relu(x: &[f32]) -> Vec<f32> {
    let level = Level::current();
    fill_pieces(
        x.len(),
        PIECE,
        GROUP,
        || (),
        |_, i, out| {
            let x = &x[i * PIECE..][..out.len()];
            level.run(Relu { x, out });
        },
    )
}

/// `g`, but 0 where `x <= 0`. `x` may be the input or the output of [`relu`].
pub fn relu_backward(x: &[f32], g: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), g.len(), "lengths differ");
    let level = Level::current();
    fill_pieces(
        x.len(),
        PIECE,
        GROUP,
        || (),
        |_, i, out| {
            out.copy_from_slice(&g[i * PIECE..][..out.len()]);
            let x = &x[i * PIECE..][..out.len()];
            level.run(MaskInPlace { x, g: out });
        },
    )
}

/// `a + b`.
pub fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "lengths differ");
    let level = Level::current();
    fill_pieces(
        a.len(),
        PIECE,
        GROUP,
        || (),
        |_, i, out| {
            out.copy_from_slice(&a[i * PIECE..][..out.len()]);
            let b = &b[i * PIECE..][..out.len()];
            level.run(AddInPlace { a: out, b });
        },
    )
}

/// `a * scale_a + b * scale_b` with a scale per image of `[n, c, hw]`, 1 where there is none: the sum of two branches
/// under drop path.
pub fn add_scaled(
    [a, b]: [&[f32]; 2],
    [scale_a, scale_b]: [Option<&[f32]>; 2],
    n: usize,
    c: usize,
    hw: usize,
) -> Vec<f32> {
    assert!(a.len() == n * c * hw && b.len() == a.len(), "lengths differ");
    let of = |scale: Option<&[f32]>, i: usize| scale.map_or(1.0, |scale| scale[i / c]);
    let level = Level::current();
    fill_pieces(
        a.len(),
        hw,
        (PIECE * GROUP / hw.max(1)).max(1),
        || (),
        |_, i, out| {
            let (a, b) = (&a[i * hw..][..hw], &b[i * hw..][..hw]);
            level.run(AddScaled { a, b, scales: [of(scale_a, i), of(scale_b, i)], out });
        },
    )
}

/// `x * scale` with a scale per image of `[n, c, hw]`.
pub fn scale(x: &[f32], scales: &[f32], n: usize, c: usize, hw: usize) -> Vec<f32> {
    assert!(x.len() == n * c * hw && scales.len() == n, "lengths differ");
    let level = Level::current();
    fill_pieces(
        x.len(),
        hw,
        (PIECE * GROUP / hw.max(1)).max(1),
        || (),
        |_, i, out| level.run(Scale { x: &x[i * hw..][..hw], scale: scales[i / c], out }),
    )
}

/// `a += b`.
pub fn add_assign(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "lengths differ");
    let level = Level::current();
    let task = PIECE * GROUP;
    if a.len() <= task {
        return level.run(AddInPlace { a, b });
    }
    a.par_chunks_mut(task).zip(b.par_chunks(task)).for_each(|(a, b)| level.run(AddInPlace { a, b }));
}

pub(crate) struct Relu<'a> {
    pub x: &'a [f32],
    pub out: &'a mut [f32],
}

impl Kernel for Relu<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut at = 0;
        let len = self.x.len();
        while at < len {
            let x = s.load_part(self.x, at, len - at);
            s.store_part(s.relu(x), self.out, at, len - at);
            at += S::LANES;
        }
    }
}

/// Zeroes `g` where `x <= 0`.
pub(crate) struct MaskInPlace<'a> {
    pub x: &'a [f32],
    pub g: &'a mut [f32],
}

impl Kernel for MaskInPlace<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut at = 0;
        let len = self.x.len();
        while at < len {
            let x = s.load_part(self.x, at, len - at);
            let g = s.load_part(self.g, at, len - at);
            s.store_part(s.relu_mask(x, g), self.g, at, len - at);
            at += S::LANES;
        }
    }
}

struct AddInPlace<'a> {
    a: &'a mut [f32],
    b: &'a [f32],
}

impl Kernel for AddInPlace<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut at = 0;
        let len = self.b.len();
        while at < len {
            let sum = s.add(s.load_part(self.a, at, len - at), s.load_part(self.b, at, len - at));
            s.store_part(sum, self.a, at, len - at);
            at += S::LANES;
        }
    }
}

struct AddScaled<'a> {
    a: &'a [f32],
    b: &'a [f32],
    scales: [f32; 2],
    out: &'a mut [f32],
}

impl Kernel for AddScaled<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [scale_a, scale_b] = self.scales.map(|scale| s.splat(scale));
        let len = self.a.len();
        let mut at = 0;
        while at < len {
            let a = s.mul(s.load_part(self.a, at, len - at), scale_a);
            let b = s.mul(s.load_part(self.b, at, len - at), scale_b);
            s.store_part(s.add(a, b), self.out, at, len - at);
            at += S::LANES;
        }
    }
}

struct Scale<'a> {
    x: &'a [f32],
    scale: f32,
    out: &'a mut [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let scale = s.splat(self.scale);
        let len = self.x.len();
        let mut at = 0;
        while at < len {
            s.store_part(s.mul(s.load_part(self.x, at, len - at), scale), self.out, at, len - at);
            at += S::LANES;
        }
    }
}
