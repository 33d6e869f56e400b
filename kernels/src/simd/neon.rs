//! NEON, which every 64-bit ARM processor that runs Rust's usual targets has.

use super::{Kernel, SQRT_HALF, Simd};
use std::arch::aarch64::*;

/// Eight elements in two registers: kernels then have as many vectors at hand as with AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

#[target_feature(enable = "neon")]
pub(super) fn run_neon<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon(()))
}

/// Panics unless `at + 8 <= len`.
#[inline(always)]
fn check(len: usize, at: usize) {
    assert!(len >= 8 && at <= len - 8, "vector access out of range");
}

type V = [float32x4_t; 2];

#[inline(always)]
fn both(a: V, b: V, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> V {
    [f(a[0], b[0]), f(a[1], b[1])]
}

// SAFETY of all blocks below: `self` exists, so `run_neon` was entered and the machine has the instructions; `check`
// keeps loads and stores inside the slice, and they need no alignment.
impl Simd for Neon {
    type V = V;
    const LANES: usize = 8;
    const MANY_REGISTERS: bool = false;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn splat(self, value: f32) -> V {
        unsafe { [vdupq_n_f32(value); 2] }
    }
    #[inline(always)]
    fn load(self, data: &[f32], at: usize) -> V {
        check(data.len(), at);
        unsafe {
            let start = data.as_ptr().add(at);
            [vld1q_f32(start), vld1q_f32(start.add(4))]
        }
    }
    #[inline(always)]
    fn store(self, value: V, data: &mut [f32], at: usize) {
        check(data.len(), at);
        unsafe {
            let start = data.as_mut_ptr().add(at);
            vst1q_f32(start, value[0]);
            vst1q_f32(start.add(4), value[1]);
        }
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        both(a, b, |a, b| unsafe { vaddq_f32(a, b) })
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        both(a, b, |a, b| unsafe { vsubq_f32(a, b) })
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        both(a, b, |a, b| unsafe { vmulq_f32(a, b) })
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        // The instruction for the maximum gives NaN where either is one.
        both(a, b, |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) })
    }
    #[inline(always)]
    fn pow2(self, n: V) -> V {
        n.map(|n| unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        })
    }
    #[inline(always)]
    fn split(self, v: V) -> (V, V) {
        let one = |v: float32x4_t| unsafe {
            let bits = vreinterpretq_s32_f32(v);
            let exponent = vshrq_n_s32::<23>(vsubq_s32(bits, vdupq_n_s32(SQRT_HALF)));
            let mantissa = vsubq_s32(bits, vshlq_n_s32::<23>(exponent));
            (vcvtq_f32_s32(exponent), vreinterpretq_f32_s32(mantissa))
        };
        let ((e0, m0), (e1, m1)) = (one(v[0]), one(v[1]));
        ([e0, e1], [m0, m1])
    }
    #[inline(always)]
    fn relu(self, v: V) -> V {
        v.map(|v| unsafe { vbslq_f32(vcltzq_f32(v), vdupq_n_f32(0.0), v) })
    }
    #[inline(always)]
    fn relu_mask(self, x: V, g: V) -> V {
        both(x, g, |x, g| unsafe {
            vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(g), vclezq_f32(x)))
        })
    }
    #[inline(always)]
    fn max_step(self, best: V, index: V, v: V, candidate: V) -> (V, V) {
        let one = |half: usize| unsafe {
            let same = vceqq_f32(v[half], v[half]);
            let better = vornq_u32(vcgtq_f32(v[half], best[half]), same);
            (vbslq_f32(better, v[half], best[half]), vbslq_f32(better, candidate[half], index[half]))
        };
        let ((v0, i0), (v1, i1)) = (one(0), one(1));
        ([v0, v1], [i0, i1])
    }
    #[inline(always)]
    fn deinterleave(self, a: V, b: V) -> (V, V) {
        unsafe {
            (
                [vuzp1q_f32(a[0], a[1]), vuzp1q_f32(b[0], b[1])],
                [vuzp2q_f32(a[0], a[1]), vuzp2q_f32(b[0], b[1])],
            )
        }
    }
    #[inline(always)]
    fn interleave(self, even: V, odd: V) -> (V, V) {
        let one =
            |half: usize| unsafe { [vzip1q_f32(even[half], odd[half]), vzip2q_f32(even[half], odd[half])] };
        (one(0), one(1))
    }
    #[inline(always)]
    fn sum(self, v: V) -> f32 {
        unsafe {
            let h = vaddq_f32(v[0], v[1]);
            let h = vadd_f32(vget_low_f32(h), vget_high_f32(h));
            vget_lane_f32::<0>(h) + vget_lane_f32::<1>(h)
        }
    }
}
