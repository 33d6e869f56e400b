//! The JSON form of a genotype: the fields of DARTS's `Genotype`.
//!
//! ```json
//! {"normal": [["sep_conv_3x3", 1], ["skip_connect", 0], ...], "normal_concat": [2, 3, 4, 5],
//!  "reduce": [...], "reduce_concat": [2, 3, 4, 5]}
//! ```
//!
//! Pairs are `[operation, source state]`, two per node. A cell with another number of inputs is written
//! with the triples of FairDARTS, `[operation, state, source state]`, where `state` is the state that
//! the edge leads to: node 0 is 2. Other keys are ignored, so that a file can hold a score as well; a
//! missing `*_concat` means every node.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::error::SpaceError;
use crate::genotype::{Cell, Genotype};
use crate::op::Op;

const FORM: &str = "JSON";

impl Genotype {
    /// The JSON form.
    pub fn to_json(&self) -> Value {
        json!({
            "normal": edges(&self.normal),
            "normal_concat": self.normal.concat,
            "reduce": edges(&self.reduce),
            "reduce_concat": self.reduce.concat,
        })
    }

    /// Reads the JSON form and validates it.
    pub fn from_json(value: &Value) -> Result<Genotype, SpaceError> {
        let object = value.as_object().ok_or_else(|| SpaceError::syntax(FORM, "it is not an object"))?;
        let genotype = Genotype {
            normal: cell(object, "normal", "normal_concat").map_err(|e| e.in_cell("normal"))?,
            reduce: cell(object, "reduce", "reduce_concat").map_err(|e| e.in_cell("reduction"))?,
        };
        genotype.validate()?;
        Ok(genotype)
    }
}

/// Reads the JSON form from text.
pub(crate) fn from_text(text: &str) -> Result<Genotype, SpaceError> {
    let value: Value = serde_json::from_str(text).map_err(|e| SpaceError::syntax(FORM, e.to_string()))?;
    Genotype::from_json(&value)
}

fn edges(cell: &Cell) -> Vec<Value> {
    let pairs = cell.has_two_inputs_per_node();
    cell.edges()
        .map(|(node, op, source)| if pairs { json!([op, source]) } else { json!([op, node + 2, source]) })
        .collect()
}

fn cell(object: &Map<String, Value>, edges_key: &str, concat_key: &str) -> Result<Cell, SpaceError> {
    let edges = object
        .get(edges_key)
        .and_then(Value::as_array)
        .ok_or_else(|| SpaceError::syntax(FORM, format!("`{edges_key}` is missing or is not a list")))?;
    let edges = edges.iter().map(edge).collect::<Result<Vec<_>, _>>()?;
    let mut cell = Cell::with_all_nodes(nodes(&edges)?);
    if let Some(concat) = object.get(concat_key) {
        let malformed =
            || SpaceError::syntax(FORM, format!("`{concat_key}` is not a list of states: {concat}"));
        let states = concat.as_array().ok_or_else(malformed)?;
        cell.concat = states.iter().map(state).collect::<Option<_>>().ok_or_else(malformed)?;
    }
    Ok(cell)
}

/// An edge as written: operation, the state it leads to if that is said, source state.
type Edge = (Op, Option<usize>, usize);

fn edge(value: &Value) -> Result<Edge, SpaceError> {
    let malformed = || {
        SpaceError::syntax(
            FORM,
            format!("{value} is neither [operation, source] nor [operation, state, source]"),
        )
    };
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let (op, target, source) = match items {
        [op, source] => (op, None, source),
        [op, target, source] => (op, Some(state(target).ok_or_else(malformed)?), source),
        _ => return Err(malformed()),
    };
    let op = op.as_str().ok_or_else(malformed)?.parse()?;
    Ok((op, target, state(source).ok_or_else(malformed)?))
}

fn state(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|state| usize::try_from(state).ok())
}

