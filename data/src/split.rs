//! The split of the training images into a half for training and a half for the metrics
//! (spec 02, section 1).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use genas_space::Streams;
use rand::seq::SliceRandom;
use serde::Deserialize;

use crate::DataError;

/// A seeded permutation of `0..n`: its first half to train on, its second half for the metrics.
pub fn half_split(n: usize, streams: &Streams) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut streams.rng("split", 0));
    let valid = order.split_off(n / 2);
    (order, valid)
}

/// One entry of a split file. The published files wrap the list as `["int", [..]]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Strings(Vec<String>),
    Numbers(Vec<usize>),
    Typed(serde::de::IgnoredAny, Box<Entry>),
}

impl Entry {
    fn indices(self) -> Result<Vec<usize>, String> {
        match self {
            Self::Numbers(n) => Ok(n),
            Self::Typed(_, inner) => inner.indices(),
            Self::Strings(s) => {
                s.iter().map(|s| s.trim().parse().map_err(|_| format!("{s:?} is not an index"))).collect()
            }
        }
    }
}

/// Reads a published split file, such as `cifar-split.txt`: JSON with the keys `train` and `valid`,
/// each a list of indices (numbers or strings) into a set of `n` images.
pub fn read_split(path: &Path, n: usize) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    read_parts(path, n, ["train", "valid"])
}

/// Reads a published split of a test set of `n` images, such as `cifar100-test-split.txt` or
/// `imagenet-16-120-test-split.txt`: like [`read_split`] with the keys `xvalid` and `xtest`.
///
/// NAS-Bench-201 validates on the first and tests on the second; [`half_split`] is the seeded equivalent.
pub fn read_test_split(path: &Path, n: usize) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    read_parts(path, n, ["xvalid", "xtest"])
}

fn read_parts(path: &Path, n: usize, keys: [&'static str; 2]) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    let broken = |problem: String| {
        let [first, second] = keys;
        DataError::broken(
            path,
            problem,
            format!(
                "give a JSON file {{\"{first}\": [..], \"{second}\": [..]}} made for this data set, or no split file for a seeded split"
            ),
        )
    };
    let text = fs::read_to_string(path).map_err(DataError::io("read", path))?;
    let mut lists: HashMap<String, Entry> =
        serde_json::from_str(&text).map_err(|e| broken(format!("not a split file: {e}")))?;
    let mut owner: Vec<Option<&str>> = vec![None; n];
    let mut take = |key: &'static str| -> Result<Vec<usize>, DataError> {
        let entry = lists.remove(key).ok_or_else(|| broken(format!("no key {key:?}")))?;
        let indices = entry.indices().map_err(|e| broken(format!("{key}: {e}")))?;
        if indices.is_empty() {
            return Err(broken(format!("{key} is empty")));
        }
        for &i in &indices {
            match owner.get_mut(i) {
                None => {
                    return Err(broken(format!("{key} holds index {i}, the data set has {n} images")));
                }
                Some(Some(first)) => {
                    return Err(broken(format!("index {i} is in {first} and again in {key}")));
                }
                Some(free) => *free = Some(key),
            }
        }
        Ok(indices)
    };
    Ok((take(keys[0])?, take(keys[1])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_disjoint_complete_and_seeded() {
        let (train, valid) = half_split(101, &Streams::new(1));
        assert_eq!((train.len(), valid.len()), (50, 51));
        let mut all = [train.clone(), valid].concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..101));
        assert_eq!(half_split(101, &Streams::new(1)).0, train);
        assert_ne!(half_split(101, &Streams::new(2)).0, train);
    }

    #[test]
    fn split_files_are_read_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cifar-split.txt");
        let check = |text: &str| {
            fs::write(&path, text).unwrap();
            read_split(&path, 6)
        };
        let want = (vec![0, 5], vec![1, 2]);
        for ok in [
            r#"{"train": ["0", "5"], "valid": ["1", "2"]}"#,
            r#"{"train": [0, 5], "valid": [1, 2]}"#,
            r#"{"train": ["int", ["0", "5"]], "valid": ["int", ["1", "2"]]}"#,
        ] {
            assert_eq!(check(ok).unwrap(), want);
            let test = ok.replace("train", "xvalid").replace("\"valid", "\"xtest");
            fs::write(&path, test).unwrap();
            assert_eq!(read_test_split(&path, 6).unwrap(), want);
        }
        let e = read_split(&path, 6).unwrap_err().to_string();
        assert!(e.contains("no key \"train\"") && e.contains("{\"train\": [..], \"valid\": [..]}"), "{e}");
        for (bad, says) in [
            (r#"{"train": ["0", "5"]}"#, "no key \"valid\""),
            (r#"{"train": ["0", "6"], "valid": ["1"]}"#, "index 6"),
            (r#"{"train": ["0", "5"], "valid": ["5"]}"#, "index 5 is in train and again in valid"),
            (r#"{"train": ["0", "x"], "valid": ["5"]}"#, "\"x\" is not an index"),
            (r#"{"train": [], "valid": ["5"]}"#, "train is empty"),
            ("0 5", "not a split file"),
        ] {
            let e = check(bad).unwrap_err().to_string();
            assert!(e.contains(says) && e.contains("cifar-split.txt"), "{e}");
        }
    }
}
