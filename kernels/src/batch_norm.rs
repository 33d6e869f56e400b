//! Batch normalisation over `[n, c, hw]`.
//!
//! Sums of a plane are kept in `f32` lanes (of at most a few thousand elements), and planes are added in `f64`, around a
//! shift per channel that avoids cancellation.

use crate::scratch;
use crate::simd::{Kernel, Level, Simd, fill_pieces};
use rayon::prelude::*;

/// Elements summed in `f32` lanes before going to `f64`.
const BLOCK: usize = 4096;
/// Elements of small planes that are written at a time.
const PIECE: usize = 1024;
/// Elements of the widest vector.
const LANES: usize = 16;
/// Elements that a task should have at least.
const TASK: usize = 16 * 1024;

/// Normalises by the batch's own statistics: the output, and per channel the mean and the biased variance.
pub fn train_forward(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    n: usize,
    c: usize,
    hw: usize,
    eps: f32,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    train_forward_add(x, gamma, beta, None, n, c, hw, eps)
}

/// [`train_forward`] plus `residual` (of `x`'s shape): the sum at a cell's node without a pass of its own. The residual's
/// gradient is the output's.
#[allow(clippy::too_many_arguments)]
pub fn train_forward_add(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    residual: Option<&[f32]>,
    n: usize,
    c: usize,
    hw: usize,
    eps: f32,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (mean, var) = statistics(x, n, c, hw);
    let (scale, shift) = scale_and_shift(gamma, beta, &mean, &var, eps);
    (affine_add(x, &scale, &shift, residual, n, c, hw), mean, var)
}

/// The output of [`train_forward`] again, to the bit, from the statistics that it returned.
#[allow(clippy::too_many_arguments)]
pub fn train_forward_again(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    var: &[f32],
    n: usize,
    c: usize,
    hw: usize,
    eps: f32,
) -> Vec<f32> {
    let (scale, shift) = scale_and_shift(gamma, beta, mean, var, eps);
    affine(x, &scale, &shift, n, c, hw)
}

/// Normalisation and the learned affine map as one.
fn scale_and_shift(gamma: &[f32], beta: &[f32], mean: &[f32], var: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let c = mean.len();
    assert!(gamma.len() == c && beta.len() == c, "one gamma and beta per channel");
    let scale: Vec<f32> = gamma.iter().zip(var).map(|(gamma, var)| gamma / (var + eps).sqrt()).collect();
    let shift = (0..c).map(|i| beta[i] - mean[i] * scale[i]).collect();
    (scale, shift)
}

/// Mean and biased variance per channel.
pub fn statistics(x: &[f32], n: usize, c: usize, hw: usize) -> (Vec<f32>, Vec<f32>) {
    moments(x, n, c, hw).into_iter().map(|(mean, var)| (mean as f32, var as f32)).unzip()
}

/// [`statistics`] before they are rounded.
pub fn moments(x: &[f32], n: usize, c: usize, hw: usize) -> Vec<(f64, f64)> {
    assert_eq!(x.len(), n * c * hw, "input length");
    if x.is_empty() {
        return vec![(0.0, 0.0); c];
    }
    let level = Level::current();
    let shifts: Vec<f32> = (0..c).map(|i| if x[i * hw].is_finite() { x[i * hw] } else { 0.0 }).collect();
    let sums = per_plane(n * c, hw, |i| level.run(Moments { x: &x[i * hw..][..hw], shift: shifts[i % c] }));
    let count = (n * hw) as f64;
    per_channel(&sums, c)
        .into_iter()
        .zip(&shifts)
        .map(|((sum, square), shift)| {
            let mean = sum / count;
            let var = square / count - mean * mean;
            // NaN stays (`max` would drop it).
            (f64::from(*shift) + mean, if var < 0.0 { 0.0 } else { var })
        })
        .collect()
}

/// The gradients of the input, of gamma and of beta for the output's gradient `g`, given the batch statistics that
/// [`train_forward`] returned.
#[allow(clippy::too_many_arguments)]
pub fn train_backward(
    x: &[f32],
    g: &[f32],
    gamma: &[f32],
    mean: &[f32],
    var: &[f32],
    n: usize,
    c: usize,
    hw: usize,
    eps: f32,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    train_backward_in_part(x, g, gamma, mean, var, n, c, hw, eps, |_| (n * hw) as f64)
}

