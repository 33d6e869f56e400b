//! Predictions as files: label ids, as the official evaluators take them, and overlays to look at.
//!
//! cityscapesScripts' `evalPixelLevelSemanticLabeling.py` looks through a folder and all below it for `KEY*.png`, where
//! `KEY` is `CITY_SEQUENCE_FRAME`, and refuses to choose: overlays must lie in another folder.

use std::path::{Path, PathBuf};

use genas_data::Picture;
use genas_data::segmentation::{
    ClassTable, IGNORED, LabelMap, OVERLAY_OPACITY, SegmentationPair, write_whole,
};

use crate::canvas::Canvas;
use crate::error::Result;

/// What an image of Cityscapes is called besides its key; the folder of the images is called so, too.
const CITYSCAPES: &str = "leftImg8bit";
/// What official submissions add.
const LABEL_IDS: &str = "labelIds";
/// Pixels between pictures beside each other.
pub(crate) const GAP: usize = 4;

/// Where a prediction lies in its folder: `NAME.png`; `CITY/KEY_leftImg8bit_labelIds.png` of Cityscapes. No two images of
/// a split share one.
pub fn prediction_path(pair: &SegmentationPair) -> PathBuf {
    let stem = pair.image.file_stem().unwrap_or_default().to_string_lossy();
    let key = pair.name.rsplit('/').next().unwrap_or(&pair.name);
    if *stem != format!("{key}_{CITYSCAPES}") {
        return PathBuf::from(format!("{}.png", pair.name));
    }
    // `leftImg8bit/SPLIT/CITY/file`, or all files in `leftImg8bit`.
    let folders: Vec<_> = pair.image.parent().into_iter().flat_map(Path::iter).collect();
    let below = folders.iter().rposition(|folder| *folder == CITYSCAPES).map_or(folders.len(), |n| n + 2);
    let city: PathBuf = folders.iter().skip(below).collect();
    city.join(format!("{stem}_{LABEL_IDS}.png"))
}

/// Writes the predicted train ids as label ids into `folder`, and gives the path.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write_prediction(
    folder: &Path,
    pair: &SegmentationPair,
    predicted: &LabelMap,
    classes: &ClassTable,
) -> Result<PathBuf> {
    let path = folder.join(prediction_path(pair));
    write_whole(&path, &predicted.label_png(classes, IGNORED))?;
    Ok(path)
}

/// Writes the picture, its true and its predicted classes in colours over it, beside each other, into `folder`, and
/// gives the path.
///
/// # Errors
///
/// If the labels cannot be read or the file not be written.
pub fn write_overlay(
    folder: &Path,
    pair: &SegmentationPair,
    picture: &Picture,
    predicted: &LabelMap,
    classes: &ClassTable,
) -> Result<PathBuf> {
    let path = folder.join(prediction_path(pair));
    write_whole(&path, &beside(&overlays(pair, picture, predicted, classes)?).png())?;
    Ok(path)
}

/// The picture, and its true and predicted classes over it.
pub(crate) fn overlays(
    pair: &SegmentationPair,
    picture: &Picture,
    predicted: &LabelMap,
    classes: &ClassTable,
) -> Result<[Picture; 3]> {
    let truth = pair.train_ids(classes)?;
    let over = |map: &LabelMap| map.over(picture, classes, OVERLAY_OPACITY);
    Ok([picture.clone(), over(&truth), over(predicted)])
}

/// Pictures in a row, on white.
pub(crate) fn beside(pictures: &[Picture]) -> Picture {
    let width = pictures.iter().map(|picture| picture.width + GAP).sum::<usize>().saturating_sub(GAP);
    let height = pictures.iter().map(|picture| picture.height).max().unwrap_or(0);
    let mut canvas = Canvas::plain(width, height, [255; 3]);
    let mut left = 0;
    for picture in pictures {
        canvas.paste(picture, left, 0);
        left += picture.width + GAP;
    }
    canvas.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, image: &str) -> SegmentationPair {
        SegmentationPair { name: name.to_owned(), image: image.into(), labels: "x.png".into() }
    }

    #[test]
    fn names_are_what_evaluators_look_for_and_differ() {
        for (name, image, want) in [
            (
                "ulm_000001_000019",
                "/a/leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png",
                "ulm/ulm_000001_000019_leftImg8bit_labelIds.png",
            ),
            ("x", "leftImg8bit/leftImg8bit/val/a/b/x_leftImg8bit.png", "a/b/x_leftImg8bit_labelIds.png"),
            // Frames in the folder itself.
            ("x", "/a/leftImg8bit/x_leftImg8bit.png", "x_leftImg8bit_labelIds.png"),
            ("0001TP_1", "/camvid/val/0001TP_1.png", "0001TP_1.png"),
            ("day/v1.0", "/own/images/val/day/v1.0.jpg", "day/v1.0.png"),
            ("night/v1.0", "/own/images/val/night/v1.0.jpg", "night/v1.0.png"),
            ("a_leftImg8bit", "/own/images/val/a_leftImg8bit.jpg", "a_leftImg8bit.png"),
        ] {
            let path = prediction_path(&pair(name, image));
            assert_eq!(path, Path::new(want));
            // How the acceptance test finds it: by the name of the label file without its ending.
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let key = file.split("_leftImg8bit").next().unwrap();
            let key = key.strip_suffix(".png").unwrap_or(key);
            assert_eq!(key, name.rsplit('/').next().unwrap().trim_end_matches("_leftImg8bit"));
        }
    }

    #[test]
    fn overlays_stand_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let classes = ClassTable::camvid();
        let mut pair = pair("deep/a", "a.png");
        pair.labels = dir.path().join("labels.png");
        let truth = LabelMap { width: 6, height: 2, labels: vec![3; 12] };
        let seen = LabelMap { labels: vec![8; 12], ..truth.clone() };
        write_whole(&pair.labels, &truth.label_png(&classes, IGNORED)).unwrap();
        let picture = Picture { width: 6, height: 2, rgb: vec![100; 36] };
        let path = write_overlay(&dir.path().join("over"), &pair, &picture, &seen, &classes).unwrap();
        assert!(path.ends_with("over/deep/a.png"));
        let read = genas_data::decode_file(&path).unwrap();
        assert_eq!((read.width, read.height), (3 * 6 + 2 * GAP, 2));
        // The picture; half of it and of the road's colour; half of it and of the car's.
        let pixels =
            [0, 5, 6, 6 + GAP, 12 + 2 * GAP].map(|x| <[u8; 3]>::try_from(&read.rgb[3 * x..][..3]).unwrap());
        assert_eq!(pixels, [[100; 3], [100; 3], [255; 3], [114, 82, 114], [82, 50, 114]]);
        let path = write_prediction(dir.path(), &pair, &seen, &classes).unwrap();
        assert_eq!(LabelMap::read(&path).unwrap(), seen);
    }
}
