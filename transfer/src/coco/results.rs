//! COCO's results format: a list of `{"image_id", "category_id", "bbox", "score"}`
//! (<https://cocodataset.org/#format-results>).

use std::fs;
use std::io::Write;
use std::path::Path;

use genas_data::DataError;
use genas_data::coco::Annotations;
use serde::{Deserialize, Serialize};

use crate::error::{Result, TransferError};

/// Images and categories that a message names.
const NAMED: usize = 5;

/// An object that a detector found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CocoDetection {
    /// Id of the image.
    pub image_id: i64,
    /// Id of the class, not its position.
    pub category_id: i64,
    /// Left, top, width and height in pixels of the original image.
    pub bbox: [f64; 4],
    /// Confidence; only its order counts.
    pub score: f64,
}

/// Reads a results file for the images of `annotations`. Detections of unknown categories stay: evaluation
/// passes over them, as pycocotools does.
///
/// # Errors
///
/// If the file cannot be read, is not of this format, or names an image that `annotations` does not have (where
/// pycocotools' `loadRes` stops too).
pub fn read_results(path: &Path, annotations: &Annotations) -> Result<Vec<CocoDetection>> {
    let text =
        fs::read(path).map_err(|source| DataError::Io { action: "read", path: path.to_owned(), source })?;
    parse(path, &text, annotations)
}

fn parse(path: &Path, text: &[u8], annotations: &Annotations) -> Result<Vec<CocoDetection>> {
    let wrong = |problem: String, remedy: &str| TransferError::Results {
        path: path.to_owned(),
        problem,
        remedy: remedy.to_owned(),
    };
    let detections: Vec<CocoDetection> = serde_json::from_slice(text).map_err(|e| {
        wrong(
            e.to_string(),
            "give a list of {\"image_id\", \"category_id\", \"bbox\": [left, top, width, height], \"score\"}",
        )
    })?;
    let (images, _) = annotations.positions();
    let mut unknown: Vec<i64> =
        detections.iter().map(|d| d.image_id).filter(|id| !images.contains_key(id)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        let named: Vec<String> = unknown.iter().take(NAMED).map(i64::to_string).collect();
        let more = if unknown.len() > NAMED {
            format!(" and {} more", unknown.len() - NAMED)
        } else {
            String::new()
        };
        return Err(wrong(
            format!(
                "detections on images that {} does not have: {}{more}",
                annotations.path.display(),
                named.join(", ")
            ),
            "give the annotations of the images that the detector ran on",
        ));
    }
    Ok(detections)
}

/// Writes detections as one compact list, an entry a line, whole or not at all.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write_results(path: &Path, detections: &[CocoDetection]) -> Result<()> {
    let mut text = String::from("[");
    for (n, detection) in detections.iter().enumerate() {
        text.push_str(if n == 0 { "\n" } else { ",\n" });
        let line = serde_json::to_string(detection).map_err(|e| TransferError::Results {
            path: path.to_owned(),
            problem: format!("detection {n}: {e}"),
            remedy: "report this as a bug".to_owned(),
        })?;
        text.push_str(&line);
    }
    text.push_str("\n]\n");
    let folder = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::File::create(&temporary))
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    Ok(written.map_err(|source| {
        // It may be that there is none.
        let _ = fs::remove_file(&temporary);
        DataError::Io { action: "write", path: path.to_owned(), source }
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations() -> Annotations {
        let text =
            br#"{"images": [{"id": 4, "file_name": "4.jpg", "width": 8, "height": 6}], "annotations": [],
                        "categories": [{"id": 3, "name": "a"}]}"#;
        Annotations::parse(Path::new("gt.json"), text).unwrap()
    }

    #[test]
    fn broken_results_say_where() {
        for (text, parts) in [
            ("", &["r.json: EOF", "give a list of"][..]),
            ("[{]", &["line 1 column 3", "give a list of"]),
            (r#"{"annotations": []}"#, &["invalid type: map", "give a list of"]),
            (r#"[{"image_id": 4, "category_id": 3, "bbox": [1, 2, 3], "score": 1}]"#, &["invalid length 3"]),
            (r#"[{"image_id": 4, "category_id": 3, "bbox": [1, 2, 3, 4]}]"#, &["missing field `score`"]),
            (r#"[{"image_id": 4, "category_id": 3, "bbox": [1, 2, 3, 4], "score": NaN}]"#, &["column 67"]),
            (
                r#"[{"image_id": "4", "category_id": 3, "bbox": [1, 2, 3, 4], "score": 1}]"#,
                &["invalid type: string"],
            ),
            (
                r#"[{"image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 1}]"#,
                &["images that gt.json does not have: 5;"],
            ),
        ] {
            let error = parse(Path::new("r.json"), text.as_bytes(), &annotations()).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        for scores in [&[][..], &[0.1 + 0.2, 1e-9]] {
            let found: Vec<CocoDetection> = scores
                .iter()
                .map(|&score| CocoDetection {
                    image_id: 4,
                    category_id: 3,
                    bbox: [0.1, 2.0, 1.0 / 3.0, 4.0],
                    score,
                })
                .collect();
            write_results(&path, &found).unwrap();
            assert_eq!(read_results(&path, &annotations()).unwrap(), found);
        }
    }
}
