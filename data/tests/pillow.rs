//! Decoding and resizing against Pillow: what `pillow_images.py` recorded, and real photos where a
//! Python with Pillow is at hand.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use genas_data::{FolderIndex, Picture, decode_file};
use serde::Deserialize;

const RECORDED: &str = include_str!("pillow_images.json");

/// JPEG decoders may round differently in the inverse cosine transform, the enlarging of chroma and the change of
/// colour space. PNG leaves nothing to choose.
const JPEG_MEAN: f64 = 0.5;
const JPEG_MOST: u8 = 2;
/// Pillow's coefficients have 22 bits, those here up to 15: a value near a half may round to the other side.
const RESIZED_MEAN: f64 = 0.1;
const RESIZED_MOST: u8 = 1;

#[derive(Deserialize)]
struct Image {
    width: usize,
    height: usize,
    rgb: String,
}

#[derive(Deserialize)]
struct Recorded {
    file: String,
    #[serde(flatten)]
    image: Image,
    resized: Option<Image>,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Mean and largest difference.
fn difference(ours: &Picture, theirs: &Image) -> (f64, u8) {
    assert_eq!((ours.width, ours.height), (theirs.width, theirs.height));
    let theirs = bytes(&theirs.rgb);
    assert_eq!(ours.rgb.len(), theirs.len());
    let differences: Vec<u8> = ours.rgb.iter().zip(theirs).map(|(a, b)| a.abs_diff(b)).collect();
    let sum: f64 = differences.iter().map(|&d| f64::from(d)).sum();
    (sum / differences.len() as f64, differences.into_iter().max().unwrap())
}

#[test]
fn every_kind_of_image_is_what_pillow_makes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let records: BTreeMap<String, Recorded> = serde_json::from_str(RECORDED).unwrap();
    assert!(records.len() > 20);
    let mut wrong = Vec::new();
    for (name, recorded) in &records {
        let path = dir.path().join("image");
        fs::write(&path, bytes(&recorded.file)).unwrap();
        let picture = match decode_file(&path) {
            Ok(picture) => picture,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        let (mean, most) = if name.starts_with("jpeg") { (JPEG_MEAN, JPEG_MOST) } else { (0.0, 0) };
        let found = difference(&picture, &recorded.image);
        if found.0 > mean || found.1 > most {
            wrong.push(format!("{name}: differs by {:.3}, at most {}", found.0, found.1));
        }
        if let Some(resized) = &recorded.resized {
            let ours = picture.resized(resized.width, resized.height).unwrap();
            let found = difference(&ours, resized);
            if found.0 > mean + RESIZED_MEAN || found.1 > most + RESIZED_MOST {
                wrong.push(format!("{name}, resized: differs by {:.3}, at most {}", found.0, found.1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `GENAS_SHARED` names the folder that holds the photos, `GENAS_PILLOW` a Python with Pillow.
#[test]
fn photos_are_what_pillow_makes_of_them() {
    let (Some(shared), Some(python)) = (std::env::var_os("GENAS_SHARED"), std::env::var_os("GENAS_PILLOW"))
    else {
        eprintln!(
            "skipped: set GENAS_SHARED to the folder of the photos and GENAS_PILLOW to a Python with Pillow"
        );
        return;
    };
    let root = PathBuf::from(shared).join("data/imagenet1k-sample/val");
    let index = FolderIndex::new(&root).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pillow_photos.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let paths: Vec<String> = (0..index.len()).map(|i| index.path(i).display().to_string()).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer =
        std::thread::spawn(move || std::io::Write::write_all(&mut stdin, paths.join("\n").as_bytes()));
    let mut theirs = child.stdout.take().unwrap();
    let mut crop = vec![0; 224 * 224 * 3];
    let (mut sum, mut worst, mut most) = (0.0, 0.0f64, 0);
    for i in 0..index.len() {
        theirs.read_exact(&mut crop).unwrap();
        let ours = decode_file(&index.path(i)).unwrap().with_shorter_side(256).unwrap().centre_planes(224);
        let total: u64 = ours.iter().zip(&crop).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        most = ours.iter().zip(&crop).map(|(a, b)| a.abs_diff(*b)).max().unwrap().max(most);
        let mean = total as f64 / crop.len() as f64;
        sum += mean;
        worst = worst.max(mean);
    }
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    let mean = sum / index.len() as f64;
    eprintln!(
        "{} photos: mean difference {mean:.4} / 255, of the worst photo {worst:.4}, of one value {most}",
        index.len()
    );
    assert!(mean < 1.0 && worst < 1.0, "{mean} {worst}");
}
