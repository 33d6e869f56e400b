//! Gaussian noise on the parameters of a candidate (spec 02-5).

use crate::config::{MetricConfig, Noise, Position};
use genas_net::{Entry, Layout, Role, Weights};
use genas_space::Streams;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// What noise levels are measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseScale {
    /// Standard deviation of each parameter: the published code.
    #[default]
    Absolute,
    /// Norm of the noise over that of the filter, of convolutions and the classifier's weight; BatchNorm and biases get
    /// no noise (Li et al. 2018).
    Filter,
    /// Norm of the noise of all parameters together.
    Norm,
}

/// Where noise points (Table 7 of the paper).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Gaussian, drawn anew.
    #[default]
    Random,
    /// Where the validation loss curves most: its Hessian's first eigenvector, the same at all levels.
    Hessian,
}

/// Noise at several levels.
#[derive(Clone, Copy, Debug)]
pub struct Perturbation<'a> {
    /// Noise levels, increasing.
    pub sigmas: &'a [f64],
    /// How the levels hang together.
    pub noise: Noise,
    /// What a level is measured in.
    pub scale: NoiseScale,
    /// Which parameters are perturbed.
    pub position: Position,
}

/// The weights of a candidate at each noise level of a search's metric, in order.
pub fn perturbed<'a>(
    weights: &'a Weights,
    config: &'a MetricConfig,
    streams: &'a Streams,
    draw: u64,
) -> impl Iterator<Item = Weights> + 'a {
    let MetricConfig { sigmas, noise, scale, position, .. } = config;
    Perturbation { sigmas, noise: *noise, scale: *scale, position: *position }.levels(weights, streams, draw)
}

impl<'a> Perturbation<'a> {
    /// The weights of a candidate at each noise level, in order.
    ///
    /// Each parameter has a stream of its own, so that operations off the path need no draws and equal
    /// operations of different candidates can get equal noise. `draw` counts independent draws.
    pub fn levels(
        self,
        weights: &'a Weights,
        streams: &'a Streams,
        draw: u64,
    ) -> impl Iterator<Item = Weights> + 'a {
        let mut current = weights.clone();
        let mut previous = 0.0;
        self.sigmas.iter().enumerate().map(move |(level, &sigma)| {
            let (deviation, direction) = match self.noise {
                Noise::Cumulative => (sigma - previous, level),
                Noise::Independent => (sigma, level),
                Noise::CommonDirection => (sigma, 0),
            };
            previous = sigma;
            if self.noise != Noise::Cumulative {
                current = weights.clone();
            }
            let layout = weights.layout().clone();
            let rng = |entry: &Entry| stream(streams, entry, draw, direction);
            let deviation = deviation / self.unit(&layout, rng);
            for entry in perturbed_entries(&layout, self.position) {
                let (values, weights) = (current.slice_mut(entry), weights.slice(entry));
                self.scale.add(values, weights, entry, deviation, &mut rng(entry));
            }
            current.clone()
        })
    }

    /// What levels are measured in: the norm of the noise as it is drawn, or 1.
    fn unit<R: Rng>(&self, layout: &Layout, rng: impl Fn(&Entry) -> R) -> f64 {
        match self.scale {
            NoiseScale::Norm => norm_of(perturbed_entries(layout, self.position), rng),
            NoiseScale::Absolute | NoiseScale::Filter => 1.0,
        }
    }

    /// The weights of a candidate at each noise level along a `direction` of length 1, in order. Levels are measured as
    /// those of random noise: an absolute one has the length that Gaussian noise of that deviation is expected to have,
    /// `sigma * sqrt(d)` in `d` parameters (spec 02-5; the paper does not say).
    ///
    /// There is one direction, so that all kinds of noise are the same.
    pub fn along(self, weights: &'a Weights, direction: &[f64]) -> impl Iterator<Item = Weights> + 'a {
        let layout = weights.layout().clone();
        let mut direction = direction.to_vec();
        let length = match self.scale {
            NoiseScale::Norm => 1.0,
            NoiseScale::Absolute => {
                perturbed_entries(&layout, self.position).map(|e| e.len() as f64).sum::<f64>().sqrt()
            }
            NoiseScale::Filter => {
                for entry in layout.entries().iter().filter(|e| e.role.is_parameter()) {
                    scale_filters(&mut direction[entry.range()], weights.slice(entry), entry);
                }
                1.0
            }
        };
        self.sigmas.iter().map(move |sigma| weights.moved(&direction, sigma * length))
    }
}

/// Norm of the Gaussian noise of some parameters together.
fn norm_of<'a, R: Rng>(entries: impl Iterator<Item = &'a Entry>, rng: impl Fn(&Entry) -> R) -> f64 {
    let mut square = 0.0;
    for entry in entries {
        let mut rng = rng(entry);
        for _ in 0..entry.len() {
            let z: f32 = StandardNormal.sample(&mut rng);
            square += f64::from(z).powi(2);
        }
    }
    square.sqrt().max(f64::MIN_POSITIVE)
}

