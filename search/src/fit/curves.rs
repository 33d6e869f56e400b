//! A training's curves: one row per epoch, as `training.csv`.

use crate::error::SearchError;
use crate::tensorboard::EventFile;
use genas_net::atomic_write;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// How a network does on images that it is not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Mean cross-entropy, without label smoothing.
    pub loss: f64,
    /// Top-1 accuracy, a fraction.
    pub top1: f64,
    /// Top-5 accuracy, a fraction.
    pub top5: f64,
}

/// One row of `training.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpochRow {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Mean loss of the steps.
    pub loss: f64,
    /// Mean gradient norm before clipping.
    pub gradient_norm: f64,
    /// How the network does after it, where that was measured.
    pub validation: Option<Validation>,
    /// Wall time of the epoch, validation not counted.
    pub seconds: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Part of the time in which the next batch was waited for.
    pub waiting: f64,
    /// Images that were trained on.
    pub images: usize,
}

impl EpochRow {
    /// Images per second.
    pub fn speed(&self) -> f64 {
        if self.seconds > 0.0 { self.images as f64 / self.seconds } else { 0.0 }
    }
}

/// The epoch with the best top-1, the first among equals; `None` if none was measured.
pub fn best(rows: &[EpochRow]) -> Option<(usize, Validation)> {
    let measured = rows.iter().filter_map(|row| Some((row.epoch, row.validation?)));
    measured.reduce(|best, row| if row.1.top1 > best.1.top1 { row } else { best })
}

const COLUMNS: &str = "epoch,loss,gradient_norm,top1,seconds,top5,validation_loss,learning_rate,images_per_second,waiting,images";

/// Writes all rows.
pub(super) fn write_table(path: &Path, rows: &[EpochRow]) -> Result<(), SearchError> {
    let mut text = format!("{COLUMNS}\n");
    let value = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    for r in rows {
        let v = r.validation;
        let [top1, top5, loss] = [v.map(|v| v.top1), v.map(|v| v.top5), v.map(|v| v.loss)].map(value);
        let _ = writeln!(
            text,
            "{},{},{},{top1},{:.2},{top5},{loss},{},{:.1},{:.4},{}",
            r.epoch,
            r.loss,
            r.gradient_norm,
            r.seconds,
            r.learning_rate,
            r.speed(),
            r.waiting,
            r.images
        );
    }
    Ok(atomic_write(path, text.as_bytes())?)
}

/// Reads what a finished training wrote.
pub fn read_table(path: &Path) -> Result<Vec<EpochRow>, SearchError> {
    let text = std::fs::read_to_string(path).map_err(SearchError::io(path, "read"))?;
    let damaged =
        |line: usize| SearchError::format(path, format!("line {line} is not one of genas's curves"));
    let mut lines = text.lines();
    if lines.next() != Some(COLUMNS) {
        return Err(damaged(1));
    }
    let row = |(n, line): (usize, &str)| {
        let cells: Vec<Option<f64>> = line.split(',').map(|cell| cell.parse().ok()).collect();
        let &[
            Some(epoch),
            Some(loss),
            Some(gradient_norm),
            top1,
            Some(seconds),
            top5,
            validation_loss,
            Some(rate),
            _,
            Some(waiting),
            Some(images),
        ] = cells.as_slice()
        else {
            return Err(damaged(n + 2));
        };
        let validation = match (validation_loss, top1, top5) {
            (Some(loss), Some(top1), Some(top5)) => Some(Validation { loss, top1, top5 }),
            _ => None,
        };
        Ok(EpochRow {
            epoch: epoch as usize,
            loss,
            gradient_norm,
            validation,
            seconds,
            learning_rate: rate,
            waiting,
            images: images as usize,
        })
    };
    lines.enumerate().map(row).collect()
}

/// The points of an epoch that ends with `step`, for TensorBoard.
pub(super) fn log_epoch(events: &mut EventFile, step: u64, row: &EpochRow) -> Result<(), SearchError> {
    let mut points = vec![
        ("epoch/loss", row.loss),
        ("epoch/learning rate", row.learning_rate),
        ("epoch/images per second", row.speed()),
        ("epoch/waiting for data", row.waiting),
    ];
    if let Some(v) = row.validation {
        points.extend([
            ("validation/loss", v.loss),
            ("validation/top-1", v.top1),
            ("validation/top-5", v.top5),
        ]);
    }
    points.into_iter().for_each(|(tag, value)| events.scalar(step, tag, value));
    events.flush()
}

/// A curve in one line of text: one block per value, between the least and the largest.
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(width)..];
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    let level = |v: &f64| if high > low { ((v - low) / (high - low) * 7.0).round() as usize } else { 0 };
    values.iter().map(|v| BLOCKS[level(v).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: usize, top1: Option<f64>) -> EpochRow {
        let validation = top1.map(|top1| Validation { loss: 1.0, top1, top5: 1.0 });
        EpochRow { epoch, validation, ..EpochRow::default() }
    }

    #[test]
    fn the_best_epoch_is_the_first_of_the_highest() {
        assert!(best(&[row(0, None)]).is_none());
        let rows = [row(0, Some(0.2)), row(1, None), row(2, Some(0.5)), row(3, Some(0.5)), row(4, Some(0.1))];
        assert_eq!(best(&rows).map(|(epoch, v)| (epoch, v.top1)), Some((2, 0.5)));
    }

    #[test]
    fn a_table_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("training.csv");
        let rows = [
            row(0, None),
            EpochRow { loss: 0.1 + 0.2, images: 7, learning_rate: 1e-17, ..row(1, Some(1.0 / 3.0)) },
        ];
        write_table(&path, &rows).unwrap();
        assert_eq!(read_table(&path).unwrap(), rows);
        std::fs::write(&path, format!("{COLUMNS}\n1,2\n")).unwrap();
        let error = read_table(&path).unwrap_err().to_string();
        assert!(error.contains("training.csv") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_curve_in_a_line() {
        assert_eq!(sparkline(&[0.0, 1.0, 0.5], 10), "▁█▅");
        assert_eq!(sparkline(&[5.0, 0.0, 1.0], 2), "▁█");
        assert_eq!(sparkline(&[2.0, 2.0], 5), "▁▁");
        assert_eq!(sparkline(&[], 5), "");
    }
}
