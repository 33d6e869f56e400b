//! Cells of a run's supernet as subjects: recalibrated as the run's metric does (spec 02-4), measured on the first images
//! of the validation half.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genas_net::{Devices, Nb201Supernet, Network, Supernet, Weights, read_weights};
use genas_runtime::Provider;
use genas_space::Streams;
use genas_train::directory::{file_fingerprint, fingerprint};
use genas_train::fit::check_settings;
use serde::Serialize;

use super::subject::Subject;
use crate::config::{Config, DataConfig, ScorerKind};
use crate::error::SearchError;
use crate::rank::config::Nb201Config;
use crate::rank::supernet as nb201;
use crate::run::RunDir;
use crate::subnet::{Images, Recalibration, Subnets, WeightSharing};
use crate::supernet::{self, Halves, halve};

/// Images that losses are of, where no number is given.
const IMAGES: usize = 1000;

/// A cell with its names: in full, and for pictures.
#[derive(Clone, Debug)]
pub struct NamedCell<C> {
    /// In full.
    pub name: String,
    /// For pictures; cells of one label make one curve.
    pub label: String,
    /// The cell.
    pub cell: C,
}

/// The trained supernet of a run, and how its cells are measured.
pub struct SupernetRun<N> {
    file: PathBuf,
    net: N,
    trained: Weights,
    streams: Streams,
    data: DataConfig,
    recalibration: Recalibration,
    engine: ScorerKind,
    /// Identifies what the weights depend on.
    settings: Box<dyn Fn(&Halves) -> String>,
}

/// A run's supernet, of either space.
#[derive(Debug)]
pub enum AnySupernet {
    /// Of `genas supernet` or `genas search`.
    Darts(SupernetRun<Supernet>),
    /// Of `genas rank`.
    Nb201(SupernetRun<Nb201Supernet>),
}

impl<N> fmt::Debug for SupernetRun<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupernetRun").field("file", &self.file).finish_non_exhaustive()
    }
}

impl AnySupernet {
    /// The supernet of a run, if it has one.
    pub fn read(run: &Path) -> Result<Option<Self>, SearchError> {
        let file = run.join("supernet/final.safetensors");
        if !file.exists() {
            return Ok(None);
        }
        let (trained, about) = read_weights(&file)?;
        Ok(Some(match about.network {
            Network::Supernet(net) => {
                let config = RunDir::existing(run, &[])?.1;
                Self::Darts(SupernetRun {
                    file,
                    net,
                    trained,
                    streams: supernet::streams(&config),
                    data: config.data.clone(),
                    recalibration: recalibration(&config),
                    engine: config.metric.scorer,
                    settings: Box::new(move |halves| supernet::settings(&config, halves)),
                })
            }
            Network::Nb201Supernet(net) => {
                let config = Nb201Config::read(&run.join("config.toml"), &[])?;
                let measure = &config.measure;
                Self::Nb201(SupernetRun {
                    file,
                    net,
                    trained,
                    streams: config.streams(),
                    data: config.data.clone(),
                    recalibration: Recalibration {
                        images: measure.recalibration_images,
                        batch_size: measure.batch_size,
                        statistics: measure.recalibration_statistics,
                    },
                    engine: measure.scorer,
                    settings: Box::new(move |halves| nb201::settings(&config, halves)),
                })
            }
            _ => return Err(SearchError::format(&file, "holds no supernet; give a run that has one")),
        }))
    }

    /// The random streams of the run.
    pub fn streams(&self) -> Streams {
        match self {
            Self::Darts(run) => run.streams,
            Self::Nb201(run) => run.streams,
        }
    }

    /// What computes the losses.
    pub fn engine(&self) -> ScorerKind {
        match self {
            Self::Darts(run) => run.engine,
            Self::Nb201(run) => run.engine,
        }
    }
}

fn recalibration(config: &Config) -> Recalibration {
    let metric = &config.metric;
    Recalibration {
        images: metric.recalibration_images,
        batch_size: metric.batch_size,
        statistics: metric.recalibration_statistics,
    }
}

impl<N: WeightSharing + 'static> SupernetRun<N>
where
    N::Candidate: Serialize + 'static,
{
    /// The cells as subjects, and how many images measure them. `data` is the data set of the run; without a number of
    /// images it is 1,000, or all that there are. `again`: recalibrate after the noise too.
    ///
    /// # Errors
    ///
    /// If the images are not those that the supernet was trained with, or not as many.
    pub fn subjects(
        self,
        cells: &[NamedCell<N::Candidate>],
        data: &Path,
        images: Option<usize>,
        again: bool,
        devices: &Devices,
        provider: Provider,
    ) -> Result<(Vec<Subject>, usize), SearchError> {
        let halves = halve(&self.data, &self.streams, data)?;
        // Other images of the same classes may be the ones that it was trained on.
        check_settings(&self.file, &(self.settings)(&halves)).map_err(|_| {
            SearchError::format(
                &self.file,
                format!(
                    "was not trained on the images in {}; give --data the ones that it was",
                    data.display()
                ),
            )
        })?;
        let n = n_images(images, IMAGES, halves.valid.len(), "the validation half")?;
        let Recalibration { images, batch_size, statistics } = self.recalibration;
        if again && images == 0 {
            return Err(SearchError::Setting(
                "--recalibrate has no images: the run's settings recalibrate on none".to_owned(),
            ));
        }
        let loader = halves.loader(batch_size, self.streams, "recalibration")?;
        let weights = file_fingerprint(&self.file)?;
        let after =
            if again { self.recalibration } else { Recalibration { images: 0, ..self.recalibration } };
        let images_of = Arc::new(Images::new(&halves, n, loader));
        let subnets = Arc::new(Subnets {
            net: self.net,
            trained: self.trained,
            engine: self.engine,
            devices: devices.clone(),
            provider,
        });
        let subject = |NamedCell { name, label, cell }: &NamedCell<N::Candidate>| {
            let about = (&weights, cell, &halves.fingerprint, n, images, batch_size, statistics, again);
            let identity = fingerprint(&(about, self.engine, self.streams.seed()));
            Subject::new(
                [name.clone(), label.clone(), identity],
                subnets.clone(),
                *cell,
                images_of.clone(),
                [self.recalibration, after],
            )
        };
        Ok((cells.iter().map(subject).collect(), n))
    }
}

/// The number of images that is wanted, or a usual one, out of as many as there are.
pub(super) fn n_images(
    wanted: Option<usize>,
    usual: usize,
    there: usize,
    set: &str,
) -> Result<usize, SearchError> {
    match wanted {
        Some(wanted) if wanted > there => {
            Err(SearchError::Setting(format!("--images is {wanted}, but {set} has {there}; lower it")))
        }
        Some(wanted) => Ok(wanted),
        None => Ok(usual.min(there)),
    }
}
