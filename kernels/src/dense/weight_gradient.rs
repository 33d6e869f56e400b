//! The weight gradient of a dense convolution: for each tap, the sum over pixels of output gradients times the inputs that
//! the tap saw.
//!
//! A task owns some output channels and a strip of input channels, two vectors wide. It turns the strip so that a
//! pixel's channels lie side by side, and for each tap adds up products over a chunk of pixels, a register tile of
//! output by input channels at a time. Padding is never touched: the sums run over the pixels that see the input.
//! (`few_channels.rs` is for input channels that would not fill a strip.)

use super::correlate::{Grid, TileRows, row_parts};
use crate::simd::{Kernel, Level, Simd, fill_pieces};
use crate::{ConvShape, scratch};
use rayon::prelude::*;
use std::ops::Range;

/// Pixels in a chunk: a register tile's gradients stay in the nearest cache while the taps pass over them.
const CHUNK: usize = 256;
/// Distance of gradient rows in a chunk's copy: not a multiple of a page, so that rows do not fall on the same cache lines.
const SPACING: usize = CHUNK + 16;
/// Output channels of a task, at most.
const CHANNELS: usize = 96;
/// Tasks that there should be, for machines with many cores.
const TASKS: usize = 32;

/// `[co, ci, kh, kw]`; `grid` is the forward convolution's, `x` its source.
pub(super) fn backward_weight(
    level: Level,
    x: &[f32],
    g: &[f32],
    shape: &ConvShape,
    grid: &Grid,
) -> Vec<f32> {
    let work = Work::new(level, x, g, shape, grid);
    let Work { strips, groups, parts, .. } = work;
    let sums = work.sums();
    let mut all = vec![0.0; parts * strips * groups * sums];
    if sums > 0 {
        all.par_chunks_mut(sums).enumerate().for_each(|(task, sums)| {
            let (part, rest) = (task / (strips * groups), task % (strips * groups));
            level.run(Task { work: &work, part, strip: rest / groups, group: rest % groups, sums });
        });
    }
    let taps = shape.kh * shape.kw;
    let part = strips * groups * sums;
    fill_pieces(
        shape.weight_len(),
        shape.ci * taps,
        4,
        || (),
        |_, co, out| {
            let (group, row) = (co / work.channels, co % work.channels);
            for c in 0..shape.ci {
                for (t, tap) in grid.taps.iter().enumerate() {
                    let (strip, lane) = (c / work.width, c % work.width);
                    let at = (strip * groups + group) * sums
                        + ((row / work.tile_rows * grid.taps.len() + t) * work.tile_rows
                            + row % work.tile_rows)
                            * work.width
                        + lane;
                    out[c * taps + tap.number] = (0..parts).map(|p| all[p * part + at]).sum();
                }
            }
        },
    )
}

/// How the work is cut; depends on the shape and the instruction set only.
struct Work<'a> {
    x: &'a [f32],
    g: &'a [f32],
    shape: &'a ConvShape,
    grid: &'a Grid,
    tile_rows: usize,
    /// Lanes of a strip.
    width: usize,
    strips: usize,
    /// Output channels per task, a multiple of `tile_rows`.
    channels: usize,
    groups: usize,
    /// Ranges of images with sums of their own.
    parts: usize,
    images: usize,
}

impl<'a> Work<'a> {
    fn new(level: Level, x: &'a [f32], g: &'a [f32], shape: &'a ConvShape, grid: &'a Grid) -> Work<'a> {
        let (tile_rows, width) = (level.run(TileRows), level.run(Width));
        let strips = shape.ci.div_ceil(width);
        let channels = CHANNELS.min(shape.co.next_multiple_of(tile_rows)).max(1);
        let groups = shape.co.div_ceil(channels);
        let images = shape.n.div_ceil(TASKS.div_ceil((strips * groups).max(1)).min(shape.n.max(1))).max(1);
        let parts = shape.n.div_ceil(images);
        Work { x, g, shape, grid, tile_rows, width, strips, channels, groups, parts, images }
    }

    /// Elements of a task's sums: `[channels / tile_rows, taps, tile_rows, width]`.
    fn sums(&self) -> usize {
        self.channels * self.grid.taps.len() * self.width
    }
}

struct Width;

impl Kernel for Width {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        2 * S::LANES
    }
}

struct Task<'a> {
    work: &'a Work<'a>,
    part: usize,
    strip: usize,
    group: usize,
    sums: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match S::TILE_ROWS {
            12 => self.images::<S, 12, 8, 4>(s),
            6 => self.images::<S, 6, 4, 2>(s),
            _ => self.images::<S, 3, 2, 1>(s),
        }
    }
}

/// Gradients of a register tile's output channels over a chunk.
type Gradients<const R: usize> = [[f32; SPACING]; R];

