//! The operations of a NAS-Bench-201 cell, under their official names and in their official order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::SpaceError;

/// An operation on an edge of a NAS-Bench-201 cell; all keep width and resolution.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Nb201Op {
    /// No edge: zeros.
    None,
    /// Identity.
    SkipConnect,
    /// ReLU, 1x1 convolution, BatchNorm.
    NorConv1x1,
    /// ReLU, 3x3 convolution, BatchNorm.
    NorConv3x3,
    /// 3x3 average pooling; padding is not counted.
    AvgPool3x3,
}

impl Nb201Op {
    /// Every operation: index = integer in a cell.
    pub const ALL: [Nb201Op; 5] =
        [Nb201Op::None, Nb201Op::SkipConnect, Nb201Op::NorConv1x1, Nb201Op::NorConv3x3, Nb201Op::AvgPool3x3];

    /// The integer of this operation, 0 to 4.
    pub fn index(self) -> u8 {
        self as u8
    }

    /// The operation of an integer.
    pub fn from_index(index: u8) -> Option<Nb201Op> {
        Nb201Op::ALL.get(usize::from(index)).copied()
    }

    /// The official name: `nor_conv_3x3`.
    pub fn name(self) -> &'static str {
        match self {
            Nb201Op::None => "none",
            Nb201Op::SkipConnect => "skip_connect",
            Nb201Op::NorConv1x1 => "nor_conv_1x1",
            Nb201Op::NorConv3x3 => "nor_conv_3x3",
            Nb201Op::AvgPool3x3 => "avg_pool_3x3",
        }
    }
}

impl fmt::Display for Nb201Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Nb201Op {
    type Err = SpaceError;

    fn from_str(text: &str) -> Result<Self, SpaceError> {
        Nb201Op::ALL
            .into_iter()
            .find(|op| op.name() == text)
            .ok_or_else(|| SpaceError::UnknownNb201Op(text.to_owned()))
    }
}

impl TryFrom<String> for Nb201Op {
    type Error = SpaceError;

    fn try_from(text: String) -> Result<Self, SpaceError> {
        text.parse()
    }
}

impl From<Nb201Op> for &'static str {
    fn from(op: Nb201Op) -> Self {
        op.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_indices_round_trip() {
        for (index, op) in Nb201Op::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(op.index()), index);
            assert_eq!(Nb201Op::from_index(index as u8), Some(op));
            assert_eq!(op.to_string().parse(), Ok(op));
            let json = serde_json::to_string(&op).unwrap();
            assert_eq!(json, format!("\"{op}\""));
            assert_eq!(serde_json::from_str::<Nb201Op>(&json).unwrap(), op);
        }
        assert_eq!(Nb201Op::from_index(5), None);
        let error = "nor_conv_5x5".parse::<Nb201Op>().unwrap_err().to_string();
        assert!(error.contains("`nor_conv_5x5`") && error.contains("avg_pool_3x3"), "{error}");
    }
}
