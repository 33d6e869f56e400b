//! NAS-Bench-201's ground truth: how well every cell does when it is trained alone, from a table.
//!
//! A table is CSV with a header: `arch`, the architecture strings; optionally `index`, the official
//! indices; and columns of accuracies in percent, such as `c10_test_200` for CIFAR-10 test accuracy after
//! 200 epochs. It has each of the 15,625 cells once, in any order.
//!
//! The official files are pickles of the benchmark's Python classes and of PyTorch tensors, of one to
//! several gigabytes. They are refused with a recipe, because that is what their own API is for.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use genas_space::Nb201Cell;
use genas_space::nb201::NB201_CELLS;
use serde::{Deserialize, Serialize};

use crate::DataError;

/// The table's name, where a folder is given.
const FILE: &str = "nb201_15625.csv";

const REMEDY: &str = "give a CSV table with the columns arch, c10_test_200, c100_test_200, in16_test_200 and one row for each of the 15625 cells";

const OFFICIAL: &str = "export it once with Python (pip install nats_bench; api = create(FILE, 'tss', fast_mode=True, verbose=False)): \
     for i in range(15625), write i, api.arch(i) and api.get_more_info(i, SET, hp='200', is_random=False)['test-accuracy'] \
     for SET cifar10, cifar100, ImageNet16-120 as the columns index,arch,c10_test_200,c100_test_200,in16_test_200 of a CSV table, and give that";

/// The data sets of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nb201Set {
    /// CIFAR-10, its test images.
    Cifar10,
    /// CIFAR-100, the benchmark's test half of the test images.
    Cifar100,
    /// ImageNet16-120, the benchmark's test half of the validation images.
    Imagenet16,
}

impl Nb201Set {
    /// The column that rankings are compared with: test accuracy after 200 epochs, mean over the
    /// benchmark's seeds (spec 02-8).
    pub fn column(self) -> &'static str {
        match self {
            Self::Cifar10 => "c10_test_200",
            Self::Cifar100 => "c100_test_200",
            Self::Imagenet16 => "in16_test_200",
        }
    }
}

/// Accuracies of all cells.
#[derive(Debug, Clone, PartialEq)]
pub struct GroundTruth {
    path: PathBuf,
    /// Names of the columns of accuracies, and each column in the order of official indices, in percent.
    columns: Vec<(String, Vec<f64>)>,
}

impl GroundTruth {
    /// Reads a table, or the table `nb201_15625.csv` of a folder.
    ///
    /// # Errors
    /// Official files, with a recipe; a table that is not as the module says, with the line.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        refuse_official(path)?;
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let file = File::open(&path).map_err(DataError::io("read", &path))?;
        let mut reader = Reader { path: &path, lines: BufReader::new(file), line: String::new(), number: 0 };
        let header: Vec<String> = match reader.next()? {
            Some(header) => header.split(',').map(|name| name.trim().to_owned()).collect(),
            None => return Err(DataError::broken(&path, "the file is empty", REMEDY)),
        };
        let place = |name: &str| header.iter().position(|column| column == name);
        let arch = place("arch").ok_or_else(|| reader.wrong("the header has no column `arch`"))?;
        let index = place("index");
        if let Some(twice) = header.iter().enumerate().find(|(at, name)| place(name) != Some(*at)) {
            return Err(reader.wrong(format!("the header has the column `{}` twice", twice.1)));
        }
        let places: Vec<usize> = (0..header.len()).filter(|&at| at != arch && Some(at) != index).collect();
        let mut columns: Vec<(String, Vec<f64>)> =
            places.iter().map(|&at| (header[at].clone(), vec![f64::NAN; NB201_CELLS])).collect();
        let mut line_of = vec![0; NB201_CELLS];
        while let Some(row) = reader.next()? {
            let fields: Vec<&str> = row.split(',').map(str::trim).collect();
            if fields.len() != header.len() {
                return Err(reader.wrong(format!(
                    "{} fields, the header has {}",
                    fields.len(),
                    header.len()
                )));
            }
            let cell: Nb201Cell = fields[arch]
                .parse()
                .map_err(|error: genas_space::SpaceError| reader.wrong(error.to_string()))?;
            let official = cell.index();
            if let Some(at) = index
                && fields[at].parse() != Ok(official)
            {
                return Err(
                    reader.wrong(format!("index {} for {cell}, whose index is {official}", fields[at]))
                );
            }
            if line_of[official] > 0 {
                return Err(reader.wrong(format!("{cell} again, after line {}", line_of[official])));
            }
            line_of[official] = reader.number;
            for (&at, (name, values)) in places.iter().zip(&mut columns) {
                match fields[at].parse() {
                    Ok(value) if (0.0..=100.0).contains(&value) => values[official] = value,
                    _ => {
                        let problem = format!("{name} is `{}`, not an accuracy in percent", fields[at]);
                        return Err(reader.wrong(problem));
                    }
                }
            }
        }
        let missing: Vec<usize> = (0..NB201_CELLS).filter(|&index| line_of[index] == 0).collect();
        if let Some(&first) = missing.first() {
            let problem =
                format!("{} of {NB201_CELLS} cells are missing, the first is index {first}", missing.len());
            return Err(DataError::broken(&path, problem, REMEDY));
        }
        Ok(Self { path, columns })
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the columns of accuracies.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// A column by name: the accuracy in percent of every cell, by official index.
    ///
    /// # Errors
    /// A column that the table does not have; the message lists those it has.
    pub fn column(&self, name: &str) -> Result<&[f64], DataError> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, values)| &values[..]).ok_or_else(
            || {
                let names: Vec<&str> = self.names().collect();
                let remedy = format!("choose one of {}, or give another table", names.join(", "));
                DataError::broken(&self.path, format!("there is no column `{name}`"), remedy)
            },
        )
    }

    /// The accuracies that rankings on a data set are compared with, in percent, by official index.
    ///
    /// # Errors
    /// As [`GroundTruth::column`].
    pub fn accuracies(&self, set: Nb201Set) -> Result<&[f64], DataError> {
        self.column(set.column())
    }
}

