//! Reading a folder of images and labels through, for `genas data check`.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::{ClassTable, LabelMap, SegmentationFolder, SegmentationPair};
use crate::DataError;
use crate::check::{BadFile, CheckReport};
use crate::decode::decode_file;

/// Every split that has images and labels. Without a class table, which a folder pair needs for training only, the
/// values in label files are not judged, and as many classes are reported as there are values.
pub(crate) fn check_segmentation(folder: &SegmentationFolder, report: &mut CheckReport) {
    let classes = match folder.classes_if_any() {
        Ok(classes) => classes,
        Err(error) => return report.bad.push(error.into()),
    };
    let splits = folder.splits();
    if splits.is_empty() {
        // What is missing for a split that every set has.
        report.bad.extend(folder.scan("val").err().map(BadFile::from));
    }
    let mut values = BTreeSet::new();
    for split in splits {
        let (pairs, problems) = match folder.scan(&split) {
            Ok(found) => found,
            Err(error) => {
                report.bad.push(error.into());
                continue;
            }
        };
        report.bad.extend(problems.into_iter().map(BadFile::from));
        let read: Vec<_> = pairs.par_iter().map(|pair| check_pair(pair, classes.as_ref())).collect();
        for (labels, problems) in read {
            report.n_images += usize::from(problems.is_empty());
            report.bad.extend(problems.into_iter().map(BadFile::from));
            values.extend(labels);
        }
    }
    report.n_classes = classes.map_or(values.len(), |classes| classes.len());
}

/// The labels of a pair, and what is wrong with either file.
fn check_pair(pair: &SegmentationPair, classes: Option<&ClassTable>) -> (BTreeSet<u8>, Vec<DataError>) {
    let labels = match classes {
        Some(classes) => pair.train_ids(classes),
        None => LabelMap::read(&pair.labels),
    };
    match labels {
        Ok(labels) => {
            let mut seen = [false; 256];
            labels.labels.iter().for_each(|&label| seen[usize::from(label)] = true);
            let seen = (0..=255).filter(|&label| seen[usize::from(label)]).collect();
            (seen, pair.picture(&labels).err().into_iter().collect())
        }
        // Broken labels do not hide a broken image.
        Err(error) => {
            (BTreeSet::new(), [Some(error), decode_file(&pair.image).err()].into_iter().flatten().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::train::tests::{classes, write};
    use crate::{Kind, Split, check, load};
    use std::fs;

    #[test]
    fn labels_are_read_through() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(dir.path(), "train", 4);
        write(dir.path(), "val", 2);
        let report = check(dir.path()).unwrap();
        // Values 1, 2, 5 and 9.
        assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::Segmentation, 6, 4));
        assert_eq!(
            (report.bad.len(), serde_json::to_value(report.kind).unwrap()),
            (0, "segmentation".into())
        );
        fs::write(at("classes.toml"), classes().to_toml()).unwrap();
        assert_eq!(check(dir.path()).unwrap().n_classes, 2);

        fs::write(at("train/0.png"), "text").unwrap();
        fs::copy(at("train/1.png"), at("trainannot/1.png")).unwrap();
        fs::remove_file(at("trainannot/2.png")).unwrap();
        fs::write(at("classes.toml"), classes().to_toml().replace("[9]", "[8]")).unwrap();
        let report = check(dir.path()).unwrap();
        let wants = [
            ("train/2.png", "no label file"),
            ("train/0.png", "not a JPEG"),
            ("trainannot/0.png", "value 9"),
            ("trainannot/1.png", "RGB of 8 bits"),
            ("trainannot/3.png", "value 9"),
            ("valannot/0.png", "value 9"),
            ("valannot/1.png", "value 9"),
        ];
        let found: Vec<_> = report.bad.iter().map(|bad| (&bad.file, &bad.reason)).collect();
        assert_eq!(report.bad.len(), wants.len(), "{found:?}");
        for (file, part) in wants {
            assert!(
                found.iter().any(|(f, reason)| **f == at(file) && reason.contains(part)),
                "{file}: {found:?}"
            );
        }
        fs::write(at("classes.toml"), "class = []").unwrap();
        let bad = check(dir.path()).unwrap().bad;
        assert!(bad.len() == 1 && bad[0].reason.contains("0 classes"), "{bad:?}");
        let error = load(dir.path(), Split::Train, 8).unwrap_err().to_string();
        assert!(error.contains("label for each pixel") && error.contains("transfer cityscapes"), "{error}");

        fs::create_dir_all(at("city/leftImg8bit/val/a")).unwrap();
        let report = check(&at("city")).unwrap();
        assert_eq!((report.kind, report.bad.len()), (Kind::Cityscapes, 1));
        assert!(report.bad[0].file.ends_with("gtFine/val"), "{:?}", report.bad);
    }
}
