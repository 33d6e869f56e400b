//! `search.jsonl`, `search.json`, `top.json` and `genotype.json`: what evolution scored and found.

use std::collections::BTreeMap;

use genas_space::{Candidate, Genotype};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Part;
use super::files::{Reader, number, string};
use crate::number::quantile;

/// A scored candidate, as far as a report shows it. Of a candidate that raced several times, its last race.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Position in the order of the search.
    pub index: u64,
    /// Generation, from 0.
    pub generation: usize,
    /// The cell; none if it is not one of the space.
    #[serde(skip)]
    pub genotype: Option<Genotype>,
    /// What was maximised; none if scoring failed.
    pub score: Option<f64>,
    /// Why scoring failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Images that a race measured it on, of how many, where it is not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<[u64; 2]>,
    /// Parts of the score by name.
    pub parts: BTreeMap<&'static str, f64>,
    /// Multiply-accumulates, by the paper's count, of its path through the supernet.
    pub flops: Option<f64>,
    /// Parameters of the path.
    pub params: Option<f64>,
    /// Wall time of scoring it, of one core; over all its races.
    pub seconds: f64,
}

/// A line of `search.jsonl`. What a report can do without may be missing.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    index: u64,
    generation: usize,
    candidate: Value,
    score: Option<f64>,
    #[serde(default)]
    failure: Option<String>,
    #[serde(default)]
    raced_in: Option<usize>,
    #[serde(default)]
    race: Value,
    #[serde(default)]
    parts: Value,
    #[serde(default)]
    cost: Value,
    #[serde(default)]
    seconds: f64,
}

/// The angle between initial and trained weights, in radians.
pub const ANGLE: &str = "angle";
/// Top-1 accuracy of the sub-network, a fraction.
pub const ACCURACY: &str = "accuracy";
/// Flatness.
pub const FLATNESS: &str = "flatness";
/// Validation loss at the smallest noise.
pub const LOSS: &str = "loss";

impl Scored {
    fn new(line: Line) -> Self {
        let mut parts = BTreeMap::new();
        let mut part = |name, value: Option<f64>| value.map(|value| parts.insert(name, value));
        part(ANGLE, line.parts.get("angle").and_then(|angle| number(angle, "radians")));
        part(ACCURACY, number(&line.parts, "accuracy"));
        if let Some(flatness) = line.parts.get("flatness") {
            part(FLATNESS, number(flatness, "score"));
            part(LOSS, flatness.get("losses").and_then(|losses| losses.get(0)?.as_f64()));
        }
        let images = |key| line.race.get(key).and_then(Value::as_u64);
        let partial = match (images("images"), images("of")) {
            (Some(seen), Some(of)) if seen < of => Some([seen, of]),
            _ => None,
        };
        Self {
            index: line.index,
            generation: line.generation,
            genotype: serde_json::from_value(line.candidate).ok().map(|c: Candidate| c.genotype()),
            score: line.score.filter(|score| score.is_finite()),
            failure: line.failure,
            partial,
            parts,
            flops: number(&line.cost, "paper_flops"),
            params: number(&line.cost, "params"),
            seconds: if line.seconds.is_finite() { line.seconds } else { 0.0 },
        }
    }
}

/// The scores of a generation's new candidates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generation {
    /// From 0.
    pub generation: usize,
    /// Candidates that were scored in it for the first time.
    pub candidates: usize,
    /// Those whose scoring failed.
    pub failed: usize,
    /// The best score up to here.
    pub best_so_far: f64,
    /// The best score of these.
    pub best: f64,
    /// The score below which a quarter lies, a half, and three quarters.
    pub quartiles: [f64; 3],
}

/// One of the ten best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Winner {
    /// The cells.
    #[serde(serialize_with = "in_words")]
    pub genotype: Genotype,
    /// Its score; none for a genotype that was not searched.
    pub score: Option<f64>,
    /// The metric.
    pub metric: Option<String>,
    /// Images that it was measured on, of how many, where it is not all.
    pub partial: Option<[u64; 2]>,
}

fn in_words<S: serde::Serializer>(genotype: &Genotype, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(genotype)
}

impl Winner {
    fn new(value: &Value) -> Result<Self, String> {
        let genotype = Genotype::from_json(value).map_err(|e| e.to_string())?;
        let images = |key| value.get(key).and_then(Value::as_u64);
        let partial = images("images").zip(images("of")).map(|(seen, of)| [seen, of]);
        Ok(Self { genotype, score: number(value, "score"), metric: string(value, "metric"), partial })
    }

    /// Reads `genotype.json`.
    pub fn read(files: &Reader) -> Part<Self> {
        let file = "genotype.json";
        match files.json::<Value>(file) {
            Part::Present(value) => match Self::new(&value) {
                Ok(winner) => Part::Present(winner),
                Err(e) => Part::Damaged(files.fault(file, format!("holds no genotype: {e}"))),
            },
            Part::Absent => Part::Absent,
            Part::Damaged(fault) => Part::Damaged(fault),
        }
    }
}

/// What a search left.
#[derive(Clone, Debug, Serialize)]
pub struct Search {
    /// Candidates by their index.
    pub candidates: Part<Vec<Scored>>,
    /// Generations in their order.
    pub generations: Vec<Generation>,
    /// The ten best.
    pub top: Part<Vec<Winner>>,
    /// Seconds of wall time, where `search.json` says so.
    pub seconds: Option<f64>,
}

