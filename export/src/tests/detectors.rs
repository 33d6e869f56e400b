//! Detectors: numbers, anchors, what is in the graph, files that are mixed up.

use super::samples::{eval_net, images, info, weights};
use crate::detector::anchors_by_hand;
use crate::metadata::read_model;
use crate::proto::{DataType, ModelProto};
use crate::verify::{open_bytes, open_file};
use crate::{
    Detection, DetectorForm, DetectorInfo, Dim, ExportError, ExportOptions, Features, GraphOptions,
    ModelFile, ModelKind, Precision, detector_from_onnx, detector_model, export_classifier, export_detector,
    export_model, verify_detector, weights_from_onnx,
};
use genas_net::{NetworkKind, RetinaNet};
use prost::Message;
use std::collections::HashSet;
use std::path::Path;

const FORMS: [DetectorForm; 2] = [DetectorForm::Raw, DetectorForm::EndToEnd];

fn detector(seed: u64) -> RetinaNet {
    let backbone = eval_net(NetworkKind::ImageNet, 3, seed);
    RetinaNet {
        backbone,
        relu_features: false,
        batch_norm: false,
        channels: 8,
        head_convolutions: 2,
        anchors: 6,
        classes: 5,
    }
}

/// Anchors of two scales and three shapes, as in training, and of no round numbers.
fn detection() -> Detection {
    let boxes = |size: f64| {
        [1.0, 2f64.powf(1.0 / 3.0)]
            .into_iter()
            .flat_map(|scale| [0.5, 1.0, 2.0].map(|ratio: f64| (size * scale, ratio)))
            .map(|(side, ratio)| {
                let width = side / ratio.sqrt();
                [-width / 2.0, -width * ratio / 2.0, width / 2.0, width * ratio / 2.0].map(|v| v as f32)
            })
            .collect()
    };
    Detection {
        strides: RetinaNet::STRIDES.to_vec(),
        anchors: [32.0, 64.0, 128.0, 256.0, 512.0].map(boxes).to_vec(),
        offset: 0.0,
        box_weights: [1.0; 4],
        max_scale: 62.5,
        score_above: 0.05,
        top_per_level: 1000,
        nms_iou: 0.5,
        max_detections: 100,
        shorter_side: 800,
        longer_side: 1333,
        divisor: 32,
    }
}

fn about(net: &RetinaNet) -> DetectorInfo {
    DetectorInfo {
        class_names: (0..net.classes).map(|n| format!("class \"{n}\", é")).collect(),
        category_ids: (0..net.classes as i64).map(|n| 2 * n + 1).collect(),
        mean: [0.485, 0.456, 0.1],
        std: [0.229, 0.224, 0.3],
        detection: detection(),
        training_data: "random numbers".to_owned(),
        source_run: "runs/a test".to_owned(),
    }
}

fn fixed(batch: usize, height: usize, width: usize) -> GraphOptions {
    let [batch, height, width] = [batch, height, width].map(Dim::Fixed);
    GraphOptions { batch, height, width, ..GraphOptions::any_size() }
}

fn export(path: &Path, net: &RetinaNet, form: DetectorForm, options: &GraphOptions) -> crate::ExportReport {
    export_detector(path, net, &weights(net.layout(), 1), &about(net), form, options).unwrap()
}

#[test]
fn files_of_both_forms_are_burns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("detector.onnx");
    let net = detector(3);
    for (opset, fold_bn, size) in
        [(13, false, None), (17, true, None), (21, false, None), (13, true, Some(1)), (21, false, Some(2))]
    {
        for form in FORMS {
            let options = size.map_or_else(GraphOptions::any_size, |batch| fixed(batch, 96, 128));
            let options = GraphOptions { opset, fold_bn, ..options };
            let report = export(&path, &net, form, &options);
            let what = format!("opset {opset} folded {fold_bn} {size:?} {form:?}: {report:?}");
            assert!(report.max_abs_error < 1e-3 && report.opset == opset, "{what}");
            let names: Vec<_> = report.outputs.iter().map(|port| port.name.as_str()).collect();
            match form {
                DetectorForm::Raw => {
                    let all =
                        (3..8).flat_map(|l| ["logits", "deltas", "anchors"].map(|n| format!("{n}_p{l}")));
                    assert_eq!(names, all.collect::<Vec<_>>());
                    let rows = size.map(|_| 12 * 16 * 6);
                    assert_eq!(report.outputs[0].shape, [size, rows, Some(5)], "{what}");
                    assert_eq!(report.outputs[2].shape, [rows, Some(4)], "{what}");
                }
                DetectorForm::EndToEnd => {
                    assert_eq!(names, ["boxes", "scores", "labels", "batch_index"]);
                    assert_eq!(report.outputs[0].shape, [None, Some(4)], "{what}");
                    let types: Vec<_> = report.outputs.iter().map(|port| port.dtype.to_string()).collect();
                    assert_eq!(types, ["float32", "float32", "int64", "int64"]);
                }
            }
            assert_eq!(verify_detector(&path, None).is_ok(), !fold_bn, "{what}");
            assert!(verify_detector(&path, Some(&weights(net.layout(), 1))).unwrap().holds());
            let error = verify_detector(&path, Some(&weights(net.layout(), 2))).unwrap_err();
            assert!(matches!(error, ExportError::Parity { .. }), "{error}");
        }
    }
}

