//! Reading a COCO folder through, for `genas data check`.

use std::path::Path;

use rayon::prelude::*;

use super::annotations::{Annotations, annotations_file, splits};
use crate::check::{BadFile, CheckReport};

/// Every split that has an instances file. The official download has the files of both splits; one split's images
/// may be left out as a whole.
pub(crate) fn check_coco(dir: &Path, report: &mut CheckReport) {
    let splits = splits(dir);
    let with_images: Vec<&String> = splits.iter().filter(|split| dir.join(split).is_dir()).collect();
    if with_images.is_empty() {
        let folder = dir.join(splits.first().map_or("val2017", String::as_str));
        let reason = "the images' folder is missing: unpack them here".to_owned();
        report.bad.push(BadFile { file: folder, reason });
    }
    for split in with_images {
        check_split(dir, split, report);
    }
}

fn check_split(dir: &Path, split: &str, report: &mut CheckReport) {
    let annotations = match Annotations::read(&annotations_file(dir, split)) {
        Ok(annotations) => annotations,
        Err(error) => return report.bad.push(error.into()),
    };
    report.n_classes = report.n_classes.max(annotations.classes.len());
    report.bad.extend(
        annotations
            .problems
            .iter()
            .map(|problem| BadFile { file: annotations.path.clone(), reason: problem.to_string() }),
    );
    let folder = dir.join(split);
    let broken: Vec<BadFile> = annotations
        .images
        .par_iter()
        .filter_map(|image| image.read(&folder).err().map(BadFile::from))
        .collect();
    report.n_images += annotations.images.len() - broken.len();
    report.bad.extend(broken);
}
