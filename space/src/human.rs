//! The human form of a genotype:
//!
//! ```text
//! normal: s3(0) s3(1) | s3(0) s3(1) | s3(1) sk(0) | sk(0) d3(2); reduce: mp(0) mp(1) | sk(2) mp(1) | ...
//! ```
//!
//! ```text
//! genotype := "normal:" cell ";" "reduce:" cell
//! cell     := node { "|" node } [ ";" "concat" states ]
//! node     := op "(" state ")" { op "(" state ")" }
//! states   := state [ "-" state ] { "," state [ "-" state ] }
//! ```
//!
//! Nodes stand in order, inputs in file order. `op` is a short or a long name. Without `concat` the
//! output concatenates every node. Reading also takes `reduction:`, and line breaks for spaces and for
//! the `;` between the cells.

use std::fmt;

use crate::error::SpaceError;
use crate::genotype::{Cell, Genotype};
use crate::op::Op;

const FORM: &str = "human form";

impl fmt::Display for Genotype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "normal: {}; reduce: {}", self.normal, self.reduce)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (node, inputs) in self.nodes.iter().enumerate() {
            f.write_str(if node == 0 { "" } else { " |" })?;
            for (position, (op, source)) in inputs.iter().enumerate() {
                let space = if node == 0 && position == 0 { "" } else { " " };
                write!(f, "{space}{}({source})", op.short())?;
            }
        }
        if self.concatenates_all_nodes() {
            return Ok(());
        }
        f.write_str("; concat ")?;
        write_states(f, &self.concat)
    }
}

/// Writes runs of three and more states as `first-last`.
fn write_states(f: &mut fmt::Formatter<'_>, states: &[usize]) -> fmt::Result {
    let mut rest = states;
    while let Some(&first) = rest.first() {
        if rest.len() < states.len() {
            f.write_str(",")?;
        }
        let run = rest.iter().zip(first..).take_while(|(state, expected)| **state == *expected).count();
        if run >= 3 {
            write!(f, "{first}-{}", rest[run - 1])?;
            rest = &rest[run..];
        } else {
            write!(f, "{first}")?;
            rest = &rest[1..];
        }
    }
    Ok(())
}

/// Whether a text is meant as the human form.
pub(crate) fn is_human(text: &str) -> bool {
    let text = text.trim_start();
    strip_prefix_ignoring_case(text, "normal:").is_some() || find_reduce(text).is_some()
}

/// Reads the human form.
pub fn from_human(text: &str) -> Result<Genotype, SpaceError> {
    let normal = strip_prefix_ignoring_case(text.trim_start(), "normal:")
        .ok_or_else(|| SpaceError::syntax(FORM, "it does not begin with `normal:`"))?;
    let (end, start) = find_reduce(normal)
        .ok_or_else(|| SpaceError::syntax(FORM, "`reduce:` is missing: both cells are needed"))?;
    let genotype = Genotype {
        normal: cell(&normal[..end]).map_err(|e| e.in_cell("normal"))?,
        reduce: cell(&normal[start..]).map_err(|e| e.in_cell("reduction"))?,
    };
    genotype.validate()?;
    Ok(genotype)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Where the mark of the reduction cell begins and ends.
fn find_reduce(text: &str) -> Option<(usize, usize)> {
    let lower = text.to_ascii_lowercase();
    ["reduce:", "reduction:"].iter().find_map(|mark| lower.find(mark).map(|at| (at, at + mark.len())))
}

fn cell(text: &str) -> Result<Cell, SpaceError> {
    let text = text.trim().trim_end_matches(';');
    let (nodes, concat) = text.split_once(';').map_or((text, ""), |(nodes, rest)| (nodes, rest.trim()));
    let nodes = nodes
        .split('|')
        .map(|node| node.split_whitespace().map(edge).collect())
        .collect::<Result<Vec<Vec<(Op, usize)>>, _>>()?;
    let mut cell = Cell::with_all_nodes(nodes);
    if !concat.is_empty() {
        let states = strip_prefix_ignoring_case(concat, "concat")
            .ok_or_else(|| SpaceError::syntax(FORM, format!("`{concat}` where `concat` was expected")))?;
        cell.concat = parse_states(states, cell.nodes.len())?;
    }
    Ok(cell)
}

fn edge(token: &str) -> Result<(Op, usize), SpaceError> {
    let malformed =
        || SpaceError::syntax(FORM, format!("`{token}` is not of the form op(state), like s3(0)"));
    let (op, source) = token.strip_suffix(')').and_then(|t| t.split_once('(')).ok_or_else(malformed)?;
    Ok((op.parse()?, source.parse().map_err(|_| malformed())?))
}

fn parse_states(text: &str, n_nodes: usize) -> Result<Vec<usize>, SpaceError> {
    let state = |text: &str| {
        let text = text.trim();
        text.parse::<usize>()
            .map_err(|_| SpaceError::syntax(FORM, format!("`{text}` in concat is not a state")))
    };
    let mut states = Vec::new();
    for item in text.split(',') {
        match item.split_once('-') {
            None => states.push(state(item)?),
            Some((first, last)) => {
                let (first, last) = (state(first)?, state(last)?);
                if last > n_nodes + 1 {
                    // Checked before the range is written out, which could be arbitrarily long.
                    return Err(SpaceError::NoSuchConcat { state: last, last: n_nodes + 1 });
                }
                states.extend(first..=last);
            }
        }
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genotype::samples::random_genotype;
    use crate::streams::Streams;

    #[test]
    fn round_trips_over_random_genotypes() {
        let mut rng = Streams::new(11).rng("test", 0);
        for _ in 0..2000 {
            let genotype = random_genotype(&mut rng);
            let text = genotype.to_string();
            assert!(is_human(&text));
            assert_eq!(from_human(&text), Ok(genotype), "{text}");
        }
    }

    #[test]
    fn concat_is_written_only_when_it_says_something() {
        let check = |text: &str, shown: &str| assert_eq!(from_human(text).unwrap().to_string(), shown);
        let plain = "normal: s3(1) s3(0) | d5(2); reduce: mp(0) | c71(0) ap(1) | sk(3)";
        check(plain, plain);
        check(
            "Normal: sep_conv_3x3(1) s3(0) |\n d5(2); concat 2-3\nReduction: mp(0)|c71(0) ap(1)|sk(3);",
            plain,
        );
        let partial = "normal: s3(0) | s3(0) | s3(0) | s3(0); concat 3-5; reduce: s3(0) | s3(0); concat 3";
        check(partial, partial);
        check(&partial.replace("3-5", "3, 4 ,5"), partial);
        let swapped = "normal: s3(0) | s3(0); concat 3,2; reduce: s3(0)";
        check(swapped, swapped);
    }

    #[test]
    fn departures_are_named() {
        let check = |text: &str, part: &str| {
            let error = from_human(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check("normal: s3(0) s3(1)", "`reduce:` is missing");
        check("reduce: s3(0)", "does not begin with `normal:`");
        check("normal: s3 0; reduce: s3(0)", "normal cell: genotype in human form: `s3` is not of the form");
        check("normal: s3(0); reduce: s4(0)", "reduction cell: unknown operation `s4`");
        check("normal: s3(0) | ; reduce: s3(0)", "normal cell: node 1 (state 3) has no input");
        check("normal: s3(0); concat 2-99999999999; reduce: s3(0)", "concat names state 99999999999");
        check("normal: s3(0); konkat 2; reduce: s3(0)", "`konkat 2` where `concat` was expected");
        check("normal: s3(0); concat x; reduce: s3(0)", "`x` in concat is not a state");
    }
}
