//! The epoch loop that all trainings share: checkpoints, resume, curves, progress.
//!
//! | file | is |
//! |---|---|
//! | `epoch_0.safetensors` | the weights before training |
//! | `latest/state.safetensors` | everything that a continuation needs; gone at the end |
//! | `best.safetensors` | the weights of the best [`Measure::goodness`] so far |
//! | `epoch_N.safetensors` | the weights after N epochs, every [`Fit::keep_every`] |
//! | `final.safetensors` | the weights after the last epoch; its presence says that the training is complete |
//! | `training.csv`, `tensorboard/` | the curves |

mod curves;

pub use curves::{EpochRow, best, read_table, sparkline};

use crate::batches::{Batches, Images};
use crate::error::TrainError;
use crate::measure::Measure;
use crate::observer::Observer;
use crate::tensorboard::EventFile;
use genas_net::{
    NetError, StepReport, Trainer, TrainerState, Weights, WeightsFile, read_weights, write_weights,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between checkpoints inside an epoch.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// Time between two drawings of the dashboard.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Steps between two points of the curves in TensorBoard.
const LOG_EVERY: u64 = 50;

/// Key under which finished weights carry the fingerprint of their training.
const SETTINGS_KEY: &str = "training_settings";

/// Refuses finished weights of another training.
pub fn check_settings(weights: &Path, fingerprint: &str) -> Result<(), TrainError> {
    let (_, about) = read_weights(weights)?;
    if about.extra.get(SETTINGS_KEY).and_then(|v| v.as_str()) == Some(fingerprint) {
        return Ok(());
    }
    Err(TrainError::format(
        weights,
        "was trained with other settings, another seed or other images; use those, or another --out",
    ))
}

/// The weights that a training is for: the average, where one is kept.
fn outcome(trainer: &Trainer) -> &Weights {
    trainer.ema().unwrap_or(&trainer.weights)
}

/// A training from its first epoch to its last.
pub struct Fit<'a, B: Batches + ?Sized> {
    /// What is trained, for the user.
    pub phase: &'a str,
    /// Where the files go.
    pub directory: &'a Path,
    /// What an epoch is called, for the user: `epoch`, or `period` where it is so many steps and no pass over the images.
    pub period: &'static str,
    /// Epochs.
    pub epochs: usize,
    /// The batches.
    pub batches: &'a B,
    /// Learning rate of the step that follows a state: a function of the state alone, or a resumed training would differ.
    pub rate: &'a dyn Fn(TrainerState) -> f64,
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
    /// Which replica this is, from 0, of how many. Replica 0 leads: it writes, reports and validates. The others take the
    /// same steps and are told to stop by their next reduction.
    pub replica: (usize, usize),
}

/// A training that came to its end.
#[derive(Debug)]
pub struct Fitted<M> {
    /// The curves.
    pub rows: Vec<EpochRow<M>>,
}

/// What survives an interruption besides the trainer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Progress<M, S> {
    rows: Vec<EpochRow<M>>,
    /// Sums of the running epoch.
    running: EpochRow<M>,
    /// What the caller's steps keep.
    #[serde(default)]
    carried: S,
}

