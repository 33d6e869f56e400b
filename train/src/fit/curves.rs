//! A training's curves: one row per epoch, as `training.csv`.

use crate::error::TrainError;
use crate::measure::Measure;
use crate::tensorboard::EventFile;
use genas_net::atomic_write;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One row of `training.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpochRow<M> {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Mean loss of the steps.
    pub loss: f64,
    /// Mean gradient norm before clipping.
    pub gradient_norm: f64,
    /// How the network does after it, where that was measured.
    pub validation: Option<M>,
    /// Wall time of the epoch, validation not counted.
    pub seconds: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Part of the time in which the next batch was waited for.
    pub waiting: f64,
    /// Images that were trained on.
    pub images: usize,
}

/// By hand, because a measure need not have a default.
impl<M> Default for EpochRow<M> {
    fn default() -> Self {
        Self {
            epoch: 0,
            loss: 0.0,
            gradient_norm: 0.0,
            validation: None,
            seconds: 0.0,
            learning_rate: 0.0,
            waiting: 0.0,
            images: 0,
        }
    }
}

impl<M> EpochRow<M> {
    /// Images per second.
    pub fn speed(&self) -> f64 {
        if self.seconds > 0.0 { self.images as f64 / self.seconds } else { 0.0 }
    }
}

/// The epoch with the best measure, the first among equals; `None` if none was measured.
pub fn best<M: Measure>(rows: &[EpochRow<M>]) -> Option<(usize, &M)> {
    let measured = rows.iter().filter_map(|row| Some((row.epoch, row.validation.as_ref()?)));
    measured.reduce(|best, row| if row.1.goodness() > best.1.goodness() { row } else { best })
}

/// The columns that every training has, in their three groups. The goodness stands between the first two and what else
/// is measured between the last two.
const COLUMNS: (&[&str], &[&str], &[&str]) = (
    &["epoch", "loss", "gradient_norm"],
    &["seconds"],
    &["learning_rate", "images_per_second", "waiting", "images"],
);

/// A line with `measured` in its places.
fn line<T: AsRef<str>>((first, middle, last): (&[T], &[T], &[T]), measured: &[T]) -> String {
    let (goodness, others) = measured.split_at(measured.len().min(1));
    let cells = [first, goodness, middle, others, last].into_iter().flatten();
    cells.map(AsRef::as_ref).collect::<Vec<_>>().join(",")
}

/// Writes all rows.
pub(super) fn write_table<M: Measure>(path: &Path, rows: &[EpochRow<M>]) -> Result<(), TrainError> {
    let mut text = line(COLUMNS, M::NAMES) + "\n";
    for r in rows {
        let measured = match &r.validation {
            Some(v) => v.values().iter().map(f64::to_string).collect(),
            None => vec![String::new(); M::NAMES.len()],
        };
        let first = [r.epoch.to_string(), r.loss.to_string(), r.gradient_norm.to_string()];
        let middle = [format!("{:.2}", r.seconds)];
        let last = [
            r.learning_rate.to_string(),
            format!("{:.1}", r.speed()),
            format!("{:.4}", r.waiting),
            r.images.to_string(),
        ];
        text += &line((&first, &middle, &last), &measured);
        text.push('\n');
    }
    Ok(atomic_write(path, text.as_bytes())?)
}

/// Reads what a finished training wrote.
pub fn read_table<M: Measure>(path: &Path) -> Result<Vec<EpochRow<M>>, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io(path, "read"))?;
    let damaged = |line: usize| TrainError::format(path, format!("line {line} is not one of genas's curves"));
    let mut lines = text.lines();
    if lines.next() != Some(line(COLUMNS, M::NAMES).as_str()) {
        return Err(damaged(1));
    }
    lines.enumerate().map(|(n, line)| row(line).ok_or_else(|| damaged(n + 2))).collect()
}

/// A line of the table.
fn row<M: Measure>(line: &str) -> Option<EpochRow<M>> {
    let mut cells: Vec<Option<f64>> = line.split(',').map(|cell| cell.parse().ok()).collect();
    // What is measured is taken out, first behind the common columns' first group, then behind their second.
    let (before, names) = (COLUMNS.0.len(), M::NAMES.len());
    let goodness = names.min(1);
    let others = before + COLUMNS.1.len();
    if cells.len() != others + names + COLUMNS.2.len() {
        return None;
    }
    let mut measured: Vec<Option<f64>> = cells.drain(before..before + goodness).collect();
    measured.extend(cells.drain(others..others + names - goodness));
    let &[
        Some(epoch),
        Some(loss),
        Some(gradient_norm),
        Some(seconds),
        Some(rate),
        _,
        Some(waiting),
        Some(images),
    ] = cells.as_slice()
    else {
        return None;
    };
    let measured: Option<Vec<f64>> = measured.into_iter().collect();
    Some(EpochRow {
        epoch: epoch as usize,
        loss,
        gradient_norm,
        validation: measured.and_then(|values| M::from_values(&values)),
        seconds,
        learning_rate: rate,
        waiting,
        images: images as usize,
    })
}

/// The points of an epoch that ends with `step`, for TensorBoard.
pub(super) fn log_epoch<M: Measure>(
    events: &mut EventFile,
    step: u64,
    row: &EpochRow<M>,
) -> Result<(), TrainError> {
    let mut points = vec![
        ("epoch/loss", row.loss),
        ("epoch/learning rate", row.learning_rate),
        ("epoch/images per second", row.speed()),
        ("epoch/waiting for data", row.waiting),
    ];
    points.extend(row.validation.iter().flat_map(M::scalars));
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
    use crate::fit::tests::Precision;

    fn row(epoch: usize, ap: Option<f64>) -> EpochRow<Precision> {
        EpochRow { epoch, validation: ap.map(|ap| Precision { ap, ap50: 1.0 }), ..EpochRow::default() }
    }

    #[test]
    fn the_best_epoch_is_the_first_of_the_highest() {
        assert!(best(&[row(0, None)]).is_none());
        let rows = [row(0, Some(0.2)), row(1, None), row(2, Some(0.5)), row(3, Some(0.5)), row(4, Some(0.1))];
        assert_eq!(best(&rows).map(|(epoch, v)| (epoch, v.ap)), Some((2, 0.5)));
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
        let text = std::fs::read_to_string(&path).unwrap();
        let (columns, rows) = text.split_once('\n').unwrap();
        assert_eq!(
            columns,
            "epoch,loss,gradient_norm,ap,seconds,ap50,learning_rate,images_per_second,waiting,images"
        );
        assert!(rows.starts_with("0,0,0,,0.00,,0,0.0,0.0000,0\n1,0.30000000000000004,0,0.3333"), "{rows}");
        std::fs::write(&path, format!("{columns}\n1,2\n")).unwrap();
        let error = read_table::<Precision>(&path).unwrap_err().to_string();
        assert!(error.contains("training.csv") && error.contains("line 2"), "{error}");
        std::fs::write(&path, columns.replace("ap50", "top1")).unwrap();
        assert!(read_table::<Precision>(&path).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_curve_in_a_line() {
        assert_eq!(sparkline(&[0.0, 1.0, 0.5], 10), "▁█▅");
        assert_eq!(sparkline(&[5.0, 0.0, 1.0], 2), "▁█");
        assert_eq!(sparkline(&[2.0, 2.0], 5), "▁▁");
        assert_eq!(sparkline(&[], 5), "");
    }
}
