//! A NAS-Bench-201 cell: an operation for each of its six edges.
//!
//! Nodes 0 (input) to 3 (output); every node reads all before it, and is the sum of what its edges give.
//! It is written as its architecture string,
//!
//! ```text
//! |nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|
//! ```
//!
//! one group per node 1, 2, 3, and after each operation the node that it reads.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::op::Nb201Op;
use crate::error::SpaceError;

/// Edges of a cell.
pub const NB201_EDGES: usize = 6;

/// The node that each edge reads, in the official order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
pub const NB201_SOURCES: [usize; NB201_EDGES] = [0, 0, 1, 0, 1, 2];

/// The edges that enter node 1, 2 or 3, in order of the nodes they read.
pub fn edges_of_node(node: usize) -> Range<usize> {
    debug_assert!((1..=3).contains(&node), "node {node} has no edges");
    let first = node * (node - 1) / 2;
    first..first + node
}

/// A cell: the operation of every edge, in the order of [`NB201_SOURCES`].
///
/// Every combination belongs to the space, `none` on all edges included.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct Nb201Cell(pub [Nb201Op; NB201_EDGES]);

impl Nb201Cell {
    /// The operations that enter node 1, 2 or 3, each with the node that it reads.
    pub fn inputs(&self, node: usize) -> impl Iterator<Item = (Nb201Op, usize)> + use<> {
        let ops = self.0;
        edges_of_node(node).map(move |edge| (ops[edge], NB201_SOURCES[edge]))
    }

    /// The integers of the operations: the genes of evolution.
    pub fn to_ints(&self) -> [u8; NB201_EDGES] {
        self.0.map(Nb201Op::index)
    }

    /// The cell of these integers, each 0 to 4.
    pub fn from_ints(ints: &[u8; NB201_EDGES]) -> Result<Nb201Cell, SpaceError> {
        let mut ops = [Nb201Op::None; NB201_EDGES];
        for (position, (op, &value)) in ops.iter_mut().zip(ints).enumerate() {
            *op = Nb201Op::from_index(value).ok_or(SpaceError::Nb201OpRange { value, position })?;
        }
        Ok(Nb201Cell(ops))
    }
}

impl fmt::Display for Nb201Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in 1..=3 {
            f.write_str(if node == 1 { "|" } else { "+|" })?;
            for (op, source) in self.inputs(node) {
                write!(f, "{op}~{source}|")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Nb201Cell {
    type Err = SpaceError;

    /// Reads an architecture string, exactly in the order that it is printed in; space around it is
    /// allowed.
    fn from_str(text: &str) -> Result<Self, SpaceError> {
        let text = text.trim();
        let wrong = |problem: String| SpaceError::Nb201Arch { text: text.to_owned(), problem };
        let groups: Vec<&str> = text.split('+').collect();
        if groups.len() != 3 {
            return Err(wrong(format!("{} groups between `+`, expected 3 (nodes 1 to 3)", groups.len())));
        }
        let mut ops = [Nb201Op::None; NB201_EDGES];
        for (node, group) in (1..).zip(groups) {
            let inner =
                group.strip_prefix('|').and_then(|group| group.strip_suffix('|')).ok_or_else(|| {
                    wrong(format!("`{group}`, the group of node {node}, does not begin and end with `|`"))
                })?;
            let inputs: Vec<&str> = inner.split('|').collect();
            if inputs.len() != node {
                return Err(wrong(format!("node {node} has {} inputs, expected {node}", inputs.len())));
            }
            for (edge, input) in edges_of_node(node).zip(inputs) {
                let source = NB201_SOURCES[edge];
                let (name, number) = input
                    .split_once('~')
                    .ok_or_else(|| wrong(format!("`{input}` at node {node} is not operation~source")))?;
                ops[edge] = name.parse().map_err(|error| wrong(format!("node {node}: {error}")))?;
                if number != source.to_string() {
                    return Err(wrong(format!(
                        "`{input}` at node {node} stands where ~{source} is expected"
                    )));
                }
            }
        }
        Ok(Nb201Cell(ops))
    }
}

impl Serialize for Nb201Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nb201Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cells_round_trip() {
        for cell in Nb201Cell::all() {
            assert_eq!(cell.to_string().parse(), Ok(cell));
            assert_eq!(Nb201Cell::from_ints(&cell.to_ints()), Ok(cell));
            let json = serde_json::to_string(&cell).unwrap();
            assert_eq!(json, format!("\"{cell}\""));
            assert_eq!(serde_json::from_str::<Nb201Cell>(&json).unwrap(), cell);
        }
    }

    #[test]
    fn edges_stand_in_the_official_order() {
        use Nb201Op::*;
        let text = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|";
        let cell: Nb201Cell = format!(" {text}\n").parse().unwrap();
        assert_eq!(cell.0, [None, SkipConnect, NorConv1x1, NorConv3x3, AvgPool3x3, None]);
        assert_eq!(cell.to_string(), text);
        assert_eq!(cell.inputs(3).collect::<Vec<_>>(), [(NorConv3x3, 0), (AvgPool3x3, 1), (None, 2)]);
    }

    #[test]
    fn departures_are_named() {
        let good = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";
        for (from, to, part) in [
            ("|none~0|+|none~0|none~1|+", "", "1 groups between `+`, expected 3"),
            ("|none~0|+", "none~0+", "`none~0`, the group of node 1, does not begin and end with `|`"),
            ("|none~2|", "|", "node 3 has 2 inputs, expected 3"),
            ("none~2", "none", "`none` at node 3 is not operation~source"),
            ("none~2", "sep_conv~2", "node 3: unknown operation `sep_conv`"),
            ("none~2", "none~1", "`none~1` at node 3 stands where ~2 is expected"),
            ("none~2", "none~02", "`none~02` at node 3"),
        ] {
            let error = good.replacen(from, to, 1).parse::<Nb201Cell>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("|op~0|+|op~0|op~1|"), "{error}");
        }
        let error = "|".parse::<Nb201Cell>().unwrap_err().to_string();
        assert!(error.contains("1 groups"), "{error}");
        let error = "|+|+|".parse::<Nb201Cell>().unwrap_err().to_string();
        assert!(error.contains("node 1, does not begin and end"), "{error}");
        let error = Nb201Cell::from_ints(&[0, 0, 5, 0, 0, 0]).unwrap_err().to_string();
        assert_eq!(error, "operation 5 at position 2 is not in 0..4");
    }
}