#[test]
fn anchors_are_those_of_training_to_the_last_bit() {
    let net = detector(4);
    let held = weights(net.layout(), 1);
    for offset in [0.0, 0.5] {
        let mut about = about(&net);
        about.detection.offset = offset;
        let model =
            detector_model(&net, &held, &about, DetectorForm::Raw, &GraphOptions::any_size()).unwrap();
        let mut session = open_bytes(&model).unwrap();
        for shape in [[1, 3, 64, 96], [2, 3, 160, 32]] {
            let found = session.run_f32(&images(shape, 2), &shape).unwrap();
            for (level, size) in RetinaNet::level_sizes([shape[2], shape[3]]).into_iter().enumerate() {
                let anchors = &found[3 * level + 2];
                assert_eq!(
                    anchors.values,
                    anchors_by_hand(&about.detection, level, size),
                    "{}",
                    anchors.name
                );
                assert_eq!(found[3 * level].shape, [shape[0], size[0] * size[1] * net.anchors, net.classes]);
            }
        }
    }
}

#[test]
fn images_of_any_size_are_filled_up() {
    let net = detector(5);
    let held = weights(net.layout(), 1);
    for opset in [13, 21] {
        let options = GraphOptions { opset, ..GraphOptions::any_size() };
        let bytes = detector_model(&net, &held, &about(&net), DetectorForm::Raw, &options).unwrap();
        let mut session = open_bytes(&bytes).unwrap();
        for [height, width] in [[70usize, 45usize], [96, 33], [31, 128], [64, 96]] {
            let shape = [2, 3, height, width];
            let filled = [2, 3, height.next_multiple_of(32), width.next_multiple_of(32)];
            let small = images(shape, 2);
            let mut large = vec![0.0; filled.iter().product()];
            for (row, pixels) in small.chunks_exact(width).enumerate() {
                let at = (row / height * filled[2] + row % height) * filled[3];
                large[at..at + width].copy_from_slice(pixels);
            }
            let [of_small, of_large] = [(&small, shape), (&large, filled)]
                .map(|(images, shape)| session.run_f32(images, &shape).unwrap());
            assert_eq!(of_small.len(), 15);
            for (a, b) in of_small.iter().zip(&of_large) {
                assert_eq!(
                    (&a.shape, &a.values),
                    (&b.shape, &b.values),
                    "opset {opset} {shape:?} {}",
                    a.name
                );
            }
        }
    }
}

#[test]
fn a_detector_comes_back_bit_for_bit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("detector.onnx");
    for (seed, form) in [(5, DetectorForm::Raw), (6, DetectorForm::EndToEnd)] {
        let mut net = detector(seed);
        net.backbone.auxiliary = seed == 6;
        let original = weights(net.layout(), 1);
        export(&path, &net, form, &GraphOptions::any_size());
        let (held, read_net, read_about) = detector_from_onnx(&path).unwrap();
        net.backbone.auxiliary = false;
        assert_eq!(read_net, net);
        assert_eq!(read_about, about(&net));
        assert_eq!(held.layout().entries(), net.layout().entries());
        assert_eq!((held.parameters(), held.buffers()), (original.parameters(), original.buffers()));

        let metadata = open_file(&path).unwrap().metadata().unwrap();
        assert_eq!(DetectorInfo::from_metadata(&metadata).unwrap(), about(&net));
        assert_eq!((metadata["kind"].as_str(), metadata["form"].as_str()), ("detector", form.name()));
        let sidecar: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        assert_eq!(sidecar["detection"]["score_above"], 0.05);
        assert_eq!(sidecar["detector"]["classes"], 5);
        assert_eq!(sidecar["category_ids"][2], 5);
        assert_eq!(sidecar["form"], form.name());
    }
}

#[test]
fn mixed_up_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    let net = detector(7);
    export(&path, &net, DetectorForm::Raw, &GraphOptions::any_size());
    for error in [
        weights_from_onnx(&path).map(drop),
        ModelFile::read(&path).map(drop),
        crate::verify(&path, None).map(drop),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("model.onnx: it is a detector"), "{error}");
    }
    export(&path, &net, DetectorForm::EndToEnd, &GraphOptions { fold_bn: true, ..GraphOptions::any_size() });
    let error = detector_from_onnx(&path).unwrap_err();
    assert!(matches!(error, ExportError::Folded { .. }), "{error}");

    let net = eval_net(NetworkKind::ImageNet, 3, 0);
    let (held, info) = (weights(net.layout(), 1), crate::ModelInfo { input_size: 64, ..info(&net) });
    export_classifier(&path, &net, &held, &info, &GraphOptions::square(64)).unwrap();
    let error = detector_from_onnx(&path).unwrap_err().to_string();
    assert!(error.contains("it is no detector but a classifier"), "{error}");
    let backbone = ModelKind::Backbone(Features::Raw);
    let options = ExportOptions::new(backbone, Precision::Fp32, GraphOptions::square(64));
    export_model(&path, &net, &held, &info, &options).unwrap();
    for error in [detector_from_onnx(&path).map(drop), verify_detector(&path, None).map(drop)] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("it is no detector but a backbone"), "{error}");
    }
}

