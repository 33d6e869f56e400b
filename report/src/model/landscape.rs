//! `landscape/`: loss around trained weights, as `genas landscape` drew and wrote it.

use serde::Serialize;

use super::Part;
use super::files::Reader;

/// Rows of a table that are kept; surfaces have more, and their picture shows them.
const ROWS: usize = 400;

/// The pictures and tables of the folder.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Landscape {
    /// SVG files, in the run's folder.
    pub drawings: Vec<String>,
    /// Tables.
    pub tables: Vec<Table>,
}

/// A CSV file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// The file, in the run's folder.
    pub file: String,
    /// Names of its columns.
    pub head: Vec<String>,
    /// Its first rows, as they are written.
    pub rows: Vec<Vec<String>>,
    /// Rows in all.
    pub total: usize,
}

impl Landscape {
    /// Reads the folder.
    pub fn read(files: &Reader) -> Self {
        let tables = files.list("landscape", ".csv").into_iter().filter_map(|file| table(files, &file));
        Self { drawings: files.list("landscape", ".svg"), tables: tables.collect() }
    }

    /// Whether there is anything.
    pub fn is_there(&self) -> bool {
        !self.drawings.is_empty() || !self.tables.is_empty()
    }
}

fn table(files: &Reader, file: &str) -> Option<Table> {
    let Part::Present(text) = files.text(file) else { return None };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let cells = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
    let head = reader.headers().map(cells).unwrap_or_default();
    let mut records: Vec<Vec<String>> =
        reader.records().filter_map(|record| Some(cells(&record.ok()?))).collect();
    let total = records.len();
    records.retain(|row| row.len() == head.len());
    if total == 0 || records.len() < total {
        files.fault(file, format!("{} of {total} rows have as many cells as its first line", records.len()));
    }
    records.truncate(ROWS);
    (!records.is_empty()).then(|| Table { file: file.to_owned(), head, rows: records, total })
}
