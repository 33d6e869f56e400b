//! The product at the heart of a dense convolution and of its input gradient: every output pixel is the sum, over taps
//! and channels, of weights times source pixels.
//!
//! The weights are packed once, in blocks of at most [`DEPTH`] (tap, channel) pairs. A task takes some hundred output
//! pixels; for each block it lays the source pixels out as a panel of strips, two vectors wide, that stays in the
//! second-level cache, and multiplies it by the block's rows, a register tile at a time. Taps that see only padding from
//! a strip are skipped for it.

use crate::scratch;
use crate::simd::{Kernel, Level, Simd, Tile};
use rayon::prelude::*;
use std::ops::Range;

/// Pairs of tap and channel in a block: a strip of the panel is then read once from the second-level cache per row tile.
const DEPTH: usize = 256;

/// Where output pixels find their source: pixel `(oy, ox)` reads `(oy * stride + dy, ox * stride + dx)` for each tap.
pub(super) struct Grid {
    /// Height of the source.
    pub sh: usize,
    /// Width of the source.
    pub sw: usize,
    /// Height of the output.
    pub oh: usize,
    /// Width of the output.
    pub ow: usize,
    /// Source pixels per output pixel.
    pub stride: usize,
    /// Each tap's place `(dy, dx)` and its number in the weight.
    pub taps: Vec<(isize, isize, usize)>,
}

impl Grid {
    /// Without the taps that no output pixel finds inside the source.
    pub fn new(
        [sh, sw]: [usize; 2],
        [oh, ow]: [usize; 2],
        stride: usize,
        taps: impl IntoIterator<Item = (isize, isize, usize)>,
    ) -> Grid {
        let touches = |&(dy, dx, _): &(isize, isize, usize)| {
            !valid(oh, sh, stride, dy).is_empty() && !valid(ow, sw, stride, dx).is_empty()
        };
        Grid { sh, sw, oh, ow, stride, taps: taps.into_iter().filter(touches).collect() }
    }

    /// Columns of output row `oy` within `columns` that find tap `(dy, dx)` inside the source.
    #[inline(always)]
    pub fn inside(&self, oy: usize, columns: Range<usize>, dy: isize, dx: isize) -> Range<usize> {
        let y = (oy * self.stride) as isize + dy;
        if y < 0 || y >= self.sh as isize {
            return columns.start..columns.start;
        }
        let valid = valid(self.ow, self.sw, self.stride, dx);
        let first = valid.start.clamp(columns.start, columns.end);
        first..valid.end.clamp(first, columns.end)
    }
}

/// Places `o` of an output of length `len` for which `o * stride + offset` is inside `0..source`.
pub(super) fn valid(len: usize, source: usize, stride: usize, offset: isize) -> Range<usize> {
    let first = ((-offset).max(0) as usize).div_ceil(stride).min(len);
    let end = if offset >= source as isize { 0 } else { ((source as isize - 1 - offset) as usize) / stride + 1 };
    first..end.min(len).max(first)
}

/// The parts of output rows, `(row, columns)`, that make up the flat range `pixels` of an output `width` wide.
#[inline(always)]
pub(super) fn row_parts(pixels: Range<usize>, width: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut at = pixels.start;
    std::iter::from_fn(move || {
        (at < pixels.end).then(|| {
            let (row, first) = (at / width, at % width);
            let end = width.min(first + pixels.end - at);
            at += end - first;
            (row, first..end)
        })
    })
}

/// Pairs of taps and channels that are multiplied together.
struct Block {
    taps: Range<usize>,
    channels: Range<usize>,
    /// Pairs in the blocks before it.
    at: usize,
}

impl Block {
    fn len(&self) -> usize {
        self.taps.len() * self.channels.len()
    }
}

/// The weights of a [`Grid`]'s taps, packed for [`Correlate`].
pub(super) struct Packed {
    level: Level,
    /// Pairs in all blocks.
    depth: usize,
    tile_rows: usize,
    blocks: Vec<Block>,
    /// By groups of `tile_rows` rows: the rows' values of the first pair, of the second, and so on; zeros for the rows
    /// after the last.
    data: Vec<f32>,
}

