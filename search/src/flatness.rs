//! The flatness score from its losses (spec 02-5, paper equation 4).

/// `1 / (alpha * |L_1 / s_1| + sum |(L_(i+1) - L_i) / (s_(i+1) - s_i)| + eps)`: larger is flatter and deeper.
///
/// `losses[i]` is the validation loss at noise level `sigmas[i]`; both have the same, non-zero length.
pub fn flatness(sigmas: &[f64], losses: &[f64], alpha: f64, eps: f64) -> f64 {
    let depth = alpha * (losses[0] / sigmas[0]).abs();
    let slopes = sigmas.windows(2).zip(losses.windows(2));
    let slopes: f64 = slopes.map(|(s, l)| ((l[1] - l[0]) / (s[1] - s[0])).abs()).sum();
    1.0 / (depth + slopes + eps)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of spec 02-5.
    #[test]
    fn worked_example() {
        let sigmas = [1e-3, 3e-3, 6e-3];
        let f = flatness(&sigmas, &[1.0, 1.2, 1.8], 1.0, 1e-5);
        assert!((f - 1.0 / 1300.00001).abs() < 1e-15, "{f}");
        assert!((f - 7.69230763e-4).abs() < 1e-12);
        assert!((16.0 / sigmas[0] * f - 12.3076922).abs() < 1e-7);
    }

    #[test]
    fn alpha_weighs_the_first_term() {
        let f = flatness(&[1e-3, 3e-3, 6e-3], &[1.0, 1.2, 1.8], 0.0, 1e-5);
        assert!((f - 1.0 / 300.00001).abs() < 1e-15);
        assert!(flatness(&[1e-3, 2e-3], &[f64::NAN, 1.0], 1.0, 1e-5).is_nan());
    }
}
