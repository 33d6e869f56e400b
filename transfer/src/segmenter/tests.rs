//! What is a segmenter, and what is not.

use super::*;
use crate::segmentation::testing::{ANY, CLASSES, metadata, model};
use crate::testing;

const SEGMENTATION: &str = r#"{"within": [64, 32], "window": null, "divisor": 8}"#;

fn open(bytes: &[u8]) -> Result<Segmenter> {
    genas_runtime::ensure(&|_| {}).unwrap();
    let options = SessionOptions { provider: Provider::Cpu, intra_threads: 1, ..SessionOptions::default() };
    Segmenter::from_bytes("s.onnx", bytes, &options)
}

#[test]
fn both_forms_are_known() {
    for (labels, form) in [(false, SegmenterForm::Logits), (true, SegmenterForm::Labels)] {
        for (input, filled) in
            [(ANY, [None; 2]), ([Some(1), Some(3), Some(32), Some(64)], [Some(64), Some(32)])]
        {
            let segmenter = open(&model(labels, input, &metadata(SEGMENTATION, labels))).unwrap();
            assert_eq!((segmenter.form(), segmenter.provider()), (form, Provider::Cpu));
            assert_eq!(segmenter.info().class_names, CLASSES);
            assert_eq!(segmenter.align_corners(), labels);
            let test = segmenter.preparation();
            assert_eq!((test.scale, test.divisor, test.filled), (TestScale::Within([64, 32]), 8, filled));
        }
    }
}

#[test]
fn what_is_no_segmenter_is_refused() {
    let changed = |key: &str, value: Option<&str>| {
        let mut entries = metadata(SEGMENTATION, false);
        entries.retain(|(k, _)| *k != key || value.is_some());
        for (k, v) in &mut entries {
            if *k == key {
                *v = value.unwrap_or_default().to_owned();
            }
        }
        model(false, ANY, &entries)
    };
    let gap = r#"{"within": null, "window": {"crop": [8, 8], "stride": [9, 8]}, "divisor": 8}"#;
    for (bytes, parts) in [
        (changed("kind", Some("classifier")), &["s.onnx: it is a classifier, not a segmenter"][..]),
        (changed("kind", None), &["genas did not write it", "give a segmenter"]),
        (testing::raw(&[], ANY, &testing::metadata()), &["it is a detector, not a segmenter"]),
        (changed("segmentation", None), &["s.onnx: ", "`segmentation`"]),
        (changed("segmenter", None), &["no metadata `segmenter`"]),
        (changed("segmenter", Some("{}")), &["`segmenter` cannot be read", "align-corners"]),
        (changed("class_names", Some("[]")), &["names 0 classes"]),
        (changed("class_names", Some(r#"["a", "b"]"#)), &["`logits` float32 [", "2 classes"]),
        (changed("segmentation", Some(&SEGMENTATION.replace('8', "0"))), &["multiples of 0"]),
        (changed("segmentation", Some(gap)), &["every 9 x 8 leave some out"]),
        (
            model(false, [Some(2), Some(3), None, None], &metadata(SEGMENTATION, false)),
            &["segmenters are evaluated one by one"],
        ),
        (model(false, [None, Some(3), None, None], &[]), &["genas did not write it"]),
    ] {
        let said = open(&bytes).unwrap_err().to_string();
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}
