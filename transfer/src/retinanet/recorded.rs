//! Values that `tests/torchvision_detection.py` recorded, for tests.

use std::collections::BTreeMap;
use std::ops::Index;

use serde::Deserialize;

use super::boxes::Corners;

/// A part of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Recorded {
    Flag(bool),
    Number(f64),
    Text(String),
    List(Vec<Recorded>),
    Map(BTreeMap<String, Recorded>),
}

/// The whole file.
pub(crate) fn recorded() -> Recorded {
    serde_json::from_str(include_str!("testdata/torchvision.json")).unwrap()
}

impl Index<&str> for Recorded {
    type Output = Self;

    fn index(&self, key: &str) -> &Self {
        let Self::Map(map) = self else { panic!("{key} of {self:?}") };
        &map[key]
    }
}

impl Recorded {
    pub(crate) fn flag(&self) -> bool {
        let Self::Flag(flag) = self else { panic!("{self:?}") };
        *flag
    }

    pub(crate) fn number(&self) -> f64 {
        let Self::Number(number) = self else { panic!("{self:?}") };
        *number
    }

    pub(crate) fn text(&self) -> &str {
        let Self::Text(text) = self else { panic!("{self:?}") };
        text
    }

    pub(crate) fn list(&self) -> &[Self] {
        let Self::List(list) = self else { panic!("{self:?}") };
        list
    }

    pub(crate) fn doubles(&self) -> Vec<f64> {
        self.list().iter().map(Self::number).collect()
    }

    pub(crate) fn numbers(&self) -> Vec<f32> {
        self.list().iter().map(|v| v.number() as f32).collect()
    }

    pub(crate) fn rows(&self) -> Vec<Vec<f32>> {
        self.list().iter().map(Self::numbers).collect()
    }

    pub(crate) fn boxes(&self) -> Vec<Corners> {
        self.rows().into_iter().map(|row| row.try_into().unwrap()).collect()
    }
}

/// All numbers are near to within `tolerance`, relative above 1.
pub(crate) fn assert_close(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{what}: {got}, not {want}");
    }
}
