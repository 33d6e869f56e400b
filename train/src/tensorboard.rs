//! Curves for TensorBoard: event files with scalar summaries.
//!
//! An event file is a sequence of records (TFRecord): the length of the data as 8 bytes, its masked CRC32C, the data, and
//! their masked CRC32C, all little-endian (`tensorflow/core/lib/io/record_writer.cc`). The data are `Event` messages
//! (`tensorflow/core/util/event.proto`, `framework/summary.proto`), declared here by hand as far as scalars need them.
//!
//! TensorBoard reads the event files of a folder one after the other, in the order of their names, as one run. A
//! resumed run therefore adds a file; the steps that it repeats would be in the curves twice, so its file says first that
//! the run starts again at a step, and TensorBoard drops what it has from there on.

use crate::error::TrainError;
use prost::Message;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// First part of an event file's name; TensorBoard looks for `tfevents`.
const PREFIX: &str = "events.out.tfevents.";
/// The version in which a start that says its step purges the steps behind it.
const VERSION: &str = "brain.Event:2";

/// An event file that is being written.
///
/// Scalars are collected and written by [`flush`](Self::flush), many records in one write: who kills the process loses
/// whole batches, and hardly ever leaves part of a record (which TensorBoard skips).
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    pending: Vec<u8>,
}

impl EventFile {
    /// A new event file in `dir`, which is created if it is missing, of a run that begins.
    pub fn create(dir: &Path) -> Result<Self, TrainError> {
        Self::open(dir, None)
    }

    /// A new event file in `dir` of a run that continues at `step`: what earlier files in the folder say of this step and
    /// later ones no longer counts.
    pub fn resume(dir: &Path, step: u64) -> Result<Self, TrainError> {
        Self::open(dir, Some(step))
    }

    fn open(dir: &Path, start: Option<u64>) -> Result<Self, TrainError> {
        std::fs::create_dir_all(dir).map_err(TrainError::io(dir, "create"))?;
        // Names decide the order in which TensorBoard reads: a name is later than all that are there, even within a second
        // or after the clock was set back.
        let newest = newest(dir).map_err(TrainError::io(dir, "read"))?;
        let seconds = (now() as u64).max(newest.map_or(0, |newest| newest + 1));
        let path = dir.join(format!("{PREFIX}{seconds:010}.{}.{}", host(), std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(TrainError::io(&path, "create"))?;
        let mut events = Self { path, file, pending: Vec::new() };
        events.push(&Event::new(0, What::FileVersion(VERSION.to_owned())));
        if let Some(step) = start {
            events.push(&Event::new(
                step,
                What::SessionLog(SessionLog { status: SessionStatus::Start as i32 }),
            ));
        }
        events.flush()?;
        Ok(events)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a point to the curve `tag` (f32 in the file). It is written by the next [`flush`](Self::flush).
    pub fn scalar(&mut self, step: u64, tag: &str, value: f64) {
        let value = SummaryValue { tag: tag.to_owned(), simple_value: Some(value as f32) };
        self.push(&Event::new(step, What::Summary(Summary { value: vec![value] })));
    }

    /// Writes what was added.
    pub fn flush(&mut self) -> Result<(), TrainError> {
        self.file.write_all(&self.pending).map_err(TrainError::io(&self.path, "write"))?;
        self.pending.clear();
        Ok(())
    }

    fn push(&mut self, event: &Event) {
        record(&event.encode_to_vec(), &mut self.pending);
    }
}

impl Drop for EventFile {
    /// Writes what was not flushed, as far as possible: curves must not fail a run that is at its end.
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// Appends `data` as a record.
fn record(data: &[u8], to: &mut Vec<u8>) {
    let length = (data.len() as u64).to_le_bytes();
    to.extend(length);
    to.extend(masked_crc(&length).to_le_bytes());
    to.extend(data);
    to.extend(masked_crc(data).to_le_bytes());
}

/// CRC32C, rotated and moved: the CRC of data that hold their own CRC would be weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The largest time in the names of the folder's event files.
fn newest(dir: &Path) -> std::io::Result<Option<u64>> {
    let mut newest = None;
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let seconds =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok());
        newest = newest.max(seconds);
    }
    Ok(newest)
}

/// This machine's name as far as it is found without asking the network; it only tells files apart.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .unwrap_or_default();
    let kept: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    if kept.is_empty() { "localhost".to_owned() } else { kept }
}

/// One event.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

impl Event {
    /// An event of this moment.
    fn new(step: u64, what: What) -> Self {
        Self { wall_time: now(), step: step.min(i64::MAX as u64) as i64, what: Some(what) }
    }
}

/// What an event says.
#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Values of one step.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

/// A point of a curve (`Summary.Value`). `simple_value` is part of a oneof, so it is written even where it is 0.
#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// A note on the run itself.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(enumeration = "SessionStatus", tag = "1")]
    status: i32,
}

