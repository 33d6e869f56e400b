//! Parameters and BatchNorm statistics of a network, on the host in two contiguous buffers.
//!
//! One place for all of them makes a checkpoint a copy, weight noise a pass over memory, an ONNX
//! initializer a slice, and SGD with its zero-filled gradients (spec 02-2) one loop. A device sees
//! a parameter when an interpreter meets it.

use crate::layout::{Entry, Layout, Role};
use genas_space::Streams;
use rand::RngExt;
use std::sync::Arc;

/// Values for every entry of a [`Layout`].
#[derive(Clone, Debug)]
pub struct Weights {
    layout: Arc<Layout>,
    parameters: Vec<f32>,
    buffers: Vec<f32>,
}

impl Weights {
    /// PyTorch's default initialisation: convolutions and fully connected layers uniform in
    /// `+-1 / sqrt(fan_in)`, BatchNorm scale 1 and shift 0. Each entry draws from its own stream.
    pub fn init(layout: Arc<Layout>, streams: &Streams) -> Self {
        let mut weights = Self::neutral(layout.clone());
        for entry in layout.entries().iter().filter(|e| e.fan_in > 0) {
            let bound = 1.0 / (entry.fan_in as f32).sqrt();
            let mut rng = streams.rng(&format!("init/{}", entry.name), 0);
            for value in weights.slice_mut(entry) {
                *value = rng.random_range(-bound..bound);
            }
        }
        weights
    }

    /// Zeros, but BatchNorm scale and variance 1.
    pub fn neutral(layout: Arc<Layout>) -> Self {
        let mut weights = Self {
            parameters: vec![0.0; layout.n_parameters()],
            buffers: vec![0.0; layout.n_buffers()],
            layout,
        };
        let layout = weights.layout.clone();
        for entry in layout.entries().iter().filter(|e| matches!(e.role, Role::Gamma | Role::RunningVar)) {
            weights.slice_mut(entry).fill(1.0);
        }
        weights
    }

    /// Names, shapes and places.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All parameters, in the layout's order.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// All parameters, to be changed.
    pub fn parameters_mut(&mut self) -> &mut [f32] {
        &mut self.parameters
    }

    /// All BatchNorm statistics, in the layout's order.
    pub fn buffers(&self) -> &[f32] {
        &self.buffers
    }

    /// All parameters and all BatchNorm statistics, to be changed.
    pub fn parts_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.parameters, &mut self.buffers)
    }

    /// The values of an entry of this layout.
    pub fn slice(&self, entry: &Entry) -> &[f32] {
        if entry.role.is_parameter() { &self.parameters[entry.range()] } else { &self.buffers[entry.range()] }
    }

    /// The values of an entry of this layout, to be changed.
    pub fn slice_mut(&mut self, entry: &Entry) -> &mut [f32] {
        if entry.role.is_parameter() {
            &mut self.parameters[entry.range()]
        } else {
            &mut self.buffers[entry.range()]
        }
    }

    /// The values under a name.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.layout.get(name).map(|entry| self.slice(entry))
    }

    /// Sets running means to 0 and running variances to 1 (spec 02-4).
    pub fn reset_statistics(&mut self) {
        let layout = self.layout.clone();
        for entry in layout.entries() {
            match entry.role {
                Role::RunningMean => self.slice_mut(entry).fill(0.0),
                Role::RunningVar => self.slice_mut(entry).fill(1.0),
                _ => {}
            }
        }
    }

    /// The values of the entries that `part` names. `part` must be part of this layout.
    pub fn restrict(&self, part: Arc<Layout>) -> Self {
        let mut weights = Self::neutral(part.clone());
        for entry in part.entries() {
            if let Some(values) = self.get(&entry.name) {
                weights.slice_mut(entry).copy_from_slice(values);
            }
        }
        weights
    }

    /// Weights whose parameters are these plus `length` times a value for each; the same statistics.
    pub fn moved(&self, direction: &[f64], length: f64) -> Self {
        assert_eq!(direction.len(), self.parameters.len(), "a direction has a value for each parameter");
        let mut moved = self.clone();
        for (value, along) in moved.parameters.iter_mut().zip(direction) {
            *value = (f64::from(*value) + length * along) as f32;
        }
        moved
    }

    /// L2 norm of all parameters.
    pub fn parameter_norm(&self) -> f64 {
        self.parameters.iter().map(|&p| f64::from(p) * f64::from(p)).sum::<f64>().sqrt()
    }

    /// Name of the first entry that holds a value that is not finite.
    pub fn first_not_finite(&self) -> Option<&str> {
        let bad = |e: &&Entry| self.slice(e).iter().any(|v| !v.is_finite());
        self.layout.entries().iter().find(bad).map(|e| e.name.as_str())
    }
}
