//! Classes of a data set as classes of a model.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::error::{Result, TransferError};
use crate::imagenet::{self, Subset};

/// How the classes of the data found their places in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matching {
    /// Every class of the data has a class of the same name in the model.
    ByName,
    /// The names differ, their number does not: the classes are taken in their sorted order.
    ByOrder,
    /// The names of the data's classes are numbers of the model's.
    ByNumber,
    /// The names of the data's classes are WordNet ids, the model's classes ImageNet's in their order.
    ByWnid,
    /// Labels are ignored.
    Ignored,
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByName => "classes matched by name",
            Self::ByOrder => "classes matched by their sorted order, because the names differ",
            Self::ByNumber => "folder names taken as class numbers",
            Self::ByWnid => "classes matched by WordNet id",
            Self::Ignored => "labels ignored",
        })
    }
}

/// The model's class of each class of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    /// How it was found.
    pub matching: Matching,
    /// The model's classes whose scores count, ascending; none where all do.
    pub among: Option<Vec<usize>>,
    to_model: Vec<usize>,
}

/// Names of the model's classes and their places.
struct Places<'a>(HashMap<&'a str, usize>);

impl<'a> Places<'a> {
    /// Of names that are all different; else nothing is found.
    fn of(model: &'a [String]) -> Self {
        let places: HashMap<&str, usize> = model.iter().enumerate().map(|(n, c)| (c.as_str(), n)).collect();
        Self(if places.len() == model.len() { places } else { HashMap::new() })
    }

    fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    fn all<T: AsRef<str>>(&self, names: impl IntoIterator<Item = T>) -> Option<Vec<usize>> {
        names.into_iter().map(|name| self.get(name.as_ref())).collect()
    }
}

impl LabelMap {
    /// Matches by name if the data has no class that the model lacks, else by order if there are
    /// equally many.
    pub fn new(data: &[String], model: &[String]) -> Result<Self> {
        let places = Places::of(model);
        let unique = data.iter().collect::<HashSet<_>>().len() == data.len();
        if let Some(to_model) = places.all(data).filter(|_| unique) {
            return Ok(Self { matching: Matching::ByName, among: None, to_model });
        }
        if data.len() == model.len() {
            let numbers: Option<Vec<usize>> = data.iter().map(|name| number(name)).collect();
            if numbers.is_some_and(|numbers| !numbers.is_sorted()) {
                return refuse(
                    "the folders are named by numbers, and sorted by name they are not in the numbers' order \
                     (0, 1, 10, 100); --set imagenet-v2 takes them as class numbers"
                        .to_owned(),
                );
            }
            return Ok(Self {
                matching: Matching::ByOrder,
                among: None,
                to_model: (0..data.len()).collect(),
            });
        }
        let stranger = data.iter().find(|c| places.get(c).is_none());
        Err(TransferError::Request(format!(
            "wrong class count: the data has {} classes, the model {}{}; give the data that the model was \
             trained for, or --ignore-labels to write predictions only",
            data.len(),
            model.len(),
            stranger.map_or_else(String::new, |c| format!(" (none of them called {c:?})"))
        )))
    }

    /// Takes the names of the data's classes as numbers of classes, as ImageNet-V2's folders are named. In a
    /// model whose classes are ImageNet's in another order, the number is that in ImageNet's order.
    pub fn by_number(data: &[String], model: &[String]) -> Result<Self> {
        let mut folders: BTreeMap<usize, &str> = BTreeMap::new();
        let mut numbers = Vec::with_capacity(data.len());
        for name in data {
            let Some(number) = number(name) else {
                return refuse(format!(
                    "the folder {name:?} is not named after a class number, as ImageNet-V2's are (0 to 999); \
                     for folders named after classes give --set folder"
                ));
            };
            if let Some(other) = folders.insert(number, name) {
                return refuse(format!("the folders {other:?} and {name:?} are the same class number"));
            }
            numbers.push(number);
        }
        if data.len() > model.len() || folders.keys().next_back().is_some_and(|&n| n >= model.len()) {
            return refuse(format!(
                "wrong class count: the data has {} classes up to number {}, the model {} (0 to {})",
                data.len(),
                folders.keys().next_back().copied().unwrap_or_default(),
                model.len(),
                model.len().saturating_sub(1)
            ));
        }
        if let Some(missing) = (0..model.len()).find(|number| !folders.contains_key(number)) {
            return refuse(format!(
                "the class folder {missing} is missing: {} of the model's {} classes are there; \
                 fetch the data set again",
                data.len(),
                model.len()
            ));
        }
        let imagenet = Places::of(model).all(imagenet::wnids().map(|wnid| wnid.to_string()));
        let to_model = match imagenet {
            Some(places) if model.len() == imagenet::CLASSES => numbers.iter().map(|&n| places[n]).collect(),
            _ => numbers,
        };
        Ok(Self { matching: Matching::ByNumber, among: None, to_model })
    }

