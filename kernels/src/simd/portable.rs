//! Plain Rust, compiled for the build's target.

use super::{SQRT_HALF, Simd};

/// Eight elements at a time in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Portable {
    #[inline(always)]
    fn map2(a: [f32; 8], b: [f32; 8], f: impl Fn(f32, f32) -> f32) -> [f32; 8] {
        let mut out = [0.0; 8];
        for i in 0..8 {
            out[i] = f(a[i], b[i]);
        }
        out
    }
}

impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;
    const MANY_REGISTERS: bool = cfg!(target_arch = "aarch64");
    const TILE_ROWS: usize = if Self::MANY_REGISTERS { 6 } else { 3 };

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; 8]
    }
    #[inline(always)]
    fn load(self, data: &[f32], at: usize) -> Self::V {
        let mut out = [0.0; 8];
        out.copy_from_slice(&data[at..at + 8]);
        out
    }
    #[inline(always)]
    fn store(self, value: Self::V, data: &mut [f32], at: usize) {
        data[at..at + 8].copy_from_slice(&value);
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        Self::map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        Self::map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        Self::map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // `f32::mul_add` would be a library call without the instruction.
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        Self::map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn pow2(self, n: Self::V) -> Self::V {
        Self::map2(n, n, |n, _| f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn split(self, v: Self::V) -> (Self::V, Self::V) {
        // The bits of `v` less those of sqrt(1/2) have the exponent in their upper part.
        let exponent = |v: f32| (v.to_bits() as i32).wrapping_sub(SQRT_HALF) >> 23;
        let e = Self::map2(v, v, |v, _| exponent(v) as f32);
        let m = Self::map2(v, v, |v, _| f32::from_bits(v.to_bits().wrapping_sub((exponent(v) << 23) as u32)));
        (e, m)
    }
    #[inline(always)]
    fn relu(self, v: Self::V) -> Self::V {
        Self::map2(v, v, |v, _| if v < 0.0 { 0.0 } else { v })
    }
    #[inline(always)]
    fn relu_mask(self, x: Self::V, g: Self::V) -> Self::V {
        Self::map2(x, g, |x, g| if x <= 0.0 { 0.0 } else { g })
    }
    #[inline(always)]
    fn max_step(self, best: Self::V, index: Self::V, v: Self::V, candidate: Self::V) -> (Self::V, Self::V) {
        let (mut value, mut place) = (best, index);
        for i in 0..8 {
            let better = v[i] > best[i] || v[i].is_nan();
            value[i] = if better { v[i] } else { best[i] };
            place[i] = if better { candidate[i] } else { index[i] };
        }
        (value, place)
    }
    #[inline(always)]
    fn deinterleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        let at = |i: usize| if i < 8 { a[i] } else { b[i - 8] };
        (std::array::from_fn(|i| at(2 * i)), std::array::from_fn(|i| at(2 * i + 1)))
    }
    #[inline(always)]
    fn interleave(self, even: Self::V, odd: Self::V) -> (Self::V, Self::V) {
        let at = |i: usize| if i.is_multiple_of(2) { even[i / 2] } else { odd[i / 2] };
        (std::array::from_fn(at), std::array::from_fn(|i| at(i + 8)))
    }
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let h = [v[0] + v[4], v[1] + v[5], v[2] + v[6], v[3] + v[7]];
        (h[0] + h[2]) + (h[1] + h[3])
    }
}
