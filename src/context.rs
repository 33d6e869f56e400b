//! What every verb is given.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Result;
use genas_net::{DeviceSpec, Devices};
use genas_report::model::commands::Outcome;
use genas_runtime::{Provider, SessionOptions};
use genas_search::Observer;

use crate::args::Global;
use crate::output::Printer;
use crate::progress::Progress;
use crate::record::Record;

/// The global flags, and the ways to speak to the user.
#[derive(Debug)]
pub struct Ctx {
    /// The global flags.
    pub global: Global,
    /// Prints the result.
    pub out: Printer,
    /// Messages and progress; the observer that long tasks report to.
    pub observer: Progress,
    /// When the verb began.
    clock: Instant,
    /// What is written down of it, where it works in a run's folder.
    record: Mutex<Option<Record>>,
}

impl Ctx {
    /// `resumable`: the verb looks at [`Observer::interrupted`] and saves its state; any other verb
    /// ends at the first Ctrl-C.
    pub fn new(global: Global, resumable: bool) -> Result<Self> {
        let out = Printer::new(global.json);
        let observer = Progress::new(global.quiet, global.no_progress, resumable)?;
        Ok(Self { global, out, observer, clock: Instant::now(), record: Mutex::new(None) })
    }

    /// The device that burn computes on; says what `auto` took.
    pub fn devices(&self) -> Result<Devices> {
        let devices = Devices::resolve(self.global.device)?;
        if self.global.device == DeviceSpec::Auto {
            self.observer.message(&format!("device: {}", devices.spec()));
        }
        Ok(devices)
    }

    /// Makes ONNX Runtime ready, installing it if it is missing.
    pub fn ensure_runtime(&self) -> Result<()> {
        Ok(genas_runtime::ensure(&|text| self.observer.message(text))?)
    }

    /// How to run models: `--provider` and `--threads`.
    pub fn session_options(&self) -> SessionOptions {
        SessionOptions {
            provider: self.global.provider,
            intra_threads: self.global.threads.map_or(0, usize::from),
            ..SessionOptions::default()
        }
    }

    /// Says what `--provider auto` took.
    pub fn say_provider(&self, used: Provider) {
        if self.global.provider == Provider::Auto {
            self.observer.message(&format!("provider: {used}"));
        }
    }

    /// Writes down, in the folder of a run that is this verb's by now, that it works there. The verb does not depend on it:
    /// a run in a folder that cannot be written to can still be exported.
    pub fn works_in(&self, run: &Path) {
        match Record::begin(run, rayon::current_num_threads(), self.clock) {
            Ok(record) => *self.record.lock().unwrap_or_else(|e| e.into_inner()) = Some(record),
            Err(error) => self.observer.message(&format!("not written down: {error:#}")),
        }
    }

    /// Writes down how the verb ended, if it worked in a run's folder.
    pub fn ended(&self, outcome: Outcome) {
        let record = self.record.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(Err(error)) = record.map(|record| record.end(outcome)) {
            self.observer.message(&format!("not written down: {error:#}"));
        }
    }

    /// A line for those who asked for more.
    pub fn detail(&self, text: &str) {
        if self.global.verbose {
            self.observer.message(text);
        }
    }
}
