//! Both cells as lists of operations: the form that networks are built from.
//!
//! A genotype is more general than a candidate: the number of nodes, the inputs per node and the
//! concatenated states may differ, as they do in NASNet, AmoebaNet and FairDARTS. The order of the
//! inputs inside a node is kept, because it names the weights in published checkpoints.

use crate::error::SpaceError;
use crate::op::Op;

/// One cell: the inputs of every node, and the states that its output concatenates.
///
/// States 0 and 1 are the outputs of the two cells before; state i + 2 is node i.
#[derive(Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct Cell {
    /// For every node its inputs as (operation, source state), in file order.
    pub nodes: Vec<Vec<(Op, usize)>>,
    /// The states that form the output, in order of their channels.
    pub concat: Vec<usize>,
}

impl Cell {
    /// A cell whose output concatenates every node.
    pub fn with_all_nodes(nodes: Vec<Vec<(Op, usize)>>) -> Cell {
        let concat = (2..nodes.len() + 2).collect();
        Cell { nodes, concat }
    }

    /// Whether the output concatenates every node in order.
    pub fn concatenates_all_nodes(&self) -> bool {
        self.concat.iter().copied().eq(2..self.nodes.len() + 2)
    }

    /// Whether every node has exactly two inputs, as in all cells but those of FairDARTS.
    pub fn has_two_inputs_per_node(&self) -> bool {
        self.nodes.iter().all(|inputs| inputs.len() == 2)
    }

    /// All edges as (node, operation, source state), node by node in file order.
    pub fn edges(&self) -> impl Iterator<Item = (usize, Op, usize)> + '_ {
        self.nodes
            .iter()
            .enumerate()
            .flat_map(|(node, inputs)| inputs.iter().map(move |&(op, source)| (node, op, source)))
    }

    /// Checks that a network can be built: every node has an input, every source comes before its
    /// node, no edge is `none`, and the output concatenates nodes, each once.
    pub fn validate(&self) -> Result<(), SpaceError> {
        if self.nodes.is_empty() {
            return Err(SpaceError::Empty("nodes"));
        }
        for (node, inputs) in self.nodes.iter().enumerate() {
            if inputs.is_empty() {
                return Err(SpaceError::NoInput { node });
            }
            for &(op, source_state) in inputs {
                if op == Op::None {
                    return Err(SpaceError::NoneEdge { node });
                }
                if source_state >= node + 2 {
                    return Err(SpaceError::NoSuchSource { node, source_state });
                }
            }
        }
        if self.concat.is_empty() {
            return Err(SpaceError::Empty("output: concat names no state"));
        }
        for (position, &state) in self.concat.iter().enumerate() {
            // States 0 and 1 are refused too: in a reduction cell their size differs from the nodes'.
            if !(2..self.nodes.len() + 2).contains(&state) {
                return Err(SpaceError::NoSuchConcat { state, last: self.nodes.len() + 1 });
            }
            if self.concat[..position].contains(&state) {
                return Err(SpaceError::DuplicateConcat(state));
            }
        }
        Ok(())
    }
}

/// The normal and the reduction cell of a network.
///
/// Read with [`str::parse`] from any of the written forms, shown in the human form ([`crate::human`]);
/// in serde formats it is the object of [`crate::json`].
#[derive(Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct Genotype {
    /// The cell that keeps the resolution.
    pub normal: Cell,
    /// The cell that halves it.
    pub reduce: Cell,
}

impl Genotype {
    /// [`Cell::validate`] for both cells.
    pub fn validate(&self) -> Result<(), SpaceError> {
        self.normal.validate().map_err(|e| e.in_cell("normal"))?;
        self.reduce.validate().map_err(|e| e.in_cell("reduction"))
    }
}

/// Genotypes for tests of the written forms.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use crate::sampling::random_candidate;
    use rand::{Rng, RngExt};

    /// A random genotype: half of them of the space, half with any number of nodes, inputs and states.
    pub(crate) fn random_genotype(rng: &mut impl Rng) -> Genotype {
        if rng.random_bool(0.5) {
            return random_candidate(rng).genotype();
        }
        Genotype { normal: random_cell(rng), reduce: random_cell(rng) }
    }

    fn random_cell(rng: &mut impl Rng) -> Cell {
        const OPS: [Op; 4] = [Op::SepConv7x7, Op::Conv7x1_1x7, Op::MaxPool3x3, Op::DilConv3x3];
        let n_nodes = rng.random_range(1..7);
        let two_inputs = rng.random_bool(0.3);
        let nodes = (0..n_nodes)
            .map(|node| {
                let n_inputs = if two_inputs { 2 } else { rng.random_range(1..4) };
                (0..n_inputs)
                    .map(|_| (OPS[rng.random_range(0..4usize)], rng.random_range(0..node + 2)))
                    .collect()
            })
            .collect();
        let mut cell = Cell::with_all_nodes(nodes);
        if rng.random_bool(0.5) {
            cell.concat.retain(|_| rng.random_bool(0.7));
            if cell.concat.is_empty() {
                cell.concat.push(n_nodes + 1);
            }
            if rng.random_bool(0.3) {
                cell.concat.reverse();
            }
        }
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        Cell::with_all_nodes(vec![
            vec![(Op::SepConv3x3, 0), (Op::SkipConnect, 1)],
            vec![(Op::DilConv5x5, 2)],
            vec![(Op::MaxPool3x3, 0), (Op::MaxPool3x3, 0), (Op::SepConv7x7, 3)],
        ])
    }

    #[test]
    fn any_number_of_inputs_is_valid() {
        cell().validate().unwrap();
        assert!(!cell().has_two_inputs_per_node());
        assert!(cell().concatenates_all_nodes());
        let edges: Vec<_> = cell().edges().collect();
        assert_eq!(edges.len(), 6);
        assert_eq!(edges[2], (1, Op::DilConv5x5, 2));
    }

    #[test]
    fn problems_are_named() {
        let check = |change: fn(&mut Cell), message: &str| {
            let mut cell = cell();
            change(&mut cell);
            assert_eq!(cell.validate().unwrap_err().to_string(), message);
        };
        check(|c| c.nodes.clear(), "the cell has no nodes");
        check(|c| c.nodes[1].clear(), "node 1 (state 3) has no input");
        check(|c| c.nodes[1][0].1 = 3, "node 1 (state 3) reads state 3, but only states below 3 exist there");
        check(
            |c| c.nodes[2][1].0 = Op::None,
            "node 2 (state 4) has an edge `none`: leave the edge out instead",
        );
        check(|c| c.concat.clear(), "the cell has no output: concat names no state");
        check(|c| c.concat[0] = 1, "concat names state 1, but the nodes of the cell are the states 2 to 4");
        check(|c| c.concat[0] = 5, "concat names state 5, but the nodes of the cell are the states 2 to 4");
        check(|c| c.concat[0] = 3, "concat names state 3 twice");
    }
}