/// Gives the part of a direction that belongs to a filter that filter's norm, and nothing to what has no filters.
fn scale_filters(direction: &mut [f64], weights: &[f32], entry: &Entry) {
    if !has_filters(entry) {
        direction.fill(0.0);
        return;
    }
    let length = entry.len() / entry.shape[0];
    for (direction, weights) in direction.chunks_exact_mut(length).zip(weights.chunks_exact(length)) {
        let own = direction.iter().map(|v| v * v).sum::<f64>().sqrt();
        // What the direction leaves alone stays.
        let factor = if own > 0.0 { norm(weights) / own } else { 0.0 };
        direction.iter_mut().for_each(|v| *v *= factor);
    }
}

fn has_filters(entry: &Entry) -> bool {
    matches!(entry.role, Role::ConvWeight | Role::LinearWeight)
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// A random direction as steps of all parameters at noise level 1: the first of the draw, and so the one that
/// [`Noise::CommonDirection`] takes.
pub fn direction(
    weights: &Weights,
    scale: NoiseScale,
    position: Position,
    streams: &Streams,
    draw: u64,
) -> Vec<f32> {
    let layout = weights.layout();
    let mut steps = vec![0.0; layout.n_parameters()];
    let rng = |entry: &Entry| stream(streams, entry, draw, 0);
    let noise = Perturbation { sigmas: &[], noise: Noise::CommonDirection, scale, position };
    let length = 1.0 / noise.unit(layout, rng);
    for entry in perturbed_entries(layout, position) {
        scale.add(&mut steps[entry.range()], weights.slice(entry), entry, length, &mut rng(entry));
    }
    steps
}

/// The stream of a parameter. 64 directions per draw: no list of sigmas is that long.
fn stream(streams: &Streams, entry: &Entry, draw: u64, direction: usize) -> impl Rng + use<> {
    streams.rng(&format!("noise/{}", entry.name), draw * 64 + direction as u64)
}

impl NoiseScale {
    /// Adds noise of a parameter to `values`; `weights` are its values without any.
    fn add(self, values: &mut [f32], weights: &[f32], entry: &Entry, deviation: f64, rng: &mut impl Rng) {
        match self {
            Self::Absolute | Self::Norm => {
                for value in values {
                    let z: f32 = StandardNormal.sample(rng);
                    *value += deviation as f32 * z;
                }
            }
            Self::Filter => add_per_filter(values, weights, entry, deviation, rng),
        }
    }
}

/// Adds to each filter a random direction whose norm is `deviation` times that of the filter in `weights` (Li et al. 2018,
/// "Visualizing the loss landscape of neural nets"). What has no filters, BatchNorm and biases, is left alone.
fn add_per_filter(values: &mut [f32], weights: &[f32], entry: &Entry, deviation: f64, rng: &mut impl Rng) {
    if !has_filters(entry) {
        return;
    }
    let length = entry.len() / entry.shape[0];
    for (values, weights) in values.chunks_exact_mut(length).zip(weights.chunks_exact(length)) {
        let direction: Vec<f32> = (0..length).map(|_| StandardNormal.sample(rng)).collect();
        let factor = deviation * norm(weights) / norm(&direction).max(f64::MIN_POSITIVE);
        for (value, z) in values.iter_mut().zip(direction) {
            *value += (factor * f64::from(z)) as f32;
        }
    }
}

/// The parameters that noise reaches, in the layout's order.
pub(crate) fn perturbed_entries(layout: &Layout, position: Position) -> impl Iterator<Item = &Entry> {
    layout.entries().iter().filter(move |entry| is_perturbed(entry, position))
}

/// Cells are what stands under `cells`: in NAS-Bench-201 neither stem nor residual blocks, last BatchNorm nor classifier.
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

    /// A direction is what noise of a common direction adds at each level.
    #[test]
    fn directions_are_those_of_the_noise() {
        let net = genas_net::Nb201Supernet { channels: 4, cells_per_stage: 1, classes: 3 };
        let streams = Streams::new(1);
        let weights = Weights::init(Arc::new(net.layout()), &streams);
        for scale in [NoiseScale::Absolute, NoiseScale::Filter] {
            let steps = direction(&weights, scale, Position::All, &streams, 2);
            let noise = Perturbation {
                sigmas: &[0.25],
                noise: Noise::CommonDirection,
                scale,
                position: Position::All,
            };
            let moved = noise.levels(&weights, &streams, 2).next().unwrap();
            for ((moved, weight), step) in moved.parameters().iter().zip(weights.parameters()).zip(&steps) {
                assert!((moved - weight - 0.25 * step).abs() < 1e-6, "{scale:?}: {moved} {weight} {step}");
            }
            let other = direction(&weights, scale, Position::All, &streams, 3);
            let product = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let cosine = product(&steps, &other) / (product(&steps, &steps) * product(&other, &other)).sqrt();
            assert!(cosine.abs() < 0.05, "{scale:?}: draws differ, {cosine}");
        }
    }

    #[test]
    fn filters_move_in_proportion_to_their_norm() {
        let net = genas_net::Nb201Supernet { channels: 4, cells_per_stage: 1, classes: 3 };
        let streams = Streams::new(1);
        let weights = Weights::init(Arc::new(net.layout()), &streams);
        let noise = Perturbation {
            sigmas: &[0.1, 0.2],
            noise: Noise::Independent,
            scale: NoiseScale::Filter,
            position: Position::Cells,
        };
        let moved: Vec<Weights> = noise.levels(&weights, &streams, 3).collect();
        let (mut perturbed, mut kept) = (0, 0);
        for entry in weights.layout().entries() {
            let before = weights.slice(entry);
            for (weights, sigma) in moved.iter().zip([0.1, 0.2]) {
                let difference: Vec<f32> =
                    weights.slice(entry).iter().zip(before).map(|(a, b)| a - b).collect();
                if !entry.name.starts_with("cells.") || entry.role != Role::ConvWeight {
                    assert_eq!(norm(&difference), 0.0, "{}", entry.name);
                    kept += 1;
                    continue;
                }
                let length = entry.len() / entry.shape[0];
                for (difference, before) in difference.chunks(length).zip(before.chunks(length)) {
                    let share = norm(difference) / norm(before);
                    assert!((share / sigma - 1.0).abs() < 1e-5, "{}: {share}", entry.name);
                }
                perturbed += 1;
            }
        }
        // 2 levels, 3 cells, 6 edges, 2 convolutions each.
        assert_eq!(perturbed, 72);
        assert!(kept > 72);
    }

    #[test]
    fn along_a_direction() {
        let net = genas_net::Nb201Supernet { channels: 4, cells_per_stage: 1, classes: 3 };
        let streams = Streams::new(1);
        let weights = Weights::init(Arc::new(net.layout()), &streams);
        let entries: Vec<&Entry> = perturbed_entries(weights.layout(), Position::Cells).collect();
        let d = entries.iter().map(|e| e.len()).sum::<usize>() as f64;
        let mut direction = vec![0.0; weights.layout().n_parameters()];
        for entry in &entries {
            direction[entry.range()].fill(d.sqrt().recip());
        }
        let noise = |scale| Perturbation {
            sigmas: &[0.1, 0.2],
            noise: Noise::Cumulative,
            scale,
            position: Position::Cells,
        };
        let lengths = |moved: Vec<Weights>| -> Vec<f64> {
            let off = |w: &Weights| -> Vec<f32> {
                w.parameters().iter().zip(weights.parameters()).map(|(a, b)| a - b).collect()
            };
            moved.iter().map(|w| norm(&off(w))).collect()
        };
        let close = |found: Vec<f64>, want: [f64; 2]| {
            assert!(found.iter().zip(want).all(|(f, w)| (f / w - 1.0).abs() < 1e-3), "{found:?} {want:?}");
        };
        let along = |scale| lengths(noise(scale).along(&weights, &direction).collect());
        close(along(NoiseScale::Norm), [0.1, 0.2]);
        close(along(NoiseScale::Absolute), [0.1 * d.sqrt(), 0.2 * d.sqrt()]);
        // Every filter moves by its share, and so all of them do.
        let own: f64 = entries.iter().map(|e| norm(weights.slice(e)).powi(2)).sum::<f64>().sqrt();
        close(along(NoiseScale::Filter), [0.1 * own, 0.2 * own]);
        // Random noise of that length.
        let random = Perturbation { noise: Noise::Independent, ..noise(NoiseScale::Norm) };
        close(lengths(random.levels(&weights, &streams, 0).collect()), [0.1, 0.2]);
        // Nothing to perturb.
        let skip = "|skip_connect~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|none~2|";
        let bare = Weights::init(Arc::new(net.cell_layout(&skip.parse().unwrap())), &streams);
        let none = vec![0.0; bare.layout().n_parameters()];
        for scale in [NoiseScale::Norm, NoiseScale::Absolute, NoiseScale::Filter] {
            let moved: Vec<Weights> = noise(scale).along(&bare, &none).collect();
            assert_eq!(moved[1].parameters(), bare.parameters());
            let moved: Vec<Weights> = noise(scale).levels(&bare, &streams, 0).collect();
            assert_eq!(moved[1].parameters(), bare.parameters());
        }
    }
}
