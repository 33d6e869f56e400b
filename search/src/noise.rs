//! Gaussian noise on the parameters of a candidate (spec 02-5).

use crate::config::{MetricConfig, Noise, Position};
use genas_net::{Entry, Weights};
use genas_space::Streams;
use rand_distr::{Distribution, StandardNormal};

/// The weights of a candidate at each noise level, in order.
///
/// Each parameter has a stream of its own, so that operations off the path need no draws and equal
/// operations of different candidates can get equal noise. `draw` counts independent draws.
pub fn perturbed<'a>(
    weights: &'a Weights,
    config: &'a MetricConfig,
    streams: &'a Streams,
    draw: u64,
) -> impl Iterator<Item = Weights> + 'a {
    let mut current = weights.clone();
    let mut previous = 0.0;
    config.sigmas.iter().enumerate().map(move |(level, &sigma)| {
        let (deviation, direction) = match config.noise {
            Noise::Cumulative => (sigma - previous, level),
            Noise::Independent => (sigma, level),
            Noise::CommonDirection => (sigma, 0),
        };
        previous = sigma;
        if config.noise != Noise::Cumulative {
            current = weights.clone();
        }
        let layout = weights.layout().clone();
        for entry in layout.entries().iter().filter(|e| is_perturbed(e, config.position)) {
            // 64 directions per draw: no list of sigmas is that long.
            let mut rng = streams.rng(&format!("noise/{}", entry.name), draw * 64 + direction as u64);
            for value in current.slice_mut(entry) {
                let z: f32 = StandardNormal.sample(&mut rng);
                *value += deviation as f32 * z;
            }
        }
        current.clone()
    })
}

fn is_perturbed(entry: &Entry, position: Position) -> bool {
    entry.role.is_parameter() && (position == Position::All || entry.name.starts_with("cells."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_net::Supernet;
    use std::sync::Arc;

    fn deviations(config: &MetricConfig) -> Vec<(f64, f64)> {
        let net = Supernet { channels: 8, layers: 3, classes: 10 };
        let weights = Weights::neutral(Arc::new(net.layout()));
        perturbed(&weights, config, &Streams::new(1), 0)
            .map(|w| {
                let differences =
                    w.parameters().iter().zip(weights.parameters()).map(|(a, b)| f64::from(a - b));
                let square: f64 = differences.map(|d| d * d).sum();
                let stem = w.get("stem.conv.weight").unwrap()[0];
                ((square / w.parameters().len() as f64).sqrt(), f64::from(stem))
            })
            .collect()
    }

    /// Actual standard deviations of spec 02-5's table.
    #[test]
    fn cumulative_noise_has_the_published_deviation() {
        let config = MetricConfig { sigmas: vec![2e-3, 2e-2, 4e-2], ..Default::default() };
        for ((got, _), want) in deviations(&config).into_iter().zip([2e-3, 1.811e-2, 2.698e-2]) {
            assert!((got / want - 1.0).abs() < 0.02, "{got} {want}");
        }
    }

    #[test]
    fn other_noises_and_positions() {
        let independent = MetricConfig { noise: Noise::Independent, ..Default::default() };
        let d = deviations(&independent);
        assert!((d[2].0 / 6e-3 - 1.0).abs() < 0.02);
        assert!((d[1].1 / d[0].1 - 3.0).abs() > 1e-3, "directions differ");
        let common = MetricConfig { noise: Noise::CommonDirection, ..Default::default() };
        let d = deviations(&common);
        assert!((d[1].1 / d[0].1 - 3.0).abs() < 1e-4, "one direction");
        let cells = MetricConfig { position: Position::Cells, ..Default::default() };
        assert_eq!(deviations(&cells)[2].1, 0.0, "the stem keeps its weights");
    }
}
