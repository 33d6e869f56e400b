//! Convolution over all channels (`groups == 1`), any kernel, stride, dilation and padding. Weight `[co, ci, kh, kw]`.
//!
//! The output and the input's gradient are sums over taps of shifted images times weights (`correlate.rs`); with a
//! stride, the gradient is one such sum for each remainder of the pixels' places. The weight's gradient is a sum over
//! pixels (`weight_gradient.rs`, for few input channels `few_channels.rs`).

mod correlate;
mod few_channels;
mod split;
mod weight_gradient;

use crate::simd::{Kernel, Level, Simd, Tile, fill_pieces, fill_tiles};
use crate::{ConvShape, scratch};
use correlate::{Grid, Packed, Tap};
use split::split;

/// Output pixels of a task.
const PIXELS: usize = 256;
/// Tasks that there should be, for machines with many cores.
const TASKS: usize = 32;
/// Input channels below this number do not fill the vectors of [`weight_gradient`].
const FEW: usize = 32;

/// The output, `[n, co, out_h, out_w]`, for `x` `[n, ci, h, w]`.
pub fn forward(x: &[f32], w: &[f32], shape: &ConvShape) -> Vec<f32> {
    forward_bias(x, w, None, shape)
}

/// [`forward`] plus `bias`, one value per output channel.
pub fn forward_bias(x: &[f32], w: &[f32], bias: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    check(shape, Some(x), Some(w), None);
    assert!(bias.is_none_or(|bias| bias.len() == shape.co), "bias length does not match {shape:?}");
    let (level, ohw) = (Level::current(), shape.out_h() * shape.out_w());
    let (grid, taps) = (forward_grid(shape), shape.kh * shape.kw);
    let image = shape.ci * grid.channel();
    let x = split(level, x, shape);
    let packed = Packed::new(level, &grid, w, [shape.co, shape.ci * taps], [shape.ci, taps]);
    let (rows, columns) = task_size(shape.n, shape.co, ohw, packed.row_multiple());
    let initial = |row: usize| bias.map_or(0.0, |bias| bias[row]);
    fill_tiles([shape.n, shape.co, ohw], rows, columns, initial, |i, row, first, tile| {
        packed.correlate(&grid, &x[i * image..][..image], row, first, tile);
    })
}

/// The gradient of the input, `[n, ci, h, w]`, for the output's gradient `g`.
pub fn backward_input(g: &[f32], w: &[f32], shape: &ConvShape) -> Vec<f32> {
    check(shape, None, Some(w), Some(g));
    let (oh, ow, stride) = (shape.out_h(), shape.out_w(), shape.stride);
    let image = shape.co * oh * ow;
    let phases = phases(shape, w);
    let multiple = phases[0].packed.row_multiple();
    let g = |i: usize| &g[i * image..][..image];
    if stride == 1 {
        let Phase { grid, packed, .. } = &phases[0];
        let (rows, columns) = task_size(shape.n, shape.ci, shape.h * shape.w, multiple);
        return fill_tiles(
            [shape.n, shape.ci, shape.h * shape.w],
            rows,
            columns,
            |_| 0.0,
            |i, row, first, tile| {
                packed.correlate(grid, g(i), row, first, tile);
            },
        );
    }
    // Tiles of whole groups of `stride` input rows, so that each has a part of every phase, `columns` pixels or more.
    let (rows, columns) = task_size(shape.n, shape.ci, shape.h * shape.w, multiple);
    let lines = (columns * stride * stride).div_ceil(shape.w.max(1)).next_multiple_of(stride);
    fill_tiles(
        [shape.n, shape.ci, shape.h * shape.w],
        rows,
        lines * shape.w,
        |_| 0.0,
        |i, row, first, tile| {
            let (top, lines) = (first / shape.w, tile.columns() / shape.w);
            for Phase { y, x, grid, packed } in &phases {
                let columns = grid.ow * (lines - (*y).min(lines)).div_ceil(stride);
                if columns == 0 || grid.taps.is_empty() {
                    continue;
                }
                let mut part = scratch::zeroed(tile.rows() * columns);
                let mut part = Tile::over(&mut part, columns);
                packed.correlate(grid, g(i), row, top / stride * grid.ow, &mut part);
                for r in 0..tile.rows() {
                    let to = tile.row(r).chunks_exact_mut(shape.w).skip(*y).step_by(stride);
                    for (to, from) in to.zip(part.row(r).chunks_exact(grid.ow)) {
                        for (to, from) in to[*x..].iter_mut().step_by(stride).zip(from) {
                            *to = *from;
                        }
                    }
                }
            }
        },
    )
}

/// The gradient of the weight, `[co, ci, kh, kw]`, for input `x` and output gradient `g`.
pub fn backward_weight(x: &[f32], g: &[f32], shape: &ConvShape) -> Vec<f32> {
    check(shape, Some(x), None, Some(g));
    let (level, grid) = (Level::current(), forward_grid(shape));
    let x = &split(level, x, shape);
    if shape.ci < FEW {
        few_channels::backward_weight(level, x, g, shape, &grid)
    } else {
        weight_gradient::backward_weight(level, x, g, shape, &grid)
    }
}

