//! Stochastic gradient descent with momentum and weight decay, as PyTorch's (dampening 0).

use crate::simd::{Kernel, Level, Simd};
use rayon::prelude::*;

/// Elements per task, and per partial sum.
const TASK: usize = 16 * 1024;

/// The step's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f32,
    /// Momentum.
    pub momentum: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Look ahead by one step of momentum (Nesterov).
    pub nesterov: bool,
}

/// `d = scale * grad + weight_decay * param; velocity = momentum * velocity + d; param -= lr * velocity`, with Nesterov
/// `param -= lr * (momentum * velocity + d)`. `scale` is the factor of gradient clipping. A velocity of zeros is the state
/// before the first step.
pub fn step(params: &mut [f32], grads: &[f32], velocity: &mut [f32], scale: f32, sgd: Sgd) {
    assert!(params.len() == grads.len() && params.len() == velocity.len(), "lengths differ");
    let level = Level::current();
    if params.len() <= TASK {
        return level.run(Step { params, grads, velocity, scale, sgd });
    }
    params
        .par_chunks_mut(TASK)
        .zip(grads.par_chunks(TASK))
        .zip(velocity.par_chunks_mut(TASK))
        .for_each(|((params, grads), velocity)| level.run(Step { params, grads, velocity, scale, sgd }));
}

/// The sum of squares, in `f64` and in a fixed order.
pub fn sum_squares(x: &[f32]) -> f64 {
    if x.len() <= TASK {
        return squares(x);
    }
    let parts: Vec<f64> = x.par_chunks(TASK).map(squares).collect();
    parts.iter().sum()
}

fn squares(x: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let chunks = x.chunks_exact(8);
    let tail: f64 = chunks.remainder().iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*v) * f64::from(*v);
        }
    }
    lanes.iter().sum::<f64>() + tail
}

struct Step<'a> {
    params: &'a mut [f32],
    grads: &'a [f32],
    velocity: &'a mut [f32],
    scale: f32,
    sgd: Sgd,
}

impl Kernel for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (scale, decay) = (s.splat(self.scale), s.splat(self.sgd.weight_decay));
        let (momentum, lr) = (s.splat(self.sgd.momentum), s.splat(-self.sgd.lr));
        let len = self.grads.len();
        let mut at = 0;
        while at < len {
            let rest = len - at;
            let p = s.load_part(self.params, at, rest);
            let d = s.fma(p, decay, s.mul(scale, s.load_part(self.grads, at, rest)));
            let v = s.fma(momentum, s.load_part(self.velocity, at, rest), d);
            s.store_part(v, self.velocity, at, rest);
            let u = if self.sgd.nesterov { s.fma(momentum, v, d) } else { v };
            s.store_part(s.fma(lr, u, p), self.params, at, rest);
            at += S::LANES;
        }
    }
}
