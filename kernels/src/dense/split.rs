//! Takes the images of a strided convolution apart: into one plane per remainder of row and column modulo the stride, so
//! that neighbouring output pixels find neighbouring source pixels.

use crate::ConvShape;
use crate::simd::{Kernel, Level, Simd, fill_pieces};
use std::borrow::Cow;

/// Height and width of a plane; rows and columns that some planes lack are zeros there.
pub(super) fn plane(shape: &ConvShape) -> [usize; 2] {
    [shape.h.div_ceil(shape.stride), shape.w.div_ceil(shape.stride)]
}

/// `x` `[n, ci, h, w]` as `[n, ci, stride * stride, plane]`; `x` itself with stride 1.
pub(super) fn split<'a>(level: Level, x: &'a [f32], shape: &ConvShape) -> Cow<'a, [f32]> {
    let (s, ConvShape { h, w, .. }) = (shape.stride, *shape);
    if s == 1 {
        return Cow::Borrowed(x);
    }
    let [ph, pw] = plane(shape);
    let len = shape.n * shape.ci * s * s * ph * pw;
    Cow::Owned(fill_pieces(
        len,
        s * s * ph * pw,
        4,
        || (),
        |_, i, out| level.run(Split { x: &x[i * h * w..][..h * w], w, pw, s, out }),
    ))
}

/// One channel of [`split`].
struct Split<'a> {
    x: &'a [f32],
    w: usize,
    pw: usize,
    s: usize,
    out: &'a mut [f32],
}

impl Kernel for Split<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Split { x, w, pw, s, out } = self;
        let plane = out.len() / (s * s);
        for (y, x) in x.chunks_exact(w).enumerate() {
            let at = y % s * s * plane + y / s * pw;
            if s == 2 {
                let (even, odd) = out[at..].split_at_mut(plane);
                let (even, odd) = (&mut even[..pw], &mut odd[..pw]);
                let pairs = x.chunks_exact(2);
                if let [last] = pairs.remainder() {
                    even[pw - 1] = *last;
                }
                for ((pair, even), odd) in pairs.zip(even).zip(odd) {
                    (*even, *odd) = (pair[0], pair[1]);
                }
            } else {
                for rx in 0..s.min(w) {
                    for (to, from) in out[at + rx * plane..].iter_mut().zip(x[rx..].iter().step_by(s)) {
                        *to = *from;
                    }
                }
            }
        }
    }
}