/// [`train_backward`] where `x` is a part of the batch that the statistics are of. `whole` gets, per channel, this part's
/// sums of `g` and of `g * (x - mean)`, makes them the sums of the whole batch, and returns the whole batch's number of
/// values per channel. The gradients of gamma and beta are this part's.
#[allow(clippy::too_many_arguments)]
pub fn train_backward_in_part(
    x: &[f32],
    g: &[f32],
    gamma: &[f32],
    mean: &[f32],
    var: &[f32],
    n: usize,
    c: usize,
    hw: usize,
    eps: f32,
    whole: impl FnOnce(&mut [(f64, f64)]) -> f64,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    assert!(x.len() == n * c * hw && g.len() == x.len(), "input or gradient length");
    assert!(
        gamma.len() == c && mean.len() == c && var.len() == c,
        "one gamma, mean and variance per channel"
    );
    let level = Level::current();
    let sums = if 2 * hw <= BLOCK && n > 1 {
        small_dots(level, x, g, mean, hw)
    } else {
        per_plane(n * c, hw, |i| {
            level.run(Dots { x: &x[i * hw..][..hw], g: &g[i * hw..][..hw], shift: mean[i % c] })
        })
    };
    let mut sums = per_channel(&sums, c);
    let inv: Vec<f64> = var.iter().map(|var| 1.0 / (f64::from(*var) + f64::from(eps)).sqrt()).collect();
    let ggamma = sums.iter().zip(&inv).map(|((_, dot), inv)| (dot * inv) as f32).collect();
    let gbeta = sums.iter().map(|(sum, _)| *sum as f32).collect();
    let count = whole(&mut sums);
    // gx = scale * (g - gbeta / m - xhat * ggamma / m) = scale * g + a * x + b, with xhat = (x - mean) * inv.
    let term = |i: usize| {
        let ((sum, dot), inv) = (sums[i], inv[i]);
        let scale = f64::from(gamma[i]) * inv;
        let a = -scale * inv * inv * dot / count;
        (scale as f32, a as f32, mean[i], (-scale * sum / count) as f32)
    };
    let terms: Vec<_> = (0..c).map(term).collect();
    // Entering a kernel is paid once for several small planes, whose gradients still stay in the nearest cache.
    let batch = (PIECE / hw.max(1)).max(1);
    let gx = fill_pieces(
        x.len(),
        hw * batch,
        planes_per_task(hw).div_ceil(batch),
        || (),
        |_, i, out| {
            let (first, len) = (i * batch, out.len());
            let (x, g) = (&x[first * hw..][..len], &g[first * hw..][..len]);
            level.run(InputGradient { x, g, hw, terms: &terms, first, out });
        },
    );
    (gx, ggamma, gbeta)
}

/// `x * scale + shift` with a scale and a shift per channel.
pub fn affine(x: &[f32], scale: &[f32], shift: &[f32], n: usize, c: usize, hw: usize) -> Vec<f32> {
    affine_add(x, scale, shift, None, n, c, hw)
}

/// [`affine`] plus `residual`.
pub fn affine_add(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    residual: Option<&[f32]>,
    n: usize,
    c: usize,
    hw: usize,
) -> Vec<f32> {
    assert_eq!(x.len(), n * c * hw, "input length");
    assert!(residual.is_none_or(|r| r.len() == x.len()), "residual length");
    assert!(scale.len() == c && shift.len() == c, "one scale and shift per channel");
    let level = Level::current();
    fill_pieces(
        x.len(),
        hw,
        planes_per_task(hw),
        || (),
        |_, i, out| {
            let x = &x[i * hw..][..hw];
            let residual = residual.map(|r| &r[i * hw..][..hw]);
            level.run(Affine { x, scale: scale[i % c], shift: shift[i % c], residual, out });
        },
    )
}

