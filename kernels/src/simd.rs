//! Instruction sets, and everything in this crate that is `unsafe`: vector loads and stores, entering code compiled for
//! an instruction set, handing slices to the matrix product of `gemm`, and filling fresh memory.
#![allow(unsafe_code, reason = "the one module with unsafe code; each block says why it is sound")]

use rayon::prelude::*;
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// An instruction set, from the most portable to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, compiled for the build's target.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, VL, BW, DQ).
    Avx512,
}

impl Level {
    /// The best this machine has, or what the environment variable `GENAS_SIMD` (`portable`, `avx2`, `avx512`) limits it
    /// to. Read once.
    pub fn detected() -> Level {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let limit = match std::env::var("GENAS_SIMD").as_deref() {
                Ok("portable") => Level::Portable,
                Ok("avx2") => Level::Avx2,
                _ => Level::Avx512,
            };
            Level::supported().into_iter().filter(|l| *l <= limit).max().unwrap_or(Level::Portable)
        })
    }

    /// Those this machine can run.
    pub fn supported() -> Vec<Level> {
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                levels.push(Level::Avx2);
                if std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512vl")
                    && std::is_x86_feature_detected!("avx512bw")
                    && std::is_x86_feature_detected!("avx512dq")
                {
                    levels.push(Level::Avx512);
                }
            }
        }
        levels
    }

    /// What kernels called from this thread use: [`Level::detected`] unless inside [`with_level`].
    pub fn current() -> Level {
        FORCED.with(Cell::get).unwrap_or_else(Level::detected)
    }

    /// Runs `kernel` with the widest vectors of this level.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.checked() {
            Level::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `checked` found the features.
            Level::Avx2 => unsafe { x86::run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `checked` found the features.
            Level::Avx512 => unsafe { x86::run_avx512(kernel) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => kernel.run(Portable),
        }
    }

    /// Runs `kernel` with vectors of 8 elements; AVX-512 then gives it 32 registers.
    #[inline]
    pub(crate) fn run_narrow<K: Kernel>(self, kernel: K) -> K::Output {
        match self.checked() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `checked` found the features.
            Level::Avx512 => unsafe { x86::run_avx512_narrow(kernel) },
            level => level.run(kernel),
        }
    }

    /// [`run`](Self::run) where rows of `width` elements waste little of a wide vector, else [`run_narrow`](Self::run_narrow).
    #[inline]
    pub(crate) fn run_for_width<K: Kernel>(self, width: usize, kernel: K) -> K::Output {
        let tail = width % 16;
        if tail == 0 || tail > 8 || width > 64 { self.run(kernel) } else { self.run_narrow(kernel) }
    }

    /// This level where the machine has it (the detection is cached by `std`), else the portable one: values of this
    /// type can be made by anyone.
    #[inline]
    pub(crate) fn checked(self) -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
            let ok = match self {
                Level::Portable => true,
                Level::Avx2 => avx2,
                Level::Avx512 => {
                    avx2 && std::is_x86_feature_detected!("avx512f")
                        && std::is_x86_feature_detected!("avx512vl")
                        && std::is_x86_feature_detected!("avx512bw")
                        && std::is_x86_feature_detected!("avx512dq")
                }
            };
            if ok { self } else { Level::Portable }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            Level::Portable
        }
    }
}

