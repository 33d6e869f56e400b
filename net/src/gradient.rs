//! The gradient of a loss around weights that stand still.

use crate::tensors::{Mode, Tensors};
use crate::weights::Weights;
use burn::tensor::{Device, Tensor};

/// The loss that `forward` builds (one element) with running statistics, and its gradient: a value for each parameter of
/// `weights`, in their order. `device` must record gradients.
///
/// Nothing is normalised, clipped or kept: see [`Trainer`](crate::Trainer) for steps.
pub fn gradient(
    weights: &Weights,
    device: &Device,
    forward: impl FnOnce(&mut Tensors) -> Tensor<1> + Send,
) -> (f64, Vec<f32>) {
    let mut tensors = Tensors::new(weights, device.clone(), Mode::Gradients);
    let (loss, mut gradients) = genas_kernels::in_pool(|| {
        let loss = forward(&mut tensors);
        (loss.clone(), loss.backward())
    });
    let mut values = vec![0.0; weights.layout().n_parameters()];
    tensors.visit_gradients(&mut gradients, |position, part| {
        values[weights.layout().entries()[position].range()].copy_from_slice(part);
    });
    (f64::from(loss.into_scalar::<f32>()), values)
}
