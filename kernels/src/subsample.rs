//! Every second pixel, for the factorised reduction: valid for odd sizes too.

use crate::simd::fill_pieces;

/// `y[i, j] = x[2i + offset, 2j + offset]` per plane `[h, w]`, 0 outside the image; the output is
/// `[ceil(h / 2), ceil(w / 2)]`. `offset` is 0 or 1.
pub fn forward(x: &[f32], planes: usize, h: usize, w: usize, offset: usize) -> Vec<f32> {
    assert_eq!(x.len(), planes * h * w, "input length");
    let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
    fill_pieces(
        planes * oh * ow,
        oh * ow,
        group(oh * ow),
        || (),
        |_, i, out| {
            let x = &x[i * h * w..][..h * w];
            for (out, y) in out.chunks_exact_mut(ow).zip((offset..h).step_by(2)) {
                for (out, x) in
                    out.iter_mut().zip(x[y * w..(y + 1) * w].get(offset..).unwrap_or(&[]).chunks(2))
                {
                    *out = x[0];
                }
            }
        },
    )
}

/// The gradient of [`forward`]'s input, `[h, w]` per plane.
pub fn backward(g: &[f32], planes: usize, h: usize, w: usize, offset: usize) -> Vec<f32> {
    let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
    assert_eq!(g.len(), planes * oh * ow, "gradient length");
    fill_pieces(
        planes * h * w,
        h * w,
        group(h * w),
        || (),
        |_, i, out| {
            let g = &g[i * oh * ow..][..oh * ow];
            for (g, y) in g.chunks_exact(ow).zip((offset..h).step_by(2)) {
                let row = out[y * w..(y + 1) * w].get_mut(offset..).unwrap_or(&mut []);
                for (out, g) in row.chunks_mut(2).zip(g) {
                    out[0] = *g;
                }
            }
        },
    )
}

fn group(plane: usize) -> usize {
    (16 * 1024 / plane.max(1)).max(1)
}
