//! The zoo: cells that somebody published, with where they stand and what was said about them.
//!
//! The genotypes are facts copied from the named repository files in the human form. Figures are those
//! of the GeNAS paper (Tables 2 and 3): parameters, multiply-accumulates, ImageNet accuracy after
//! training from scratch at 224 pixels. [`unpublished`] lists the rows of these tables whose genotype
//! nobody published, so that nobody searches for them.

mod genas;
mod others;
mod rows;

use std::sync::LazyLock;

use serde::Serialize;

use crate::genotype::Genotype;

/// A row of the paper's tables.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct PaperRow {
    /// Data set that the cell was searched on.
    pub search_set: &'static str,
    /// The row's label.
    pub method: &'static str,
    /// Parameters in millions.
    pub params_m: f64,
    /// Multiply-accumulates in billions, by the count of whoever published the row.
    pub flops_g: f64,
    /// ImageNet top-1 accuracy in percent.
    pub top1: f64,
    /// ImageNet top-5 accuracy in percent.
    pub top5: Option<f64>,
}

/// A published cell.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct ZooEntry {
    /// Its name in the source file; made unique where two repositories use the same.
    pub name: &'static str,
    /// Other names that [`find`] takes.
    pub aliases: &'static [&'static str],
    /// Repository and file.
    pub source: &'static str,
    /// What a user should know: other files, how a row was identified, doubts.
    pub note: &'static str,
    /// The row of the paper that it belongs to.
    pub paper: Option<PaperRow>,
    /// `init_channels` of the ImageNet network of that row.
    pub channels: Option<usize>,
    /// Exact cost of the ImageNet network (224 pixels, 1000 classes, 14 cells, no auxiliary head):
    /// width, parameters, FLOPs by the paper's rule.
    pub check: Option<(usize, u64, u64)>,
    /// The same rounded: width, parameters in millions, FLOPs in millions.
    pub check_rounded: Option<(usize, f64, f64)>,
    /// Exact cost of the CIFAR network (10 classes, 20 cells, no auxiliary head): width, parameters.
    pub check_cifar: Option<(usize, u64)>,
    /// The genotype in the human form.
    pub human: &'static str,
}

impl ZooEntry {
    /// What an entry leaves out.
    const BLANK: ZooEntry = ZooEntry {
        name: "",
        aliases: &[],
        source: "",
        note: "",
        paper: None,
        channels: None,
        check: None,
        check_rounded: None,
        check_cifar: None,
        human: "",
    };

    /// The genotype.
    pub fn genotype(&self) -> Genotype {
        match self.human.parse() {
            Ok(genotype) => genotype,
            // The text is part of the program, and a test reads every one.
            Err(error) => unreachable!("zoo entry {}: {error}", self.name),
        }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// A row of the paper, or a group of rows, whose genotype nobody published.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct Unpublished {
    /// A name for it.
    pub name: &'static str,
    /// The row.
    pub paper: Option<PaperRow>,
    /// What is known.
    pub note: &'static str,
}

/// Every published cell.
pub fn zoo() -> &'static [ZooEntry] {
    static ZOO: LazyLock<Vec<ZooEntry>> = LazyLock::new(|| [genas::CELLS, others::CELLS].concat());
    &ZOO
}

/// The cell of that name or alias. Case does not count, and `-` or a space stands for `_`.
pub fn find(name: &str) -> Option<&'static ZooEntry> {
    let name = normalise(name);
    zoo().iter().find(|entry| entry.names().any(|known| normalise(known) == name))
}

/// The rows whose genotype nobody published.
pub fn unpublished() -> &'static [Unpublished] {
    rows::UNPUBLISHED
}

/// The unpublished row of that name, compared like [`find`].
pub(crate) fn find_unpublished(name: &str) -> Option<&'static Unpublished> {
    let name = normalise(name);
    unpublished().iter().find(|row| normalise(row.name) == name)
}

/// The three names that are most like a text, best first: those that contain it, then by edit distance
/// to the name or an alias.
pub(crate) fn nearest(text: &str) -> Vec<&'static str> {
    const MIN_CONTAINED: usize = 3;
    let text = normalise(text);
    let rank = |entry: &ZooEntry| {
        entry
            .names()
            .map(|name| {
                let name = normalise(name);
                let contained = text.len() >= MIN_CONTAINED && name.contains(&text);
                (!contained, edit_distance(&text, &name))
            })
            .min()
    };
    let mut entries: Vec<&ZooEntry> = zoo().iter().collect();
    entries.sort_by_cached_key(|entry| rank(entry));
    entries.iter().take(3).map(|entry| entry.name).collect()
}

pub(crate) fn normalise(name: &str) -> String {
    name.trim().to_ascii_uppercase().replace(['-', ' '], "_")
}