/// What happened to the run (`SessionLog.SessionStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum SessionStatus {
    Unspecified = 0,
    Start = 1,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of a file, with both CRCs of every record checked.
    fn read(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let (mut rest, mut events) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let crc = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let data = &rest[12..12 + length];
            assert_eq!(crc(8), masked_crc(&rest[..8]));
            assert_eq!(crc(12 + length), masked_crc(data));
            events.push(Event::decode(data).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    #[test]
    fn records_are_those_of_tensorboard() {
        // Check value of CRC32C.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        // Written by tensorboard 2.21.0:
        // RecordWriter(f).write(Event(wall_time=..., step=..., ...).SerializeToString()).
        let cases = [
            (Event { wall_time: 1.7e9, step: 0, what: Some(What::FileVersion(VERSION.into())) }, FIRST),
            (
                Event {
                    wall_time: 1.7e9,
                    step: 300,
                    what: Some(What::Summary(Summary {
                        value: vec![SummaryValue { tag: "loss".into(), simple_value: Some(0.0) }],
                    })),
                },
                SCALAR,
            ),
            (
                Event { wall_time: 1.7e9, step: 7, what: Some(What::SessionLog(SessionLog { status: 1 })) },
                START,
            ),
        ];
        for (event, expected) in cases {
            let mut bytes = Vec::new();
            record(&event.encode_to_vec(), &mut bytes);
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, expected);
        }
    }

    const FIRST: &str = "1800000000000000a37f4b220900000040fc54d9411a0d627261696e2e4576656e743a32eced8f9d";
    const SCALAR: &str =
        "1b000000000000001a0d9e130900000040fc54d94110ac022a0d0a0b0a046c6f7373150000000001c356c0";
    const START: &str = "0f000000000000006d532b090900000040fc54d94110073a0208013c4f4b07";

    #[test]
    fn a_resumed_run_adds_a_later_file_that_starts_at_its_step() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("curves");
        let mut first = EventFile::create(&folder).unwrap();
        first.scalar(0, "loss", 2.5);
        first.scalar(1, "loss", 0.0);
        first.flush().unwrap();
        // Within the same second, by the same process.
        let mut second = EventFile::resume(&folder, 1).unwrap();
        second.scalar(1, "loss", 1.5);
        assert!(first.path().file_name() < second.path().file_name());
        let path = second.path().to_owned();
        drop(second);
        let point = |step: i64, value: f32| {
            let value = SummaryValue { tag: "loss".into(), simple_value: Some(value) };
            (step, Some(What::Summary(Summary { value: vec![value] })))
        };
        let version = (0, Some(What::FileVersion(VERSION.into())));
        let start = (1, Some(What::SessionLog(SessionLog { status: 1 })));
        let parts = |path: &Path| read(path).into_iter().map(|e| (e.step, e.what)).collect::<Vec<_>>();
        assert_eq!(parts(first.path()), [version.clone(), point(0, 2.5), point(1, 0.0)]);
        assert_eq!(parts(&path), [version, start, point(1, 1.5)]);
    }
}