/// The gradient of the bias, `[co]`, for output gradient `g`.
pub fn backward_bias(g: &[f32], shape: &ConvShape) -> Vec<f32> {
    check(shape, None, None, Some(g));
    let (level, plane) = (Level::current(), shape.out_h() * shape.out_w());
    fill_pieces(
        shape.co,
        1,
        4,
        || (),
        |_, c, out| {
            // In `f64` from plane to plane: there may be many.
            let planes = (0..shape.n).map(|i| &g[(i * shape.co + c) * plane..][..plane]);
            out[0] = planes.map(|g| f64::from(level.run(Sum(g)))).sum::<f64>() as f32;
        },
    )
}

/// The sum of all elements, a few vectors at a time.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut acc = [s.zero(); 4];
        let blocks = self.0.chunks_exact(4 * S::LANES);
        let rest = blocks.remainder();
        for block in blocks {
            for (i, acc) in acc.iter_mut().enumerate() {
                *acc = s.add(*acc, s.load(block, i * S::LANES));
            }
        }
        s.sum(s.add(s.add(acc[0], acc[1]), s.add(acc[2], acc[3]))) + rest.iter().sum::<f32>()
    }
}

fn check(shape: &ConvShape, x: Option<&[f32]>, w: Option<&[f32]>, g: Option<&[f32]>) {
    assert_eq!(shape.groups, 1, "dense: groups must be 1");
    assert!(x.is_none_or(|x| x.len() == shape.in_len()), "input length does not match {shape:?}");
    assert!(w.is_none_or(|w| w.len() == shape.weight_len()), "weight length does not match {shape:?}");
    assert!(g.is_none_or(|g| g.len() == shape.out_len()), "gradient length does not match {shape:?}");
}

/// Rows and columns of a task's tile: columns are shared out first, rows where there are few pixels.
fn task_size(images: usize, rows: usize, columns: usize, multiple: usize) -> (usize, usize) {
    /// Columns and rows that a task should have for the panel to pay.
    const FEWEST: [usize; 2] = [96, 128];
    let wanted = TASKS.div_ceil(images.max(1));
    let across = columns.div_ceil(PIXELS).max(wanted.min(columns / FEWEST[0])).max(1);
    let down = wanted.div_ceil(across).min(rows / FEWEST[1]).max(1);
    (rows.div_ceil(down).next_multiple_of(multiple), columns.div_ceil(across).next_multiple_of(32))
}

fn forward_grid(shape: &ConvShape) -> Grid {
    let stride = shape.stride as isize;
    let taps = (0..shape.kh * shape.kw).map(|number| {
        let y = (number / shape.kw * shape.dilation) as isize - shape.pad_h as isize;
        let x = (number % shape.kw * shape.dilation) as isize - shape.pad_w as isize;
        let plane = (y.rem_euclid(stride) * stride + x.rem_euclid(stride)) as usize;
        Tap { dy: y.div_euclid(stride), dx: x.div_euclid(stride), plane, number }
    });
    Grid::new(split::plane(shape), shape.stride * shape.stride, [shape.out_h(), shape.out_w()], taps)
}

/// The input pixels at `(y, x)` modulo the stride: output pixels reach them through the same taps.
struct Phase<'a> {
    y: usize,
    x: usize,
    grid: Grid,
    packed: Packed<'a>,
}

/// All phases of the input gradient; one with stride 1.
fn phases<'a>(shape: &ConvShape, w: &'a [f32]) -> Vec<Phase<'a>> {
    let (s, taps) = (shape.stride, shape.kh * shape.kw);
    let level = Level::current();
    (0..s * s)
        .map(|i| {
            let (y, x) = (i / s, i % s);
            // Input row `s * k + y` is output row `k + dy`'s where `s * dy = y + pad - ky * dilation`.
            let place = |remainder: usize, pad: usize, k: usize| {
                let offset = (remainder + pad) as isize - (k * shape.dilation) as isize;
                (offset % s as isize == 0).then(|| offset / s as isize)
            };
            let near = (0..taps).filter_map(|number| {
                let dy = place(y, shape.pad_h, number / shape.kw)?;
                Some(Tap { dy, dx: place(x, shape.pad_w, number % shape.kw)?, plane: 0, number })
            });
            let size = [(shape.h - y.min(shape.h)).div_ceil(s), (shape.w - x.min(shape.w)).div_ceil(s)];
            let grid = Grid::new([shape.out_h(), shape.out_w()], 1, size, near);
            let packed = Packed::new(level, &grid, w, [shape.ci, taps], [shape.co, shape.ci * taps]);
            Phase { y, x, grid, packed }
        })
        .collect()
}