/// Says what to do with the official files, which are recognised by their names.
fn refuse_official(path: &Path) -> Result<(), DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let official = [".pth", ".pbz2", ".tar"].iter().any(|end| name.ends_with(end))
        || (name.starts_with("nats-tss") || name.starts_with("nats-sss"))
        || path.join("meta.pickle.pbz2").is_file();
    if official {
        let problem =
            "this is an official file of NAS-Bench-201 or NATS-Bench, which only its own Python API reads";
        return Err(DataError::broken(path, problem, OFFICIAL));
    }
    Ok(())
}

/// Lines of a table with their numbers, one at a time.
struct Reader<'a> {
    path: &'a Path,
    lines: BufReader<File>,
    line: String,
    number: usize,
}

impl Reader<'_> {
    /// The next line that is not blank.
    fn next(&mut self) -> Result<Option<String>, DataError> {
        loop {
            self.line.clear();
            let read = self.lines.read_line(&mut self.line).map_err(DataError::io("read", self.path))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if !self.line.trim().is_empty() {
                return Ok(Some(self.line.trim().to_owned()));
            }
        }
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> DataError {
        DataError::broken(self.path, format!("line {}: {problem}", self.number), REMEDY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::fs;

    /// A table whose accuracies are functions of the index, its rows from the last cell to the first.
    fn table() -> String {
        let mut text = "index,arch,c10_test_200,c10_test_12\n".to_owned();
        let cells: Vec<Nb201Cell> = Nb201Cell::all().collect();
        for (index, cell) in cells.iter().enumerate().rev() {
            writeln!(text, "{index},{cell},{},{}", index as f64 / 160.0, index % 100).unwrap();
        }
        text
    }

    fn read(text: &str) -> Result<GroundTruth, DataError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), text).unwrap();
        let by_folder = GroundTruth::read(dir.path());
        let by_file = GroundTruth::read(&dir.path().join(FILE));
        assert_eq!(by_file.is_ok(), by_folder.is_ok());
        by_file
    }

    #[test]
    fn columns_are_in_the_order_of_indices() {
        let truth = read(&table()).unwrap();
        assert_eq!(truth.names().collect::<Vec<_>>(), ["c10_test_200", "c10_test_12"]);
        let accuracies = truth.accuracies(Nb201Set::Cifar10).unwrap();
        assert_eq!((accuracies.len(), accuracies[0], accuracies[15_624]), (NB201_CELLS, 0.0, 97.65));
        assert_eq!(truth.column("c10_test_12").unwrap()[9930], 30.0);
        let error = truth.accuracies(Nb201Set::Cifar100).unwrap_err().to_string();
        assert!(error.contains("`c100_test_200`") && error.contains("c10_test_200, c10_test_12"), "{error}");
        let spaced = table().replace(',', " , ").replace('\n', "\r\n\r\n");
        assert_eq!(read(&spaced).unwrap().columns, truth.columns);
    }

    #[test]
    fn errors_name_file_line_and_remedy() {
        let table = table();
        let lines: Vec<&str> = table.lines().collect();
        let with = |line: usize, text: &str| {
            let mut lines = lines.clone();
            lines[line - 1] = text;
            lines.join("\n")
        };
        let cell = Nb201Cell::from_index(15_624).unwrap();
        for (text, says) in [
            (String::new(), "empty"),
            (with(1, "index,architecture,a,b"), "line 1: the header has no column `arch`"),
            (with(1, "arch,arch,a,b"), "line 1: the header has the column `arch` twice"),
            (with(2, "1,2,3"), "line 2: 3 fields, the header has 4"),
            (with(2, &format!("7,{cell},1,2")), "line 2: index 7 for |nor_conv_1x1~0|"),
            (with(2, "15624,|none~0|,1,2"), "line 2: `|none~0|` is not a NAS-Bench-201 architecture"),
            (with(2, &format!("15624,{cell},1,")), "line 2: c10_test_12 is ``"),
            (with(2, &format!("15624,{cell},nan,1")), "c10_test_200 is `nan`, not an accuracy in percent"),
            (with(2, &format!("15624,{cell},100.1,1")), "c10_test_200 is `100.1`"),
            (with(5, lines[1]), "line 5: |nor_conv_1x1~0|"),
            (with(5, lines[1]), "again, after line 2"),
            (with(5, ""), "1 of 15625 cells are missing, the first is index 15621"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
            assert!(error.contains(FILE) && error.contains("one row for each of the 15625"), "{error}");
        }
    }

    #[test]
    fn official_files_are_answered_with_a_recipe() {
        let dir = tempfile::tempdir().unwrap();
        let simple = dir.path().join("NATS-tss-v1_0-3ffb9-simple");
        fs::create_dir(&simple).unwrap();
        for path in [
            simple,
            dir.path().join("NAS-Bench-201-v1_1-096897.pth"),
            dir.path().join("NATS-tss-v1_0-3ffb9.pickle.pbz2"),
        ] {
            let error = GroundTruth::read(&path).unwrap_err().to_string();
            assert!(error.contains("pip install nats_bench") && error.contains("c100_test_200"), "{error}");
        }
        let error = GroundTruth::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains(FILE), "{error}");
    }
}
