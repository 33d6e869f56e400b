//! Convolution over all channels (`groups == 1`), any kernel, stride, dilation and padding: the input's patches as a
//! matrix (im2col), by tiles of output rows that fit the second-level cache, and a matrix product per tile.
//! Weight `[co, ci, kh, kw]`.

use crate::pointwise::sum_parts;
use crate::simd::{Mat, fill_pieces, matmul};
use crate::{ConvShape, scratch};
use rayon::prelude::*;

/// Elements of a tile's patch matrix.
const TILE: usize = 96 * 1024;
/// Parts of the work whose weight gradients are summed separately.
const PARTS: usize = 16;

/// The output, `[n, co, out_h, out_w]`, for `x` `[n, ci, h, w]`.
pub fn forward(x: &[f32], w: &[f32], shape: &ConvShape) -> Vec<f32> {
    check(shape, Some(x), Some(w), None);
    let tiles = Tiles::new(shape);
    let (ohw, image, k) = (tiles.oh * tiles.ow, shape.ci * shape.h * shape.w, tiles.k);
    // Few images: several tasks per image, each for some of the output channels.
    let block = channel_block(shape.n, shape.co);
    let blocks = shape.co.div_ceil(block);
    let run = |i: usize, first: usize, out: &mut [f32]| {
        let x = &x[i * image..][..image];
        let count = out.len() / ohw;
        let w = &w[first * k..][..count * k];
        let mut patches = scratch::take(tiles.rows * tiles.ow * k);
        for top in (0..tiles.oh).step_by(tiles.rows) {
            let columns = tiles.rows.min(tiles.oh - top) * tiles.ow;
            im2col(x, shape, top, columns, &mut patches);
            let out = &mut out[top * tiles.ow..];
            matmul(out, ohw, false, Mat::rows(w, k), Mat::rows(&patches, columns), count, columns, k);
        }
    };
    if blocks == 1 {
        return fill_pieces(shape.out_len(), shape.co * ohw, 1, || (), |_, i, out| run(i, 0, out));
    }
    // A piece has to be part of one image.
    let mut out = vec![0.0; shape.out_len()];
    if ohw > 0 {
        out.par_chunks_mut(shape.co * ohw).enumerate().for_each(|(i, image)| {
            image.par_chunks_mut(block * ohw).enumerate().for_each(|(b, out)| run(i, b * block, out));
        });
    }
    out
}

/// The gradient of the input, `[n, ci, h, w]`, for the output's gradient `g`.
pub fn backward_input(g: &[f32], w: &[f32], shape: &ConvShape) -> Vec<f32> {
    check(shape, None, Some(w), Some(g));
    let tiles = Tiles::new(shape);
    let (ohw, plane, taps) = (tiles.oh * tiles.ow, shape.h * shape.w, shape.kh * shape.kw);
    if ohw == 0 || shape.n * shape.ci * plane == 0 {
        return vec![0.0; shape.in_len()];
    }
    let block = channel_block(shape.n, shape.ci);
    let run = |i: usize, first: usize, gx: &mut [f32]| {
        let g = &g[i * shape.co * ohw..][..shape.co * ohw];
        let count = gx.len() / plane;
        let k = count * taps;
        let mut patches = scratch::take(tiles.rows * tiles.ow * k);
        for top in (0..tiles.oh).step_by(tiles.rows) {
            let columns = tiles.rows.min(tiles.oh - top) * tiles.ow;
            // [k, columns] = w[:, first..]^T [k, co] * g [co, columns]
            let w = Mat { data: &w[first * taps..], row_stride: 1, col_stride: tiles.k };
            let g = Mat { data: &g[top * tiles.ow..], row_stride: ohw, col_stride: 1 };
            matmul(&mut patches, columns, false, w, g, k, columns, shape.co);
            col2im(&patches, shape, top, columns, gx);
        }
    };
    if block >= shape.ci {
        return fill_pieces(shape.in_len(), shape.ci * plane, 1, || (), |_, i, gx| run(i, 0, gx));
    }
    let mut gx = vec![0.0; shape.in_len()];
    gx.par_chunks_mut(shape.ci * plane).enumerate().for_each(|(i, image)| {
        image.par_chunks_mut(block * plane).enumerate().for_each(|(b, gx)| run(i, b * block, gx));
    });
    gx
}

/// The gradient of the weight, `[co, ci, kh, kw]`, for input `x` and output gradient `g`.
pub fn backward_weight(x: &[f32], g: &[f32], shape: &ConvShape) -> Vec<f32> {
    check(shape, Some(x), None, Some(g));
    let tiles = Tiles::new(shape);
    let (ohw, image, k) = (tiles.oh * tiles.ow, shape.ci * shape.h * shape.w, tiles.k);
    let len = shape.weight_len();
    let per_image = tiles.oh.div_ceil(tiles.rows);
    let jobs = shape.n * per_image;
    if jobs == 0 || len == 0 || ohw == 0 {
        return vec![0.0; len];
    }
    // A job is a tile of an image; each part of the weights sums a fixed range of jobs.
    let group = jobs.div_ceil(PARTS);
    let mut parts = vec![0.0; jobs.div_ceil(group) * len];
    parts.par_chunks_mut(len).enumerate().for_each(|(part, gw)| {
        let mut patches = scratch::take(tiles.rows * tiles.ow * k);
        for job in part * group..((part + 1) * group).min(jobs) {
            let (i, top) = (job / per_image, job % per_image * tiles.rows);
            let columns = tiles.rows.min(tiles.oh - top) * tiles.ow;
            im2col(&x[i * image..][..image], shape, top, columns, &mut patches);
            // gw [co, k] += g [co, columns] * patches^T [columns, k]
            let g = Mat { data: &g[i * shape.co * ohw + top * tiles.ow..], row_stride: ohw, col_stride: 1 };
            matmul(gw, k, true, g, Mat::rows(&patches, columns).t(), shape.co, k, columns);
        }
    });
    sum_parts(parts, len)
}

