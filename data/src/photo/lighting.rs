//! PCA lighting (spec 04-3a, item 2): a colour along the principal axes of ImageNet's pixels is added to all pixels.

use rand::Rng;

/// Square roots of the eigenvalues, as published.
const LAMBDA: [f64; 3] = [0.2175, 0.0188, 0.0045];
/// Eigenvectors as columns; rows are R, G, B.
const VECTORS: [[f64; 3]; 3] =
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]];

/// Draws the three amounts, normal with this standard deviation.
pub(super) fn draw(strength: f64, rng: &mut impl Rng) -> [f64; 3] {
    std::array::from_fn(|_| strength * normal(rng))
}

/// The byte that each byte becomes, per channel: scaled to [0, 1], moved, times 255, clipped and truncated.
pub(super) fn tables(amounts: [f64; 3]) -> [[u8; 256]; 3] {
    VECTORS.map(|row| {
        let moved: f64 = (0..3).map(|k| row[k] * LAMBDA[k] * amounts[k]).sum();
        std::array::from_fn(|v| ((v as f64 / 255.0 + moved) * 255.0).clamp(0.0, 255.0) as u8)
    })
}

/// A standard normal number, by Box and Muller's transform: two uniform draws each, so that the count of draws does
/// not depend on what is drawn.
fn normal(rng: &mut impl Rng) -> f64 {
    use rand::RngExt;
    let (a, b): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_space::Streams;

    #[test]
    fn no_light_changes_nothing() {
        for table in tables([0.0; 3]) {
            assert!(table.into_iter().eq(0..=255));
        }
    }

    /// NumPy: `np.clip((v/255 + V @ (lam * a)) * 255, 0, 255).astype(np.uint8)`.
    #[test]
    fn values_by_hand() {
        // (v/255 + d) * 255 = v + 255 d, d = V * (lambda * a): R -.5675 * .02175 = -.0123431, 255 d = -3.1475.
        let t = tables([0.1, 0.0, 0.0]);
        assert_eq!([t[0][0], t[0][3], t[0][100], t[0][255]], [0, 0, 96, 251]);
        assert_eq!([t[1][100], t[2][100]], [96, 96]);
        assert_eq!(tables([-0.1, 0.0, 0.0])[0][254], 255);
    }

    #[test]
    fn draws_are_normal() {
        let mut rng = Streams::new(6).rng("light", 0);
        let draws: Vec<f64> = (0..4000).flat_map(|_| draw(0.1, &mut rng)).collect();
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let std = (draws.iter().map(|d| d * d).sum::<f64>() / n).sqrt();
        let beyond = draws.iter().filter(|d| d.abs() > 0.196).count() as f64 / n;
        assert!(mean.abs() < 0.004 && (std - 0.1).abs() < 0.003 && (beyond - 0.05).abs() < 0.008);
    }
}
