//! Reading a whole data set through and naming what is broken, for `genas data check`.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use crate::coco::check_coco;
use crate::decode::decode_file;
use crate::segmentation::check_segmentation;
use crate::{
    CifarFolder, DataError, Dataset, FolderIndex, ImageFolder, ImageNet16Folder, Kind, PhotoSource,
    ShardIndex, Split, imagenet16, open,
};

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The layout.
    pub kind: Kind,
    /// Images that can be read.
    pub n_images: usize,
    /// Classes.
    pub n_classes: usize,
    /// What cannot be read, or contradicts the layout.
    pub bad: Vec<BadFile>,
}

/// A file or folder that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadFile {
    /// Where.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

impl From<DataError> for BadFile {
    fn from(error: DataError) -> Self {
        let (file, reason) = error.into_parts();
        Self { file, reason }
    }
}

/// Reads everything in `dir`. An error is returned only if there is nothing to read: a missing
/// folder or an unknown layout.
pub fn check(dir: &Path) -> Result<CheckReport, DataError> {
    let dataset = open(dir)?;
    let mut report = CheckReport { kind: dataset.kind(), n_images: 0, n_classes: 0, bad: Vec::new() };
    match &dataset {
        Dataset::Cifar(cifar) => check_cifar(cifar, &mut report),
        Dataset::ImageNet16(folder) => check_imagenet16(folder, &mut report),
        Dataset::Folder(folder) => check_folder(folder, &mut report),
        Dataset::Shards(dir) => check_shards(dir, &mut report),
        Dataset::Coco(dir) => check_coco(dir, &mut report),
        Dataset::Segmentation(folder) => check_segmentation(folder, &mut report),
    }
    Ok(report)
}

fn check_cifar(cifar: &CifarFolder, report: &mut CheckReport) {
    report.n_classes = cifar.kind.n_classes();
    report.bad.extend(cifar.classes().err().map(BadFile::from));
    for path in [cifar.files(Split::Train), cifar.files(Split::Test)].concat() {
        match cifar.read_file(&path, &mut Vec::new(), &mut Vec::new()) {
            Ok(n) => report.n_images += n,
            Err(error) => report.bad.push(error.into()),
        }
    }
}

fn check_imagenet16(folder: &ImageNet16Folder, report: &mut CheckReport) {
    report.n_classes = ImageNet16Folder::CLASSES;
    for path in [folder.files(Split::Train), folder.files(Split::Test)].concat() {
        let mut set = ImageNet16Folder::empty(ImageNet16Folder::CLASSES, ImageNet16Folder::SIDE);
        match imagenet16::read_file(&path, &mut set) {
            Ok(()) => report.n_images += set.len(),
            Err(error) => report.bad.push(error.into()),
        }
    }
}

fn check_folder(folder: &ImageFolder, report: &mut CheckReport) {
    let mut roots = vec![folder.root(Split::Test)];
    if folder.has_splits {
        roots.insert(0, folder.root(Split::Train));
        // One split alone is a data set too: to train without val, or to evaluate.
        roots.retain(|r| r.is_dir());
    }
    for root in roots {
        match FolderIndex::scan(&root) {
            Ok((index, errors)) => {
                report.n_classes = report.n_classes.max(index.classes.len());
                report.bad.extend(errors.into_iter().map(BadFile::from));
                let broken: Vec<BadFile> = (0..index.len())
                    .into_par_iter()
                    .filter_map(|i| decode_file(&index.path(i)).err().map(BadFile::from))
                    .collect();
                report.n_images += index.len() - broken.len();
                report.bad.extend(broken);
            }
            Err(error) => report.bad.push(error.into()),
        }
    }
    report.bad.extend(folder.check_classes().err().map(BadFile::from));
}

