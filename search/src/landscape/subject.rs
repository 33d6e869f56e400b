//! [`Subject`]: a trained network whose losses are measured.

use std::sync::Arc;

use genas_net::{Weights, cross_entropy_per_sample};
use serde::{Deserialize, Serialize};

use crate::config::LossAverage;
use crate::error::SearchError;
use crate::scorer::{average, hits};
use crate::subnet::{Images, Recalibration, Subnets, WeightSharing};

/// How a network does on some images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Mean cross-entropy over the images; none if it is no number.
    pub loss: Option<f64>,
    /// Top-1 accuracy, a fraction.
    pub accuracy: f64,
}

/// A trained network.
pub struct Subject {
    /// Its name in tables, in full.
    pub name: String,
    /// Its name in pictures. Subjects of one label make one curve.
    pub label: String,
    /// What its losses depend on, beside directions and places (a hash).
    pub identity: String,
    network: Box<dyn Trained>,
}

impl Subject {
    /// The only or the chosen sub-network of `subnets`, measured on `images`. `before` builds the BatchNorm statistics of the
    /// trained weights (0 images keep what they have), `after` those under noise.
    pub(crate) fn new<N: WeightSharing + 'static>(
        [name, label, identity]: [String; 3],
        subnets: Arc<Subnets<N>>,
        candidate: N::Candidate,
        images: Arc<Images>,
        [before, after]: [Recalibration; 2],
    ) -> Self
    where
        N::Candidate: 'static,
    {
        let network = Box::new(Subnet { subnets, candidate, images, before, after });
        Self { name, label, identity, network }
    }

    /// Its weights without noise.
    pub fn weights(&self) -> Weights {
        self.network.weights()
    }

    /// How it does with other weights. One thread computes.
    pub fn loss(&self, weights: Weights) -> Result<Loss, SearchError> {
        self.network.loss(weights)
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("name", &self.name)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// A trained network of any kind.
trait Trained: Send + Sync {
    fn weights(&self) -> Weights;
    fn loss(&self, weights: Weights) -> Result<Loss, SearchError>;
}

struct Subnet<N: WeightSharing> {
    subnets: Arc<Subnets<N>>,
    candidate: N::Candidate,
    images: Arc<Images>,
    before: Recalibration,
    after: Recalibration,
}

impl<N: WeightSharing> Trained for Subnet<N> {
    fn weights(&self) -> Weights {
        // One draw of images for all, so that networks are compared on the same.
        self.subnets.recalibrated(&self.candidate, &self.images, &self.before, 0)
    }

    fn loss(&self, mut weights: Weights) -> Result<Loss, SearchError> {
        let Self { subnets, candidate, images, after, .. } = self;
        subnets.recalibrate(candidate, &mut weights, images, after, 0);
        let (classes, labels) = (subnets.net.n_classes(), &images.labels);
        let logits = subnets.logits(candidate, &weights, images, &images.all())?;
        let mean = |values: &[f64]| average(values, LossAverage::Samples, values.len());
        let loss = mean(&cross_entropy_per_sample(&logits, classes, labels));
        Ok(Loss { loss: loss.is_finite().then_some(loss), accuracy: mean(&hits(&logits, classes, labels)) })
    }
}
