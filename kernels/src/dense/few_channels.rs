//! The weight gradient of a dense convolution with few input channels, such as a network's first.
//!
//! A task takes some images. It lays out what each (channel, tap) pair sees as a row, a chunk of pixels that fits the
//! second-level cache at a time, and sums the products of these rows with those of the gradient.

use super::correlate::Grid;
use crate::pointwise::{Products, sum_parts};
use crate::simd::{Kernel, Level, Simd};
use crate::{ConvShape, scratch};
use rayon::prelude::*;
use std::ops::Range;

/// Elements of a chunk's rows.
const CHUNK: usize = 128 * 1024;
/// Parts of the batch that are summed separately.
const PARTS: usize = 16;

/// `[co, ci, kh, kw]`; `grid` is the forward convolution's, `x` its source.
pub(super) fn backward_weight(
    level: Level,
    x: &[f32],
    g: &[f32],
    shape: &ConvShape,
    grid: &Grid,
) -> Vec<f32> {
    let (pairs, ohw, co) = (shape.ci * grid.taps.len(), grid.oh * grid.ow, shape.co);
    let mut out = vec![0.0; shape.weight_len()];
    if shape.n * co * pairs * ohw == 0 {
        return out;
    }
    let most = (CHUNK / (pairs + co)).clamp(64, 2048);
    let chunk = ohw.div_ceil(ohw.div_ceil(most)).next_multiple_of(16);
    // Not a multiple of a page, so that rows do not fall on the same cache lines.
    let spacing = chunk + 16;
    let images = shape.n.div_ceil(PARTS);
    let mut parts = vec![0.0; shape.n.div_ceil(images) * co * pairs];
    parts.par_chunks_mut(co * pairs).enumerate().for_each(|(part, gw)| {
        let (mut seen, mut gradient) =
            (scratch::take_aligned(pairs * spacing), scratch::take_aligned(co * spacing));
        for image in part * images..((part + 1) * images).min(shape.n) {
            let x = &x[image * shape.ci * grid.channel()..][..shape.ci * grid.channel()];
            let g = &g[image * co * ohw..][..co * ohw];
            for first in (0..ohw).step_by(chunk) {
                let pixels = first..ohw.min(first + chunk);
                let columns = pixels.len();
                level.run(See { x, grid, pixels: pixels.clone(), spacing, out: &mut seen });
                for (to, g) in gradient.chunks_exact_mut(spacing).zip(g.chunks_exact(ohw)) {
                    to[..columns].copy_from_slice(&g[pixels.clone()]);
                }
                let (x, g) = (&seen[..], &gradient[..]);
                level.run(Products { x, g, gw, ci: pairs, co, columns, spacing, relu: false });
            }
        }
    });
    let sums = sum_parts(parts, co * pairs);
    // Taps that only see padding have no pairs.
    let (taps, all) = (grid.taps.len(), shape.kh * shape.kw);
    for (sums, out) in sums.chunks_exact(taps).zip(out.chunks_exact_mut(all)) {
        for (sum, tap) in sums.iter().zip(&grid.taps) {
            out[tap.number] = *sum;
        }
    }
    out
}

/// Writes what each pair of channel and tap sees at `pixels`, in rows `spacing` apart.
struct See<'a> {
    x: &'a [f32],
    grid: &'a Grid,
    pixels: Range<usize>,
    spacing: usize,
    out: &'a mut [f32],
}

impl Kernel for See<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let See { x, grid, pixels, spacing, out } = self;
        let (channels, taps) = (x.len() / grid.channel(), grid.taps.len());
        let count = pixels.len().next_multiple_of(S::LANES);
        for t in 0..taps {
            let to = &mut out[t * spacing..];
            grid.see(s, t, x, 0..channels, pixels.start, count, to, taps * spacing);
        }
    }
}