#[test]
fn what_contradicts_the_network_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("detector.onnx");
    let net = detector(8);
    let held = weights(net.layout(), 1);
    type Change = fn(&mut DetectorInfo, &mut GraphOptions);
    let cases: [(&str, Change); 9] = [
        ("4 class names and 5 category ids", |info, _| drop(info.class_names.pop())),
        ("6 category ids", |info, _| info.category_ids.push(9)),
        ("cannot normalise", |info, _| info.std[1] = 0.0),
        ("a level has 5 anchors", |info, _| info.detection.anchors[2].truncate(5)),
        ("the network's levels have the strides", |info, _| info.detection.strides[0] = 4),
        ("no multiple of 32", |info, _| info.detection.divisor = 16),
        ("finite numbers", |info, _| info.detection.box_weights[3] = 0.0),
        ("between 0 and 1", |info, _| info.detection.score_above = -0.1),
        ("height is fixed to 100", |_, options| options.height = Dim::Fixed(100)),
    ];
    for (part, change) in cases {
        let (mut about, mut options) = (about(&net), GraphOptions::any_size());
        change(&mut about, &mut options);
        let error = export_detector(&path, &net, &held, &about, DetectorForm::Raw, &options).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let wide = RetinaNet { channels: 16, ..net.clone() };
    let (about, options) = (about(&net), GraphOptions::any_size());
    let error = export_detector(&path, &wide, &held, &about, DetectorForm::Raw, &options).unwrap_err();
    assert!(matches!(error, ExportError::WeightShape { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn nodes_have_readable_names_and_nothing_is_written_twice() {
    let net = detector(9);
    let model = |form| {
        detector_model(&net, &weights(net.layout(), 1), &about(&net), form, &GraphOptions::any_size())
            .unwrap()
    };
    for form in FORMS {
        assert_eq!(model(form), model(form));
        let graph = ModelProto::decode(model(form).as_slice()).unwrap().graph.unwrap();
        let nodes: HashSet<&str> = graph.node.iter().map(|n| n.name.as_str()).collect();
        let initializers: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        assert_eq!((nodes.len(), initializers.len()), (graph.node.len(), graph.initializer.len()));
        let mut known: HashSet<&str> = initializers.iter().copied().chain(["input", ""]).collect();
        for node in &graph.node {
            assert!(node.input.iter().all(|i| known.contains(i.as_str())), "{}: {:?}", node.name, node.input);
            assert!(node.output.iter().all(|o| known.insert(o)), "{}: {:?}", node.name, node.output);
        }
        let objects = form == DetectorForm::EndToEnd;
        for (name, expected) in [
            ("/head/classes/conv0_4", true),
            ("/detect/p3/anchors/range", false),
            ("/detect/p3/anchors/y/range", true),
            ("/detect/p7/top/top_k", objects),
            ("/detect/decode/scale", objects),
            ("/detect/suppress/nms", objects),
        ] {
            assert_eq!(nodes.contains(name), expected, "{name}");
        }
        let integers = graph.output.iter().filter(|output| {
            let tensor = output.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
            tensor.is_some_and(|t| t.elem_type == DataType::Int64 as i32)
        });
        assert_eq!(integers.count(), if objects { 2 } else { 0 });
    }
}

/// Files of the published cell for `tests/onnxruntime_detector.py`, where the variable names a folder.
#[test]
fn files_for_python() {
    let Some(directory) = std::env::var_os("GENAS_DETECTORS") else { return };
    let genotype = genas_space::zoo::find("DARTS_V2").unwrap().genotype();
    let mut net = detector(0);
    net.backbone = genas_net::EvalNet { genotype, channels: 16, layers: 14, ..net.backbone };
    (net.channels, net.head_convolutions, net.anchors, net.classes) = (256, 4, 6, 80);
    let mut held = weights(net.layout(), 1);
    // Scores that differ, and boxes that move.
    let layout = held.layout().clone();
    for entry in layout.entries() {
        let (factor, shift) = match entry.name.as_str() {
            "head.classes.output.weight" => (60.0, 0.0),
            "head.classes.output.bias" => (1.0, -4.0),
            "head.boxes.output.weight" => (10.0, 0.0),
            _ => continue,
        };
        held.slice_mut(entry).iter_mut().for_each(|v| *v = *v * factor + shift);
    }
    for (opset, fold_bn) in [(13, false), (17, true), (21, true)] {
        for form in FORMS {
            let options = GraphOptions { opset, fold_bn, ..GraphOptions::any_size() };
            let path = Path::new(&directory).join(format!("{}-{opset}.onnx", form.name()));
            let report = export_detector(&path, &net, &held, &about(&net), form, &options).unwrap();
            println!("{}: {:e}", path.display(), report.max_abs_error);
            let model = read_model(&path).unwrap();
            assert_eq!(model.opset_import[0].version, opset);
        }
    }
}