fn check_shards(dir: &Path, report: &mut CheckReport) {
    let mut classes = Vec::new();
    for split in [Split::Train, Split::Test] {
        // One split alone is a data set too.
        if ShardIndex::find(dir, split).is_ok_and(|shards| shards.is_empty()) {
            continue;
        }
        match PhotoSource::open(dir, split) {
            Ok(source) => {
                let broken: Vec<BadFile> = (0..source.len())
                    .into_par_iter()
                    .filter_map(|i| source.picture(i).err().map(BadFile::from))
                    .collect();
                report.n_images += source.len() - broken.len();
                report.bad.extend(broken);
                classes.push(source.classes().len());
            }
            Err(error) => report.bad.push(error.into()),
        }
    }
    report.n_classes = classes.iter().copied().max().unwrap_or(0);
    if let [train, val] = classes[..]
        && train != val
    {
        let reason = format!(
            "train has {train} classes and val {val}: put a classes.txt beside the shards, or images of the last class into both"
        );
        report.bad.push(BadFile { file: PathBuf::new(), reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::jpeg;
    use crate::shards::tests::tar;
    use std::fs;

    #[test]
    fn cifar_is_read_through() {
        let dir = tempfile::tempdir().unwrap();
        for i in 1..=5 {
            fs::write(dir.path().join(format!("data_batch_{i}.bin")), vec![1; 3073 * 2]).unwrap();
        }
        fs::write(dir.path().join("test_batch.bin"), vec![1; 3073]).unwrap();
        let good = check(dir.path()).unwrap();
        assert_eq!((good.kind, good.n_images, good.n_classes), (Kind::Cifar10, 11, 10));
        assert_eq!(good.bad, []);
        fs::write(dir.path().join("data_batch_2.bin"), vec![1; 3000]).unwrap();
        fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
        let bad = check(dir.path()).unwrap();
        assert_eq!((bad.n_images, bad.bad.len()), (7, 2));
        assert!(bad.bad[0].file.ends_with("data_batch_2.bin") && bad.bad[0].reason.contains("3000 bytes"));
        assert!(bad.bad[1].file.ends_with("data_batch_4.bin") && bad.bad[1].reason.contains("missing"));
    }

    #[test]
    fn imagenet16_is_read_through() {
        let dir = tempfile::tempdir().unwrap();
        // A batch of three images of 2x2, which is not 16x16.
        let (_, small) = crate::pickle::tests::recorded("4_batch").remove(0);
        fs::write(dir.path().join("train_data_batch_1"), small).unwrap();
        fs::write(dir.path().join("val_data"), "PK").unwrap();
        let report = check(dir.path()).unwrap();
        assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::ImageNet16, 0, 120));
        let says = |n: usize, file: &str, reason: &str| {
            let bad = &report.bad[n];
            assert!(bad.file.ends_with(file) && bad.reason.contains(reason), "{bad:?}");
        };
        assert_eq!(report.bad.len(), 11);
        says(0, "train_data_batch_1", "16x16 RGB has 768");
        says(1, "train_data_batch_2", "missing");
        says(10, "val_data", "not a pickle");
    }

    #[test]
    fn folders_are_read_through() {
        let dir = tempfile::tempdir().unwrap();
        for class in ["train/a", "train/b", "val/a", "val/b", "val/c"] {
            let class = dir.path().join(class);
            fs::create_dir_all(&class).unwrap();
            fs::write(class.join("1.jpg"), jpeg(12, 12)).unwrap();
            fs::write(class.join("2.jpg"), jpeg(12, 12)).unwrap();
        }
        fs::write(dir.path().join("train/a/2.jpg"), "text").unwrap();
        fs::remove_file(dir.path().join("val/b/1.jpg")).unwrap();
        fs::remove_file(dir.path().join("val/b/2.jpg")).unwrap();
        let report = check(dir.path()).unwrap();
        assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::ImageFolder, 7, 3));
        let files: Vec<_> =
            report.bad.iter().map(|b| b.file.strip_prefix(dir.path()).unwrap().to_owned()).collect();
        assert_eq!(files, ["train/a/2.jpg", "val/b", ""].map(PathBuf::from));
        assert!(report.bad[2].reason.contains("\"c\" is in val but not in train"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["kind"], "image-folder");
    }

    #[test]
    fn shards_are_read_through() {
        let dir = tempfile::tempdir().unwrap();
        let photo = jpeg(12, 12);
        let shard = |name: &str, label: &[u8]| {
            let members = [("a.jpg", &photo[..]), ("a.cls", b"0"), ("b.jpg", b"text"), ("b.cls", label)];
            tar(&dir.path().join(name), &members);
        };
        shard("train-0.tar", b"1");
        shard("val-0.tar", b"2");
        let report = check(dir.path()).unwrap();
        assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::Shards, 2, 3));
        let reasons: Vec<&str> = report.bad.iter().map(|b| b.reason.as_str()).collect();
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert!(reasons[0].contains("not a JPEG") && reasons[2].contains("classes.txt"), "{reasons:?}");
        let error = crate::load(dir.path(), Split::Train, 8).unwrap_err().to_string();
        assert!(error.contains("retrain.photos"), "{error}");
    }

    #[test]
    fn boxes_are_read_through() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["annotations", "train2017", "val2017"] {
            fs::create_dir(at(folder)).unwrap();
        }
        let text = |sizes: [usize; 3], bbox: &str| {
            let images: Vec<String> = (1..=3)
                .zip(sizes)
                .map(|(n, w)| format!(r#"{{"id": {n}, "file_name": "{n}.jpg", "width": {w}, "height": 12}}"#))
                .collect();
            format!(
                r#"{{"images": [{}], "annotations": [{{"id": 8, "image_id": 1, "category_id": 5, "bbox": {bbox}}}],
                    "categories": [{{"id": 5, "name": "a"}}, {{"id": 7, "name": "b"}}]}}"#,
                images.join(",")
            )
        };
        for (split, sizes, bbox) in
            [("train2017", [14; 3], "[1, 1, 4, 4]"), ("val2017", [14, 13, 14], "[1, 1, 0, 4]")]
        {
            fs::write(at(&format!("annotations/instances_{split}.json")), text(sizes, bbox)).unwrap();
            for n in 1..=3 {
                fs::write(at(&format!("{split}/{n}.jpg")), jpeg(14, 12)).unwrap();
            }
        }
        fs::write(at("val2017/1.jpg"), "text").unwrap();
        fs::remove_file(at("val2017/3.jpg")).unwrap();
        let report = check(dir.path()).unwrap();
        assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::Coco, 3, 2));
        assert_eq!(serde_json::to_value(report.kind).unwrap(), "coco");
        let wants = [
            ("annotations/instances_val2017.json", "annotation 8: its box is 0 x 4 pixels"),
            ("val2017/1.jpg", "not a JPEG"),
            ("val2017/2.jpg", "14 x 12 pixels, but annotated as 13 x 12"),
            ("val2017/3.jpg", "cannot read"),
        ];
        assert_eq!(report.bad.len(), wants.len(), "{:?}", report.bad);
        for (bad, (file, reason)) in report.bad.iter().zip(wants) {
            assert!(bad.file == at(file) && bad.reason.contains(reason), "{bad:?}");
        }
        // One split alone is a data set too; annotations alone are not.
        fs::remove_dir_all(at("val2017")).unwrap();
        assert_eq!(check(dir.path()).unwrap().bad, []);
        fs::remove_dir_all(at("train2017")).unwrap();
        let bad = check(dir.path()).unwrap().bad;
        assert!(bad.len() == 1 && bad[0].reason.contains("folder is missing"), "{bad:?}");
        let error = crate::load(dir.path(), Split::Train, 8).unwrap_err().to_string();
        assert!(error.contains("boxes") && error.contains("transfer coco"), "{error}");
    }

    #[test]
    fn nothing_to_read_is_an_error() {
        assert!(matches!(check(Path::new("/nowhere/at/all")), Err(DataError::Missing { .. })));
    }
}
