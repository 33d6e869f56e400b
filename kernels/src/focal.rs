//! Sigmoid focal loss of a detector's logits `[n, anchors * classes, hw]` (Lin et al. 2017, equation 5; torchvision's
//! `sigmoid_focal_loss` summed).
//!
//! With `p` the probability of what is true, the loss of a logit is `a (1 - p)^gamma (-ln p)`, where `a` is `alpha` for an
//! object and `1 - alpha` for background. Nearly every logit is background, and an anchor has at most one class: the
//! kernel takes all of them for background and puts the few others right afterwards, in double precision.

use crate::simd::{Kernel, Level, Simd, fill_pieces};
use rayon::prelude::*;

/// Logits per task, about.
const TASK: usize = 16 * 1024;

/// The label of an anchor that is no object.
pub const BACKGROUND: i32 = -1;
/// The label of an anchor that has no loss.
pub const IGNORED: i32 = -2;

/// Shape of the logits `[n, anchors, classes, hw]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images.
    pub n: usize,
    /// Anchors per place.
    pub anchors: usize,
    /// Classes.
    pub classes: usize,
    /// Places.
    pub hw: usize,
}

/// What the logits should say, and how they are weighed.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// For each anchor, `[n, anchors, hw]`, its class, [`BACKGROUND`] or [`IGNORED`].
    pub labels: &'a [i32],
    /// Weight of objects, from 0 to 1.
    pub alpha: f32,
    /// Exponent that quietens what is known well already.
    pub gamma: f32,
}

impl Targets<'_> {
    fn check(&self, logits: &[f32], s: &Shape) {
        assert_eq!(logits.len(), s.n * s.anchors * s.classes * s.hw, "logits do not match the shape");
        assert_eq!(self.labels.len(), s.n * s.anchors * s.hw, "a label for each anchor");
        let known = IGNORED..s.classes as i32;
        assert!(self.labels.iter().all(|label| known.contains(label)), "labels are classes, -1 or -2");
    }

    /// Labels of the anchors of a plane.
    fn of_plane(&self, plane: usize, s: &Shape) -> &[i32] {
        &self.labels[plane / s.classes * s.hw..][..s.hw]
    }
}

/// Loss of one logit, and its derivative.
fn one(logit: f32, object: bool, targets: &Targets) -> (f64, f64) {
    let (alpha, gamma) = (f64::from(targets.alpha), f64::from(targets.gamma));
    let x = f64::from(logit);
    // Background is an object of the opposite logit.
    let (x, weight, sign) = if object { (x, alpha, 1.0) } else { (-x, 1.0 - alpha, -1.0) };
    // -ln p and -ln (1 - p).
    let rest = (-x.abs()).exp().ln_1p();
    let (cost, counter) = ((-x).max(0.0) + rest, x.max(0.0) + rest);
    let (p, damp) = ((-cost).exp(), (-gamma * counter).exp());
    (weight * damp * cost, sign * weight * -damp * (gamma * p * cost + (-counter).exp()))
}

/// The sum of the losses.
pub fn forward(logits: &[f32], targets: &Targets, shape: Shape) -> f64 {
    targets.check(logits, &shape);
    let Shape { n, anchors, classes, hw } = shape;
    let level = Level::current();
    let plane = |i: usize| {
        let (x, labels) = (&logits[i * hw..][..hw], targets.of_plane(i, &shape));
        let background = level.run(Background { x, labels, targets, out: &mut [] });
        let class = (i % classes) as i32;
        let objects = x.iter().zip(labels).filter(|(_, label)| **label == class);
        background + objects.map(|(&x, _)| one(x, true, targets).0 - one(x, false, targets).0).sum::<f64>()
    };
    // Summed in the order of the planes, whatever thread computes them.
    let group = (TASK / hw.max(1)).max(1);
    let sums: Vec<f64> = (0..n * anchors * classes).into_par_iter().with_min_len(group).map(plane).collect();
    sums.into_iter().sum()
}

/// Gradient of the logits, of `scale` times [`forward`].
pub fn backward(logits: &[f32], targets: &Targets, scale: f32, shape: Shape) -> Vec<f32> {
    targets.check(logits, &shape);
    let hw = shape.hw;
    let level = Level::current();
    let group = (TASK / hw.max(1)).max(1);
    fill_pieces(
        logits.len(),
        hw,
        group,
        || (),
        |_, i, out| {
            let (x, labels) = (&logits[i * hw..][..hw], targets.of_plane(i, &shape));
            level.run(Background { x, labels, targets, out });
            let class = (i % shape.classes) as i32;
            for ((out, x), label) in out.iter_mut().zip(x).zip(labels) {
                if *label == class {
                    *out = one(*x, true, targets).1 as f32;
                }
                *out *= scale;
            }
        },
    )
}

/// A plane as if all its anchors were background, those that are ignored left out: the sum of the losses, or with an `out`
/// their derivatives.
struct Background<'a> {
    x: &'a [f32],
    labels: &'a [i32],
    targets: &'a Targets<'a>,
    out: &'a mut [f32],
}

impl Kernel for Background<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let len = self.x.len();
        let (gamma, weight) = (s.splat(self.targets.gamma), s.splat(1.0 - self.targets.alpha));
        let (one, minus) = (s.splat(1.0), s.splat(-1.0));
        let mut total = 0.0;
        let mut at = 0;
        while at < len {
            let x = s.load_part(self.x, at, len - at);
            let mut counted = [0.0; 16];
            for (counted, label) in counted.iter_mut().zip(&self.labels[at..(at + S::LANES).min(len)]) {
                *counted = f32::from(u8::from(*label != IGNORED));
            }
            let weight = s.mul(weight, s.load(&counted, 0));
            let negative = s.mul(x, minus);
            // max(x, 0) and max(-x, 0), NaN kept.
            let (up, down) = (s.relu(x), s.relu(negative));
            let small = s.exp_of_negative(s.mul(s.add(up, down), minus));
            let rest = s.ln(s.add(one, small));
            // -ln of the probability of background, and of an object.
            let (cost, counter) = (s.add(up, rest), s.add(down, rest));
            let damp = s.mul(weight, s.exp_of_negative(s.mul(s.mul(counter, minus), gamma)));
            if self.out.is_empty() {
                let loss = s.mul(damp, cost);
                total += f64::from(s.sum(loss));
            } else {
                let p = s.exp_of_negative(s.mul(cost, minus));
                let object = s.exp_of_negative(s.mul(counter, minus));
                let slope = s.mul(damp, s.fma(s.mul(gamma, p), cost, object));
                s.store_part(slope, self.out, at, len - at);
            }
            at += S::LANES;
        }
        total
    }
}
