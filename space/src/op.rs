//! The operations of a cell (DARTS, section 3; the order is that of RLNAS and GeNAS).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::SpaceError;

/// An operation on an edge of a cell.
///
/// The first eight are the search space, in the order of their integers. The last two occur only in
/// cells that predate it (NASNet, AmoebaNet).
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Op {
    /// No edge: zeros.
    None,
    /// 3x3 maximum pooling.
    MaxPool3x3,
    /// 3x3 average pooling; padding is not counted.
    AvgPool3x3,
    /// Identity, or a factorized reduction at stride 2.
    SkipConnect,
    /// Separable 3x3 convolution, applied twice.
    SepConv3x3,
    /// Separable 5x5 convolution, applied twice.
    SepConv5x5,
    /// Separable 3x3 convolution, dilated by 2.
    DilConv3x3,
    /// Separable 5x5 convolution, dilated by 2.
    DilConv5x5,
    /// Separable 7x7 convolution, applied twice; outside the space.
    SepConv7x7,
    /// Full 1x7 and then 7x1 convolution; outside the space.
    Conv7x1_1x7,
}

/// Every operation with its long and its short name, in the order of the enum.
const NAMES: [(Op, &str, &str); 10] = [
    (Op::None, "none", "none"),
    (Op::MaxPool3x3, "max_pool_3x3", "mp"),
    (Op::AvgPool3x3, "avg_pool_3x3", "ap"),
    (Op::SkipConnect, "skip_connect", "sk"),
    (Op::SepConv3x3, "sep_conv_3x3", "s3"),
    (Op::SepConv5x5, "sep_conv_5x5", "s5"),
    (Op::DilConv3x3, "dil_conv_3x3", "d3"),
    (Op::DilConv5x5, "dil_conv_5x5", "d5"),
    (Op::SepConv7x7, "sep_conv_7x7", "s7"),
    (Op::Conv7x1_1x7, "conv_7x1_1x7", "c71"),
];

impl Op {
    /// The operations of the search space: index = integer in a candidate.
    pub const PRIMITIVES: [Op; 8] = [
        Op::None,
        Op::MaxPool3x3,
        Op::AvgPool3x3,
        Op::SkipConnect,
        Op::SepConv3x3,
        Op::SepConv5x5,
        Op::DilConv3x3,
        Op::DilConv5x5,
    ];

    /// The integer that stands for this operation in a candidate; nothing for the two outside the space.
    pub fn index(self) -> Option<u8> {
        let index = self as u8;
        (usize::from(index) < Op::PRIMITIVES.len()).then_some(index)
    }

    /// The operation that an integer of a candidate stands for.
    pub fn from_index(index: u8) -> Option<Op> {
        Op::PRIMITIVES.get(usize::from(index)).copied()
    }

    /// The name in DARTS code bases and their state dicts: `sep_conv_3x3`.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// The name in the human form of a genotype: `s3`.
    pub fn short(self) -> &'static str {
        NAMES[self as usize].2
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Op {
    type Err = SpaceError;

    fn from_str(text: &str) -> Result<Self, SpaceError> {
        NAMES
            .iter()
            .find(|(_, long, short)| *long == text || *short == text)
            .map(|(op, ..)| *op)
            .ok_or_else(|| SpaceError::UnknownOp(text.to_owned()))
    }
}

impl TryFrom<String> for Op {
    type Error = SpaceError;

    fn try_from(text: String) -> Result<Self, SpaceError> {
        text.parse()
    }
}

impl From<Op> for &'static str {
    fn from(op: Op) -> Self {
        op.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_the_enum_and_round_trip() {
        for (position, (op, long, short)) in NAMES.into_iter().enumerate() {
            assert_eq!(op as usize, position);
            assert_eq!(long.parse(), Ok(op));
            assert_eq!(short.parse(), Ok(op));
            assert_eq!(op.to_string(), long);
            let json = serde_json::to_string(&op).unwrap();
            assert_eq!(json, format!("\"{long}\""));
            assert_eq!(serde_json::from_str::<Op>(&json).unwrap(), op);
        }
    }

    #[test]
    fn indices_are_those_of_the_space() {
        for (index, op) in Op::PRIMITIVES.into_iter().enumerate() {
            assert_eq!(op.index(), Some(index as u8));
            assert_eq!(Op::from_index(index as u8), Some(op));
        }
        assert_eq!(Op::SepConv7x7.index(), None);
        assert_eq!(Op::Conv7x1_1x7.index(), None);
        assert_eq!(Op::from_index(8), None);
    }

    #[test]
    fn an_unknown_name_is_named() {
        let error = "sep_conv_9x9".parse::<Op>().unwrap_err().to_string();
        assert!(error.contains("`sep_conv_9x9`"), "{error}");
    }
}