fn check(shape: &ConvShape, x: Option<&[f32]>, w: Option<&[f32]>, g: Option<&[f32]>) {
    assert_eq!(shape.groups, 1, "dense: groups must be 1");
    assert!(x.is_none_or(|x| x.len() == shape.in_len()), "input length does not match {shape:?}");
    assert!(w.is_none_or(|w| w.len() == shape.weight_len()), "weight length does not match {shape:?}");
    assert!(g.is_none_or(|g| g.len() == shape.out_len()), "gradient length does not match {shape:?}");
}

/// Channels per task: all of them where there are images enough to keep a machine busy.
fn channel_block(n: usize, channels: usize) -> usize {
    if n >= 8 { channels.max(1) } else { channels.div_ceil(8).max(16) }
}

struct Tiles {
    oh: usize,
    ow: usize,
    /// Output rows of a tile.
    rows: usize,
    /// Rows of the patch matrix.
    k: usize,
}

impl Tiles {
    fn new(shape: &ConvShape) -> Tiles {
        let (oh, ow, k) = (shape.out_h(), shape.out_w(), shape.ci * shape.kh * shape.kw);
        // At least a row, and at least columns enough for an efficient product.
        let rows = (TILE / (k * ow).max(1)).max(32usize.div_ceil(ow.max(1))).clamp(1, oh.max(1));
        Tiles { oh, ow, rows, k }
    }
}

/// Output columns `ox` for which `ox * stride + offset` is inside `0..w`.
fn valid(ow: usize, w: usize, stride: usize, offset: isize) -> (usize, usize) {
    let first = ((-offset).max(0) as usize).div_ceil(stride).min(ow);
    let last = if offset >= w as isize { 0 } else { ((w as isize - 1 - offset) as usize) / stride + 1 };
    (first, last.min(ow).max(first))
}

/// `patches[(c, ky, kx), (oy - top, ox)] = x[c, oy * stride + ky * dilation - pad_h, ..]`.
fn im2col(x: &[f32], shape: &ConvShape, top: usize, columns: usize, patches: &mut [f32]) {
    let (ow, s, plane) = (shape.out_w(), shape.stride, shape.h * shape.w);
    let mut rows = patches.chunks_exact_mut(columns);
    for c in 0..shape.ci {
        let x = &x[c * plane..][..plane];
        for ky in 0..shape.kh {
            for kx in 0..shape.kw {
                let offset = (kx * shape.dilation) as isize - shape.pad_w as isize;
                let (first, last) = valid(ow, shape.w, s, offset);
                let Some(row) = rows.next() else { return };
                for (j, to) in row.chunks_exact_mut(ow).enumerate() {
                    let y = ((top + j) * s + ky * shape.dilation) as isize - shape.pad_h as isize;
                    if y < 0 || y >= shape.h as isize || first == last {
                        to.fill(0.0);
                        continue;
                    }
                    to[..first].fill(0.0);
                    to[last..].fill(0.0);
                    let from = &x[y as usize * shape.w + ((first * s) as isize + offset) as usize..];
                    let to = &mut to[first..last];
                    if s == 1 {
                        to.copy_from_slice(&from[..to.len()]);
                    } else {
                        for (to, from) in to.iter_mut().zip(from.iter().step_by(s)) {
                            *to = *from;
                        }
                    }
                }
            }
        }
    }
}

/// Adds patches to the places that [`im2col`] takes them from; `gx` may be a block of channels.
fn col2im(patches: &[f32], shape: &ConvShape, top: usize, columns: usize, gx: &mut [f32]) {
    let (ow, s, plane) = (shape.out_w(), shape.stride, shape.h * shape.w);
    let mut rows = patches.chunks_exact(columns);
    for gx in gx.chunks_exact_mut(plane) {
        for ky in 0..shape.kh {
            for kx in 0..shape.kw {
                let offset = (kx * shape.dilation) as isize - shape.pad_w as isize;
                let (first, last) = valid(ow, shape.w, s, offset);
                let Some(row) = rows.next() else { return };
                for (j, from) in row.chunks_exact(ow).enumerate() {
                    let y = ((top + j) * s + ky * shape.dilation) as isize - shape.pad_h as isize;
                    if y < 0 || y >= shape.h as isize || first == last {
                        continue;
                    }
                    let to = &mut gx[y as usize * shape.w + ((first * s) as isize + offset) as usize..];
                    let from = &from[first..last];
                    if s == 1 {
                        for (to, from) in to.iter_mut().zip(from) {
                            *to += from;
                        }
                    } else {
                        for (to, from) in to.iter_mut().step_by(s).zip(from) {
                            *to += from;
                        }
                    }
                }
            }
        }
    }
}
