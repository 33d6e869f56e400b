//! The product at the heart of a dense convolution and of its input gradient: every output pixel is the sum, over taps
//! and channels, of weights times source pixels.
//!
//! The weights are packed once, in blocks of at most [`DEPTH`] (tap, channel) pairs. A task takes some hundred output
//! pixels; for each block it lays the source pixels out as a panel of strips, two vectors wide, that stays in the
//! second-level cache, and multiplies it by the block's rows, a register tile at a time. Taps that see only padding from
//! a strip are skipped for it.

use crate::scratch;
use crate::simd::{Kernel, Level, Simd, Tile};
use std::ops::Range;
use std::sync::OnceLock;

/// Pairs of tap and channel in a block: a strip of the panel is then read once from the second-level cache per row tile.
const DEPTH: usize = 512;

/// One offset of a window.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    /// Source row of output row 0.
    pub dy: isize,
    /// Source column of output column 0.
    pub dx: isize,
    /// Plane of the source channel.
    pub plane: usize,
    /// Its number in the weight.
    pub number: usize,
}

/// Where output pixels find their source: pixel `(oy, ox)` reads `(oy + dy, ox + dx)` of a plane for each tap. A source
/// channel has several planes where a strided image was taken apart (`split.rs`).
pub(super) struct Grid {
    /// Height of a source plane.
    pub sh: usize,
    /// Width of a source plane.
    pub sw: usize,
    /// Planes of a source channel.
    pub planes: usize,
    /// Height of the output.
    pub oh: usize,
    /// Width of the output.
    pub ow: usize,
    /// Those that some output pixel finds inside the source.
    pub taps: Vec<Tap>,
    /// For each tap and output pixel: 1 where the tap is inside the source, else 0; then [`SPARE`] zeros.
    masks: Vec<f32>,
}

/// Elements behind a tap's mask, for the widest strip.
const SPARE: usize = 32;

impl Grid {
    /// Leaves out taps without effect.
    pub fn new(
        [sh, sw]: [usize; 2],
        planes: usize,
        [oh, ow]: [usize; 2],
        taps: impl IntoIterator<Item = Tap>,
    ) -> Grid {
        let touches = |tap: &Tap| !valid(oh, sh, tap.dy).is_empty() && !valid(ow, sw, tap.dx).is_empty();
        let taps: Vec<Tap> = taps.into_iter().filter(touches).collect();
        let mut masks = vec![0.0; taps.len() * (oh * ow + SPARE)];
        for (tap, mask) in taps.iter().zip(masks.chunks_exact_mut(oh * ow + SPARE)) {
            let columns = valid(ow, sw, tap.dx);
            for oy in valid(oh, sh, tap.dy) {
                mask[oy * ow..][columns.clone()].fill(1.0);
            }
        }
        Grid { sh, sw, planes, oh, ow, taps, masks }
    }

    /// Elements of a source channel.
    pub fn channel(&self) -> usize {
        self.planes * self.sh * self.sw
    }

    /// Columns of output row `oy` within `columns` that find the tap inside the source.
    #[inline(always)]
    pub fn inside(&self, oy: usize, columns: Range<usize>, tap: &Tap) -> Range<usize> {
        let y = oy as isize + tap.dy;
        if y < 0 || y >= self.sh as isize {
            return columns.start..columns.start;
        }
        let valid = valid(self.ow, self.sw, tap.dx);
        let first = valid.start.clamp(columns.start, columns.end);
        first..valid.end.clamp(first, columns.end)
    }

    /// Where output pixel `(oy, ox)` finds the tap within its source channel; it has to be inside.
    #[inline(always)]
    pub fn place(&self, oy: usize, ox: usize, tap: &Tap) -> usize {
        let (y, x) = ((oy as isize + tap.dy) as usize, (ox as isize + tap.dx) as usize);
        (tap.plane * self.sh + y) * self.sw + x
    }

    /// Writes what `channels` see through tap number `t` at the output pixels from `first` on: channel
    /// `channels.start + j` to `to[j * spacing..][..count]`, `count` a multiple of the vector's length, zeros for padding.
    /// The last vector may reach over the output's end.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub fn see<S: Simd>(
        &self,
        s: S,
        t: usize,
        source: &[f32],
        channels: Range<usize>,
        first: usize,
        count: usize,
        to: &mut [f32],
        spacing: usize,
    ) {
        let (tap, plane) = (&self.taps[t], self.sh * self.sw);
        let start = tap.plane * plane;
        // Where rows of output and source are equally long, any pixels are one run of the source, whatever rows they span.
        // Vectors that would reach over the plane's ends are left to the slow way.
        let (mut fast, shift) = (0..0, first as isize + tap.dy * self.sw as isize + tap.dx);
        if self.ow == self.sw {
            let from = ((-shift).max(0) as usize).next_multiple_of(S::LANES).min(count);
            let end = ((plane as isize - shift).max(0) as usize / S::LANES * S::LANES).min(count);
            fast = from..end.max(from);
        }
        let mask = self.mask(t);
        if fast == (0..count) {
            // The usual case, on its own because `count` is a constant for some callers.
            let mask = &mask[first..first + count];
            for (c, to) in channels.zip(to.chunks_mut(spacing)) {
                let from = &source[c * self.channel() + (start as isize + shift) as usize..][..count];
                let to = &mut to[..count];
                for at in (0..count).step_by(S::LANES) {
                    s.store(s.relu_mask(s.load(mask, at), s.load(from, at)), to, at);
                }
            }
            return;
        }
        let end = (first + count).min(self.oh * self.ow);
        for (c, to) in channels.zip(to.chunks_mut(spacing)) {
            let source = &source[c * self.channel()..][..self.channel()];
            let to = &mut to[..count];
            if !fast.is_empty() {
                let from = &source[start + (fast.start as isize + shift) as usize..][..fast.len()];
                let mask = &mask[first + fast.start..][..fast.len()];
                let to = &mut to[fast.clone()];
                for at in (0..to.len()).step_by(S::LANES) {
                    s.store(s.relu_mask(s.load(mask, at), s.load(from, at)), to, at);
                }
            }
            for rest in [0..fast.start, fast.end..count] {
                if rest.is_empty() {
                    continue;
                }
                to[rest.clone()].fill(0.0);
                for (oy, columns) in row_parts(first + rest.start..end.min(first + rest.end), self.ow) {
                    let inside = self.inside(oy, columns, tap);
                    if !inside.is_empty() {
                        let from = &source[self.place(oy, inside.start, tap)..][..inside.len()];
                        to[oy * self.ow + inside.start - first..][..inside.len()].copy_from_slice(from);
                    }
                }
            }
        }
    }

    fn mask(&self, t: usize) -> &[f32] {
        let len = self.oh * self.ow + SPARE;
        &self.masks[t * len..][..len]
    }
}

