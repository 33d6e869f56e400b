//! How a long task tells its caller where it stands, and learns that it should stop.

/// Receives progress. The command line draws it; tests ignore it.
pub trait Observer: Sync {
    /// A line for the user.
    fn message(&self, _text: &str) {}
    /// A phase begins: its name, its number of units, and how many of them an earlier run has done.
    fn begin(&self, _phase: &str, _total: u64, _done: u64) {}
    /// Units of the current phase that are done in total, and a short note (loss, best score).
    fn advance(&self, _done: u64, _note: &str) {}
    /// The current phase in a few lines, for those who have room for them. Called some times a second.
    fn dashboard(&self, _lines: &[String]) {}
    /// The current phase ends.
    fn end(&self) {}
    /// Whether to stop at the next safe point.
    fn interrupted(&self) -> bool {
        false
    }
}

/// An observer that sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
