//! What is measured of a cell, once: every metric is computed from it afterwards.

use crate::angle::nb201_angle;
use crate::config::{LossAverage, Position};
use crate::error::SearchError;
use crate::metric::AngleScore;
use crate::noise::{Direction, Perturbation};
use crate::rank::config::{HESSIAN_IMAGES, HESSIAN_STEP, MeasureConfig, Nb201Config, NoiseConfig};
use crate::rank::hessian::{Curvature, PowerIteration, sharpest_direction};
use crate::rank::supernet::TrainedSupernet;
use crate::scorer::{average, hits};
use crate::subnet::{Images, Recalibration, Subnets};
use crate::supernet::Halves;
use genas_net::{Devices, Nb201Net, Nb201Supernet, Weights, cross_entropy_per_sample};
use genas_runtime::Provider;
use genas_space::Streams;
use genas_space::nb201::Nb201Cell;
use serde::{Deserialize, Serialize};

/// Plain measurements of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellMeasurement {
    /// The cell.
    pub cell: Nb201Cell,
    /// Parameters of the benchmark's network.
    pub params: u64,
    /// FLOPs of the benchmark's network, by the benchmark's count.
    pub flops: u64,
    /// How far training turned the cell's weights.
    pub angle: AngleScore,
    /// Validation loss without noise.
    pub loss: f64,
    /// Validation accuracy without noise, a fraction.
    pub accuracy: f64,
    /// The same of fewer images, in the order of [`MeasureConfig::fewer_images`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fewer: Vec<FewerImages<f64>>,
    /// What it is under noise, in the order of [`MeasureConfig::noises`].
    pub noises: Vec<NoiseMeasurement>,
}

/// A cell under one kind of noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseMeasurement {
    /// The noise's name.
    pub name: String,
    /// Noise levels.
    pub sigmas: Vec<f64>,
    /// Validation loss: `losses[level][draw]`.
    pub losses: Vec<Vec<f64>>,
    /// Validation accuracy, a fraction: `accuracies[level][draw]`.
    pub accuracies: Vec<Vec<f64>>,
    /// The same of fewer images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fewer: Vec<FewerImages<Vec<Vec<f64>>>>,
    /// How the loss curves along the noise, where its direction is the Hessian's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curvature: Option<Curvature>,
}

/// Loss and accuracy of the first validation images alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FewerImages<T> {
    /// How many.
    pub images: usize,
    /// Their loss.
    pub loss: T,
    /// Their accuracy, a fraction.
    pub accuracy: T,
}

/// Hessian directions of one cell by what they depend on: noises may differ in how far they go along one.
type Sharpest = Vec<((Position, Option<usize>, PowerIteration, Option<f64>), Vec<f64>, Curvature)>;

/// Measures cells of one trained supernet. Cells can be measured in parallel.
#[derive(Debug)]
pub struct Measurer {
    subnets: Subnets<Nb201Supernet>,
    initial: Weights,
    images: Images,
    config: MeasureConfig,
    streams: Streams,
    side: usize,
}

impl Measurer {
    /// For the supernet and the images that it was trained with.
    pub fn new(
        supernet: TrainedSupernet,
        halves: &Halves,
        config: &Nb201Config,
        devices: &Devices,
        provider: Provider,
    ) -> Result<Self, SearchError> {
        let TrainedSupernet { net, initial, trained } = supernet;
        let measure = &config.measure;
        let (wanted, there) = (measure.validation_images, halves.valid.len());
        if wanted > there {
            return Err(SearchError::Setting(format!(
                "measure.validation-images is {wanted}, but the validation half has {there} images; \
                 lower it (--set measure.validation-images={there})"
            )));
        }
        if halves.set.n_classes() != net.classes {
            return Err(SearchError::Setting(format!(
                "the supernet has {} classes, the data {}; give the data that it was trained for",
                net.classes,
                halves.set.n_classes()
            )));
        }
        let streams = config.streams();
        let loader = halves.loader(measure.batch_size, streams, "recalibration")?;
        let images = Images::new(halves, wanted, loader);
        let engine = measure.scorer;
        let subnets = Subnets { net, trained, engine, devices: devices.clone(), provider };
        Ok(Self { subnets, initial, images, config: measure.clone(), streams, side: halves.set.height })
    }

    /// Measures a cell: one pass over the validation images without noise, and one per noise, draw and level.
    pub fn measure(&self, cell: &Nb201Cell) -> Result<CellMeasurement, SearchError> {
        let Subnets { net, trained, .. } = &self.subnets;
        let cost = Nb201Net::benchmark(*cell, net.classes).cost(self.side);
        let draw = if self.config.common_random_numbers { 0 } else { cell.index() as u64 };
        let weights = self.subnets.recalibrated(cell, &self.images, &self.recalibration(), draw);
        let passed = self.pass(cell, &weights)?;
        let mut known = Sharpest::new();
        let noises =
            self.config.noises.iter().map(|noise| self.under(noise, cell, &weights, draw, &mut known));
        let fewer = self.config.fewer_images.iter().zip(&passed[1..]);
        Ok(CellMeasurement {
            cell: *cell,
            params: cost.params,
            flops: cost.flops,
            angle: nb201_angle(net, cell, &self.initial, trained),
            loss: passed[0].0,
            accuracy: passed[0].1,
            fewer: fewer.map(|(&images, &(loss, accuracy))| FewerImages { images, loss, accuracy }).collect(),
            noises: noises.collect::<Result<_, _>>()?,
        })
    }

