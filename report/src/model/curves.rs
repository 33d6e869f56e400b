//! `training.csv`: a row for each epoch of a training, or for each so many steps of one.

use serde::Serialize;

use super::Part;
use super::files::Reader;

/// The curves of a training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curves {
    /// The file, in the run's folder.
    pub file: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows; a value that was not measured is none.
    pub rows: Vec<Vec<Option<f64>>>,
}

impl Curves {
    /// Reads a file.
    pub fn read(files: &Reader, file: &str) -> Part<Self> {
        let text = match files.text(file) {
            Part::Present(text) => text,
            Part::Absent => return Part::Absent,
            Part::Damaged(fault) => return Part::Damaged(fault),
        };
        let mut lines = text.lines().enumerate();
        let head = lines.next().map_or("", |(_, line)| line);
        let columns: Vec<String> = head.split(',').map(|name| name.trim().to_owned()).collect();
        if !columns.iter().any(|name| name == "epoch") {
            return Part::Damaged(
                files.fault(file, "its first line names no column `epoch`: these are no curves"),
            );
        }
        let (mut rows, mut broken) = (Vec::new(), Vec::new());
        for (n, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            match row(line, columns.len()) {
                Some(row) => rows.push(row),
                None => broken.push(n + 1),
            }
        }
        if let Some(first) = broken.first() {
            let (n, total) = (broken.len(), broken.len() + rows.len());
            let fault = files
                .fault(file, format!("{n} of {total} rows are damaged and left out, from line {first} on"));
            if rows.is_empty() {
                return Part::Damaged(fault);
            }
        }
        Part::Present(Self { file: file.to_owned(), columns, rows })
    }

    /// The position of a column.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// A column's values with their epochs, counted from 1, where it was measured.
    pub fn column(&self, name: &str) -> Vec<(f64, f64)> {
        let (Some(at), Some(epoch)) = (self.position(name), self.position("epoch")) else {
            return Vec::new();
        };
        self.rows.iter().filter_map(|row| Some((row[epoch]? + 1.0, row[at]?))).collect()
    }

    /// The last value of a column.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.column(name).last().map(|(_, value)| *value)
    }

    /// The sum of a column.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let values = self.column(name);
        (!values.is_empty()).then(|| values.iter().map(|(_, value)| value).sum())
    }
}

/// A row with a number or nothing in each of its cells.
fn row(line: &str, columns: usize) -> Option<Vec<Option<f64>>> {
    let cell = |text: &str| match text.trim() {
        "" => Some(None),
        text => text.parse::<f64>().ok().map(|number| number.is_finite().then_some(number)),
    };
    let cells: Vec<Option<f64>> = line.split(',').map(cell).collect::<Option<_>>()?;
    (cells.len() == columns).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::files::tests::folder;

    #[test]
    fn rows_are_read_and_broken_ones_named() {
        let (_dir, files) = folder(&[
            ("a.csv", b"epoch,loss,top1,seconds\n0,2.5,,1.50\n1,NaN,0.25,2\n2,oops,1,2\n3,1"),
            ("b.csv", b"\xff\xfe\0\0"),
            ("c.csv", b"epoch,loss\nx,y\n"),
        ]);
        let Part::Present(curves) = Curves::read(&files, "a.csv") else { panic!() };
        assert_eq!(curves.column("loss"), [(1.0, 2.5)]);
        assert_eq!((curves.column("top1"), curves.sum("seconds")), (vec![(2.0, 0.25)], Some(3.5)));
        assert_eq!((curves.last("top1"), curves.sum("nothing")), (Some(0.25), None));
        assert!(
            files.faults()[0].reason.contains("2 of 4 rows") && files.faults()[0].reason.contains("line 4")
        );
        assert!(matches!(Curves::read(&files, "b.csv"), Part::Damaged(_)));
        assert!(matches!(Curves::read(&files, "c.csv"), Part::Damaged(_)));
    }
}
