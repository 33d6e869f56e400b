//! Augmentation of photos against torchvision, Pillow and OpenCV: what `torchvision_augment.py` recorded for given
//! random numbers.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;

use genas_data::{
    ColorStep, CropKind, Interpolation, Normalization, PhotoAugment, PhotoChange, PhotoEvalTransform,
    Picture, Window,
};
use serde::Deserialize;

const RECORDED: &str = include_str!("torchvision_augment.json");

#[derive(Deserialize)]
struct Recorded {
    photos: BTreeMap<String, Photo>,
    cases: Vec<Case>,
    evals: Vec<Eval>,
    normalized: [Vec<f32>; 3],
}

#[derive(Deserialize)]
struct Photo {
    width: usize,
    height: usize,
    rgb: String,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    crop: CropKind,
    photo: String,
    size: usize,
    window: (i64, i64, usize, usize),
    lighting: Option<[f64; 3]>,
    flip: bool,
    colors: Vec<(String, f32)>,
    /// Without a resize bytes are equal. Pillow's coefficients have 22 bits, those here up to 15, and OpenCV's own
    /// paths round differently: a value near a half may go to the other side.
    most: u8,
    out: String,
}

#[derive(Deserialize)]
struct Eval {
    photo: String,
    resize: usize,
    crop: usize,
    interpolation: Interpolation,
    out: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn recorded() -> (Recorded, BTreeMap<String, Picture>) {
    let recorded: Recorded = serde_json::from_str(RECORDED).unwrap();
    let picture = |p: &Photo| Picture { width: p.width, height: p.height, rgb: bytes(&p.rgb) };
    let photos = recorded.photos.iter().map(|(name, p)| (name.clone(), picture(p))).collect();
    (recorded, photos)
}

fn most(ours: &[u8], theirs: &[u8]) -> u8 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn given_numbers_make_the_same_pixels() {
    let (recorded, photos) = recorded();
    assert!(recorded.cases.len() > 30);
    let mut wrong = Vec::new();
    for case in recorded.cases {
        let (left, top, width, height) = case.window;
        let colors = case.colors.iter().map(|(name, f)| match name.as_str() {
            "brightness" => ColorStep::Brightness(*f),
            "contrast" => ColorStep::Contrast(*f),
            "saturation" => ColorStep::Saturation(*f),
            "hue" => ColorStep::Hue(*f),
            other => panic!("{other}"),
        });
        let change = PhotoChange {
            window: Window { left, top, width, height },
            lighting: case.lighting,
            flip: case.flip,
            colors: colors.collect(),
        };
        let augment = PhotoAugment { crop: case.crop, ..PhotoAugment::darts(case.size) };
        let ours = augment.apply(&change, &photos[&case.photo]).unwrap();
        let found = most(&ours, &bytes(&case.out));
        if found > case.most {
            wrong.push(format!("{}: differs by {found}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn evaluation_makes_the_same_pixels() {
    let (recorded, photos) = recorded();
    for eval in recorded.evals {
        let Eval { resize, crop, interpolation, .. } = eval;
        let transform = PhotoEvalTransform { resize, crop, interpolation, normalize: true };
        let found = most(&transform.apply(&photos[&eval.photo]).unwrap(), &bytes(&eval.out));
        assert!(found <= 1, "{} {resize} {crop} {interpolation:?}: differs by {found}", eval.photo);
    }
}

#[test]
fn normalised_values_are_torchvisions() {
    let normalization: Normalization = PhotoAugment::darts(8).normalization();
    for (c, values) in recorded().0.normalized.iter().enumerate() {
        for (i, &value) in values.iter().enumerate() {
            assert_eq!(normalization.apply(c, (15 * i) as u8), value, "{c} {i}");
        }
    }
}