/// Sums of [`Dots`] for small planes: of each channel over a few images at a time, `[groups, c]`. Adding up a vector's
/// lanes for each plane would take longer than all the rest.
fn small_dots(level: Level, x: &[f32], g: &[f32], mean: &[f32], hw: usize) -> Vec<(f64, f64)> {
    let c = mean.len();
    let images = (BLOCK / hw.max(1)).min(TASK.div_ceil((c * hw).max(1))).max(1);
    let task = (images * c * hw).max(1);
    let mut sums = vec![(0.0, 0.0); x.len().div_ceil(task) * c];
    sums.par_chunks_mut(c.max(1)).zip(x.par_chunks(task).zip(g.par_chunks(task))).for_each(
        |(sums, (x, g))| {
            let mut lanes = scratch::zeroed(2 * LANES * c);
            level.run(SmallDots { x, g, mean, hw, lanes: &mut lanes, sums });
        },
    );
    sums
}

fn planes_per_task(hw: usize) -> usize {
    (TASK / hw.max(1)).max(1)
}

/// `f` of every plane, in parallel.
fn per_plane(planes: usize, hw: usize, f: impl Fn(usize) -> (f64, f64) + Sync + Send) -> Vec<(f64, f64)> {
    let group = planes_per_task(hw);
    if planes <= group {
        return (0..planes).map(f).collect();
    }
    (0..planes).into_par_iter().with_min_len(group).map(f).collect()
}

/// Sums over the images, in their order.
fn per_channel(planes: &[(f64, f64)], c: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); c];
    for image in planes.chunks_exact(c.max(1)) {
        for (sum, plane) in sums.iter_mut().zip(image) {
            sum.0 += plane.0;
            sum.1 += plane.1;
        }
    }
    sums
}

/// Sums of `x - shift` and of its square.
struct Moments<'a> {
    x: &'a [f32],
    shift: f32,
}

impl Kernel for Moments<'_> {
    type Output = (f64, f64);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f64, f64) {
        let shift = s.splat(self.shift);
        let mut total = (0.0, 0.0);
        for x in self.x.chunks(BLOCK) {
            let (mut sum, mut square) = ([s.zero(); 4], [s.zero(); 4]);
            let mut at = 0;
            while at + 4 * S::LANES <= x.len() {
                for i in 0..4 {
                    let v = s.sub(s.load(x, at + i * S::LANES), shift);
                    sum[i] = s.add(sum[i], v);
                    square[i] = s.fma(v, v, square[i]);
                }
                at += 4 * S::LANES;
            }
            while at + S::LANES <= x.len() {
                let v = s.sub(s.load(x, at), shift);
                sum[0] = s.add(sum[0], v);
                square[0] = s.fma(v, v, square[0]);
                at += S::LANES;
            }
            total.0 += f64::from(s.sum(s.add(s.add(sum[0], sum[1]), s.add(sum[2], sum[3]))));
            total.1 += f64::from(s.sum(s.add(s.add(square[0], square[1]), s.add(square[2], square[3]))));
            for x in &x[at..] {
                let v = f64::from(x - self.shift);
                total.0 += v;
                total.1 += v * v;
            }
        }
        total
    }
}

/// Sums of `g` and of `g * (x - shift)`.
struct Dots<'a> {
    x: &'a [f32],
    g: &'a [f32],
    shift: f32,
}

impl Kernel for Dots<'_> {
    type Output = (f64, f64);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f64, f64) {
        let shift = s.splat(self.shift);
        let mut total = (0.0, 0.0);
        for (x, g) in self.x.chunks(BLOCK).zip(self.g.chunks(BLOCK)) {
            let (mut sum, mut dot) = ([s.zero(); 4], [s.zero(); 4]);
            let mut at = 0;
            while at + 4 * S::LANES <= x.len() {
                for i in 0..4 {
                    let v = s.sub(s.load(x, at + i * S::LANES), shift);
                    let g = s.load(g, at + i * S::LANES);
                    sum[i] = s.add(sum[i], g);
                    dot[i] = s.fma(v, g, dot[i]);
                }
                at += 4 * S::LANES;
            }
            while at + S::LANES <= x.len() {
                let v = s.sub(s.load(x, at), shift);
                let g = s.load(g, at);
                sum[0] = s.add(sum[0], g);
                dot[0] = s.fma(v, g, dot[0]);
                at += S::LANES;
            }
            total.0 += f64::from(s.sum(s.add(s.add(sum[0], sum[1]), s.add(sum[2], sum[3]))));
            total.1 += f64::from(s.sum(s.add(s.add(dot[0], dot[1]), s.add(dot[2], dot[3]))));
            for (x, g) in x[at..].iter().zip(&g[at..]) {
                total.0 += f64::from(*g);
                total.1 += f64::from(x - self.shift) * f64::from(*g);
            }
        }
        total
    }
}

