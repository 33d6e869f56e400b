//! RetinaNet's losses as formulae of one number in 64 bits, with their derivatives: tests of the tensor code compare
//! with these.

/// `-ln(sigmoid(x))` without overflow.
fn softplus_of_minus(x: f64) -> f64 {
    (-x).max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + exp(-x))` without overflow.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// Focal loss of one logit, and its derivative by the logit (Lin et al. 2017, equation 5; torchvision's
/// `sigmoid_focal_loss`). With p the probability of what is true:
/// `a (1 - p)^gamma (-ln p)`, a being `alpha` for an object and `1 - alpha` for background.
pub fn focal(logit: f64, object: bool, alpha: f64, gamma: f64) -> (f64, f64) {
    // Background is an object of the opposite logit.
    let (x, weight, sign) = if object { (logit, alpha, 1.0) } else { (-logit, 1.0 - alpha, -1.0) };
    let (p, q, cross_entropy) = (sigmoid(x), sigmoid(-x), softplus_of_minus(x));
    let slope = -q.powf(gamma) * (gamma * p * cross_entropy + q);
    (weight * q.powf(gamma) * cross_entropy, sign * weight * slope)
}

/// Smooth L1 of a difference, and its derivative; plain L1 with `beta` 0 (whose derivative at 0 is 0).
pub fn smooth_l1(difference: f64, beta: f64) -> (f64, f64) {
    let size = difference.abs();
    if size < beta {
        (0.5 * size * size / beta, difference / beta)
    } else {
        let sign = if difference == 0.0 { 0.0 } else { difference.signum() };
        (size - 0.5 * beta, sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retinanet::recorded::recorded;

    fn near(got: f64, want: f64) -> bool {
        (got - want).abs() <= 1e-12 * want.abs()
    }

    #[test]
    fn focal_as_torchvision() {
        for case in recorded()["focal"].list() {
            let (alpha, gamma) = (case["alpha"].number(), case["gamma"].number());
            let (logits, objects) = (case["logits"].doubles(), case["objects"].doubles());
            for (n, (&logit, &object)) in logits.iter().zip(&objects).enumerate() {
                let (loss, slope) = focal(logit, object == 1.0, alpha, gamma);
                let (want, want_slope) = (case["loss"].doubles()[n], case["gradient"].doubles()[n]);
                // torchvision takes 1 - p for small q, which loses its digits
                let tolerance = |want: f64| 1e-9 * want.abs() + 1e-17;
                assert!((loss - want).abs() <= tolerance(want), "{logit} {object}: {loss}, not {want}");
                assert!(
                    (slope - want_slope).abs() <= tolerance(want_slope),
                    "{logit} {object}: {slope}, not {want_slope}"
                );
            }
        }
    }

    #[test]
    fn smooth_l1_as_torch() {
        for case in recorded()["smooth_l1"].list() {
            let beta = case["beta"].number();
            for (n, &difference) in case["differences"].doubles().iter().enumerate() {
                let (loss, slope) = smooth_l1(difference, beta);
                assert!(
                    near(loss, case["loss"].doubles()[n]) && near(slope, case["gradient"].doubles()[n]),
                    "{difference}"
                );
            }
        }
    }

    #[test]
    fn derivatives_are_slopes() {
        for logit in [-30.0, -4.6, -0.3, 0.0, 0.7, 5.0, 40.0] {
            for object in [false, true] {
                let at = |x: f64| focal(x, object, 0.25, 2.0).0;
                let slope = (at(logit + 1e-5) - at(logit - 1e-5)) / 2e-5;
                let (_, derivative) = focal(logit, object, 0.25, 2.0);
                assert!((slope - derivative).abs() < 1e-8 * (1.0 + slope.abs()), "{logit} {object}");
            }
        }
    }
}