impl Search {
    /// Reads the files.
    pub fn read(files: &Reader) -> Self {
        let candidates = files.lines::<Line>("search.jsonl").map(candidates);
        let generations = candidates.get().map_or_else(Vec::new, |scored| generations(scored));
        let top = match files.json::<Vec<Value>>("top.json") {
            Part::Present(values) => match values.iter().map(Winner::new).collect::<Result<Vec<_>, _>>() {
                Ok(winners) => Part::Present(winners),
                Err(e) => Part::Damaged(files.fault("top.json", format!("holds no genotypes: {e}"))),
            },
            Part::Absent => Part::Absent,
            Part::Damaged(fault) => Part::Damaged(fault),
        };
        let result = files.json::<Value>("search.json");
        let seconds = result.get().and_then(|result| number(result, "seconds"));
        Self { candidates, generations, top, seconds }
    }

    /// Time of the cores that scored, over all candidates.
    pub fn core_seconds(&self) -> Option<f64> {
        self.candidates.get().map(|scored| scored.iter().map(|c| c.seconds).sum())
    }
}

/// One for each index.
fn candidates(lines: Vec<Line>) -> Vec<Scored> {
    let mut by_index: BTreeMap<u64, (Option<usize>, Scored)> = BTreeMap::new();
    for line in lines {
        let raced_in = line.raced_in;
        let mut scored = Scored::new(line);
        if let Some((race, known)) = by_index.get(&scored.index) {
            let seconds = known.seconds + scored.seconds;
            if *race > raced_in {
                scored = known.clone();
            }
            scored.seconds = seconds;
            by_index.insert(scored.index, (raced_in.max(*race), scored));
        } else {
            by_index.insert(scored.index, (raced_in, scored));
        }
    }
    by_index.into_values().map(|(_, scored)| scored).collect()
}

/// Those in which a score was had.
fn generations(scored: &[Scored]) -> Vec<Generation> {
    let mut groups: BTreeMap<usize, Vec<&Scored>> = BTreeMap::new();
    for candidate in scored {
        groups.entry(candidate.generation).or_default().push(candidate);
    }
    let mut best_so_far = f64::NEG_INFINITY;
    let mut result = Vec::new();
    for (generation, members) in groups {
        let mut scores: Vec<f64> = members.iter().filter_map(|c| c.score).collect();
        scores.sort_by(f64::total_cmp);
        let at = |share| quantile(&scores, share);
        let (Some(low), Some(median), Some(high), Some(&best)) = (at(0.25), at(0.5), at(0.75), scores.last())
        else {
            continue;
        };
        best_so_far = best_so_far.max(best);
        result.push(Generation {
            generation,
            candidates: members.len(),
            failed: members.len() - scores.len(),
            best_so_far,
            best,
            quartiles: [low, median, high],
        });
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::files::tests::folder;

    #[test]
    fn a_journal_becomes_candidates_and_generations() {
        let line = |index: u64, generation: usize, score: &str, more: &str| {
            format!(
                "{{\"index\":{index},\"generation\":{generation},\"candidate\":[0],\"score\":{score},\"parts\":{{\"flatness\":\
                 {{\"score\":2.0,\"losses\":[1.5,2.0],\"sigmas\":[0.1,0.2]}}}},\"cost\":{{\"params\":7,\"macs\":8,\
                 \"paper_flops\":9}},\"seconds\":0.5{more}}}\n"
            )
        };
        let race = |generation: usize, images: u64| {
            format!(",\"raced_in\":{generation},\"race\":{{\"images\":{images},\"of\":100}}")
        };
        let text = [
            line(0, 0, "1.0", ""),
            line(1, 0, "null", ",\"failure\":\"no\""),
            line(2, 0, "3.0", ""),
            line(3, 1, "2.0", &race(1, 40)),
            line(3, 1, "2.5", &race(2, 100)),
        ];
        let (_dir, files) = folder(&[("search.jsonl", text.concat().as_bytes()), ("top.json", b"[{}]")]);
        let search = Search::read(&files);
        let scored = search.candidates.get().unwrap();
        assert_eq!(scored.len(), 4);
        assert_eq!((scored[3].score, scored[3].partial, scored[3].seconds), (Some(2.5), None, 1.0));
        assert_eq!(scored[0].parts, BTreeMap::from([(FLATNESS, 2.0), (LOSS, 1.5)]));
        assert_eq!((scored[0].flops, &scored[0].genotype), (Some(9.0), &None));
        let expected = |generation, candidates, failed, best_so_far, best, quartiles| Generation {
            generation,
            candidates,
            failed,
            best_so_far,
            best,
            quartiles,
        };
        assert_eq!(
            search.generations,
            [expected(0, 3, 1, 3.0, 3.0, [1.5, 2.0, 2.5]), expected(1, 1, 0, 3.0, 2.5, [2.5, 2.5, 2.5])]
        );
        assert!(matches!(search.top, Part::Damaged(_)) && search.seconds.is_none());
        assert_eq!(search.core_seconds(), Some(2.5));
        assert!(Winner::read(&files).is_absent());
    }
}
