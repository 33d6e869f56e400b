//! The matrix product of `gemm` on slices.

/// A matrix over a slice: element `(r, c)` is at `r * row_stride + c * col_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Rows one behind the other, `cols` long.
    pub fn rows(data: &'a [f32], cols: usize) -> Self {
        Mat { data, row_stride: cols, col_stride: 1 }
    }

    /// The transpose.
    pub fn t(self) -> Self {
        Mat { row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    fn check(&self, rows: usize, cols: usize) {
        if rows > 0 && cols > 0 {
            let last = ((rows - 1).checked_mul(self.row_stride))
                .zip((cols - 1).checked_mul(self.col_stride))
                .and_then(|(a, b)| a.checked_add(b));
            assert!(last.is_some_and(|last| last < self.data.len()), "matrix out of range");
        }
    }
}

/// `dst = a * b`, or `dst += a * b` with `accumulate`; `dst` is `[m, n]` with rows `dst_stride` apart, `a` is `[m, k]`,
/// `b` is `[k, n]`. On the calling thread.
#[allow(clippy::too_many_arguments)]
pub(crate) fn matmul(
    dst: &mut [f32],
    dst_stride: usize,
    accumulate: bool,
    a: Mat,
    b: Mat,
    m: usize,
    n: usize,
    k: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= dst_stride || m == 1, "rows overlap");
    Mat { data: dst, row_stride: dst_stride, col_stride: 1 }.check(m, n);
    a.check(m, k);
    b.check(k, n);
    if k == 0 {
        if !accumulate {
            dst.chunks_mut(dst_stride).take(m).for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    // SAFETY: the three checks above bound every element that is read or written, strides are at most a slice's length
    // and so fit isize, and `dst` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            dst_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
