//! Every second pixel, or every one, from an offset on, for the factorised reduction: valid for odd sizes too.

use crate::simd::fill_pieces;

/// Which pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Distance between two pixels that are taken.
    pub stride: usize,
    /// The first row and column.
    pub offset: usize,
}

impl Grid {
    /// Pixels of an axis of `len`.
    pub fn out_len(&self, len: usize) -> usize {
        len.div_ceil(self.stride)
    }
}

/// `y[i, j] = x[stride * i + offset, stride * j + offset]` per plane `[h, w]`, 0 outside the image; the output is
/// `[ceil(h / stride), ceil(w / stride)]`.
pub fn forward(x: &[f32], planes: usize, h: usize, w: usize, grid: Grid) -> Vec<f32> {
    assert_eq!(x.len(), planes * h * w, "input length");
    let Grid { stride, offset } = grid;
    let (oh, ow) = (grid.out_len(h), grid.out_len(w));
    fill_pieces(
        planes * oh * ow,
        oh * ow,
        group(oh * ow),
        || (),
        |_, i, out| {
            let x = &x[i * h * w..][..h * w];
            for (out, y) in out.chunks_exact_mut(ow).zip((offset..h).step_by(stride)) {
                for (out, x) in
                    out.iter_mut().zip(x[y * w..(y + 1) * w].get(offset..).unwrap_or(&[]).chunks(stride))
                {
                    *out = x[0];
                }
            }
        },
    )
}

/// The gradient of [`forward`]'s input, `[h, w]` per plane.
pub fn backward(g: &[f32], planes: usize, h: usize, w: usize, grid: Grid) -> Vec<f32> {
    let Grid { stride, offset } = grid;
    let (oh, ow) = (grid.out_len(h), grid.out_len(w));
    assert_eq!(g.len(), planes * oh * ow, "gradient length");
    fill_pieces(
        planes * h * w,
        h * w,
        group(h * w),
        || (),
        |_, i, out| {
            let g = &g[i * oh * ow..][..oh * ow];
            for (g, y) in g.chunks_exact(ow).zip((offset..h).step_by(stride)) {
                let row = out[y * w..(y + 1) * w].get_mut(offset..).unwrap_or(&mut []);
                for (out, g) in row.chunks_mut(stride).zip(g) {
                    out[0] = *g;
                }
            }
        },
    )
}

fn group(plane: usize) -> usize {
    (16 * 1024 / plane.max(1)).max(1)
}
