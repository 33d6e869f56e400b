//! Detectors of a few constants.

use super::*;
use crate::testing::{CLASSES, DETECTION, Object, end_to_end, metadata, raw};

const ANY: [Option<usize>; 4] = [None, Some(3), None, None];

/// In a picture of 20 x 10 pixels, which is shown as 40 x 20 of 64 x 32: an object, one that sticks out, one that is in
/// the filling, and one that hides behind the first.
const OBJECTS: [Object; 4] = [
    ([4.0, 4.0, 20.0, 16.0], 1, 2.0),
    ([30.0, 10.0, 64.0, 32.0], 0, 1.0),
    ([44.0, 0.0, 60.0, 10.0], 0, 0.5),
    ([4.0, 4.0, 20.0, 17.0], 1, 0.0),
];

fn open(bytes: &[u8]) -> Result<Detector> {
    genas_runtime::ensure(&|_| {}).unwrap();
    let options = SessionOptions { provider: Provider::Cpu, intra_threads: 1, ..SessionOptions::default() };
    Detector::from_bytes("d.onnx", bytes, &options)
}

fn picture(value: u8) -> Picture {
    Picture { width: 20, height: 10, rgb: vec![value; 600] }
}

#[test]
fn both_forms_find_the_same() {
    let fixed = [Some(1), Some(3), Some(32), Some(64)];
    for (bytes, form) in [
        (raw(&OBJECTS, ANY, &metadata()), "raw"),
        (raw(&OBJECTS, fixed, &metadata()), "raw"),
        // The graph suppresses there.
        (end_to_end(&OBJECTS[..3], ANY, &metadata()), "end-to-end"),
    ] {
        let mut detector = open(&bytes).unwrap();
        assert_eq!(detector.form().name(), form);
        assert_eq!(detector.info().category_ids, CLASSES.map(|(id, _)| id));
        for (value, brightness) in [(128, 2.0 * 128.0 / 255.0 - 1.0), (255, 1.0)] {
            let found = detector.detect(&picture(value)).unwrap();
            let corners: Vec<_> = found.iter().map(|found| (found.corners, found.class)).collect();
            assert_eq!(corners, [([2.0, 2.0, 10.0, 8.0], 1), ([15.0, 5.0, 20.0, 10.0], 0)], "{form}");
            for (found, (.., logit)) in found.iter().zip(OBJECTS) {
                // The filling is 0, which is grey, and three fifths of the input.
                let logit = f64::from(logit) + brightness * 800.0 / 2048.0;
                let want = 1.0 / (1.0 + (-logit).exp());
                assert!((f64::from(found.score) - want).abs() < 1e-6, "{form} {} {want}", found.score);
            }
        }
    }
    for bytes in [raw(&[], ANY, &metadata()), end_to_end(&[], ANY, &metadata())] {
        assert_eq!(open(&bytes).unwrap().detect(&picture(0)).unwrap(), []);
    }
}

#[test]
fn what_is_no_detector_is_refused() {
    let changed = |key: &str, value: Option<&str>| {
        let mut entries = metadata();
        entries.retain(|(k, _)| *k != key);
        entries.extend(value.map(|value| ("kind", value.to_owned())).filter(|_| key == "kind"));
        raw(&OBJECTS, ANY, &entries)
    };
    let three = |mut entries: Vec<(&'static str, String)>| {
        for (key, value) in &mut entries {
            match *key {
                "class_names" => *value = r#"["a", "b", "c"]"#.to_owned(),
                "category_ids" => *value = "[1, 2, 3]".to_owned(),
                _ => {}
            }
        }
        entries
    };
    let refused = [
        (changed("kind", Some("classifier")), &["d.onnx: it is a classifier, not a detector"][..]),
        (changed("kind", Some("backbone")), &["it is a backbone"]),
        (changed("kind", None), &["genas did not write it", "--results"]),
        (changed("detection", None), &["d.onnx: ", "`detection`"]),
        (changed("category_ids", None), &["`category_ids`"]),
        (raw(&OBJECTS, ANY, &three(metadata())), &["`logits_p3` float32 [", ", 2]", "3 classes"]),
        (
            raw(&OBJECTS, [Some(2), Some(3), None, None], &metadata()),
            &["several images at once", "--dynamic batch"],
        ),
        (raw(&OBJECTS, [None, Some(1), None, None], &metadata()), &["[batch, 3, height, width]"]),
    ];
    for (bytes, parts) in refused {
        let said = open(&bytes).unwrap_err().to_string();
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    let mut small = open(&raw(&OBJECTS, [None, Some(3), Some(32), Some(32)], &metadata())).unwrap();
    let said = small.detect(&picture(0)).unwrap_err().to_string();
    assert!(said.contains("d.onnx: it is 40 x 20 pixels") && said.contains("32 x 32 only"), "{said}");
    let mut wild = open(&end_to_end(&[([0.0, 0.0, 9.0, 9.0], 2, 0.0)], ANY, &metadata())).unwrap();
    let said = wild.detect(&picture(0)).unwrap_err().to_string();
    assert!(said.contains("label 2") && said.contains("2 classes"), "{said}");
    assert!(DETECTION.contains("strides"));
}