thread_local! {
    static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

/// Runs `f` with every kernel that it calls from this thread at `level` (or portable where the machine lacks it). For
/// tests and measurements. The matrix products inside `gemm` pick their instructions themselves.
pub fn with_level<R>(level: Level, f: impl FnOnce() -> R) -> R {
    struct Reset(Option<Level>);
    impl Drop for Reset {
        fn drop(&mut self) {
            FORCED.with(|forced| forced.set(self.0));
        }
    }
    let _reset = Reset(FORCED.with(|forced| forced.replace(Some(level))));
    f()
}

/// A computation generic over the instruction set. Implementations mark `run`, and what it calls, `#[inline(always)]`,
/// so that the body is compiled for the instruction set.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Vector operations. A value of an implementing type is the proof that the machine has the instructions.
pub(crate) trait Simd: Copy {
    type V: Copy;
    const LANES: usize;
    /// Registers are plenty (32).
    const MANY_REGISTERS: bool;
    /// Rows of a matrix product's register tile, which is two vectors wide: 12, 6 or 3.
    const TILE_ROWS: usize;
    fn splat(self, value: f32) -> Self::V;
    /// Loads `data[at..at + LANES]`; panics where that is out of range.
    fn load(self, data: &[f32], at: usize) -> Self::V;
    /// Stores to `data[at..at + LANES]`; panics where that is out of range.
    fn store(self, value: Self::V, data: &mut [f32], at: usize);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`; rounds once or twice.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger one; `b` where one is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// 2 to the power of `n`, a whole number from -127 (for which it is 0) to 127. Something finite where `n` is NaN.
    fn pow2(self, n: Self::V) -> Self::V;
    /// `(e, m)` with `v = m * 2^e` and `m` from `sqrt(1/2)` to `sqrt(2)`, for positive normal `v`. Something finite for
    /// others.
    fn split(self, v: Self::V) -> (Self::V, Self::V);
    /// `max(v, 0)`; NaN stays.
    fn relu(self, v: Self::V) -> Self::V;
    /// `g`, but 0 where `x <= 0`.
    fn relu_mask(self, x: Self::V, g: Self::V) -> Self::V;
    /// `(v, candidate)` where `v > best` or `v` is NaN, else `(best, index)`.
    fn max_step(self, best: Self::V, index: Self::V, v: Self::V, candidate: Self::V) -> (Self::V, Self::V);
    /// Sum of the lanes, by halves.
    fn sum(self, v: Self::V) -> f32;
    /// Elements 0, 2, .. and 1, 3, .. of `a` followed by `b`.
    fn deinterleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// The inverse of [`deinterleave`](Self::deinterleave).
    fn interleave(self, even: Self::V, odd: Self::V) -> (Self::V, Self::V);

    /// Stores the first `data.len()` lanes, small whole numbers, as bytes.
    #[inline(always)]
    fn store_bytes(self, v: Self::V, data: &mut [u8]) {
        let mut lanes = [0.0; 16];
        self.store(v, &mut lanes, 0);
        for (byte, lane) in data.iter_mut().zip(&lanes) {
            *byte = *lane as u8;
        }
    }

    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// The exponential function for `v <= 0`, to about one unit in the last place; 0 below -87.7. NaN stays. (Cephes'
    /// `expf`.)
    #[inline(always)]
    fn exp_of_negative(self, v: Self::V) -> Self::V {
        const COEFFICIENTS: [f32; 6] =
            [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        // Adding and taking away 1.5 * 2^23 rounds to a whole number.
        let magic = self.splat(12_582_912.0);
        // NaN is the second operand.
        let v = self.max(self.splat(-88.0), v);
        let n = self.sub(self.fma(v, self.splat(std::f32::consts::LOG2_E), magic), magic);
        // ln(2) in two parts: the first has so few bits that its product with `n` is exact.
        let r = self.fma(n, self.splat(-0.693_359_4), v);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(COEFFICIENTS[0]);
        for c in &COEFFICIENTS[1..] {
            p = self.fma(p, r, self.splat(*c));
        }
        let p = self.add(self.fma(self.mul(r, r), p, r), self.splat(1.0));
        self.mul(p, self.pow2(n))
    }

    /// The natural logarithm of a positive normal number, to about one unit in the last place. NaN stays. (Cephes'
    /// `logf`.)
    #[inline(always)]
    fn ln(self, v: Self::V) -> Self::V {
        const COEFFICIENTS: [f32; 9] = [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ];
        let (e, m) = self.split(v);
        let x = self.sub(m, self.splat(1.0));
        let square = self.mul(x, x);
        let mut p = self.splat(COEFFICIENTS[0]);
        for c in &COEFFICIENTS[1..] {
            p = self.fma(p, x, self.splat(*c));
        }
        let y = self.fma(e, self.splat(-2.121_944_4e-4), self.mul(self.mul(x, square), p));
        let y = self.add(x, self.fma(square, self.splat(-0.5), y));
        let y = self.fma(e, self.splat(0.693_359_4), y);
        self.fma(v, self.zero(), y)
    }

    /// Loads `data[at..]`, at most `LANES` elements, zeros behind them.
    #[inline(always)]
    fn load_part(self, data: &[f32], at: usize, len: usize) -> Self::V {
        if len >= Self::LANES {
            return self.load(data, at);
        }
        let mut lanes = [0.0; 16];
        for (lane, value) in lanes.iter_mut().zip(&data[at..at + len]) {
            *lane = *value;
        }
        self.load(&lanes, 0)
    }

    /// Stores at most `len` and at most `LANES` elements.
    #[inline(always)]
    fn store_part(self, value: Self::V, data: &mut [f32], at: usize, len: usize) {
        if len >= Self::LANES {
            return self.store(value, data, at);
        }
        let mut lanes = [0.0; 16];
        self.store(value, &mut lanes, 0);
        for (value, lane) in data[at..at + len].iter_mut().zip(&lanes) {
            *value = *lane;
        }
    }
}

/// Bits of the square root of 1/2.
const SQRT_HALF: i32 = 0x3f35_04f3;

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

#[cfg(target_arch = "x86_64")]
mod x86 {
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
                let words =
                    _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
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
                let better =
                    _mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, best) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
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
}

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

/// A fresh vector of `len` elements, written piece by piece in parallel: `f(context, i, piece)` gets piece `i`, zeroed, of
/// `piece` elements (the last may be shorter). A task is `group` pieces and makes one `context`.
pub(crate) fn fill_pieces<C>(
    len: usize,
    piece: usize,
    group: usize,
    context: impl Fn() -> C + Sync,
    f: impl Fn(&mut C, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    fill_pieces_with(len, piece, group, &mut [] as &mut [u8], 0, |_| context(), f)
}

/// [`fill_pieces`] whose tasks also get parts of `extra`, `extra_task` elements each, to make their contexts of.
pub(crate) fn fill_pieces_with<'a, C, E: Send>(
    len: usize,
    piece: usize,
    group: usize,
    extra: &'a mut [E],
    extra_task: usize,
    context: impl Fn(&'a mut [E]) -> C + Sync,
    f: impl Fn(&mut C, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(len);
    if len == 0 {
        return out;
    }
    let (piece, group) = (piece.max(1), group.max(1));
    let task = |t: usize, pieces: &mut [MaybeUninit<f32>], extra: &'a mut [E]| {
        let mut context = context(extra);
        for (i, piece) in pieces.chunks_mut(piece).enumerate() {
            // Zeroed while it is in (or on its way to) the nearest cache: cheap, and `f` may be any safe code.
            piece.fill(MaybeUninit::new(0.0));
            // SAFETY: every element was just written, and MaybeUninit<f32> has the layout of f32.
            let piece =
                unsafe { std::slice::from_raw_parts_mut(piece.as_mut_ptr().cast::<f32>(), piece.len()) };
            f(&mut context, t * group + i, piece);
        }
    };
    let spare = &mut out.spare_capacity_mut()[..len];
    let tasks = len.div_ceil(piece * group);
    if tasks == 1 {
        task(0, spare, extra);
    } else if extra_task == 0 {
        spare.par_chunks_mut(piece * group).enumerate().for_each(|(t, pieces)| task(t, pieces, &mut []));
    } else {
        assert_eq!(extra.len().div_ceil(extra_task), tasks, "a part for each task");
        spare
            .par_chunks_mut(piece * group)
            .zip(extra.par_chunks_mut(extra_task))
            .enumerate()
            .for_each(|(t, (pieces, extra))| task(t, pieces, extra));
    }
    // SAFETY: the tasks above covered `len` elements, each of them initialised (a panic would have unwound past here).
    unsafe { out.set_len(len) };
    out
}

/// Part of a matrix: some columns of some rows.
pub(crate) struct Tile<'a> {
    start: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
    owner: PhantomData<&'a mut [f32]>,
}

impl<'a> Tile<'a> {
    /// All of a matrix whose rows of `columns` elements lie one behind the other.
    pub fn over(data: &'a mut [f32], columns: usize) -> Self {
        let rows = data.len() / columns.max(1);
        Tile { start: data.as_mut_ptr(), stride: columns, rows, columns, owner: PhantomData }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The tile's part of row `r`, counted from its first.
    #[inline(always)]
    pub fn row(&mut self, r: usize) -> &mut [f32] {
        assert!(r < self.rows, "row out of range");
        // SAFETY: who made the tile holds, for 'a, the only access to `columns` elements at each of `rows` multiples of
        // `stride`; they are initialised. The result borrows the tile, so there is one such slice at a time.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(r * self.stride), self.columns) }
    }
}

/// A fresh vector of `matrices` matrices `[rows, columns]`, written in parallel tile by tile: `f(matrix, row, column,
/// tile)` gets the tile whose first element is there, of at most `tile_rows` by `tile_columns` elements that are their row's
/// `initial` value.
pub(crate) fn fill_tiles(
    [matrices, rows, columns]: [usize; 3],
    tile_rows: usize,
    tile_columns: usize,
    initial: impl Fn(usize) -> f32 + Sync,
    f: impl Fn(usize, usize, usize, &mut Tile) + Sync,
) -> Vec<f32> {
    /// Lets tasks share the vector's address.
    struct Shared(*mut f32);
    // SAFETY: an address; what tasks do with it is justified below.
    unsafe impl Sync for Shared {}
    impl Shared {
        fn get(&self) -> *mut f32 {
            self.0
        }
    }

    let len = matrices * rows * columns;
    let mut out = Vec::<f32>::with_capacity(len);
    if len == 0 {
        return out;
    }
    let (tile_rows, tile_columns) = (tile_rows.clamp(1, rows), tile_columns.clamp(1, columns));
    let (down, across) = (rows.div_ceil(tile_rows), columns.div_ceil(tile_columns));
    let data = Shared(out.as_mut_ptr());
    (0..matrices * down * across).into_par_iter().for_each(|task| {
        let (matrix, tile) = (task / (down * across), task % (down * across));
        let (row, column) = (tile / across * tile_rows, tile % across * tile_columns);
        let (count, width) = (tile_rows.min(rows - row), tile_columns.min(columns - column));
        let first = (matrix * rows + row) * columns + column;
        // SAFETY: the last element is at `first + (count - 1) * columns + width - 1 < len`, within the allocation. Tiles
        // of different tasks have no element in common, each task runs once, and `out` is not touched meanwhile.
        // Elements are initialised before a slice of `f32` exists.
        let mut tile = unsafe {
            let start = data.get().add(first);
            for r in 0..count {
                let part = start.add(r * columns).cast::<MaybeUninit<f32>>();
                std::slice::from_raw_parts_mut(part, width).fill(MaybeUninit::new(initial(row + r)));
            }
            Tile { start, stride: columns, rows: count, columns: width, owner: PhantomData }
        };
        f(matrix, row, column, &mut tile);
    });
    // SAFETY: the tiles cover `len` elements, each of them initialised (a panic would have unwound past here).
    unsafe { out.set_len(len) };
    out
}
