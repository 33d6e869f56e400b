//! Both cells as 28 integers: the form that evolution draws, mixes, repairs and remembers.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::edges::{EdgeVector, LIVE_INPUTS, N_EDGES, N_NODES, edge_index};
use crate::error::SpaceError;
use crate::genotype::{Cell, Genotype};

/// Integers of a candidate: the edges of the normal cell, then those of the reduction cell.
pub const CANDIDATE_LEN: usize = 2 * N_EDGES;

/// A point of the DARTS space.
///
/// It is written as 28 comma-separated integers, and in serde formats as an array of 28 integers.
/// Reading checks the number of integers and that each is an operation; whether every node has two
/// live edges is a question of its own, [`Candidate::validate`].
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct Candidate {
    /// The edges of the normal cell.
    pub normal: [u8; N_EDGES],
    /// The edges of the reduction cell.
    pub reduce: [u8; N_EDGES],
}

impl Candidate {
    /// The candidate that consists of these integers.
    pub fn from_ints(ints: &[u8; CANDIDATE_LEN]) -> Candidate {
        let (normal, reduce) = halves(ints);
        Candidate { normal, reduce }
    }

    /// The 28 integers, normal cell first.
    pub fn to_ints(&self) -> [u8; CANDIDATE_LEN] {
        std::array::from_fn(|i| if i < N_EDGES { self.normal[i] } else { self.reduce[i - N_EDGES] })
    }

    /// Whether both cells belong to the space.
    pub fn is_valid(&self) -> bool {
        self.validate().is_ok()
    }

    /// Like [`Candidate::is_valid`], saying what is wrong. Positions count over all 28 integers.
    pub fn validate(&self) -> Result<(), SpaceError> {
        check_range(self.to_ints().into_iter().map(i64::from))?;
        EdgeVector(self.normal).validate().map_err(|e| e.in_cell("normal"))?;
        EdgeVector(self.reduce).validate().map_err(|e| e.in_cell("reduction"))
    }

    /// The genotype: live edges per node in order of their sources, all nodes concatenated.
    ///
    /// The result is valid if the candidate is.
    pub fn genotype(&self) -> Genotype {
        Genotype { normal: decode(&self.normal), reduce: decode(&self.reduce) }
    }

    /// A candidate from integers as read, range and number checked.
    fn from_values(values: &[i64]) -> Result<Candidate, SpaceError> {
        check_range(values.iter().copied())?;
        let ints: Vec<u8> = values.iter().filter_map(|&value| u8::try_from(value).ok()).collect();
        let ints: [u8; CANDIDATE_LEN] =
            ints.try_into().map_err(|ints: Vec<u8>| SpaceError::Length { found: ints.len() })?;
        Ok(Candidate::from_ints(&ints))
    }
}

/// The two cells of 28 integers, normal first.
pub(crate) fn halves(ints: &[u8; CANDIDATE_LEN]) -> ([u8; N_EDGES], [u8; N_EDGES]) {
    (std::array::from_fn(|i| ints[i]), std::array::from_fn(|i| ints[N_EDGES + i]))
}

fn check_range(values: impl ExactSizeIterator<Item = i64>) -> Result<(), SpaceError> {
    if values.len() != CANDIDATE_LEN {
        return Err(SpaceError::Length { found: values.len() });
    }
    match values.enumerate().find(|(_, value)| !(0..8).contains(value)) {
        Some((position, value)) => Err(SpaceError::OpRange { value, position }),
        None => Ok(()),
    }
}

fn decode(edges: &[u8; N_EDGES]) -> Cell {
    let mut nodes = vec![Vec::new(); N_NODES];
    for (_, node, source, op) in EdgeVector(*edges).live() {
        nodes[node].push((op, source));
    }
    Cell::with_all_nodes(nodes)
}

fn encode(cell: &Cell) -> Result<[u8; N_EDGES], SpaceError> {
    let outside = |reason: String| Err(SpaceError::OutsideSpace(reason));
    cell.validate()?;
    if cell.nodes.len() != N_NODES {
        return outside(format!("{} nodes, expected {N_NODES}", cell.nodes.len()));
    }
    if cell.concat != [2, 3, 4, 5] {
        return outside(format!("it concatenates the states {:?}, expected [2, 3, 4, 5]", cell.concat));
    }
    let mut edges = [0; N_EDGES];
    for (node, inputs) in cell.nodes.iter().enumerate() {
        if inputs.len() != LIVE_INPUTS {
            return outside(format!(
                "state {} has {} inputs, expected {LIVE_INPUTS}",
                node + 2,
                inputs.len()
            ));
        }
        for &(op, source) in inputs {
            let Some(index) = op.index() else {
                return outside(format!("operation {op} is not in it"));
            };
            let edge = &mut edges[edge_index(node, source)];
            if *edge != 0 {
                return outside(format!("state {} reads state {source} twice", node + 2));
            }
            *edge = index;
        }
    }
    Ok(edges)
}

impl TryFrom<&Genotype> for Candidate {
    type Error = SpaceError;