    fn recalibration(&self) -> Recalibration {
        Recalibration {
            images: self.config.recalibration_images,
            batch_size: self.config.batch_size,
            statistics: self.config.recalibration_statistics,
        }
    }

    /// A recalibrated cell under noise. `cell_draw` is 0 where cells share their draws, and the cell's number where not.
    fn under(
        &self,
        noise: &NoiseConfig,
        cell: &Nb201Cell,
        weights: &Weights,
        cell_draw: u64,
        known: &mut Sharpest,
    ) -> Result<NoiseMeasurement, SearchError> {
        let NoiseConfig { name, sigmas, draws, recalibrate, .. } = noise;
        let perturbation =
            Perturbation { sigmas, noise: noise.noise, scale: noise.scale, position: noise.position };
        let mut all = FewerImages { images: 0, loss: vec![Vec::new(); sigmas.len()], accuracy: Vec::new() };
        all.accuracy = all.loss.clone();
        // Of all images, then of fewer.
        let mut found = vec![all; 1 + self.config.fewer_images.len()];
        let mut curvature = None;
        for draw in 0..*draws as u64 {
            let draw = cell_draw * *draws as u64 + draw;
            let levels: Box<dyn Iterator<Item = Weights>> = match noise.direction {
                Direction::Random => Box::new(perturbation.levels(weights, &self.streams, draw)),
                Direction::Hessian => {
                    let key = (noise.position, noise.hessian_images, noise.power(), noise.hessian_step);
                    if !known.iter().any(|(of, ..)| *of == key) {
                        let (direction, curves) = self.sharpest(noise, cell, weights, draw)?;
                        known.push((key, direction, curves));
                    }
                    let found = known.iter().find(|(of, ..)| *of == key);
                    curvature = found.map(|(_, _, curves)| *curves);
                    Box::new(
                        found
                            .into_iter()
                            .flat_map(|(_, direction, _)| perturbation.along(weights, direction)),
                    )
                }
            };
            for (level, mut moved) in levels.enumerate() {
                if *recalibrate {
                    // The same batches as without noise, so that the noise is all that differs.
                    self.subnets.recalibrate(
                        cell,
                        &mut moved,
                        &self.images,
                        &self.recalibration(),
                        cell_draw,
                    );
                }
                for (found, (loss, accuracy)) in found.iter_mut().zip(self.pass(cell, &moved)?) {
                    found.loss[level].push(loss);
                    found.accuracy[level].push(accuracy);
                }
            }
        }
        let FewerImages { loss: losses, accuracy: accuracies, .. } = found.remove(0);
        found.iter_mut().zip(&self.config.fewer_images).for_each(|(found, &images)| found.images = images);
        Ok(NoiseMeasurement {
            name: name.clone(),
            sigmas: sigmas.clone(),
            losses,
            accuracies,
            fewer: found,
            curvature,
        })
    }

    /// The direction in which the loss of a recalibrated cell curves most.
    fn sharpest(
        &self,
        noise: &NoiseConfig,
        cell: &Nb201Cell,
        weights: &Weights,
        draw: u64,
    ) -> Result<(Vec<f64>, Curvature), SearchError> {
        let images = noise.hessian_images.unwrap_or(HESSIAN_IMAGES).min(self.config.validation_images);
        let positions: Vec<usize> = (0..images).collect();
        let batch = self.config.batch_size;
        let step = noise.hessian_step.unwrap_or(HESSIAN_STEP);
        sharpest_direction(weights, noise.position, noise.power(), step, &self.streams, draw, |moved| {
            let gradient = self.subnets.gradient(cell, moved, &self.images, &positions, batch);
            match gradient.iter().all(|value| value.is_finite()) {
                true => Ok(gradient),
                false => {
                    Err(SearchError::Setting(format!("the loss of the cell {cell} has no finite gradient")))
                }
            }
        })
    }

    /// Loss and accuracy on the validation images, and on [`MeasureConfig::fewer_images`] of them.
    fn pass(&self, cell: &Nb201Cell, weights: &Weights) -> Result<Vec<(f64, f64)>, SearchError> {
        let (classes, labels) = (self.subnets.net.classes, &self.images.labels);
        let logits = self.subnets.logits(cell, weights, &self.images, &self.images.all())?;
        let losses = cross_entropy_per_sample(&logits, classes, labels);
        let hits = hits(&logits, classes, labels);
        let batch = self.config.batch_size;
        let of_first = |n: usize| {
            let loss = average(&losses[..n], self.config.loss_average, batch);
            if !loss.is_finite() {
                return Err(SearchError::Setting(format!("the loss of the cell {cell} is {loss}")));
            }
            Ok((loss, average(&hits[..n], LossAverage::Samples, batch)))
        };
        [labels.len()].iter().chain(&self.config.fewer_images).map(|&n| of_first(n)).collect()
    }
}