/// Distributes the edges over nodes: by their targets, or two by two.
fn nodes(edges: &[Edge]) -> Result<Vec<Vec<(Op, usize)>>, SpaceError> {
    let Some(&(_, first_target, _)) = edges.first() else {
        return Err(SpaceError::Empty("nodes"));
    };
    if edges.iter().any(|(_, target, _)| target.is_some() != first_target.is_some()) {
        return Err(SpaceError::syntax(FORM, "pairs and triples are mixed"));
    }
    if first_target.is_none() && !edges.len().is_multiple_of(2) {
        return Err(SpaceError::syntax(
            FORM,
            format!("{} pairs, but pairs are two per node: write [operation, state, source]", edges.len()),
        ));
    }
    let mut nodes: Vec<Vec<(Op, usize)>> = Vec::new();
    for (position, &(op, target, source)) in edges.iter().enumerate() {
        let node = match target {
            None => position / 2,
            // Every node needs an input, so a later one means that some node has none.
            Some(state) if (2..edges.len() + 2).contains(&state) => state - 2,
            Some(state) => {
                let problem = format!(
                    "an edge leads to state {state}, but {} edges make at most the states 2 to {}",
                    edges.len(),
                    edges.len() + 1
                );
                return Err(SpaceError::syntax(FORM, problem));
            }
        };
        if node >= nodes.len() {
            nodes.resize(node + 1, Vec::new());
        }
        nodes[node].push((op, source));
    }
    Ok(nodes)
}

impl Serialize for Genotype {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Genotype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Genotype::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genotype::samples::random_genotype;
    use crate::streams::Streams;

    #[test]
    fn round_trips_over_random_genotypes() {
        let mut rng = Streams::new(12).rng("test", 0);
        for _ in 0..2000 {
            let genotype = random_genotype(&mut rng);
            let text = serde_json::to_string(&genotype).unwrap();
            assert_eq!(from_text(&text), Ok(genotype.clone()), "{text}");
            assert_eq!(serde_json::from_str::<Genotype>(&text).unwrap(), genotype);
        }
    }

    #[test]
    fn two_inputs_are_pairs_and_others_are_triples() {
        let genotype: Genotype =
            "normal: s3(1) s3(0) | sk(2) d5(0); reduce: s3(0) s3(1) | s3(1); concat 3".parse().unwrap();
        assert_eq!(
            genotype.to_json().to_string(),
            r#"{"normal":[["sep_conv_3x3",1],["sep_conv_3x3",0],["skip_connect",2],["dil_conv_5x5",0]],"normal_concat":[2,3],"reduce":[["sep_conv_3x3",2,0],["sep_conv_3x3",2,1],["sep_conv_3x3",3,1]],"reduce_concat":[3]}"#
        );
    }

    #[test]
    fn extra_keys_are_ignored_and_concat_may_be_missing() {
        let text = r#"{"score": 1.5, "candidate": [1, 2], "normal": [["s3", 0]], "reduce": []}"#;
        let pairs = text.replace(r#"[["s3", 0]]"#, r#"[["s3", 0], ["s3", 1]]"#);
        let pairs = pairs.replace("[]", r#"[["sk", 2, 1]]"#);
        assert_eq!(from_text(&pairs).unwrap().to_string(), "normal: s3(0) s3(1); reduce: sk(1)");
        let error = from_text(text).unwrap_err().to_string();
        assert!(error.contains("normal cell: genotype in JSON: 1 pairs"), "{error}");
    }

    #[test]
    fn departures_are_named() {
        let check = |normal: &str, part: &str| {
            let text = format!(r#"{{"normal": {normal}, "reduce": [["s3", 0], ["s3", 1]]}}"#);
            let error = from_text(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check("3", "`normal` is missing or is not a list");
        check("[]", "normal cell: the cell has no nodes");
        check(r#"[["s3", -1], ["s3", 1]]"#, r#"["s3",-1] is neither"#);
        check(r#"[["s3", 0], ["s3", 2, 1]]"#, "mixed");
        check(r#"[["s3", 4000000000, 1]]"#, "leads to state 4000000000");
        check(r#"[["s3", 2, 0], ["s3", 2, 1], ["s3", 4, 1]]"#, "node 1 (state 3) has no input");
        check(r#"[["s3", 0], ["s3", 2]]"#, "reads state 2");
        check(r#"[["s9", 0], ["s3", 2]]"#, "unknown operation `s9`");
        assert!(from_text("{").unwrap_err().to_string().contains("JSON"));
    }
}
