//! Single-path training of the NAS-Bench-201 supernet (spec 02-3).

use crate::error::SearchError;
use crate::rank::config::{Nb201Config, Paths};
use crate::supernet::{Halves, SinglePath};
use genas_net::{Cosine, Devices, Nb201Path, Nb201Supernet, Network, SgdConfig, Weights, read_weights};
use genas_space::nb201::nb201_paths_for_step;
use genas_train::directory::fingerprint;
use genas_train::observer::Observer;
use std::path::Path;

/// The supernet of a configuration.
pub fn network(config: &Nb201Config, classes: usize) -> Nb201Supernet {
    let c = &config.supernet;
    Nb201Supernet { channels: c.channels, cells_per_stage: c.cells_per_stage, classes }
}

/// Identifies what the weights depend on.
pub fn settings(config: &Nb201Config, halves: &Halves) -> String {
    fingerprint(&("nb201", &config.supernet, &config.data, config.seed, &halves.fingerprint))
}

/// Trains the supernet into `directory`, unless it is there: `epoch_0.safetensors`, `final.safetensors`, the curves.
pub fn train(
    directory: &Path,
    config: &Nb201Config,
    halves: &Halves,
    devices: &Devices,
    resume: bool,
    observer: &dyn Observer,
) -> Result<(), SearchError> {
    let (net, c) = (network(config, halves.set.n_classes()), &config.supernet);
    let streams = config.streams();
    let training = SinglePath {
        directory,
        network: Network::Nb201Supernet(net),
        batch_size: c.batch_size,
        schedule: Cosine {
            base: c.learning_rate,
            min: c.learning_rate_min,
            epochs: c.epochs,
            shifted: false,
        },
        sgd: SgdConfig {
            momentum: c.momentum,
            nesterov: c.nesterov,
            weight_decay: c.weight_decay,
            norm_weight_decay: c.weight_decay,
            clip: c.clip,
            unsampled: c.unsampled_ops,
        },
        keep_every: c.keep_every,
        streams: &streams,
        settings: &settings(config, halves),
    };
    training.train(halves, devices, resume, observer, |i, step, x| {
        let cells = nb201_paths_for_step(&streams, step, net.n_cells());
        let path = match c.paths {
            Paths::PerCell => Nb201Path::PerCell(&cells),
            Paths::Shared => Nb201Path::Shared(&cells[0]),
        };
        net.forward(i, path, x)
    })
}

/// A trained supernet.
#[derive(Clone, Debug)]
pub struct TrainedSupernet {
    /// The network.
    pub net: Nb201Supernet,
    /// Weights before training.
    pub initial: Weights,
    /// Weights after training.
    pub trained: Weights,
}

/// Reads what [`train`] left in `directory`.
pub fn read(directory: &Path) -> Result<TrainedSupernet, SearchError> {
    let one = |name: &str| {
        let path = directory.join(name);
        let (weights, about) = read_weights(&path)?;
        match about.network {
            Network::Nb201Supernet(net) => Ok((net, weights)),
            _ => Err(SearchError::format(
                &path,
                "holds no NAS-Bench-201 supernet; give a directory that has one",
            )),
        }
    };
    let ((net, trained), (before, initial)) = (one("final.safetensors")?, one("epoch_0.safetensors")?);
    if before != net {
        let path = directory.join("epoch_0.safetensors");
        return Err(SearchError::format(
            &path,
            "belongs to another supernet than final.safetensors beside it",
        ));
    }
    Ok(TrainedSupernet { net, initial, trained })
}
