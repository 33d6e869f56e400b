//! Instruction sets, and everything in this crate that is `unsafe`: vector loads and stores, entering code compiled for
//! an instruction set, handing slices to the matrix product of `gemm`, and filling fresh memory.
#![allow(unsafe_code, reason = "the one module with unsafe code; each block says why it is sound")]

mod fill;
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use fill::{Tile, fill_pieces, fill_pieces_with, fill_tiles};
pub(crate) use matrix::{Mat, matmul};
use portable::Portable;
use std::cell::Cell;
use std::sync::OnceLock;

/// An instruction set, from the most portable to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, compiled for the build's target.
    Portable,
    /// NEON, of 64-bit ARM.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, VL, BW, DQ).
    Avx512,
}

impl Level {
    /// All of them.
    const ALL: [Level; 4] = [Level::Portable, Level::Neon, Level::Avx2, Level::Avx512];

    /// The best this machine has, or what the environment variable `GENAS_SIMD` (`portable`, `neon`, `avx2`, `avx512`)
    /// limits it to. Read once.
    pub fn detected() -> Level {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let limit = match std::env::var("GENAS_SIMD").as_deref() {
                Ok("portable") => Level::Portable,
                Ok("neon") => Level::Neon,
                Ok("avx2") => Level::Avx2,
                _ => Level::Avx512,
            };
            Level::supported().into_iter().filter(|l| *l <= limit).max().unwrap_or(Level::Portable)
        })
    }

    /// Those this machine can run.
    pub fn supported() -> Vec<Level> {
        Level::ALL.into_iter().filter(|level| level.is_supported()).collect()
    }

    /// Whether this machine can run it; the detection is cached by `std`.
    #[inline]
    fn is_supported(self) -> bool {
        match self {
            Level::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Level::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.is_supported()
                    && std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512vl")
                    && std::is_x86_feature_detected!("avx512bw")
                    && std::is_x86_feature_detected!("avx512dq")
            }
            _ => false,
        }
    }

    /// What kernels called from this thread use: [`Level::detected`] unless inside [`with_level`].
    pub fn current() -> Level {
        FORCED.with(Cell::get).unwrap_or_else(Level::detected)
    }

    /// Runs `kernel` with the widest vectors of this level.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.checked() {
            #[cfg(target_arch = "aarch64")]
            // SAFETY: `checked` found the feature.
            Level::Neon => unsafe { neon::run_neon(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `checked` found the features.
            Level::Avx2 => unsafe { x86::run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `checked` found the features.
            Level::Avx512 => unsafe { x86::run_avx512(kernel) },
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

    /// This level where the machine has it, else the portable one: values of this type can be made by anyone.
    #[inline]
    pub(crate) fn checked(self) -> Level {
        if self.is_supported() { self } else { Level::Portable }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_level_runs_everywhere_and_others_where_they_are() {
        let supported = Level::supported();
        assert!(supported.contains(&Level::Portable) && supported.contains(&Level::detected()));
        // Part of the architecture.
        assert_eq!(supported.contains(&Level::Neon), cfg!(target_arch = "aarch64"));
        for level in Level::ALL {
            let ran = with_level(level, || Level::current().checked());
            assert_eq!(ran, if supported.contains(&level) { level } else { Level::Portable });
        }
    }
}
