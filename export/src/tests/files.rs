//! Files: metadata, weights read back, refusals.

use super::samples::{eval_net, info, weights};
use crate::{
    Dim, ExportError, ExportReport, GraphOptions, ModelFile, ModelKind, Precision, export_classifier,
    sidecar_path, verify, weights_from_onnx,
};
use genas_net::{EvalNet, NetworkKind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The description beside the file holds the metadata, number for number, and the ports.
fn check_sidecar(path: &Path, metadata: &BTreeMap<String, String>, report: &ExportReport) {
    assert_eq!(report.sidecar, sidecar_path(path));
    let mut sidecar: Map<String, Value> =
        serde_json::from_slice(&fs::read(&report.sidecar).unwrap()).unwrap();
    for (key, text) in metadata {
        let value = sidecar.remove(key).unwrap_or_else(|| panic!("{key}"));
        let same = value == json!(text) || serde_json::from_str::<Value>(text).is_ok_and(|v| v == value);
        assert!(same, "{key}: {text} and {value}");
        assert_eq!(value.is_string(), !crate::sidecar::JSON_KEYS.contains(&key.as_str()), "{key}");
    }
    let beside = json!({
        "onnx": path.file_name().unwrap().to_str(),
        "inputs": report.inputs,
        "outputs": report.outputs,
        "max_abs_error": report.max_abs_error,
        "bytes": report.bytes,
    });
    assert_eq!(Value::Object(sidecar), beside);
}

#[test]
fn an_exported_file_describes_itself_and_gives_its_weights_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("export/model.onnx");
    let net = EvalNet { auxiliary: true, ..eval_net(NetworkKind::Cifar, 4, 3) };
    let held = weights(net.layout(), 0);
    let info = info(&net);
    let mut options = GraphOptions::square(info.input_size);
    options.metadata.insert("note".to_owned(), "by the caller".to_owned());
    let report = export_classifier(&path, &net, &held, &info, &options).unwrap();
    assert_eq!((report.onnx.as_path(), report.opset), (path.as_path(), 17));
    assert_eq!(report.bytes, fs::metadata(&path).unwrap().len());
    assert_eq!(report.inputs[0].shape, [None, Some(3), Some(32), Some(32)]);
    assert_eq!(report.outputs[0].shape, [None, Some(7)]);

    let file = ModelFile::read(&path).unwrap();
    let without_head = EvalNet { auxiliary: false, ..net.clone() };
    assert_eq!(
        (file.info.clone(), file.network, file.folded),
        (info.clone(), Some(without_head.clone()), false)
    );
    assert_eq!(file.metadata["note"], "by the caller");
    assert_eq!(file.metadata["parity_max_abs_error"].parse::<f32>().unwrap(), report.max_abs_error);
    assert_eq!(file.metadata["genotype"].parse(), Ok(net.genotype.clone()));
    assert_eq!(file.metadata["opset"], "17");
    assert_eq!((file.kind, file.precision), (ModelKind::Classifier, Precision::Fp32));
    check_sidecar(&path, &file.metadata, &report);
    let mut session = verify::open_file(&path).unwrap();
    assert_eq!(session.metadata().unwrap(), file.metadata);
    session.run_f32(&[0.0; 3 * 32 * 32], &[1, 3, 32, 32]).unwrap();

    let (read, read_net, read_info) = weights_from_onnx(&path).unwrap();
    assert_eq!((read_net, read_info), (without_head, info));
    assert!(read.layout().entries().len() < held.layout().entries().len());
    for entry in read.layout().entries() {
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(Some(bits(read.slice(entry))), held.get(&entry.name).map(bits), "{}", entry.name);
    }
    assert!(verify(&path, Some(&held)).unwrap().holds());
    assert_eq!(verify(&path, None).unwrap().max_abs_error(), report.max_abs_error);
}

