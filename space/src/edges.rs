//! One cell as 14 integers: an operation for every edge of the cell's graph.
//!
//! States 0 and 1 are the outputs of the two cells before; states 2 to 5 are the nodes 0 to 3. Node j
//! may read every earlier state, so it has j + 2 incoming edges, numbered by source.

use crate::error::SpaceError;
use crate::op::Op;

/// Intermediate nodes of a cell of the space.
pub const N_NODES: usize = 4;

/// Edges of a cell of the space: 2 + 3 + 4 + 5.
pub const N_EDGES: usize = 14;

/// Live edges that enter each node of a valid cell.
pub(crate) const LIVE_INPUTS: usize = 2;

/// The number of the edge that leads from state `source_state` to node `node`.
///
/// The edges of node j begin at 2 + 3 + ... + (j + 1) = j (j + 3) / 2.
pub fn edge_index(node: usize, source_state: usize) -> usize {
    debug_assert!(
        node < N_NODES && source_state < node + 2,
        "no edge from state {source_state} to node {node}"
    );
    node * (node + 3) / 2 + source_state
}

/// The numbers of the edges that enter node `node`.
pub(crate) fn node_edges(node: usize) -> std::ops::Range<usize> {
    let first = node * (node + 3) / 2;
    first..first + node + 2
}

/// One cell: the integer of the operation on every edge.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct EdgeVector(pub [u8; N_EDGES]);

impl EdgeVector {
    /// Whether every entry is an operation and every node has exactly two live edges.
    pub fn is_valid(&self) -> bool {
        self.validate().is_ok()
    }

    /// Like [`EdgeVector::is_valid`], saying what is wrong.
    pub fn validate(&self) -> Result<(), SpaceError> {
        for (position, &value) in self.0.iter().enumerate() {
            if Op::from_index(value).is_none() {
                return Err(SpaceError::OpRange { value: i64::from(value), position });
            }
        }
        for node in 0..N_NODES {
            let live = self.0[node_edges(node)].iter().filter(|&&value| value != 0).count();
            if live != LIVE_INPUTS {
                return Err(SpaceError::LiveInputs { node, live });
            }
        }
        Ok(())
    }

    /// The live edges as (edge, node, source state, operation), in order of the edges.
    ///
    /// Entries that are no operation are passed over, as [`EdgeVector::validate`] reports them.
    pub fn live(&self) -> impl Iterator<Item = (usize, usize, usize, Op)> + use<> {
        let values = self.0;
        (0..N_NODES).flat_map(move |node| {
            node_edges(node).enumerate().filter_map(move |(source_state, edge)| {
                let op = Op::from_index(values[edge]).filter(|&op| op != Op::None)?;
                Some((edge, node, source_state, op))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_numbered_by_node_and_source() {
        let mut edge = 0;
        for node in 0..N_NODES {
            assert_eq!(node_edges(node), edge..edge + node + 2);
            for source in 0..node + 2 {
                assert_eq!(edge_index(node, source), edge);
                edge += 1;
            }
        }
        assert_eq!(edge, N_EDGES);
    }

    #[test]
    fn live_edges_of_the_test_vector() {
        let cell = EdgeVector([3, 5, 0, 4, 4, 0, 0, 4, 5, 0, 4, 0, 0, 7]);
        cell.validate().unwrap();
        let live: Vec<_> = cell.live().collect();
        assert_eq!(
            live,
            [
                (0, 0, 0, Op::SkipConnect),
                (1, 0, 1, Op::SepConv5x5),
                (3, 1, 1, Op::SepConv3x3),
                (4, 1, 2, Op::SepConv3x3),
                (7, 2, 2, Op::SepConv3x3),
                (8, 2, 3, Op::SepConv5x5),
                (10, 3, 1, Op::SepConv3x3),
                (13, 3, 4, Op::DilConv5x5),
            ]
        );
    }

    #[test]
    fn invalid_cells_are_explained() {
        let mut cell = [3, 5, 0, 4, 4, 0, 0, 4, 5, 0, 4, 0, 0, 7];
        cell[2] = 1;
        let error = EdgeVector(cell).validate().unwrap_err();
        assert_eq!(error.to_string(), "node 1 (state 3) has 3 live inputs, expected 2");
        cell[2] = 8;
        let error = EdgeVector(cell).validate().unwrap_err();
        assert_eq!(error.to_string(), "operation 8 at position 2 is not in 0..7");
        assert!(!EdgeVector([0; 14]).is_valid());
    }
}
