//! AVX2 and AVX-512.

use super::{Kernel, SQRT_HALF, Simd};
use std::arch::x86_64::*;

/// Eight elements; made only where AVX2 and FMA are there. `WIDE`: compiled for AVX-512, with its 32 registers.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<const WIDE: bool>(());

/// Sixteen elements; made only where AVX-512 is there.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

#[target_feature(enable = "avx2,fma")]
pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<false>(()))
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
pub(super) fn run_avx512_narrow<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<true>(()))
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Panics unless `at + lanes <= len`.
#[inline(always)]
fn check(len: usize, at: usize, lanes: usize) {
    // One comparison in a loop: the subtraction does not depend on `at`.
    assert!(len >= lanes && at <= len - lanes, "vector access out of range");
}

/// Copies at most `LANES` bytes; the usual whole vector is one move.
#[inline(always)]
fn copy_bytes<const LANES: usize>(bytes: &[u8; 16], data: &mut [u8]) {
    if data.len() == LANES {
        data.copy_from_slice(&bytes[..LANES]);
    } else {
        for (to, from) in data.iter_mut().zip(&bytes[..LANES]) {
            *to = *from;
        }
    }
}

// SAFETY of all blocks below: `self` exists, so the function that made it was entered and the machine has the
// instructions; `check` keeps loads and stores inside the slice, and they need no alignment.
impl<const WIDE: bool> Simd for Avx2<WIDE> {
    type V = __m256;
    const LANES: usize = 8;
    const MANY_REGISTERS: bool = WIDE;
    const TILE_ROWS: usize = if WIDE { 12 } else { 6 };

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    fn load(self, data: &[f32], at: usize) -> __m256 {
        check(data.len(), at, 8);
        unsafe { _mm256_loadu_ps(data.as_ptr().add(at)) }
    }
    #[inline(always)]
    fn store(self, value: __m256, data: &mut [f32], at: usize) {
        check(data.len(), at, 8);
        unsafe { _mm256_storeu_ps(data.as_mut_ptr().add(at), value) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    fn split(self, v: __m256) -> (__m256, __m256) {
        unsafe {
            let bits = _mm256_castps_si256(v);
            let exponent = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(SQRT_HALF)));
            let mantissa = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(exponent));
            (_mm256_cvtepi32_ps(exponent), _mm256_castsi256_ps(mantissa))
        }
    }
    #[inline(always)]
    fn relu(self, v: __m256) -> __m256 {
        // The instruction returns its second operand where one is NaN.
        unsafe { _mm256_max_ps(_mm256_setzero_ps(), v) }
    }
    #[inline(always)]
    fn relu_mask(self, x: __m256, g: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(x, _mm256_setzero_ps()), g) }
    }
    #[inline(always)]
    fn max_step(self, best: __m256, index: __m256, v: __m256, candidate: __m256) -> (__m256, __m256) {
        unsafe {
            let better =
                _mm256_or_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(v, best), _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
            (_mm256_blendv_ps(best, v, better), _mm256_blendv_ps(index, candidate, better))
        }
    }
    #[inline(always)]
    fn store_bytes(self, v: __m256, data: &mut [u8]) {
        let mut bytes = [0u8; 16];
        // SAFETY: as above; the array has the 16 bytes that are stored.
        unsafe {
            let whole = _mm256_cvttps_epi32(v);
            let words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm_packus_epi16(words, words));
        }
        copy_bytes::<8>(&bytes, data);
    }
    #[inline(always)]
    fn deinterleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        unsafe {
            // Halves of 128 bits are shuffled apart from each other, then put in order.
            let (even, odd) =
                (_mm256_shuffle_ps::<0b10_00_10_00>(a, b), _mm256_shuffle_ps::<0b11_01_11_01>(a, b));
            let even = _mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(even));
            let odd = _mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(odd));
            (_mm256_castpd_ps(even), _mm256_castpd_ps(odd))
        }
    }
    #[inline(always)]
    fn interleave(self, even: __m256, odd: __m256) -> (__m256, __m256) {
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        }
    }
    #[inline(always)]
    fn load_part(self, data: &[f32], at: usize, len: usize) -> __m256 {
        if len >= 8 {
            return self.load(data, at);
        }
        check(data.len(), at, len);
        // SAFETY: as above; only the first `len` elements are touched, which `check` found inside.
        unsafe {
            if WIDE {
                _mm256_maskz_loadu_ps((1 << len) - 1, data.as_ptr().add(at))
            } else {
                let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(len as i32), lanes);
                _mm256_maskload_ps(data.as_ptr().add(at), mask)
            }
        }
    }
    #[inline(always)]
    fn store_part(self, value: __m256, data: &mut [f32], at: usize, len: usize) {
        if len >= 8 {
            return self.store(value, data, at);
        }
        check(data.len(), at, len);
        if WIDE {
            // SAFETY: as above; only the first `len` elements are touched, which `check` found inside.
            unsafe { _mm256_mask_storeu_ps(data.as_mut_ptr().add(at), (1 << len) - 1, value) };
        } else {
            // AVX2's masked store takes dozens of cycles on some processors.
            let mut lanes = [0.0; 8];
            self.store(value, &mut lanes, 0);
            for (value, lane) in data[at..at + len].iter_mut().zip(&lanes) {
                *value = *lane;
            }
        }
    }
    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        unsafe {
            let h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let h = _mm_add_ps(h, _mm_movehl_ps(h, h));
            _mm_cvtss_f32(_mm_add_ss(h, _mm_shuffle_ps::<1>(h, h)))
        }
    }
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const MANY_REGISTERS: bool = true;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    fn load(self, data: &[f32], at: usize) -> __m512 {
        check(data.len(), at, 16);
        unsafe { _mm512_loadu_ps(data.as_ptr().add(at)) }
    }
    #[inline(always)]
    fn store(self, value: __m512, data: &mut [f32], at: usize) {
        check(data.len(), at, 16);
        unsafe { _mm512_storeu_ps(data.as_mut_ptr().add(at), value) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn pow2(self, n: __m512) -> __m512 {
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    fn split(self, v: __m512) -> (__m512, __m512) {
        unsafe {
            let bits = _mm512_castps_si512(v);
            let exponent = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(SQRT_HALF)));
            let mantissa = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(exponent));
            (_mm512_cvtepi32_ps(exponent), _mm512_castsi512_ps(mantissa))
        }
    }
    #[inline(always)]
    fn relu(self, v: __m512) -> __m512 {
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), v) }
    }
    #[inline(always)]
    fn relu_mask(self, x: __m512, g: __m512) -> __m512 {
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(x, _mm512_setzero_ps()), g) }
    }
    #[inline(always)]
    fn max_step(self, best: __m512, index: __m512, v: __m512, candidate: __m512) -> (__m512, __m512) {
        unsafe {
            let better = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, best) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
            (_mm512_mask_mov_ps(best, better, v), _mm512_mask_mov_ps(index, better, candidate))
        }
    }
    #[inline(always)]
    fn store_bytes(self, v: __m512, data: &mut [u8]) {
        let mut bytes = [0u8; 16];
        // SAFETY: as above; the array has the 16 bytes that are stored.
        unsafe {
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v)));
        }
        copy_bytes::<16>(&bytes, data);
    }
    #[inline(always)]
    fn deinterleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        }
    }
    #[inline(always)]
    fn interleave(self, even: __m512, odd: __m512) -> (__m512, __m512) {
        unsafe {
            let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
            (_mm512_permutex2var_ps(even, first, odd), _mm512_permutex2var_ps(even, second, odd))
        }
    }
    #[inline(always)]
    fn load_part(self, data: &[f32], at: usize, len: usize) -> __m512 {
        if len >= 16 {
            return self.load(data, at);
        }
        check(data.len(), at, len);
        // SAFETY: as above; only the first `len` elements are touched, which `check` found inside.
        unsafe { _mm512_maskz_loadu_ps((1 << len) - 1, data.as_ptr().add(at)) }
    }
    #[inline(always)]
    fn store_part(self, value: __m512, data: &mut [f32], at: usize, len: usize) {
        if len >= 16 {
            return self.store(value, data, at);
        }
        check(data.len(), at, len);
        // SAFETY: as above; only the first `len` elements are touched, which `check` found inside.
        unsafe { _mm512_mask_storeu_ps(data.as_mut_ptr().add(at), (1 << len) - 1, value) };
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(v) }
    }
}
