//! Classes of a data set as classes of a model.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::error::{Result, TransferError};

/// How the classes of the data found their places in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matching {
    /// Every class of the data has a class of the same name in the model.
    ByName,
    /// The names differ, their number does not: the classes are taken in their sorted order.
    ByOrder,
    /// Labels are ignored.
    Ignored,
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByName => "classes matched by name",
            Self::ByOrder => "classes matched by their sorted order, because the names differ",
            Self::Ignored => "labels ignored",
        })
    }
}

/// The model's class of each class of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    /// How it was found.
    pub matching: Matching,
    to_model: Vec<usize>,
}

impl LabelMap {
    /// Matches by name if the data has no class that the model lacks, else by order if there are
    /// equally many.
    pub fn new(data: &[String], model: &[String]) -> Result<Self> {
        let places: HashMap<&str, usize> = model.iter().enumerate().map(|(n, c)| (c.as_str(), n)).collect();
        let unique = |names: &[String]| names.iter().collect::<HashSet<_>>().len() == names.len();
        let by_name: Option<Vec<usize>> = data.iter().map(|c| places.get(c.as_str()).copied()).collect();
        if let Some(to_model) = by_name.filter(|_| unique(data) && unique(model)) {
            return Ok(Self { matching: Matching::ByName, to_model });
        }
        if data.len() == model.len() {
            return Ok(Self { matching: Matching::ByOrder, to_model: (0..data.len()).collect() });
        }
        let stranger = data.iter().find(|c| !places.contains_key(c.as_str()));
        Err(TransferError::Request(format!(
            "wrong class count: the data has {} classes, the model {}{}; give the data that the model was \
             trained for, or --ignore-labels to write predictions only",
            data.len(),
            model.len(),
            stranger.map_or_else(String::new, |c| format!(" (none of them called {c:?})"))
        )))
    }

    /// Labels that nobody looks at.
    pub fn ignored() -> Self {
        Self { matching: Matching::Ignored, to_model: Vec::new() }
    }

    /// The model's class, unless labels are ignored.
    pub fn class(&self, label: usize) -> Option<usize> {
        self.to_model.get(label).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn by_name_else_by_order_else_refused() {
        for (data, model, matching, to_model) in [
            ("a b c", "c a b", Matching::ByName, vec![1, 2, 0]),
            ("a c", "c a b", Matching::ByName, vec![1, 0]),
            ("0 1 2", "c a b", Matching::ByOrder, vec![0, 1, 2]),
        ] {
            let map = LabelMap::new(&names(data), &names(model)).unwrap();
            assert_eq!(map, LabelMap { matching, to_model }, "{data} / {model}");
        }
        let error = LabelMap::new(&names("a x"), &names("a b c")).unwrap_err().to_string();
        for part in ["wrong class count", "2 classes", "model 3", "\"x\"", "--ignore-labels"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(LabelMap::ignored().class(0), None);
    }
}