impl<B: Batches + ?Sized> Fit<'_, B> {
    /// Trains. `start` makes the initial weights; `prepare` completes a trainer that is new or read; `step` does one step
    /// with a batch at a learning rate; `validate` is called after every epoch, and measures an `M` where one is due.
    ///
    /// What steps keep besides the trainer, such as a running mean that scales a loss, is an `S`: it begins as the
    /// default, is saved with the trainer and read with it. Its numbers must be finite, because JSON has no others, and
    /// replicas must change theirs alike, because only that of replica 0 is saved. `()` keeps nothing.
    ///
    /// A training that is already complete is not repeated: `None`.
    pub fn run<M, S, E>(
        mut self,
        start: impl FnOnce() -> Result<Trainer, E>,
        prepare: impl FnOnce(Trainer) -> Trainer,
        mut step: impl FnMut(&mut Trainer, &mut S, f64, B::Batch) -> Result<StepReport, NetError>,
        mut validate: impl FnMut(&Weights, usize) -> Result<Option<M>, E>,
    ) -> Result<Option<Fitted<M>>, E>
    where
        M: Measure,
        S: Serialize + DeserializeOwned + Default,
        E: From<TrainError>,
    {
        let last = self.file("final.safetensors");
        self.about.extra.insert(SETTINGS_KEY.to_owned(), self.fingerprint.into());
        if last.exists() {
            check_settings(&last, self.fingerprint)?;
            return Ok(None);
        }
        let (trainer, mut progress) = self.begin(start)?;
        let mut trainer = prepare(trainer);
        let per_epoch = self.batches.n_batches() as u64;
        if self.leads() {
            self.observer.begin(self.phase, per_epoch * self.epochs as u64, trainer.state.step);
        }
        let mut events = match (self.file("tensorboard"), trainer.state.step) {
            _ if !self.leads() => None,
            (directory, 0) => {
                // Curves of an attempt that left no state.
                let _ = std::fs::remove_dir_all(&directory);
                Some(EventFile::create(&directory)?)
            }
            (directory, step) => Some(EventFile::resume(&directory, step)?),
        };
        let mut saved = Instant::now();
        while (trainer.state.epoch as usize) < self.epochs {
            let epoch = trainer.state.epoch as usize;
            let mut clock = Instant::now();
            let mut drawn = Instant::now() - DRAW_EVERY;
            let mut batches = self.batches.epoch(epoch as u64, trainer.state.step_in_epoch as usize);
            loop {
                let waited = Instant::now();
                let Some(batch) = batches.next().transpose().map_err(TrainError::from)? else { break };
                let rate = (self.rate)(trainer.state);
                let running = &mut progress.running;
                running.waiting += waited.elapsed().as_secs_f64();
                running.images += batch.n() * self.replica.1;
                running.learning_rate = rate;
                let report = step(&mut trainer, &mut progress.carried, rate, batch)
                    .map_err(|e| self.diverged(e, epoch))?;
                running.loss += report.loss;
                running.gradient_norm += report.gradient_norm;
                let Some(events) = &mut events else { continue };
                if trainer.state.step.is_multiple_of(LOG_EVERY) {
                    events.scalar(trainer.state.step, "train/loss", report.loss);
                    events.scalar(trainer.state.step, "train/gradient norm", report.gradient_norm);
                }
                if drawn.elapsed() >= DRAW_EVERY || trainer.state.step_in_epoch == per_epoch {
                    drawn = Instant::now();
                    let seconds = running.seconds + clock.elapsed().as_secs_f64();
                    self.draw(&trainer, &progress, report, seconds);
                }
                let stop = self.observer.interrupted();
                if (stop || saved.elapsed() > CHECKPOINT_EVERY) && trainer.state.step_in_epoch < per_epoch {
                    progress.running.seconds += clock.elapsed().as_secs_f64();
                    clock = Instant::now();
                    self.save(&trainer, &progress)?;
                    events.flush()?;
                    saved = Instant::now();
                }
                if stop && trainer.state.step_in_epoch < per_epoch {
                    return Err(TrainError::Interrupted.into());
                }
            }
            drop(batches);
            progress.running.seconds += clock.elapsed().as_secs_f64();
            let validation = match self.leads().then(|| validate(outcome(&trainer), epoch)).transpose() {
                Ok(validation) => validation.flatten(),
                Err(error) => {
                    // Such as a broken test image: the epoch's steps need not be done again.
                    self.save(&trainer, &progress)?;
                    return Err(error);
                }
            };
            let mut row = std::mem::take(&mut progress.running);
            row.epoch = epoch;
            row.loss /= per_epoch as f64;
            row.gradient_norm /= per_epoch as f64;
            row.waiting /= row.seconds.max(f64::MIN_POSITIVE);
            row.validation = validation;
            trainer.state.epoch += 1;
            trainer.state.step_in_epoch = 0;
            let Some(events) = &mut events else { continue };
            self.report(&row, &progress.rows);
            curves::log_epoch(events, trainer.state.step, &row)?;
            progress.rows.push(row);
            self.keep(outcome(&trainer), &progress.rows)?;
            if epoch + 1 < self.epochs {
                self.save(&trainer, &progress)?;
                saved = Instant::now();
                if self.observer.interrupted() {
                    return Err(TrainError::Interrupted.into());
                }
            }
        }
        if !self.leads() {
            return Ok(None);
        }
        write_weights(&last, outcome(&trainer), &self.about).map_err(TrainError::from)?;
        let _ = std::fs::remove_dir_all(self.directory.join("latest"));
        self.observer.end();
        Ok(Some(Fitted { rows: progress.rows }))
    }

    fn leads(&self) -> bool {
        self.replica.0 == 0
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn latest(&self) -> PathBuf {
        self.file("latest/state.safetensors")
    }

    /// The state that an earlier process left, or a new one.
    fn begin<M, S, E>(
        &self,
        start: impl FnOnce() -> Result<Trainer, E>,
    ) -> Result<(Trainer, Progress<M, S>), E>
    where
        M: Measure,
        S: DeserializeOwned + Default,
        E: From<TrainError>,
    {
        let latest = self.latest();
        if !latest.exists() {
            let trainer = start()?;
            if self.leads() {
                let initial = self.file("epoch_0.safetensors");
                write_weights(&initial, &trainer.weights, &self.about).map_err(TrainError::from)?;
            }
            let progress = Progress { rows: Vec::new(), running: EpochRow::default(), carried: S::default() };
            return Ok((trainer, progress));
        }
        Ok(self.load(&latest)?)
    }

    fn load<M: Measure, S: DeserializeOwned + Default>(
        &self,
        latest: &Path,
    ) -> Result<(Trainer, Progress<M, S>), TrainError> {
        if !self.resume {
            return Err(TrainError::format(
                latest,
                "an unfinished training is here; continue it with --resume, or use another --out",
            ));
        }
        let layout = Arc::new(self.about.network.layout());
        let (trainer, extra) = Trainer::load(latest, layout, self.fingerprint)?;
        let progress = serde_json::from_value(extra)
            .map_err(|e| TrainError::format(latest, format!("its progress cannot be read ({e})")))?;
        Ok((trainer, progress))
    }

    fn save<M: Measure, S: Serialize>(
        &self,
        trainer: &Trainer,
        progress: &Progress<M, S>,
    ) -> Result<(), TrainError> {
        let latest = self.latest();
        let extra = serde_json::to_value(progress).map_err(|e| TrainError::format(&latest, e.to_string()))?;
        trainer.save(&latest, &self.about, self.fingerprint, &extra).map_err(|error| {
            let before = if latest.exists() { "the state before is whole" } else { "there is no state yet" };
            TrainError::Setting(format!("{error} ({before}; continue with --resume)"))
        })
    }

    /// What is kept after an epoch besides the state: the table, the best weights, every so many epochs the weights.
    fn keep<M: Measure>(&self, weights: &Weights, rows: &[EpochRow<M>]) -> Result<(), TrainError> {
        let done = rows.len();
        if best(rows).is_some_and(|(epoch, _)| epoch + 1 == done) {
            write_weights(&self.file("best.safetensors"), weights, &self.about)?;
        }
        if self.keep_every > 0 && done.is_multiple_of(self.keep_every) {
            write_weights(&self.file(&format!("epoch_{done}.safetensors")), weights, &self.about)?;
        }
        curves::write_table(&self.file("training.csv"), rows)
    }

    /// A step whose loss or gradient is no number ends the training; says what is left of it.
    fn diverged(&self, error: NetError, epoch: usize) -> TrainError {
        if !matches!(error, NetError::NotFinite { .. }) {
            return error.into();
        }
        let latest = self.latest();
        let (checkpoint, best) = (
            if latest.exists() { latest } else { self.file("epoch_0.safetensors") },
            self.file("best.safetensors"),
        );
        let best = if best.exists() { format!(", the best in {}", best.display()) } else { String::new() };
        TrainError::Setting(format!(
            "{}: {error}, in {} {}. The last good state is in {}{best}. Train again with a lower learning rate or a \
             longer warm-up, in another --out",
            self.phase,
            self.period,
            epoch + 1,
            checkpoint.display()
        ))
    }

    /// Where the training stands.
    fn draw<M: Measure, S>(
        &self,
        trainer: &Trainer,
        progress: &Progress<M, S>,
        report: StepReport,
        seconds: f64,
    ) {
        let (state, running) = (trainer.state, &progress.running);
        let mean = running.loss / state.step_in_epoch.max(1) as f64;
        let epoch = format!("{} {}/{}", self.period, state.epoch + 1, self.epochs);
        let best = best(&progress.rows);
        let name = M::goodness_name();
        let score =
            best.map(|(_, v)| format!(" best {name} {:.2} %", 100.0 * v.goodness())).unwrap_or_default();
        self.observer.advance(state.step, &format!("{epoch} loss {mean:.4}{score}"));
        let per_epoch = self.batches.n_batches();
        let skipped = match self.batches.skipped() {
            0 => String::new(),
            n => format!("  unreadable images left out {n}"),
        };
        let mut lines = vec![
            format!(
                "{epoch}  step {}/{per_epoch}  loss {mean:.4} (last {:.4})  rate {:.3e}",
                state.step_in_epoch, report.loss, running.learning_rate
            ),
            format!(
                "gradient norm {:.3}  {:.1} images/s  waiting for data {:.1} %{skipped}",
                report.gradient_norm,
                running.images as f64 / seconds.max(1e-9),
                100.0 * running.waiting / seconds.max(1e-9)
            ),
        ];
        let losses: Vec<f64> = progress.rows.iter().map(|row| row.loss).collect();
        if !losses.is_empty() {
            lines.push(format!("loss   {}", sparkline(&losses, 50)));
        }
        if let Some((epoch, v)) = best {
            let measured = progress.rows.iter().filter_map(|row| row.validation.as_ref());
            let course: Vec<f64> = measured.map(M::goodness).collect();
            let best = format!("best {:.2} % after {} {}", 100.0 * v.goodness(), self.period, epoch + 1);
            lines.push(format!("{name:<5}  {}  {best}", sparkline(&course, 50)));
        }
        self.observer.dashboard(&lines);
    }

    /// The line of a finished epoch.
    fn report<M: Measure>(&self, row: &EpochRow<M>, before: &[EpochRow<M>]) {
        let Some(v) = &row.validation else { return };
        let best = before.iter().filter_map(|r| r.validation.as_ref()).all(|b| v.goodness() > b.goodness());
        self.observer.message(&format!(
            "{} {} {}/{}: loss {:.4}, {}, {:.1} images/s{}",
            self.phase,
            self.period,
            row.epoch + 1,
            self.epochs,
            row.loss,
            v.summary(),
            row.speed(),
            if best { " (best)" } else { "" }
        ));
    }
}
