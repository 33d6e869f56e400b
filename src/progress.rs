//! Progress of long tasks on stderr: a bar on a terminal, a line every ten seconds elsewhere.

use std::io::{self, IsTerminal, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use genas_search::Observer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);
const TEMPLATE: &str = "{prefix} [{bar:30}] {pos}/{len}  {msg}  {elapsed} ETA {eta}";
/// With a dashboard: its lines stand in the message.
const DASHBOARD: &str = "{prefix} [{bar:30}] {pos}/{len}  {elapsed} ETA {eta}\n{msg}";
const INTERRUPTED: i32 = 130;

/// Set by the first Ctrl-C of a resumable verb.
static STOP: AtomicBool = AtomicBool::new(false);

/// Draws progress and notices Ctrl-C.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    draws: bool,
    phase: Mutex<Option<Phase>>,
}

/// The task that is under way.
#[derive(Debug)]
struct Phase {
    name: String,
    total: u64,
    /// Units that were done when it began, by an earlier run.
    before: u64,
    started: Instant,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
    /// The bar's message is a dashboard, and notes are not shown.
    dashboard: bool,
}

impl Progress {
    /// Takes over Ctrl-C: a resumable verb is asked to stop by the first and ended by the second,
    /// another is ended by the first.
    pub fn new(quiet: bool, no_progress: bool, resumable: bool) -> Result<Self> {
        ctrlc::set_handler(move || {
            if !resumable || STOP.swap(true, Ordering::SeqCst) {
                process::exit(INTERRUPTED);
            }
            let _ = writeln!(io::stderr(), "\nstopping at the next safe point; again to stop at once");
        })
        .context("cannot watch for Ctrl-C")?;
        let draws = !quiet && !no_progress && io::stderr().is_terminal();
        Ok(Self { quiet, draws, phase: Mutex::new(None) })
    }

    /// A callback of units done and units in all, as the crates below the search take it.
    pub fn counter<'a>(&'a self, phase: &'a str) -> impl Fn(usize, usize) + 'a {
        let begun = AtomicBool::new(false);
        move |done, total| {
            if !begun.swap(true, Ordering::Relaxed) {
                self.begin(phase, total as u64, done as u64);
            }
            self.advance(done as u64, "");
            if done == total {
                self.end();
            }
        }
    }

    fn phase(&self) -> MutexGuard<'_, Option<Phase>> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn message(&self, text: &str) {
        if self.quiet {
            return;
        }
        let say = || {
            let _ = writeln!(io::stderr(), "{text}");
        };
        match self.phase().as_ref().and_then(|phase| phase.bar.as_ref()) {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    fn begin(&self, name: &str, total: u64, done: u64) {
        self.end();
        let bar = self.draws.then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(name.to_owned());
            bar.set_position(done);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let started = Instant::now();
        *self.phase() = Some(Phase {
            name: name.to_owned(),
            total,
            before: done,
            started,
            last_line: None,
            bar,
            dashboard: false,
        });
    }

    fn advance(&self, done: u64, note: &str) {
        let mut phase = self.phase();
        let Some(phase) = phase.as_mut() else { return };
        if let Some(bar) = &phase.bar {
            bar.set_position(done);
            if !note.is_empty() && !phase.dashboard {
                bar.set_message(note.to_owned());
            }
        } else if !self.quiet && phase.last_line.unwrap_or(phase.started).elapsed() >= INTERVAL {
            phase.last_line = Some(Instant::now());
            let _ = writeln!(io::stderr(), "{}", phase.line(done, note));
        }
    }

    fn dashboard(&self, lines: &[String]) {
        let mut phase = self.phase();
        let Some(phase) = phase.as_mut() else { return };
        let Some(bar) = &phase.bar else { return };
        if !phase.dashboard
            && let Ok(style) = ProgressStyle::with_template(DASHBOARD)
        {
            bar.set_style(style.progress_chars("=> "));
            phase.dashboard = true;
        }
        bar.set_message(lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"));
    }

    fn end(&self) {
        if let Some(bar) = self.phase().take().and_then(|phase| phase.bar) {
            bar.finish_and_clear();
        }
    }

    fn interrupted(&self) -> bool {
        STOP.load(Ordering::SeqCst)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

impl Phase {
    fn line(&self, done: u64, note: &str) -> String {
        let percent = 100.0 * done as f64 / self.total.max(1) as f64;
        let mut line = format!("{} {done}/{} ({percent:.0}%)", self.name, self.total);
        if !note.is_empty() {
            line.push_str(&format!("  {note}"));
        }
        let newly = done.saturating_sub(self.before);
        if newly > 0 {
            let seconds =
                self.started.elapsed().as_secs_f64() / newly as f64 * self.total.saturating_sub(done) as f64;
            line.push_str(&format!("  ETA {}", clock(seconds)));
        }
        line
    }
}

/// Seconds as `1h02m`, `3m20s` or `12s`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_where_a_resumed_task_stands() {
        let started = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
        let phase = Phase {
            name: "supernet".to_owned(),
            total: 100,
            before: 40,
            started,
            last_line: None,
            bar: None,
            dashboard: false,
        };
        assert_eq!(phase.line(50, "loss 1.2"), "supernet 50/100 (50%)  loss 1.2  ETA 1m40s");
        assert_eq!(phase.line(40, ""), "supernet 40/100 (40%)");
        assert_eq!([5.0, 65.0, 7300.0].map(clock), ["5s", "1m05s", "2h01m"]);
    }
}