/// The edit distance of Levenshtein.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::Candidate;
    use std::collections::HashSet;

    #[test]
    fn every_entry_is_complete_valid_and_found_by_its_names() {
        let mut seen = HashSet::new();
        for entry in zoo() {
            let genotype: Genotype = entry.human.parse().unwrap_or_else(|e| panic!("{}: {e}", entry.name));
            genotype.validate().unwrap();
            assert_eq!(genotype, entry.genotype());
            assert_eq!(genotype.to_string(), entry.human, "{}: as it is shown", entry.name);
            assert!(entry.source.contains('/') && !entry.note.is_empty(), "{}", entry.name);
            for name in entry.names() {
                assert!(seen.insert(normalise(name)), "{name} occurs twice");
                assert_eq!(find(&name.to_lowercase()).map(|e| e.name), Some(entry.name));
            }
            if entry.paper.is_some() {
                assert!(entry.channels.is_some_and(|c| c % 2 == 0), "{}", entry.name);
            }
        }
        for row in unpublished() {
            assert!(seen.insert(normalise(row.name)), "{} is also a published cell", row.name);
            assert!(!row.note.is_empty());
        }
    }

    #[test]
    fn candidates_are_those_of_the_source_files() {
        // The integers of clovaai/GeNAS retrain_architecture/genotypes.py and evolution_search/genotypes.py.
        for (name, normal, reduce) in [
            ("GENAS_FLATNESS_CIFAR10", "3 6 0 4 4 0 6 6 0 0 0 0 4 3", "5 2 0 6 4 0 3 0 6 0 0 5 0 7"),
            ("GENAS_ANGLE_FLATNESS_CIFAR10", "5 4 4 4 0 4 5 0 0 4 0 0 0 4", "7 7 2 3 0 4 1 0 0 0 0 0 5 6"),
            ("GENAS_FLATNESS_CIFAR100", "3 5 0 4 4 0 0 4 5 0 4 0 0 7", "6 3 2 0 5 0 5 0 7 0 1 1 0 0"),
            ("GENAS_ANGLE_FLATNESS_CIFAR100", "3 5 1 4 0 0 4 0 4 0 4 0 0 5", "6 4 0 7 2 1 3 0 0 0 4 0 0 7"),
            ("RLDARTS_OURS_GT", "5 5 2 5 0 4 4 0 0 0 4 0 0 4", "3 3 0 3 2 3 7 0 0 3 0 0 0 4"),
            ("RLDARTS", "5 4 5 0 5 0 0 5 5 0 0 0 7 4", "5 4 2 0 5 0 0 4 4 0 4 4 0 0"),
            ("RLDARTS_GT", "5 5 4 5 0 0 4 0 4 0 0 0 4 4", "1 3 3 3 0 3 2 0 0 0 4 0 0 6"),
        ] {
            let expected: Candidate = format!("{normal} {reduce}").parse().unwrap();
            let genotype = find(name).unwrap().genotype();
            assert_eq!(Candidate::try_from(&genotype), Ok(expected), "{name}");
            assert_eq!(expected.genotype(), genotype, "{name}: listed by source");
        }
    }

    #[test]
    fn only_the_known_exceptions_lie_outside_the_space() {
        let outside: Vec<&str> = zoo()
            .iter()
            .filter(|entry| Candidate::try_from(&entry.genotype()).is_err())
            .map(|entry| entry.name)
            .collect();
        assert_eq!(outside, ["NASNet", "AmoebaNet", "FairDARTS_b"]);
    }

    #[test]
    fn names_that_scripts_rely_on_are_primary() {
        for name in [
            "GENAS_FLATNESS_CIFAR10",
            "GENAS_ANGLE_FLATNESS_CIFAR10",
            "GENAS_FLATNESS_CIFAR100",
            "GENAS_ANGLE_FLATNESS_CIFAR100",
            "RLDARTS_OURS_GT",
            "DROPNAS",
            "PDARTS_CIFAR10",
            "SDARTS_RS_CIFAR10",
            "SDARTS_ADV_CIFAR10",
            "DARTS_V2_CIFAR10",
            "DARTS_V1_CIFAR100",
            "PCDARTS_OURS",
            "PCDARTS_OURS_SEARCHEPOCH40",
        ] {
            let entry = find(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(entry.name, name);
            assert!(entry.check.is_some(), "{name} has exact figures");
        }
        for alias in ["DARTS", "DARTS_V2", "DARTS_V1", "pc-darts", "P-DARTS", "FAIRDARTS_B"] {
            assert!(find(alias).is_some(), "{alias}");
        }
    }

    #[test]
    fn exact_figures_round_to_the_paper() {
        for entry in zoo() {
            let (Some(paper), Some((c, params, flops))) = (entry.paper, entry.check) else {
                continue;
            };
            assert_eq!(Some(c), entry.channels, "{}", entry.name);
            assert!((params as f64 / 1e6 - paper.params_m).abs() < 0.06, "{}", entry.name);
            // Rows quoted from other papers keep their own count of FLOPs.
            assert!((flops as f64 / 1e9 - paper.flops_g).abs() < 0.05, "{}", entry.name);
        }
    }

    #[test]
    fn edit_distance_counts_edits() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
        assert_eq!(nearest("flatness_cifar100")[0], "GENAS_FLATNESS_CIFAR100");
    }
}