/// Places `o` of an output of length `len` for which `o + offset` is inside `0..source`.
fn valid(len: usize, source: usize, offset: isize) -> Range<usize> {
    let first = ((-offset).max(0) as usize).min(len);
    first..((source as isize - offset).max(0) as usize).min(len).max(first)
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

/// The weights of a [`Grid`]'s taps, packed for [`Correlate`] by whoever needs a group of rows first: a parallel step of
/// its own would cost more than the packing where threads take long to wake.
pub(super) struct Packed<'a> {
    level: Level,
    weight: &'a [f32],
    rows: [usize; 2],
    channel_stride: usize,
    /// Pairs in all blocks.
    depth: usize,
    tile_rows: usize,
    blocks: Vec<Block>,
    /// By groups of `tile_rows` rows: the rows' values of the first pair, of the second, and so on; zeros for the rows
    /// after the last.
    groups: Vec<OnceLock<Vec<f32>>>,
}

impl<'a> Packed<'a> {
    /// The product's rows are output channels, or input channels for the gradient; their values are
    /// `weight[row * row_stride + channel * channel_stride + tap]`.
    pub fn new(
        level: Level,
        grid: &Grid,
        weight: &'a [f32],
        rows: [usize; 2],
        [channels, channel_stride]: [usize; 2],
    ) -> Packed<'a> {
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
        let tile_rows = level.run(TileRows);
        let groups = (0..rows[0].div_ceil(tile_rows)).map(|_| OnceLock::new()).collect();
        Packed { level, weight, rows, channel_stride, depth, tile_rows, blocks, groups }
    }

    fn group(&self, grid: &Grid, group: usize) -> &[f32] {
        self.groups[group].get_or_init(|| {
            let ([rows, row_stride], first) = (self.rows, group * self.tile_rows);
            let mut data = vec![0.0; self.tile_rows * self.depth];
            let mut pairs = data.chunks_exact_mut(self.tile_rows);
            for block in &self.blocks {
                for tap in &grid.taps[block.taps.clone()] {
                    for (channel, to) in block.channels.clone().zip(&mut pairs) {
                        let place = first * row_stride + channel * self.channel_stride + tap.number;
                        let values = self.weight[place..].iter().step_by(row_stride);
                        for (to, from) in to.iter_mut().zip(values).take(rows - first) {
                            *to = *from;
                        }
                    }
                }
            }
            data
        })
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
    packed: &'a Packed<'a>,
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
        let Packed { blocks, .. } = self.packed;
        let (rows, columns) = (self.tile.rows(), self.tile.columns());
        let strips = columns.div_ceil(width);
        let deepest = blocks.iter().map(Block::len).max().unwrap_or(0);
        let mut panel = scratch::take_aligned(strips * width * deepest);
        let mut live = vec![false; strips];
        for block in blocks {
            let k = block.len();
            for (strip, live) in live.iter_mut().enumerate() {
                let first = self.first + strip * width;
                *live = block.taps.clone().any(|t| {
                    let mask = &self.grid.mask(t)[first..first + width];
                    s.sum(s.add(s.load(mask, 0), s.load(mask, S::LANES))) > 0.0
                });
            }
            if !live.contains(&true) {
                continue;
            }
            for (strip, panel) in panel.chunks_exact_mut(k * width).take(strips).enumerate() {
                if !live[strip] {
                    continue;
                }
                let first = self.first + strip * width;
                let rows = panel.chunks_exact_mut(block.channels.len() * width);
                for (t, to) in block.taps.clone().zip(rows) {
                    self.grid.see(s, t, self.source, block.channels.clone(), first, width, to, width);
                }
            }
            // Tasks begin with different groups, so that they do not wait for each other's packing.
            let groups = rows.div_ceil(R);
            for i in 0..groups {
                let group = (i + self.first / width) % groups;
                let packed = self.packed.group(self.grid, self.row / R + group);
                let weights = &packed[block.at * R..][..k * R];
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