    /// Matches the classes of a set that has only some of the model's, so that only their scores count. WordNet
    /// ids must be those of the subset, all of them; other names must be names of the model's classes.
    pub fn among(data: &[String], model: &[String], subset: &Subset) -> Result<Self> {
        let places = Places::of(model);
        if !data.iter().any(|name| imagenet::is_wnid(name)) {
            if let Some(stranger) = data.iter().find(|name| places.get(name).is_none()) {
                return refuse(format!(
                    "the folder {stranger:?} is neither one of {}'s 200 WordNet ids nor a class of the model, which \
                     has {} classes{}",
                    subset.name,
                    model.len(),
                    model.first().map_or_else(String::new, |first| format!(" such as {first:?}"))
                ));
            }
            let to_model = places.all(data).unwrap_or_default();
            return Ok(Self::counting(Matching::ByName, to_model));
        }
        let is_in = |class: usize| subset.classes.iter().any(|&c| usize::from(c) == class);
        let mut classes = Vec::with_capacity(data.len());
        for name in data {
            let Some(class) = imagenet::class_of(name).filter(|&class| is_in(class)) else {
                return refuse(format!(
                    "the folder {name:?} is not one of {}'s 200 classes; is this another data set? For folders of \
                     any classes give --set folder",
                    subset.name
                ));
            };
            classes.push(class);
        }
        let ids: Vec<String> = imagenet::wnids().map(|wnid| wnid.to_string()).collect();
        if let Some(&missing) = subset.classes.iter().find(|&&c| !classes.contains(&usize::from(c))) {
            return refuse(format!(
                "the class folder {} is missing: {} of {}'s 200 classes are there; fetch the data set again",
                ids[usize::from(missing)],
                data.len(),
                subset.name
            ));
        }
        if let Some(to_model) = places.all(data) {
            return Ok(Self::counting(Matching::ByName, to_model));
        }
        if model.len() != imagenet::CLASSES {
            return refuse(format!(
                "wrong class count: {} needs a model of ImageNet's {} classes, or one whose classes are named by \
                 WordNet ids; this model has {}",
                subset.name,
                imagenet::CLASSES,
                model.len()
            ));
        }
        Ok(Self::counting(Matching::ByWnid, classes))
    }

    fn counting(matching: Matching, to_model: Vec<usize>) -> Self {
        let mut among = to_model.clone();
        among.sort_unstable();
        Self { matching, among: Some(among), to_model }
    }

    /// Labels that nobody looks at.
    pub fn ignored() -> Self {
        Self { matching: Matching::Ignored, among: None, to_model: Vec::new() }
    }

    /// The model's class, unless labels are ignored or this one is of none of the classes.
    pub fn class(&self, label: usize) -> Option<usize> {
        self.to_model.get(label).copied()
    }
}

/// A class number; `parse` alone would take a sign.
fn number(name: &str) -> Option<usize> {
    name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse().ok()).flatten()
}