impl Packed {
    /// The product's rows are output channels, or input channels for the gradient; their values are
    /// `weight[row * row_stride + channel * channel_stride + tap]`.
    pub fn new(
        level: Level,
        grid: &Grid,
        weight: &[f32],
        [rows, row_stride]: [usize; 2],
        [channels, channel_stride]: [usize; 2],
    ) -> Packed {
        let taps = grid.taps.len();
        let mut blocks = vec![];
        let mut at = 0;
        let mut add = |taps: Range<usize>, channels: Range<usize>| {
            let block = Block { taps, channels, at };
            at += block.len();
            blocks.push(block);
        };
        if channels > DEPTH / 2 {
            let size = channels.div_ceil(channels.div_ceil(DEPTH));
            for tap in 0..taps {
                for first in (0..channels).step_by(size) {
                    add(tap..tap + 1, first..channels.min(first + size));
                }
            }
        } else {
            let size = DEPTH / channels.max(1);
            for first in (0..taps).step_by(size) {
                add(first..taps.min(first + size), 0..channels);
            }
        }
        let depth = taps * channels;
        let mut place = vec![0; depth];
        for block in &blocks {
            for (i, tap) in block.taps.clone().enumerate() {
                for (j, channel) in block.channels.clone().enumerate() {
                    place[channel * taps + tap] = block.at + i * block.channels.len() + j;
                }
            }
        }
        let tile_rows = level.run(TileRows);
        let mut data = vec![0.0; rows.div_ceil(tile_rows) * tile_rows * depth];
        if depth > 0 {
            data.par_chunks_mut(tile_rows * depth).enumerate().for_each(|(group, data)| {
                let first = group * tile_rows;
                for (channel, place) in place.chunks_exact(taps).enumerate() {
                    for r in 0..tile_rows.min(rows - first) {
                        let weight = &weight[(first + r) * row_stride + channel * channel_stride..];
                        for ((_, _, tap), place) in grid.taps.iter().zip(place) {
                            data[place * tile_rows + r] = weight[*tap];
                        }
                    }
                }
            });
        }
        Packed { level, depth, tile_rows, blocks, data }
    }

    /// Adds to `tile` the product's rows from `row` (a multiple of the register tile's, see [`Packed::row_multiple`]) at the
    /// output pixels from `first` on; `source` is one image.
    pub fn correlate(&self, grid: &Grid, source: &[f32], row: usize, first: usize, tile: &mut Tile) {
        self.level.run(Correlate { packed: self, grid, source, row, first, tile });
    }

    /// Rows of a task have to begin at multiples of this.
    pub fn row_multiple(&self) -> usize {
        self.tile_rows
    }
}

/// Reads an instruction set's register tile.
pub(super) struct TileRows;

impl Kernel for TileRows {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::TILE_ROWS
    }
}

/// See [`Packed::correlate`].
struct Correlate<'a, 'b> {
    packed: &'a Packed,
    grid: &'a Grid,
    source: &'a [f32],
    row: usize,
    first: usize,
    tile: &'a mut Tile<'b>,
}

impl Kernel for Correlate<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match S::TILE_ROWS {
            12 => self.blocks::<S, 12, 8, 4>(s),
            6 => self.blocks::<S, 6, 4, 2>(s),
            _ => self.blocks::<S, 3, 2, 1>(s),
        }
    }
}

impl Correlate<'_, '_> {
    /// A register tile has `R` rows, the last one of the product may have `M` or `F`.
    #[inline(always)]
    fn blocks<S: Simd, const R: usize, const M: usize, const F: usize>(&mut self, s: S) {
        let width = 2 * S::LANES;
        let Packed { depth, blocks, data, .. } = self.packed;
        let (rows, columns) = (self.tile.rows(), self.tile.columns());
        let strips = columns.div_ceil(width);
        let deepest = blocks.iter().map(Block::len).max().unwrap_or(0);
        let mut panel = scratch::take(strips * width * deepest);
        let mut live = vec![false; strips];
        let mut mask = vec![0.0; strips * width];
        for block in blocks {
            let k = block.len();
            for (strip, live) in live.iter_mut().enumerate() {
                *live = self.sees(&block.taps, strip * width, width);
            }
            if !live.contains(&true) {
                continue;
            }
            for (i, tap) in block.taps.clone().enumerate() {
                let k0 = i * block.channels.len();
                self.pack_tap(s, tap, block.channels.clone(), k0, k, &live, &mut mask, &mut panel);
            }
            for group in 0..rows.div_ceil(R) {
                let weights = &data[(self.row / R + group) * R * depth + block.at * R..][..k * R];
                let count = rows - group * R;
                for (strip, panel) in panel.chunks_exact(k * width).take(strips).enumerate() {
                    if !live[strip] {
                        continue;
                    }
                    let (row, column) = (group * R, strip * width);
                    if count > M {
                        multiply::<S, R, R>(s, weights, panel, self.tile, row, column);
                    } else if count > F {
                        multiply::<S, R, M>(s, weights, panel, self.tile, row, column);
                    } else {
                        multiply::<S, R, F>(s, weights, panel, self.tile, row, column);
                    }
                }
            }
        }
    }

    /// Whether a pixel of the strip at `column` finds one of `taps` inside the source.
    #[inline(always)]
    fn sees(&self, taps: &Range<usize>, column: usize, width: usize) -> bool {
        let end = self.tile.columns().min(column + width);
        self.grid.taps[taps.clone()].iter().any(|&(dy, dx, _)| {
            row_parts(self.first + column..self.first + end, self.grid.ow)
                .any(|(oy, columns)| !self.grid.inside(oy, columns, dy, dx).is_empty())
        })
    }