/// [`Dots`] of each channel over some images.
struct SmallDots<'a> {
    x: &'a [f32],
    g: &'a [f32],
    mean: &'a [f32],
    hw: usize,
    /// Two vectors of zeros per channel.
    lanes: &'a mut [f32],
    sums: &'a mut [(f64, f64)],
}

impl Kernel for SmallDots<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let SmallDots { x, g, mean, hw, lanes, sums } = self;
        let c = mean.len();
        for (x, g) in x.chunks_exact(c * hw).zip(g.chunks_exact(c * hw)) {
            let planes = x.chunks_exact(hw).zip(g.chunks_exact(hw));
            for (((x, g), mean), lanes) in planes.zip(mean).zip(lanes.chunks_exact_mut(2 * S::LANES)) {
                let shift = s.splat(*mean);
                let (mut sum, mut dot) = ([s.zero(); 2], [s.zero(); 2]);
                let mut at = 0;
                while at + 2 * S::LANES <= hw {
                    for i in 0..2 {
                        let v = s.sub(s.load(x, at + i * S::LANES), shift);
                        let g = s.load(g, at + i * S::LANES);
                        sum[i] = s.add(sum[i], g);
                        dot[i] = s.fma(v, g, dot[i]);
                    }
                    at += 2 * S::LANES;
                }
                while at < hw {
                    // Lanes behind the end have no gradient.
                    let v = s.sub(s.load_part(x, at, hw - at), shift);
                    let g = s.load_part(g, at, hw - at);
                    sum[0] = s.add(sum[0], g);
                    dot[0] = s.fma(v, g, dot[0]);
                    at += S::LANES;
                }
                s.store(s.add(s.load(lanes, 0), s.add(sum[0], sum[1])), lanes, 0);
                s.store(s.add(s.load(lanes, S::LANES), s.add(dot[0], dot[1])), lanes, S::LANES);
            }
        }
        for (sums, lanes) in sums.iter_mut().zip(lanes.chunks_exact(2 * S::LANES)) {
            *sums = (f64::from(s.sum(s.load(lanes, 0))), f64::from(s.sum(s.load(lanes, S::LANES))));
        }
    }
}

struct Affine<'a> {
    x: &'a [f32],
    scale: f32,
    shift: f32,
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl Kernel for Affine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (scale, shift) = (s.splat(self.scale), s.splat(self.shift));
        let len = self.x.len();
        let mut at = 0;
        match self.residual {
            None => {
                while at < len {
                    let x = s.load_part(self.x, at, len - at);
                    s.store_part(s.fma(x, scale, shift), self.out, at, len - at);
                    at += S::LANES;
                }
            }
            Some(residual) => {
                while at < len {
                    let x = s.load_part(self.x, at, len - at);
                    let r = s.load_part(residual, at, len - at);
                    s.store_part(s.add(s.fma(x, scale, shift), r), self.out, at, len - at);
                    at += S::LANES;
                }
            }
        }
    }
}

/// `scale * g + a * (x - mean) + b` for consecutive planes.
struct InputGradient<'a> {
    x: &'a [f32],
    g: &'a [f32],
    hw: usize,
    /// Per channel.
    terms: &'a [(f32, f32, f32, f32)],
    /// Number of the first plane.
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for InputGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let InputGradient { x, g, hw, terms, first, out } = self;
        let planes = x.chunks_exact(hw).zip(g.chunks_exact(hw)).zip(out.chunks_exact_mut(hw));
        for (i, ((x, g), out)) in planes.enumerate() {
            let (scale, a, mean, b) = terms[(first + i) % terms.len()];
            let (scale, a, mean, b) = (s.splat(scale), s.splat(a), s.splat(mean), s.splat(b));
            let mut at = 0;
            while at < hw {
                let x = s.sub(s.load_part(x, at, hw - at), mean);
                let g = s.load_part(g, at, hw - at);
                s.store_part(s.fma(g, scale, s.fma(x, a, b)), out, at, hw - at);
                at += S::LANES;
            }
        }
    }
}
