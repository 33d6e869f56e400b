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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use genas_data::DataError;
    use genas_net::{Network, Supernet};
    use genas_space::Streams;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What a detector measures.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Precision {
        pub ap: f64,
        pub ap50: f64,
    }

    impl Measure for Precision {
        const NAMES: &'static [&'static str] = &["ap", "ap50"];

        fn values(&self) -> Vec<f64> {
            vec![self.ap, self.ap50]
        }

        fn from_values(values: &[f64]) -> Option<Self> {
            let &[ap, ap50] = values else { return None };
            Some(Self { ap, ap50 })
        }

        fn goodness(&self) -> f64 {
            self.ap
        }

        fn goodness_name() -> &'static str {
            "AP"
        }

        fn summary(&self) -> String {
            format!("AP {:.2} %", 100.0 * self.ap)
        }

        fn scalars(&self) -> Vec<(&'static str, f64)> {
            vec![("validation/AP", self.ap)]
        }
    }

    struct Numbers([f32; 2]);

    impl Images for Numbers {
        fn n(&self) -> usize {
            self.0.len()
        }
    }

    /// Batches that differ from step to step and from epoch to epoch.
    struct Source;

    impl Batches for Source {
        type Batch = Numbers;

        fn n_batches(&self) -> usize {
            5
        }

        fn n_images(&self) -> usize {
            10
        }

        fn epoch(
            &self,
            epoch: u64,
            skip: usize,
        ) -> Box<dyn Iterator<Item = Result<Numbers, DataError>> + '_> {
            let batch = move |step: usize| Ok(Numbers([0.3 * step as f32, 0.7 * epoch as f32]));
            Box::new((0..self.n_batches()).skip(skip).map(batch))
        }
    }

    /// A running mean, as detectors divide their loss by.
    #[derive(Default, Serialize, Deserialize)]
    struct Normaliser(f64);

    /// Keeps what it is told, and asks to stop when it is asked for the `stop`th time.
    struct Impatient {
        stop: usize,
        asked: AtomicUsize,
        messages: Mutex<Vec<String>>,
    }

    impl Observer for Impatient {
        fn message(&self, text: &str) {
            self.messages.lock().unwrap().push(text.to_owned());
        }

        fn interrupted(&self) -> bool {
            self.asked.fetch_add(1, Ordering::Relaxed) + 1 >= self.stop
        }
    }

    const EPOCHS: usize = 3;

    /// Warms up over steps.
    fn rate(state: TrainerState) -> f64 {
        0.1 * (state.step + 1) as f64 / (1.0 + state.epoch as f64)
    }

    /// A training whose step is arithmetic on the weights. `broken`: the epoch whose validation fails.
    fn train(
        directory: &Path,
        stop: usize,
        broken: Option<usize>,
    ) -> (Result<Option<Fitted<Precision>>, TrainError>, Vec<String>) {
        let net = Supernet { channels: 2, layers: 2, classes: 2 };
        let observer = Impatient { stop, asked: AtomicUsize::new(0), messages: Mutex::default() };
        let fit = Fit {
            phase: "coco",
            period: "period",
            directory,
            epochs: EPOCHS,
            batches: &Source,
            rate: &rate,
            about: WeightsFile { network: Network::Supernet(net), extra: Default::default() },
            fingerprint: "settings",
            resume: true,
            keep_every: 0,
            observer: &observer,
            replica: (0, 1),
        };
        let result = fit.run(
            || Ok(Trainer::new(Weights::init(Arc::new(net.layout()), &Streams::new(1)))),
            |trainer| trainer,
            |trainer, normaliser: &mut Normaliser, rate, Numbers([a, b])| {
                normaliser.0 = 0.9 * normaliser.0 + 0.1 * f64::from(a + b);
                let factor = 1.0 - 1e-3 * rate * normaliser.0;
                trainer.weights.parameters_mut().iter_mut().for_each(|w| *w *= factor as f32);
                trainer.state.step += 1;
                trainer.state.step_in_epoch += 1;
                Ok(StepReport { loss: normaliser.0, gradient_norm: factor })
            },
            |weights, epoch| match broken {
                Some(broken) if broken == epoch => Err(TrainError::Setting("a broken image".into())),
                // The second epoch is the best.
                _ => Ok(Some(Precision {
                    ap: 0.1 + 0.01 * (epoch % 2) as f64,
                    ap50: weights.parameter_norm(),
                })),
            },
        );
        (result, observer.messages.into_inner().unwrap())
    }

    #[test]
    fn any_measure_and_any_state_of_the_steps_survive_interruptions() {
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (result, messages) = train(whole.path(), usize::MAX, None);
        let expected = result.unwrap().unwrap().rows;
        assert!(messages[1].starts_with("coco period 2/3: loss 0."), "{messages:?}");
        assert!(messages[1].contains(", AP 11.00 %, ") && messages[1].ends_with("(best)"), "{messages:?}");
        assert!(!messages[2].ends_with("(best)"), "{messages:?}");
        let last = TrainerState { epoch: 1, step_in_epoch: 4, step: 9 };
        assert_eq!(expected[1].learning_rate, rate(last));
        assert_eq!(expected[1].images, 10);

        let (mut interruptions, mut failures) = (0, 0);
        let found = loop {
            // The second epoch's validation fails twice; its steps are not done again.
            match train(parts.path(), 2, (failures < 2).then_some(1)).0 {
                Err(TrainError::Interrupted) => interruptions += 1,
                Err(TrainError::Setting(_)) => failures += 1,
                result => break result.unwrap().unwrap().rows,
            }
            assert!(interruptions + failures < 50);
        };
        assert!(interruptions > 5 && failures == 2, "interrupted {interruptions} times");
        let timeless = |rows: Vec<EpochRow<Precision>>| -> Vec<EpochRow<Precision>> {
            rows.into_iter().map(|row| EpochRow { seconds: 0.0, waiting: 0.0, ..row }).collect()
        };
        assert_eq!(timeless(found), timeless(expected));
        for name in ["epoch_0.safetensors", "best.safetensors", "final.safetensors"] {
            let bytes = |directory: &Path| std::fs::read(directory.join(name)).unwrap();
            assert!(bytes(whole.path()) == bytes(parts.path()), "{name} differs");
        }
        assert!(train(parts.path(), usize::MAX, None).0.unwrap().is_none());
    }

    #[test]
    fn a_state_without_what_steps_keep_is_read() {
        let old = serde_json::json!({"rows": [], "running": {"loss": 2.5, "validation": null}});
        let progress: Progress<Precision, Normaliser> = serde_json::from_value(old).unwrap();
        assert_eq!((progress.running.loss, progress.carried.0), (2.5, 0.0));
    }
}