    /// Writes what the strips find at `tap`: channel `channels.start + j` becomes row `k0 + j` of each strip's `k`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn pack_tap<S: Simd>(
        &self,
        s: S,
        tap: usize,
        channels: Range<usize>,
        k0: usize,
        k: usize,
        live: &[bool],
        mask: &mut [f32],
        panel: &mut [f32],
    ) {
        let Grid { sh, sw, ow, stride, ref taps, .. } = *self.grid;
        let (dy, dx, _) = taps[tap];
        let (width, plane) = (2 * S::LANES, sh * sw);
        // What is copied: (place in the strip, place in the source plane, count); all else is zero.
        let mut pieces: Vec<(usize, usize, usize)> = vec![];
        for (strip, live) in live.iter().enumerate() {
            if !live {
                continue;
            }
            let from = self.first + strip * width;
            let to = self.first + self.tile.columns().min((strip + 1) * width);
            let mask = &mut mask[strip * width..][..width];
            mask.fill(0.0);
            pieces.clear();
            for (oy, columns) in row_parts(from..to, ow) {
                let inside = self.grid.inside(oy, columns, dy, dx);
                if !inside.is_empty() {
                    let place = oy * ow + inside.start - from;
                    let y = ((oy * stride) as isize + dy) as usize;
                    let x = ((inside.start * stride) as isize + dx) as usize;
                    mask[place..place + inside.len()].fill(1.0);
                    pieces.push((place, y * sw + x, inside.len()));
                }
            }
            let panel = &mut panel[(strip * k + k0) * width..][..channels.len() * width];
            // Where rows of output and source are equally long, a strip is one run of the source, whatever rows it spans.
            let shift = from as isize + dy * sw as isize + dx;
            if stride == 1 && ow == sw && shift >= 0 && shift as usize + width <= plane {
                let mask = [s.load(mask, 0), s.load(mask, S::LANES)];
                let whole = pieces.len() == 1 && pieces[0].2 == width;
                for (c, to) in channels.clone().zip(panel.chunks_exact_mut(width)) {
                    let from = &self.source[c * plane + shift as usize..][..width];
                    for h in 0..2 {
                        let v = s.load(from, h * S::LANES);
                        s.store(if whole { v } else { s.relu_mask(mask[h], v) }, to, h * S::LANES);
                    }
                }
                continue;
            }
            for (c, to) in channels.clone().zip(panel.chunks_exact_mut(width)) {
                let source = &self.source[c * plane..][..plane];
                if pieces.len() != 1 || pieces[0].2 != width {
                    s.store(s.zero(), to, 0);
                    s.store(s.zero(), to, S::LANES);
                }
                for &(place, from, count) in &pieces {
                    copy_strided(&source[from..], stride, &mut to[place..place + count]);
                }
            }
        }
    }
}

/// Every `stride`th element of `from`.
#[inline(always)]
pub(super) fn copy_strided(from: &[f32], stride: usize, to: &mut [f32]) {
    match stride {
        1 => to.copy_from_slice(&from[..to.len()]),
        2 => {
            let Some((last, to)) = to.split_last_mut() else { return };
            let (pairs, rest) = from.split_at(2 * to.len());
            for (to, from) in to.iter_mut().zip(pairs.chunks_exact(2)) {
                *to = from[0];
            }
            *last = rest[0];
        }
        _ => {
            for (to, from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                *to = *from;
            }
        }
    }
}

/// Adds the product of `Q` of the `R` packed rows with a strip to the tile at `(row, column)`. The sum over the block is
/// formed first: it is more accurate than one long sum.
#[inline(always)]
fn multiply<S: Simd, const R: usize, const Q: usize>(
    s: S,
    weights: &[f32],
    strip: &[f32],
    tile: &mut Tile,
    row: usize,
    column: usize,
) {
    let width = 2 * S::LANES;
    let mut acc = [[s.zero(); 2]; Q];
    for (w, b) in weights.chunks_exact(R).zip(strip.chunks_exact(width)) {
        let b = [s.load(b, 0), s.load(b, S::LANES)];
        for r in 0..Q {
            let w = s.splat(w[r]);
            acc[r][0] = s.fma(w, b[0], acc[r][0]);
            acc[r][1] = s.fma(w, b[1], acc[r][1]);
        }
    }
    let rows = tile.rows();
    let count = tile.columns() - column;
    for r in 0..Q {
        if row + r < rows {
            let out = &mut tile.row(row + r)[column..];
            if count >= width {
                for h in 0..2 {
                    s.store(s.add(s.load(out, h * S::LANES), acc[r][h]), out, h * S::LANES);
                }
            } else {
                for h in 0..2 {
                    let at = (h * S::LANES).min(count);
                    let old = s.load_part(out, at, count - at);
                    s.store_part(s.add(old, acc[r][h]), out, at, count - at);
                }
            }
        }
    }
}
