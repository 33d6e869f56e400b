//! What every verb is given.

use anyhow::Result;
use genas_net::{DeviceSpec, Devices};
use genas_runtime::{Provider, SessionOptions};
use genas_search::Observer;

use crate::args::Global;
use crate::output::Printer;
use crate::progress::Progress;

/// The global flags, and the ways to speak to the user.
#[derive(Debug)]
pub struct Ctx {
    /// The global flags.
    pub global: Global,
    /// Prints the result.
    pub out: Printer,
    /// Messages and progress; the observer that long tasks report to.
    pub observer: Progress,
}

impl Ctx {
    /// `resumable`: the verb looks at [`Observer::interrupted`] and saves its state; any other verb
    /// ends at the first Ctrl-C.
    pub fn new(global: Global, resumable: bool) -> Result<Self> {
        let out = Printer::new(global.json);
        let observer = Progress::new(global.quiet, global.no_progress, resumable)?;
        Ok(Self { global, out, observer })
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

    /// A line for those who asked for more.
    pub fn detail(&self, text: &str) {
        if self.global.verbose {
            self.observer.message(text);
        }
    }
}