    /// The order of the two inputs inside a node is lost: a candidate lists them by source.
    fn try_from(genotype: &Genotype) -> Result<Self, SpaceError> {
        Ok(Candidate {
            normal: encode(&genotype.normal).map_err(|e| e.in_cell("normal"))?,
            reduce: encode(&genotype.reduce).map_err(|e| e.in_cell("reduction"))?,
        })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, value) in self.to_ints().iter().enumerate() {
            write!(f, "{}{value}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Candidate {
    type Err = SpaceError;

    /// Integers separated by commas or by spaces; brackets around them are allowed, so that lists and
    /// tuples can be pasted.
    fn from_str(text: &str) -> Result<Self, SpaceError> {
        let text = text.trim().trim_start_matches(['(', '[']).trim_end_matches([')', ']']).trim();
        let fields: Vec<&str> = if text.contains(',') {
            text.split(',').map(str::trim).collect()
        } else {
            text.split_whitespace().collect()
        };
        if fields.len() != CANDIDATE_LEN {
            return Err(SpaceError::Length { found: fields.len() });
        }
        let parse = |(position, field): (usize, &&str)| {
            field.parse().map_err(|_| SpaceError::NotAnInteger { text: (*field).to_owned(), position })
        };
        let values = fields.iter().enumerate().map(parse).collect::<Result<Vec<i64>, _>>()?;
        Candidate::from_values(&values)
    }
}

impl Serialize for Candidate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_ints().as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Candidate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::<i64>::deserialize(deserializer)?;
        Candidate::from_values(&values).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Op::{self, *};
    use crate::sampling::random_candidate;
    use crate::streams::Streams;

    const FLATNESS_C100: &str = "3,5,0,4,4,0,0,4,5,0,4,0,0,7,6,3,2,0,5,0,5,0,7,0,1,1,0,0";

    #[test]
    fn decodes_the_reference_vector() {
        let cells = FLATNESS_C100.parse::<Candidate>().unwrap().genotype();
        let expected: [[(Op, usize); 2]; 4] = [
            [(SkipConnect, 0), (SepConv5x5, 1)],
            [(SepConv3x3, 1), (SepConv3x3, 2)],
            [(SepConv3x3, 2), (SepConv5x5, 3)],
            [(SepConv3x3, 1), (DilConv5x5, 4)],
        ];
        assert_eq!(cells.normal.nodes, expected);
        assert_eq!(cells.normal.concat, [2, 3, 4, 5]);
    }

    #[test]
    fn round_trips_over_random_candidates() {
        let mut rng = Streams::new(7).rng("test", 0);
        for _ in 0..2000 {
            let candidate = random_candidate(&mut rng);
            candidate.validate().unwrap();
            assert_eq!(Candidate::try_from(&candidate.genotype()), Ok(candidate));
            assert_eq!(candidate.to_string().parse(), Ok(candidate));
            assert_eq!(Candidate::from_ints(&candidate.to_ints()), candidate);
            let json = serde_json::to_string(&candidate).unwrap();
            assert_eq!(json, format!("[{candidate}]"));
            assert_eq!(serde_json::from_str::<Candidate>(&json).unwrap(), candidate);
        }
    }

    #[test]
    fn lists_tuples_and_spaces_are_read() {
        let expected: Candidate = FLATNESS_C100.parse().unwrap();
        for text in [
            format!("({})", FLATNESS_C100.replace(',', ", ")),
            format!(" [{FLATNESS_C100}]\n"),
            FLATNESS_C100.replace(',', " "),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_name_value_and_position() {
        let parse = |text: &str| text.parse::<Candidate>().unwrap_err().to_string();
        assert_eq!(parse(&["9"; 28].join(",")), "operation 9 at position 0 is not in 0..7");
        assert!(parse(&["3"; 27].join(",")).starts_with("27 integers, expected 28"));
        assert_eq!(parse(&FLATNESS_C100.replace("6,3", "6,x")), "`x` at position 15 is not an integer");
        assert_eq!(
            parse(&FLATNESS_C100.replace("6,3", "-1,3")),
            "operation -1 at position 14 is not in 0..7"
        );
        let error = serde_json::from_str::<Candidate>("[1,2,3]").unwrap_err().to_string();
        assert!(error.starts_with("3 integers, expected 28"), "{error}");
        let invalid = Candidate { normal: [3, 5, 0, 4, 4, 0, 0, 4, 5, 0, 4, 0, 0, 7], reduce: [4; 14] };
        assert_eq!(
            invalid.validate().unwrap_err().to_string(),
            "reduction cell: node 1 (state 3) has 3 live inputs, expected 2"
        );
    }

    #[test]
    fn genotypes_outside_the_space_say_why() {
        let base = FLATNESS_C100.parse::<Candidate>().unwrap().genotype();
        let check = |change: fn(&mut Cell), reason: &str| {
            let mut genotype = base.clone();
            change(&mut genotype.normal);
            let error = Candidate::try_from(&genotype).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        check(|c| c.nodes[0][0].0 = SepConv7x7, "operation sep_conv_7x7 is not in it");
        check(|c| c.nodes[1] = vec![(SepConv3x3, 1); 2], "state 3 reads state 1 twice");
        check(|c| c.concat = vec![4, 5], "concatenates the states [4, 5]");
        check(|c| c.nodes[3].truncate(1), "state 5 has 1 inputs");
        check(|c| c.nodes.push(vec![(MaxPool3x3, 0), (MaxPool3x3, 1)]), "5 nodes");
        check(|c| c.nodes[0][0].1 = 4, "reads state 4");
    }
}
