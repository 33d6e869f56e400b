//! CPU kernels for training and running convolutional cells: plain `f32` slices in NCHW order, no tensor types.
//!
//! * Every kernel exists once, generic over the instruction set, and is compiled for AVX-512, AVX2+FMA, NEON
//!   and portable Rust; the best one the machine has is picked when the program runs ([`simd::Level`]).
//! * Kernels run on the current rayon pool. Work is cut into pieces that depend on the shapes only and partial sums are
//!   added in a fixed order, so the bits of a result do not depend on the number of threads. (They do depend on the
//!   instruction set.)
//! * Outputs are fresh `Vec`s that are written once; padding and panel buffers are per thread and reused.
//! * Convolutions, pointwise and depthwise, can apply the ReLU in front of them while they load their input
//!   (`relu_input`), which saves a pass over memory in each direction and the activation itself.
//! * [`memory`] has an allocator that keeps large blocks, without which fresh pages cost more than these kernels.
//!
//! Unsafe code is in [`simd`] and [`memory`] only. Every load and store of a vector checks its range, in every build. Miri
//! can run the portable level (it reports no vector instructions), but slowly: of the tests only this one, and the unit
//! test of [`memory`], have been seen to end, without a finding.
//!
//! ```text
//! MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-ignore-leaks -Zmiri-permissive-provenance" \
//!     cargo +nightly miri test --manifest-path kernels/Cargo.toml --test naive -- affine
//! ```
//!
//! Inputs whose lengths do not match the shapes are programming errors and panic.

#![allow(clippy::needless_range_loop, reason = "tiles of registers are indexed alike in several arrays")]

pub mod average;
pub mod batch_norm;
pub mod cross_entropy;
pub mod dense;
pub mod depthwise;
pub mod elementwise;
pub mod focal;
pub mod memory;
pub mod pointwise;
pub mod pool;
pub mod resize;
mod scratch;
pub mod sgd;
pub mod simd;
pub mod subsample;

/// Runs `f` on a thread of the current rayon pool. Kernels called from outside it each wait until a thread of the pool has
/// woken to take them up, some 10 to 40 microseconds; within `f` that is paid once.
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}

/// Shape of a 2d convolution: input `[n, ci, h, w]`, weight `[co, ci / groups, kh, kw]`, output
/// `[n, co, out_h, out_w]`. Stride and dilation are the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Images.
    pub n: usize,
    /// Input channels.
    pub ci: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Output channels.
    pub co: usize,
    /// Kernel height.
    pub kh: usize,
    /// Kernel width.
    pub kw: usize,
    /// Stride.
    pub stride: usize,
    /// Zero rows added above and below.
    pub pad_h: usize,
    /// Zero columns added left and right.
    pub pad_w: usize,
    /// Dilation.
    pub dilation: usize,
    /// Groups: 1 for [`dense`], `ci` for [`depthwise`].
    pub groups: usize,
}

impl ConvShape {
    /// Output height.
    pub fn out_h(&self) -> usize {
        out_len(self.h, self.kh, self.stride, self.pad_h, self.dilation)
    }

    /// Output width.
    pub fn out_w(&self) -> usize {
        out_len(self.w, self.kw, self.stride, self.pad_w, self.dilation)
    }

    /// Elements of the input.
    pub fn in_len(&self) -> usize {
        self.n * self.ci * self.h * self.w
    }

    /// Elements of the output.
    pub fn out_len(&self) -> usize {
        self.n * self.co * self.out_h() * self.out_w()
    }

    /// Elements of the weight.
    pub fn weight_len(&self) -> usize {
        self.co * (self.ci / self.groups) * self.kh * self.kw
    }
}

/// Output length of a window of `k` (dilated) over `len` (padded on both sides); 0 where it does not fit.
fn out_len(len: usize, k: usize, stride: usize, pad: usize, dilation: usize) -> usize {
    assert!(k > 0 && stride > 0 && dilation > 0, "kernel, stride and dilation are at least 1");
    (len + 2 * pad).checked_sub(dilation * (k - 1) + 1).map_or(0, |free| free / stride + 1)
}