impl Task<'_> {
    #[inline(always)]
    fn images<S: Simd, const R: usize, const M: usize, const F: usize>(&mut self, s: S) {
        let work = self.work;
        let ConvShape { n, co, .. } = *work.shape;
        let ohw = work.grid.oh * work.grid.ow;
        let width = 2 * S::LANES;
        let mut turned = scratch::take_aligned(work.grid.channel() * width);
        let mut gradients: Box<Gradients<R>> = Box::new([[0.0; SPACING]; R]);
        let first = self.group * work.channels;
        for image in self.part * work.images..((self.part + 1) * work.images).min(n) {
            self.turn(image, width, &mut turned);
            for start in (0..ohw).step_by(CHUNK) {
                let chunk = start..ohw.min(start + CHUNK);
                for (tile, sums) in self.sums.chunks_exact_mut(work.grid.taps.len() * R * width).enumerate() {
                    let channel = first + tile * R;
                    if channel >= co {
                        break;
                    }
                    let rows = R.min(co - channel);
                    for (r, row) in gradients.iter_mut().enumerate().take(rows) {
                        let g = &work.g[(image * co + channel + r) * ohw..][..ohw];
                        row[..chunk.len()].copy_from_slice(&g[chunk.clone()]);
                    }
                    for (tap, sums) in sums.chunks_exact_mut(R * width).enumerate() {
                        if rows > M {
                            add_products::<S, R, R>(s, work, tap, chunk.clone(), &gradients, &turned, sums);
                        } else if rows > F {
                            add_products::<S, R, M>(s, work, tap, chunk.clone(), &gradients, &turned, sums);
                        } else {
                            add_products::<S, R, F>(s, work, tap, chunk.clone(), &gradients, &turned, sums);
                        }
                    }
                }
            }
        }
    }

    /// Writes the strip's lanes pixel by pixel; lanes after the last are zero.
    #[inline(always)]
    fn turn(&self, image: usize, width: usize, turned: &mut [f32]) {
        /// Pixels at a time: what is read and written stays in the nearest cache.
        const RUN: usize = 64;
        let work = self.work;
        let (ci, channel) = (work.shape.ci, work.grid.channel());
        let x = &work.x[image * ci * channel..][..ci * channel];
        let first = self.strip * width;
        let lanes = width.min(ci - first);
        let mut line = [0.0; RUN];
        for (i, turned) in turned.chunks_mut(RUN * width).enumerate() {
            let pixels = i * RUN..i * RUN + turned.len() / width;
            for lane in 0..width {
                let line = &mut line[..pixels.len()];
                if lane >= lanes {
                    line.fill(0.0);
                } else {
                    line.copy_from_slice(&x[(first + lane) * channel..][pixels.clone()]);
                }
                for (to, from) in turned.chunks_exact_mut(width).zip(line.iter()) {
                    to[lane] = *from;
                }
            }
        }
    }
}

/// Adds a chunk's products for one tap to `[R, width]` sums, of which `Q` rows are in use.
#[inline(always)]
fn add_products<S: Simd, const R: usize, const Q: usize>(
    s: S,
    work: &Work,
    tap: usize,
    chunk: Range<usize>,
    gradients: &Gradients<R>,
    turned: &[f32],
    sums: &mut [f32],
) {
    let width = 2 * S::LANES;
    let grid = work.grid;
    let mut acc = [[s.zero(); 2]; Q];
    let start = chunk.start;
    let tap = &grid.taps[tap];
    for (oy, columns) in row_parts(chunk, grid.ow) {
        let inside = grid.inside(oy, columns, tap);
        if !inside.is_empty() {
            let pixel = oy * grid.ow + inside.start - start;
            let pixels = pixel..pixel + inside.len();
            acc = run::<S, R, Q>(
                s,
                acc,
                gradients,
                pixels,
                &turned[grid.place(oy, inside.start, tap) * width..],
            );
        }
    }
    for r in 0..Q {
        for h in 0..2 {
            let at = r * width + h * S::LANES;
            s.store(s.add(s.load(sums, at), acc[r][h]), sums, at);
        }
    }
}

/// Adds products of a run of pixels.
#[inline(always)]
fn run<S: Simd, const R: usize, const Q: usize>(
    s: S,
    mut acc: [[S::V; 2]; Q],
    gradients: &Gradients<R>,
    pixels: Range<usize>,
    turned: &[f32],
) -> [[S::V; 2]; Q] {
    for (pixel, b) in pixels.zip(turned.chunks_exact(2 * S::LANES)) {
        let b = [s.load(b, 0), s.load(b, S::LANES)];
        for r in 0..Q {
            let g = s.splat(gradients[r][pixel]);
            acc[r][0] = s.fma(g, b[0], acc[r][0]);
            acc[r][1] = s.fma(g, b[1], acc[r][1]);
        }
    }
    acc
}