#[test]
fn a_folded_file_does_not_give_its_weights_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("folded.onnx");
    let net = eval_net(NetworkKind::ImageNet, 3, 4);
    let (held, mut info) = (weights(net.layout(), 0), info(&net));
    info.input_size = 64;
    let options = GraphOptions { fold_bn: true, batch: Dim::Fixed(1), ..GraphOptions::square(64) };
    export_classifier(&path, &net, &held, &info, &options).unwrap();
    for error in [weights_from_onnx(&path).map(|_| ()).unwrap_err(), verify(&path, None).unwrap_err()] {
        assert!(matches!(error, ExportError::Folded { .. }));
        assert!(error.to_string().contains("folded.onnx: BatchNorm is folded"), "{error}");
        assert!(error.to_string().contains("export without --fold-bn"), "{error}");
    }
    assert!(verify(&path, Some(&held)).unwrap().holds());

    let other = weights(net.layout(), 1);
    let error = verify(&path, Some(&other)).unwrap_err();
    assert!(matches!(error, ExportError::Parity { .. }), "{error}");
    assert!(error.to_string().contains("folded.onnx"), "{error}");
    let wide = EvalNet { channels: 16, ..net };
    let error = verify(&path, Some(&weights(wide.layout(), 1))).unwrap_err();
    assert!(matches!(error, ExportError::WeightShape { .. }), "{error}");
}

#[test]
fn weights_that_are_not_finite_are_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broken.onnx");
    let net = eval_net(NetworkKind::Cifar, 3, 4);
    let mut held = weights(net.layout(), 0);
    held.parameters_mut()[0] = f32::NAN;
    let error = export_classifier(&path, &net, &held, &info(&net), &GraphOptions::square(32)).unwrap_err();
    assert!(error.to_string().contains("broken.onnx"), "{error}");
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
}

#[test]
fn information_that_cannot_be_true_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    let net = eval_net(NetworkKind::Cifar, 3, 4);
    let held = weights(net.layout(), 0);
    let refuse = |info: &crate::ModelInfo, part: &str| {
        let error = export_classifier(&path, &net, &held, info, &GraphOptions::square(32)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    let good = info(&net);
    refuse(&crate::ModelInfo { class_names: vec![], ..good.clone() }, "0 class names");
    refuse(&crate::ModelInfo { std: [1.0, 0.0, 1.0], ..good.clone() }, "std");
    refuse(&crate::ModelInfo { input_size: 64, ..good }, "input size 64");
    assert!(!path.exists());
}

#[test]
fn files_of_another_kind_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("text.onnx");
    for bytes in [b"Lorem ipsum dolor sit amet".as_slice(), b"", b"\x08\x08"] {
        fs::write(&path, bytes).unwrap();
        for error in [
            weights_from_onnx(&path).map(|_| ()).unwrap_err(),
            ModelFile::read(&path).map(|_| ()).unwrap_err(),
            verify(&path, None).map(|_| ()).unwrap_err(),
        ] {
            assert!(error.to_string().contains("text.onnx: not an ONNX model"), "{error}");
        }
    }
    let error = weights_from_onnx(&directory.path().join("none.onnx")).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("none.onnx: cannot read"), "{error}");

    let net = eval_net(NetworkKind::Cifar, 3, 4);
    let foreign =
        crate::classifier_model(&net, &weights(net.layout(), 0), &GraphOptions::square(32)).unwrap();
    fs::write(&path, foreign).unwrap();
    let error = ModelFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("text.onnx: the model's metadata has no `class_names`"), "{error}");
}

#[test]
fn an_export_is_the_same_twice_and_leaves_foreign_files_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    let net = eval_net(NetworkKind::Cifar, 3, 5);
    let (held, info) = (weights(net.layout(), 0), info(&net));
    let export = || export_classifier(&path, &net, &held, &info, &GraphOptions::square(32));
    let both = || [fs::read(&path).unwrap(), fs::read(sidecar_path(&path)).unwrap()];
    export().unwrap();
    let first = both();
    export().unwrap();
    assert!(first == both());

    fs::write(sidecar_path(&path), "{\"genotype\": 1}").unwrap();
    let error = export().unwrap_err();
    assert!(error.to_string().contains("model.json is in the way"), "{error}");
    assert!(first[0] == fs::read(&path).unwrap());
    assert_eq!(sidecar_path(Path::new("a/m.json")), Path::new("a/m.json.json"));
}
