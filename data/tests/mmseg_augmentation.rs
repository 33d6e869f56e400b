//! Augmentation for segmentation against MMSegmentation: what `mmseg_augmentation.py` recorded for given random numbers.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use genas_data::segmentation::{
    LabelMap, PhotometricChange, SegmentationDataConfig, SegmentationTest, SegmentationTransform, is_varied,
    resized_size, sliding_windows,
};
use genas_data::{Normalization, Picture, Window};
use serde::Deserialize;

const RECORDED: &str = include_str!("mmseg_augmentation.json");

#[derive(Deserialize)]
struct Recorded {
    colours: Image,
    photometric: Vec<Photometric>,
    sizes: Vec<Size>,
    image: Image,
    labels: Labels,
    geometric: Vec<Geometric>,
    nearest_digest: u32,
    varied: Vec<Varied>,
    normalized: Image,
    slides: Vec<Slide>,
}

#[derive(Deserialize)]
struct Image {
    width: usize,
    height: usize,
    rgb: String,
    #[serde(default)]
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Labels {
    width: usize,
    height: usize,
    labels: String,
}

#[derive(Deserialize)]
struct Photometric {
    change: Change,
    rgb: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    brightness: Option<f64>,
    contrast: Option<f64>,
    #[serde(default)]
    contrast_first: bool,
    saturation: Option<f64>,
    hue: Option<i32>,
}

#[derive(Deserialize)]
struct Size {
    size: [usize; 2],
    scale: [usize; 2],
    ratio: f64,
    to: [usize; 2],
}

#[derive(Deserialize)]
struct Geometric {
    to: [usize; 2],
    window: [usize; 4],
    flip: bool,
    change: Change,
    most: u8,
    rgb: String,
    labels: String,
}

#[derive(Deserialize)]
struct Varied {
    window: [usize; 4],
    ratio: f64,
    taken: bool,
}

#[derive(Deserialize)]
struct Slide {
    size: [usize; 2],
    crop: [usize; 2],
    stride: [usize; 2],
    windows: Vec<[usize; 4]>,
}

impl Image {
    fn picture(&self) -> Picture {
        Picture { width: self.width, height: self.height, rgb: bytes(&self.rgb) }
    }
}

impl From<Change> for PhotometricChange {
    fn from(change: Change) -> Self {
        let Change { brightness, contrast, contrast_first, saturation, hue } = change;
        Self { brightness, contrast, contrast_first, saturation, hue }
    }
}

fn recorded() -> Recorded {
    serde_json::from_str(RECORDED).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn window([left, top, width, height]: [usize; 4]) -> Window {
    Window { left: left as i64, top: top as i64, width, height }
}

#[test]
fn colours_are_changed_to_the_same_bytes() {
    let recorded = recorded();
    assert!(recorded.photometric.len() > 10);
    for case in recorded.photometric {
        let change = PhotometricChange::from(case.change);
        let mut rgb = recorded.colours.picture().rgb;
        change.apply(&mut rgb);
        assert_eq!(rgb, bytes(&case.rgb), "{change:?}");
    }
}

#[test]
fn sizes_are_the_same() {
    for Size { size, scale, ratio, to } in recorded().sizes {
        let config = SegmentationDataConfig {
            scale_width: scale[0],
            scale_height: scale[1],
            ..SegmentationDataConfig::default()
        };
        assert_eq!(resized_size(size, ratio, &config), to, "{size:?} {scale:?} {ratio}");
    }
}

#[test]
fn images_and_labels_are_resized_cut_and_mirrored_alike() {
    let recorded = recorded();
    let (picture, labels) = (recorded.image.picture(), &recorded.labels);
    let labels = LabelMap { width: labels.width, height: labels.height, labels: bytes(&labels.labels) };
    for case in recorded.geometric {
        let transform = SegmentationTransform {
            from: [37, 26],
            to: case.to,
            window: window(case.window),
            flip: case.flip,
            photometric: case.change.into(),
        };
        assert_eq!(transform.labels(&labels).labels, bytes(&case.labels), "{transform:?}");
        let (ours, theirs) = (transform.picture(&picture).rgb, bytes(&case.rgb));
        assert_eq!(ours.len(), theirs.len());
        let most = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(most <= case.most, "{most}: {transform:?}");
    }
}

#[test]
fn nearest_labels_are_the_same_for_all_sizes() {
    // zlib.adler32
    let (mut a, mut b) = (1u64, 0u64);
    for from in 1..61 {
        let row = LabelMap { width: from, height: 1, labels: (0..from as u8).collect() };
        for to in 1..131 {
            for label in row.resized_window([to, 1], window([0, 0, to, 1])).labels {
                a = (a + u64::from(label)) % 65521;
                b = (b + a) % 65521;
            }
        }
    }
    assert_eq!((b << 16 | a) as u32, recorded().nearest_digest);
}

#[test]
fn the_same_crops_are_taken() {
    let recorded = recorded();
    let labels = &recorded.labels;
    let map = LabelMap { width: labels.width, height: labels.height, labels: bytes(&labels.labels) };
    for case in recorded.varied {
        let part = map.resized_window([37, 26], window(case.window));
        assert_eq!(is_varied(&part, case.ratio), case.taken, "{:?} {}", case.window, case.ratio);
    }
}

#[test]
fn pictures_are_normalised_and_filled_up_to_the_same_values() {
    let recorded = recorded().normalized;
    let mut test = SegmentationTest::new(&Normalization::IMAGENET);
    test.filled = [Some(8), Some(4)];
    let input = test.apply(&recorded.picture()).unwrap();
    assert_eq!(input.values.len(), recorded.values.len());
    for (ours, theirs) in input.values.iter().zip(&recorded.values) {
        assert!((ours - theirs).abs() < 2e-6, "{ours} {theirs}");
    }
}

#[test]
fn windows_slide_alike() {
    for Slide { size, crop, stride, windows } in recorded().slides {
        let windows: Vec<Window> = windows.into_iter().map(window).collect();
        assert_eq!(sliding_windows(size, crop, stride), windows, "{size:?} {crop:?} {stride:?}");
    }
}
