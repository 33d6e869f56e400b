//! The cost of a network: parameters, multiply-accumulates, and the paper's FLOPs.

use crate::interpreter::Interpreter;
use crate::layer::{BatchNorm, Conv, FactorizedReduce, Linear, Pool};
use crate::layout::{Scope, fitted};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What a network costs for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostReport {
    /// Trainable parameters of the layers that the forward visits (no auxiliary head, no buffers).
    pub params: u64,
    /// Multiply-accumulates of convolutions and fully connected layers.
    pub macs: u64,
    /// The count that the paper calls FLOPs: as `macs`, but a fully connected layer counts
    /// `2 * inputs - 1` per output (the profiler of the published code).
    pub paper_flops: u64,
}

/// The interpreter that counts. Values are `[channels, height, width]`. Normalisation,
/// activations, pooling, resizing and sums are not counted, as in the paper. Parameters that layers share are counted once.
#[derive(Debug, Default)]
pub struct Cost {
    report: CostReport,
    scope: Scope,
    seen: HashSet<String>,
}

impl Cost {
    /// Counts what `forward` does with an image of `shape` (`[channels, height, width]`).
    pub fn of(shape: [usize; 3], forward: impl FnOnce(&mut Cost, &[usize; 3])) -> CostReport {
        let mut cost = Cost::default();
        forward(&mut cost, &shape);
        cost.report
    }

    /// What was counted so far.
    pub(crate) fn report(&self) -> CostReport {
        self.report
    }

    /// Enters a scope; the returned mark leaves it again.
    pub(crate) fn enter(&mut self, name: &str) -> usize {
        self.scope.enter(name)
    }

    /// Goes back to where `mark` was taken.
    pub(crate) fn leave(&mut self, mark: usize) {
        self.scope.leave(mark);
    }

    /// Counts the parameters of a layer that was not met before.
    fn parameters(&mut self, name: &str, n: u64) {
        if self.seen.insert(self.scope.join(name)) {
            self.report.params += n;
        }
    }

    fn products(&mut self, weights: u64, pixels: usize) {
        self.report.macs += weights * pixels as u64;
        self.report.paper_flops += weights * pixels as u64;
    }
}

impl Interpreter for Cost {
    type Value = [usize; 3];

    fn scope<R>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> R) -> R {
        let mark = self.scope.enter(name);
        let result = body(self);
        self.scope.leave(mark);
        result
    }

    fn conv(&mut self, name: &str, conv: &Conv, x: &[usize; 3]) -> [usize; 3] {
        let [h, w] = fitted(conv.output_size([x[1], x[2]]), x);
        let bias = if conv.bias { conv.c_out as u64 } else { 0 };
        self.parameters(name, conv.macs_per_pixel() + bias);
        self.products(conv.macs_per_pixel(), h * w);
        [conv.c_out, h, w]
    }

    fn batch_norm(&mut self, name: &str, bn: &BatchNorm, x: &[usize; 3]) -> [usize; 3] {
        if bn.affine {
            self.parameters(name, 2 * bn.channels as u64);
        }
        *x
    }

    fn relu(&mut self, x: &[usize; 3]) -> [usize; 3] {
        *x
    }

    fn max_pool(&mut self, pool: &Pool, x: &[usize; 3]) -> [usize; 3] {
        let [h, w] = fitted(pool.output_size([x[1], x[2]]), x);
        [x[0], h, w]
    }

    fn avg_pool(&mut self, pool: &Pool, x: &[usize; 3]) -> [usize; 3] {
        self.max_pool(pool, x)
    }

    fn sum(&mut self, xs: &[[usize; 3]]) -> [usize; 3] {
        xs[0]
    }

    fn zeros(&mut self, x: &[usize; 3]) -> [usize; 3] {
        *x
    }

    fn concat(&mut self, xs: &[[usize; 3]]) -> [usize; 3] {
        [xs.iter().map(|x| x[0]).sum(), xs[0][1], xs[0][2]]
    }

    fn factorized_reduce(&mut self, reduce: &FactorizedReduce, x: &[usize; 3]) -> [usize; 3] {
        let ([h, w], weights) = (reduce.output_size([x[1], x[2]]), (reduce.c_in * reduce.c_out) as u64);
        self.parameters("factorized_reduce", weights);
        self.products(weights, h * w);
        [reduce.c_out, h, w]
    }

    fn upsample(&mut self, x: &[usize; 3]) -> [usize; 3] {
        [x[0], 2 * x[1], 2 * x[2]]
    }

    fn resize(&mut self, x: &[usize; 3], like: &[usize; 3], _: bool) -> [usize; 3] {
        [x[0], like[1], like[2]]
    }

    fn global_avg_pool(&mut self, x: &[usize; 3]) -> [usize; 3] {
        [x[0], 1, 1]
    }

    fn linear(&mut self, name: &str, linear: &Linear, _: &[usize; 3]) -> [usize; 3] {
        let (c_in, c_out) = (linear.c_in as u64, linear.c_out as u64);
        self.parameters(name, (c_in + 1) * c_out);
        self.report.macs += c_in * c_out;
        self.report.paper_flops += (2 * c_in - 1) * c_out;
        [linear.c_out, 1, 1]
    }
}
