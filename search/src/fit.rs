//! The epoch loop that supernet training and retraining share: checkpoints, resume, progress.

use crate::error::SearchError;
use crate::observer::Observer;
use genas_data::{Batch, TrainLoader};
use genas_net::{NetError, StepReport, Trainer, WeightsFile, atomic_write, read_weights, write_weights};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between checkpoints inside an epoch.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// Key under which finished weights carry the fingerprint of their training.
const SETTINGS_KEY: &str = "training_settings";

/// Refuses finished weights of another training.
pub fn check_settings(weights: &Path, fingerprint: &str) -> Result<(), SearchError> {
    let (_, about) = read_weights(weights)?;
    if about.extra.get(SETTINGS_KEY).and_then(|v| v.as_str()) == Some(fingerprint) {
        return Ok(());
    }
    Err(SearchError::format(
        weights,
        "was trained with other settings, another seed or other images; use those, or another --out",
    ))
}

/// A training from its first epoch to its last.
pub struct Fit<'a> {
    /// What is trained, for the user.
    pub phase: &'a str,
    /// Where `epoch_0`, `latest/`, `training.csv` and `final.safetensors` go.
    pub directory: &'a Path,
    /// Epochs.
    pub epochs: usize,
    /// The batches.
    pub loader: &'a TrainLoader,
    /// What stands beside the weights.
    pub about: WeightsFile,
    /// Identifies settings and data.
    pub fingerprint: &'a str,
    /// Continue an interrupted training.
    pub resume: bool,
    /// Also keep the weights of every this many epochs (0: none).
    pub keep_every: usize,
    /// Progress.
    pub observer: &'a dyn Observer,
}

/// One row of `training.csv`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EpochRow {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Mean loss of the steps.
    pub loss: f64,
    /// Mean gradient norm before clipping.
    pub gradient_norm: f64,
    /// Test accuracy, where it was measured.
    pub top1: Option<f64>,
    /// Wall time of the epoch.
    pub seconds: f64,
}

/// What survives an interruption besides the trainer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    rows: Vec<EpochRow>,
    /// Sums of the running epoch.
    running: EpochRow,
}

impl Fit<'_> {
    /// Trains. `start` makes the initial weights; `step` does one step of epoch, batch; `finish`
    /// is called after every epoch and may measure the top-1 accuracy.
    ///
    /// Returns the trainer and the table of epochs. A training that is already complete is not
    /// repeated: `None`.
    pub fn run(
        mut self,
        start: impl FnOnce() -> Trainer,
        mut step: impl FnMut(&mut Trainer, u64, &Batch) -> Result<StepReport, NetError>,
        mut finish: impl FnMut(&Trainer, usize) -> Result<Option<f64>, SearchError>,
    ) -> Result<Option<(Trainer, Vec<EpochRow>)>, SearchError> {
        let (latest, last) =
            (self.directory.join("latest/state.safetensors"), self.directory.join("final.safetensors"));
        self.about.extra.insert(SETTINGS_KEY.to_owned(), self.fingerprint.into());
        if last.exists() {
            check_settings(&last, self.fingerprint)?;
            return Ok(None);
        }
        let (mut trainer, mut progress) = if latest.exists() {
            if !self.resume {
                return Err(SearchError::format(
                    &latest,
                    "an unfinished training is here; continue it with --resume, or use another --out",
                ));
            }
            let layout = Arc::new(self.about.network.layout());
            let (trainer, extra) = Trainer::load(&latest, layout, self.fingerprint)?;
            let progress: Progress = serde_json::from_value(extra)
                .map_err(|e| SearchError::format(&latest, format!("its progress cannot be read ({e})")))?;
            (trainer, progress)
        } else {
            let trainer = start();
            write_weights(&self.directory.join("epoch_0.safetensors"), &trainer.weights, &self.about)?;
            (trainer, Progress::default())
        };
        let per_epoch = self.loader.n_batches() as u64;
        let total = per_epoch * self.epochs as u64;
        self.observer.begin(self.phase, total, trainer.state.step);
        let mut saved = Instant::now();
        while (trainer.state.epoch as usize) < self.epochs {
            let epoch = trainer.state.epoch;
            let mut clock = Instant::now();
            for batch in self.loader.epoch(epoch, trainer.state.step_in_epoch as usize) {
                let report = step(&mut trainer, epoch, &batch)?;
                let running = &mut progress.running;
                running.loss += report.loss;
                running.gradient_norm += report.gradient_norm;
                let note = format!(
                    "epoch {}/{} loss {:.4}",
                    epoch + 1,
                    self.epochs,
                    running.loss / trainer.state.step_in_epoch as f64
                );
                self.observer.advance(trainer.state.step, &note);
                let stop = self.observer.interrupted();
                if (stop || saved.elapsed() > CHECKPOINT_EVERY) && trainer.state.step_in_epoch < per_epoch {
                    progress.running.seconds += clock.elapsed().as_secs_f64();
                    clock = Instant::now();
                    self.save(&trainer, &progress, &latest)?;
                    saved = Instant::now();
                }
                if stop && trainer.state.step_in_epoch < per_epoch {
                    return Err(SearchError::Interrupted);
                }
            }
            let mut row = std::mem::take(&mut progress.running);
            row.epoch = epoch as usize;
            row.loss /= per_epoch as f64;
            row.gradient_norm /= per_epoch as f64;
            row.seconds += clock.elapsed().as_secs_f64();
            row.top1 = finish(&trainer, epoch as usize)?;
            progress.rows.push(row);
            trainer.state.epoch += 1;
            trainer.state.step_in_epoch = 0;
            let done = trainer.state.epoch as usize;
            if self.keep_every > 0 && done.is_multiple_of(self.keep_every) {
                write_weights(
                    &self.directory.join(format!("epoch_{done}.safetensors")),
                    &trainer.weights,
                    &self.about,
                )?;
            }
            self.write_table(&progress.rows)?;
            if done < self.epochs {
                self.save(&trainer, &progress, &latest)?;
                saved = Instant::now();
                if self.observer.interrupted() {
                    return Err(SearchError::Interrupted);
                }
            }
        }
        write_weights(&last, &trainer.weights, &self.about)?;
        let _ = std::fs::remove_dir_all(self.directory.join("latest"));
        self.observer.end();
        Ok(Some((trainer, progress.rows)))
    }

    fn save(&self, trainer: &Trainer, progress: &Progress, latest: &Path) -> Result<(), SearchError> {
        let extra = serde_json::to_value(progress).map_err(|e| SearchError::format(latest, e.to_string()))?;
        Ok(trainer.save(latest, &self.about, self.fingerprint, &extra)?)
    }

    fn write_table(&self, rows: &[EpochRow]) -> Result<(), SearchError> {
        let mut text = String::from("epoch,loss,gradient_norm,top1,seconds\n");
        for r in rows {
            let top1 = r.top1.map(|t| t.to_string()).unwrap_or_default();
            let _ = writeln!(text, "{},{},{},{top1},{:.2}", r.epoch, r.loss, r.gradient_norm, r.seconds);
        }
        Ok(atomic_write(&self.directory.join("training.csv"), text.as_bytes())?)
    }
}
