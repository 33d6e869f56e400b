//! Which cells the authors of NAS-Bench-201 count as one: 6,466 classes.
//!
//! Two cells are the same when [`Nb201Cell::unique_string`] is, the authors' `to_unique_str` with
//! `consider_zero=True` (D-X-Y/AutoDL-Projects, `genotypes.py`). A node is the sum of its inputs in
//! sorted order, and so a string: `skip_connect` gives the string of the node that it reads, `none` gives
//! `#`, anything that reads the string `#` gives `#`, and other operations give `(string)@name`. The cell
//! is the string of node 3.
//!
//! This is sound, as equal strings are equal functions of equal weights, but not complete: a sum keeps its
//! `#`, so a node 2 whose both inputs are `none` is `#+#`, which is not `#`. The published 6,466 belongs to
//! exactly this rule; one that drops zeros from sums has 5,390 classes. Without the rule for `none`
//! (`consider_zero=False`) there are 12,751.
//!
//! Equal topologies, trained apart, have nearly equal accuracies. In a supernet they have different
//! weights, because these belong to edges, so scoring one for all is an approximation.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::cell::Nb201Cell;
use super::index::NB201_CELLS;
use super::op::Nb201Op;

/// By official index: the smallest official index of the same class.
static REPRESENTATIVES: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let mut first: HashMap<String, u16> = HashMap::new();
    (0..NB201_CELLS as u16)
        .zip(Nb201Cell::all())
        .map(|(index, cell)| *first.entry(cell.unique_string()).or_insert(index))
        .collect()
});

impl Nb201Cell {
    /// The authors' string of the cell's topology; equal for cells that are isomorphic by their rule.
    pub fn unique_string(&self) -> String {
        let mut nodes = vec!["0".to_owned()];
        for node in 1..=3 {
            let mut inputs: Vec<String> = self
                .inputs(node)
                .map(|(op, source)| match op {
                    Nb201Op::None => "#".to_owned(),
                    _ if nodes[source] == "#" => "#".to_owned(),
                    Nb201Op::SkipConnect => nodes[source].clone(),
                    op => format!("({})@{op}", nodes[source]),
                })
                .collect();
            inputs.sort_unstable();
            nodes.push(inputs.join("+"));
        }
        nodes.swap_remove(3)
    }

    /// The cell that stands for all that are isomorphic to this one: the one of the smallest official
    /// index.
    pub fn representative(&self) -> Nb201Cell {
        match Nb201Cell::from_index(usize::from(REPRESENTATIVES[self.index()])) {
            Ok(cell) => cell,
            Err(error) => unreachable!("an index of the table: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn there_are_as_many_classes_as_published() {
        let strings: HashSet<String> = Nb201Cell::all().map(|cell| cell.unique_string()).collect();
        assert_eq!(strings.len(), 6466);
        let representatives: HashSet<Nb201Cell> = Nb201Cell::all().map(|c| c.representative()).collect();
        assert_eq!(representatives.len(), 6466);
        for cell in Nb201Cell::all() {
            let representative = cell.representative();
            assert_eq!(representative.unique_string(), cell.unique_string());
            assert_eq!(representative.representative(), representative);
            assert!(representative.index() <= cell.index());
        }
    }

    #[test]
    fn strings_are_those_of_the_authors() {
        for (arch, unique) in [
            // A convolution before and after an identity.
            ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|", "#+#+(0)@nor_conv_3x3"),
            ("|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|", "#+#+(0)@nor_conv_3x3"),
            // The sum of two zeros is not recognised as zero.
            ("|none~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|", "#+#+(#+#)@nor_conv_1x1"),
            ("|none~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|none~1|skip_connect~2|", "#+#+#+0"),
        ] {
            assert_eq!(arch.parse::<Nb201Cell>().unwrap().unique_string(), unique, "{arch}");
        }
    }
}