fn refuse<T>(problem: String) -> Result<T> {
    Err(TransferError::Request(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn numbers(n: usize) -> Vec<String> {
        let mut numbers: Vec<String> = (0..n).map(|n| n.to_string()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn wnids() -> Vec<String> {
        imagenet::wnids().map(|wnid| wnid.to_string()).collect()
    }

    fn of_a() -> Vec<String> {
        imagenet::A.classes.iter().map(|&c| wnids()[usize::from(c)].clone()).collect()
    }

    #[track_caller]
    fn says(result: Result<LabelMap>, parts: &[&str]) {
        let error = result.unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} not in {error}");
        }
    }

    #[test]
    fn by_name_else_by_order_else_refused() {
        for (data, model, matching, to_model) in [
            ("a b c", "c a b", Matching::ByName, vec![1, 2, 0]),
            ("a c", "c a b", Matching::ByName, vec![1, 0]),
            ("0 1 2", "c a b", Matching::ByOrder, vec![0, 1, 2]),
            ("a b", "a a", Matching::ByOrder, vec![0, 1]),
        ] {
            let map = LabelMap::new(&names(data), &names(model)).unwrap();
            assert_eq!(map, LabelMap { matching, among: None, to_model }, "{data} / {model}");
        }
        says(
            LabelMap::new(&names("a x"), &names("a b c")),
            &["wrong class count", "2 classes", "model 3", "\"x\"", "--ignore-labels"],
        );
        // Folders of ImageNet-V2 would be matched in the wrong order.
        says(LabelMap::new(&numbers(12), &names("a b c d e f g h i j k l")), &["--set imagenet-v2"]);
        assert_eq!(LabelMap::new(&numbers(12), &numbers(12)).unwrap().matching, Matching::ByName);
        assert_eq!(LabelMap::ignored().class(0), None);
    }

    #[test]
    fn numbers_are_not_sorted_names() {
        // Sorted by name: 0 1 10 11 2 ...
        let map = LabelMap::by_number(&numbers(12), &names("a b c d e f g h i j k l")).unwrap();
        assert_eq!(map.to_model, [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((map.matching, map.among), (Matching::ByNumber, None));
        let folders = numbers(1000);
        for (model, place) in [(wnids(), 0), (wnids().into_iter().rev().collect(), 999), (numbers(1000), 0)] {
            let map = LabelMap::by_number(&folders, &model).unwrap();
            assert_eq!(map.class(0), Some(place), "folder 0 of a model with {}", model[0]);
            assert_eq!(map.class(2), Some(10usize.abs_diff(place)), "folder 10");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_named() {
        let model = names("a b c");
        for (data, parts) in [
            ("0 1 cat", &["\"cat\"", "--set folder"][..]),
            ("+0 1 2", &["\"+0\""]),
            ("0 1", &["folder 2 is missing", "2 of the model's 3"]),
            ("0 1 3", &["wrong class count", "number 3", "model 3"]),
            ("0 1 2 3", &["wrong class count", "4 classes", "model 3"]),
            ("0 01 1 2", &["\"01\" and \"1\""]),
            ("0 1 99999999999999999999999", &["99999999999999999999999"]),
        ] {
            says(LabelMap::by_number(&names(data), &model), parts);
        }
    }

    #[test]
    fn only_the_classes_of_the_subset_count() {
        let by_name = LabelMap::among(&names("d b"), &names("a b c d"), &imagenet::A).unwrap();
        assert_eq!((by_name.matching, by_name.class(0)), (Matching::ByName, Some(3)));
        assert_eq!(by_name.among, Some(vec![1, 3]));
        let expected: Vec<usize> = imagenet::A.classes.iter().map(|&c| usize::from(c)).collect();
        let by_wnid = LabelMap::among(&of_a(), &numbers(1000), &imagenet::A).unwrap();
        assert_eq!((by_wnid.matching, by_wnid.among), (Matching::ByWnid, Some(expected)));
        assert_eq!(by_wnid.to_model[..3], [6, 11, 13]);
        let reversed: Vec<String> = wnids().into_iter().rev().collect();
        let by_name = LabelMap::among(&of_a(), &reversed, &imagenet::A).unwrap();
        assert_eq!(by_name.to_model[..3], [993, 988, 986]);
        // A model of the 200 classes alone.
        assert_eq!(LabelMap::among(&of_a(), &of_a(), &imagenet::A).unwrap().to_model[..3], [0, 1, 2]);
    }

    #[test]
    fn subsets_that_do_not_fit_are_named() {
        let all = of_a();
        let with = |name: &str| [&all[..], &names(name)[..]].concat();
        says(LabelMap::among(&names("d x"), &names("a b c d"), &imagenet::A), &["\"x\"", "ImageNet-A"]);
        says(LabelMap::among(&with("n01440764"), &wnids(), &imagenet::A), &["\"n01440764\"", "ImageNet-A"]);
        says(LabelMap::among(&with("cat"), &wnids(), &imagenet::A), &["\"cat\"", "ImageNet-A"]);
        says(LabelMap::among(&all[1..], &wnids(), &imagenet::A), &["n01498041 is missing", "199"]);
        says(LabelMap::among(&all, &numbers(10), &imagenet::A), &["wrong class count", "1000", "has 10"]);
    }
}
