//! Segmenters: burn's numbers at any size, in every operator set and at every output stride; labels; files that come back,
//! and files that are mixed up.

use super::samples::{burn_values, candidate, eval_net, images, info, parity, weights};
use crate::metadata::read_model;
use crate::proto::ModelProto;
use crate::verify::{open_bytes, open_file};
use crate::{
    Dim, ExportError, GraphOptions, ModelFile, OnnxGraph, Segmentation, SegmenterForm, SegmenterInfo,
    SlidingWindow, detector_from_onnx, export_classifier, export_segmenter, is_detector, is_segmenter,
    segmenter_from_onnx, segmenter_model, verify_detector, verify_segmenter, weights_from_onnx,
};
use genas_net::{AuxiliaryHead, DeepLabV3, Dilation, EvalNet, Layout, NetworkKind, Probability, Weights};
use genas_runtime::{Output, Values};
use genas_space::{Streams, parse_cell};
use prost::Message;
use std::path::Path;
use std::sync::Arc;

const FORMS: [SegmenterForm; 2] = [SegmenterForm::Logits, SegmenterForm::Labels];

fn segmenter(output_stride: usize, exact_dilation: bool) -> DeepLabV3 {
    DeepLabV3 {
        backbone: eval_net(NetworkKind::ImageNet, 5, 3),
        output_stride,
        exact_dilation,
        relu_features: false,
        channels: 6,
        rates: vec![2, 4, 6],
        classes: 5,
        auxiliary: Some(AuxiliaryHead { channels: 4 }),
        dropout: Probability::new(0.1).unwrap(),
        align_corners: false,
    }
}

/// The graph at two sizes against burn; both the logits of the map and those of the image.
fn check(net: &DeepLabV3, opset: i64, fold_bn: bool) {
    let weights = weights(net.layout(), 1);
    let options = GraphOptions { opset, fold_bn, ..GraphOptions::any_size() };
    let (mut graph, x) = OnnxGraph::new("segmenter", &weights, &options);
    let (map, auxiliary) = net.forward(&mut graph, &x);
    let logits = net.resize(&mut graph, &map, &x);
    let outputs = [("map", map), ("auxiliary", auxiliary.unwrap()), ("logits", logits)];
    let bytes = graph.finish_bytes(&outputs).unwrap();
    let mut session = open_bytes(&bytes).unwrap();
    // The last is no multiple of any stride, as crops of 769 pixels are not.
    for shape in [[1, 3, 64, 96], [2, 3, 128, 64], [1, 3, 97, 65]] {
        let images = images(shape, 4);
        let expected = burn_values(&weights, &images, shape, |i, x| {
            let (map, auxiliary) = net.forward(i, x);
            let logits = net.resize(i, &map, x);
            vec![map, auxiliary.unwrap(), logits]
        });
        let found = session.run_f32(&images, &shape).unwrap();
        assert_eq!(found.len(), 3);
        for (found, expected) in found.iter().zip(&expected) {
            let parity = parity(&found.values, expected);
            let what = format!(
                "opset {opset} folded {fold_bn} {} {} {shape:?} {}: {parity:?}",
                net.output_stride, net.exact_dilation, found.name
            );
            assert!(parity.holds(), "{what}");
        }
        assert_eq!(found[2].shape, [shape[0], 5, shape[2], shape[3]]);
    }
}

#[test]
fn segmenters_as_graphs_are_burns() {
    for output_stride in Dilation::OUTPUT_STRIDES {
        for exact in [true, false] {
            check(&segmenter(output_stride, exact), 17, false);
        }
        check(&segmenter(output_stride, true), 13, true);
        check(&DeepLabV3 { align_corners: true, ..segmenter(output_stride, true) }, 21, false);
    }
}

#[test]
fn every_operation_is_dilated_as_burn_dilates_it() {
    // Pools, FactorizedReduces and the separable convolutions from inputs and from nodes.
    let cells = [
        "normal: mp(0) ap(1) | ap(1) mp(2) | d3(0) ap(3); reduce: sk(0) ap(1) | mp(0) sk(2) | ap(2) d5(1)",
        "normal: s5(0) d5(1) | s3(2) mp(0); reduce: mp(0) sk(1) | s5(1) d3(2)",
    ];
    let parsed = cells.iter().map(|cell| parse_cell(cell).unwrap());
    let genotypes: Vec<_> = parsed.chain((0..3).map(|seed| candidate(seed).genotype())).collect();
    for (n, genotype) in genotypes.into_iter().enumerate() {
        let mut net = segmenter(8, n % 2 == 0);
        net.backbone = EvalNet { genotype, ..net.backbone };
        check(&net, [13, 17, 21][n % 3], n % 2 == 1);
    }
}

fn about(net: &DeepLabV3) -> SegmenterInfo {
    SegmenterInfo {
        class_names: (0..net.classes).map(|n| format!("class \"{n}\", é")).collect(),
        label_ids: (0..net.classes as u8).map(|n| 3 * n + 7).collect(),
        colors: (0..net.classes as u8).map(|n| [n, 128, 255 - n]).collect(),
        class_table: "ignore = [255]\n".to_owned(),
        mean: [0.485, 0.456, 0.1],
        std: [0.229, 0.224, 0.3],
        segmentation: Segmentation {
            within: Some([128, 64]),
            window: Some(SlidingWindow { crop: [65, 33], stride: [43, 22] }),
            divisor: 1,
        },
        training_data: "random numbers".to_owned(),
        source_run: "runs/a test".to_owned(),
    }
}

fn fixed(batch: usize, height: usize, width: usize) -> GraphOptions {
    let [batch, height, width] = [batch, height, width].map(Dim::Fixed);
    GraphOptions { batch, height, width, ..GraphOptions::any_size() }
}

/// Of a layout, the values that other weights have for the same entries.
fn part_of(all: &Weights, layout: Layout) -> Weights {
    let mut part = Weights::neutral(Arc::new(layout));
    for entry in part.layout().clone().entries() {
        let held = all.slice(all.layout().get(&entry.name).unwrap()).to_vec();
        part.slice_mut(entry).copy_from_slice(&held);
    }
    part
}

#[test]
fn files_of_both_forms_are_burns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("segmenter.onnx");
    for (n, (opset, fold_bn, size)) in
        [(13, false, None), (17, true, None), (21, false, None), (13, true, Some(1)), (21, false, Some(2))]
            .into_iter()
            .enumerate()
    {
        let net = segmenter([8, 16, 32][n % 3], n % 2 == 0);
        let held = weights(net.layout(), 1);
        for form in FORMS {
            let options = size.map_or_else(GraphOptions::any_size, |batch| fixed(batch, 65, 97));
            let options = GraphOptions { opset, fold_bn, ..options };
            let report = export_segmenter(&path, &net, &held, &about(&net), form, &options).unwrap();
            let what = format!("opset {opset} folded {fold_bn} {size:?} {form:?}: {report:?}");
            assert!(report.max_abs_error < 1e-3 && report.opset == opset, "{what}");
            let [output] = report.outputs.as_slice() else { panic!("{what}") };
            let [height, width] = [65, 97].map(|side| size.map(|_| side));
            let (shape, elements) = match form {
                SegmenterForm::Logits => (vec![size, Some(net.classes), height, width], "float32"),
                SegmenterForm::Labels => (vec![size, height, width], "int64"),
            };
            assert_eq!(
                (output.name.as_str(), &output.shape, output.dtype.to_string().as_str()),
                (form.name(), &shape, elements),
                "{what}"
            );
            let parity = verify_segmenter(&path, Some(&held)).unwrap();
            assert_eq!(parity.outputs.len(), if size.is_some() { 1 } else { 2 }, "{what}");
            assert!(parity.outputs.iter().all(|output| output.output == "logits"), "{what}");
            assert_eq!(verify_segmenter(&path, None).is_ok(), !fold_bn, "{what}");
            let error = verify_segmenter(&path, Some(&weights(net.layout(), 2))).unwrap_err();
            assert!(matches!(error, ExportError::Parity { .. }), "{error}");
        }
    }
}

/// The class of the largest number at each pixel; of equal ones the lower.
fn largest(logits: &Output) -> Vec<i64> {
    let (classes, pixels) = (logits.shape[1], logits.shape[2] * logits.shape[3]);
    let image = |image: &[f32]| {
        let best = |pixel: usize| {
            (1..classes).fold(0, |best, class| {
                let higher = image[class * pixels + pixel] > image[best * pixels + pixel];
                if higher { class } else { best }
            })
        };
        (0..pixels).map(|pixel| best(pixel) as i64).collect::<Vec<_>>()
    };
    logits.values.chunks_exact(classes * pixels).flat_map(image).collect()
}

#[test]
fn labels_are_the_classes_of_the_largest_logits() {
    let net = segmenter(8, true);
    let mut held = weights(net.layout(), 5);
    let mut counts = [0; 5];
    for equal in [false, true] {
        if equal {
            // All classes after the second are the second again: of equal logits the lower class.
            let layout = held.layout().clone();
            let classifier = layout.entries().iter().filter(|e| e.name.starts_with("head.classifier."));
            for entry in classifier {
                let values = held.slice_mut(entry);
                let each = values.len() / net.classes;
                for class in 2..net.classes {
                    values.copy_within(each..2 * each, class * each);
                }
            }
        }
        for opset in [13, 21] {
            let options = GraphOptions { opset, ..GraphOptions::any_size() };
            let [mut logits, mut labels] = FORMS.map(|form| {
                open_bytes(&segmenter_model(&net, &held, &about(&net), form, &options).unwrap()).unwrap()
            });
            for shape in [[1, 3, 64, 96], [2, 3, 33, 65]] {
                let images = images(shape, 9);
                let expected = largest(&logits.run_f32(&images, &shape).unwrap()[0]);
                let found = labels.run_typed(&images, &shape).unwrap();
                assert_eq!(found[0].shape, [shape[0], shape[2], shape[3]]);
                let Values::I64(found) = &found[0].values else { panic!("{found:?}") };
                assert_eq!(found, &expected, "{shape:?}");
                if equal {
                    assert!(found.iter().all(|&class| class < 2) && found.contains(&1));
                } else {
                    found.iter().for_each(|&class| counts[class as usize] += 1);
                }
            }
        }
    }
    // A comparison of pictures of one class would say little.
    assert!(counts.iter().filter(|&&count| count > 100).count() > 2, "{counts:?}");
}

#[test]
fn a_segmenter_comes_back_without_its_auxiliary_head() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("segmenter.onnx");
    for (output_stride, form) in [(8, FORMS[0]), (16, FORMS[1])] {
        let net = DeepLabV3 { align_corners: output_stride == 16, ..segmenter(output_stride, true) };
        let trained = weights(net.layout(), 1);
        let options = GraphOptions::any_size();
        export_segmenter(&path, &net, &trained, &about(&net), form, &options).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (held, read_net, read_about) = segmenter_from_onnx(&path).unwrap();
        assert_eq!(read_net, net.without_auxiliary());
        assert_eq!(read_about, about(&net));
        let expected = part_of(&trained, read_net.layout());
        assert_eq!(held.layout().entries(), expected.layout().entries());
        assert_eq!((held.parameters(), held.buffers()), (expected.parameters(), expected.buffers()));
        let initializers = read_model(&path).unwrap().graph.unwrap().initializer;
        assert!(initializers.iter().all(|tensor| !tensor.name.starts_with("auxiliary")));

        // What was read gives the same file, whether the network says that it has the head or not.
        for net in [&net, &read_net] {
            export_segmenter(&path, net, &held, &about(net), form, &options).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }

        assert!(is_segmenter(&path).unwrap() && !is_detector(&path).unwrap());
        let metadata = open_file(&path).unwrap().metadata().unwrap();
        assert_eq!(SegmenterInfo::from_metadata(&metadata).unwrap(), about(&net));
        assert_eq!((metadata["kind"].as_str(), metadata["form"].as_str()), ("segmenter", form.name()));
        let sidecar: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        assert_eq!(sidecar["segmentation"]["window"]["stride"], serde_json::json!([43, 22]));
        assert_eq!(sidecar["segmenter"]["output-stride"], output_stride);
        assert_eq!(sidecar["segmenter"]["auxiliary"], serde_json::Value::Null);
        assert_eq!((&sidecar["label_ids"][2], &sidecar["colors"][4][2]), (&13.into(), &251.into()));
        assert_eq!(sidecar["form"], form.name());
    }
}

#[test]
fn what_stands_beside_trained_weights_is_read_with_what_else_stands_there() {
    let about = about(&segmenter(8, true));
    let mut json = serde_json::to_value(&about).unwrap();
    json["backbone"] = "imagenet.onnx".into();
    json["segmentation"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(serde_json::from_value::<SegmenterInfo>(json).unwrap(), about);
}

#[test]
fn mixed_up_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    let net = segmenter(8, false);
    let held = weights(net.layout(), 1);
    let options = GraphOptions { fold_bn: true, ..GraphOptions::any_size() };
    export_segmenter(&path, &net, &held, &about(&net), SegmenterForm::Labels, &options).unwrap();
    for error in [
        weights_from_onnx(&path).map(drop),
        ModelFile::read(&path).map(drop),
        crate::verify(&path, None).map(drop),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("model.onnx: it is a segmenter"), "{error}");
    }
    for error in [detector_from_onnx(&path).map(drop), verify_detector(&path, None).map(drop)] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("it is no detector but a segmenter"), "{error}");
    }
    for error in [segmenter_from_onnx(&path).map(drop), verify_segmenter(&path, None).map(drop)] {
        let error = error.unwrap_err();
        assert!(matches!(error, ExportError::Folded { .. }), "{error}");
    }

    let net = eval_net(NetworkKind::ImageNet, 3, 0);
    let (held, info) = (weights(net.layout(), 1), crate::ModelInfo { input_size: 64, ..info(&net) });
    export_classifier(&path, &net, &held, &info, &GraphOptions::square(64)).unwrap();
    for error in [segmenter_from_onnx(&path).map(drop), verify_segmenter(&path, None).map(drop)] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("model.onnx: it is no segmenter but a classifier"), "{error}");
    }
    assert!(!is_segmenter(&path).unwrap());
}

#[test]
fn a_changed_description_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    let net = segmenter(16, true);
    let held = weights(net.layout(), 1);
    let model =
        segmenter_model(&net, &held, &about(&net), SegmenterForm::Logits, &GraphOptions::any_size()).unwrap();
    let network = serde_json::to_string(&net.without_auxiliary()).unwrap();
    for (key, value, part) in [
        ("segmenter", network.replace(r#""output-stride":16"#, r#""output-stride":4"#), "8, 16 or 32"),
        ("segmenter", network.replace(r#""channels":6"#, r#""channels":12"#), "head."),
        ("label_ids", "[1, 2, 3, 4, 256]".to_owned(), "`label_ids` cannot be read"),
        ("colors", "[]".to_owned(), "0 colors"),
        ("precision", "fp16".to_owned(), "segmenters are in fp32 only"),
    ] {
        let mut changed = ModelProto::decode(model.as_slice()).unwrap();
        changed.metadata_props.iter_mut().find(|entry| entry.key == key).unwrap().value = value;
        std::fs::write(&path, changed.encode_to_vec()).unwrap();
        let error = segmenter_from_onnx(&path).unwrap_err().to_string();
        assert!(error.contains("model.onnx") && error.contains(part), "{key}: {error}");
    }
}

#[test]
fn what_contradicts_the_network_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("segmenter.onnx");
    let net = segmenter(8, true);
    let held = weights(net.layout(), 1);
    type Change = fn(&mut SegmenterInfo, &mut GraphOptions);
    fn window(info: &mut SegmenterInfo) -> &mut SlidingWindow {
        info.segmentation.window.as_mut().unwrap()
    }
    let cases: [(&str, Change); 14] = [
        ("4 class names, 5 label ids and 5 colors", |info, _| drop(info.class_names.pop())),
        ("6 label ids", |info, _| info.label_ids.push(99)),
        ("4 colors", |info, _| info.colors.truncate(4)),
        ("label id 7 belongs to two classes", |info, _| info.label_ids[3] = 7),
        ("cannot normalise", |info, _| info.std[1] = 0.0),
        ("divisor of the input's sides is 0", |info, _| info.segmentation.divisor = 0),
        ("fits into 128x0", |info, _| info.segmentation.within = Some([128, 0])),
        ("windows of 0x33", |info, _| window(info).crop[0] = 0),
        ("every 43x0", |info, _| window(info).stride[1] = 0),
        ("every 66x22", |info, _| window(info).stride[0] = 66),
        ("height is fixed to 100", |info, options| {
            info.segmentation.divisor = 32;
            options.height = Dim::Fixed(100);
        }),
        ("height is fixed to 0", |info, options| {
            info.segmentation = Segmentation { within: None, window: None, divisor: 1 };
            options.height = Dim::Fixed(0);
        }),
        ("width is fixed to 64, but windows have 65", |_, options| options.width = Dim::Fixed(64)),
        ("height is fixed to 63, but pictures have up to 64", |info, options| {
            info.segmentation.window = None;
            options.height = Dim::Fixed(63);
        }),
    ];
    for (part, change) in cases {
        let (mut about, mut options) = (about(&net), GraphOptions::any_size());
        change(&mut about, &mut options);
        let error =
            export_segmenter(&path, &net, &held, &about, SegmenterForm::Logits, &options).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let (about, options) = (about(&net), GraphOptions::any_size());
    let export = |net: &DeepLabV3| {
        export_segmenter(&path, net, &held, &about, SegmenterForm::Labels, &options).unwrap_err()
    };
    let error = export(&DeepLabV3 { channels: 8, ..net.clone() });
    assert!(matches!(error, ExportError::WeightShape { .. }), "{error}");
    let error = export(&DeepLabV3 { rates: vec![1, 2, 3, 4], ..net.clone() });
    assert!(matches!(error, ExportError::MissingWeight { .. } | ExportError::WeightShape { .. }), "{error}");
    let many = DeepLabV3 { classes: 256, ..net.clone() };
    let mut described = about.clone();
    described.class_names = vec!["one".to_owned(); 256];
    (described.label_ids, described.colors) = ((0..=255).collect(), vec![[0; 3]; 256]);
    let error = segmenter_model(&many, &held, &described, SegmenterForm::Labels, &options).unwrap_err();
    assert!(error.to_string().contains("255 classes apart at most, not 256"), "{error}");
    let error = export(&DeepLabV3 { output_stride: 4, ..net.clone() }).to_string();
    assert!(error.contains("8, 16 or 32"), "{error}");
    assert!(!path.exists());
}

/// Every class' logits of an image get the mean 0 and the deviation 1, so that all of them are the largest somewhere.
fn level(held: &mut Weights, logits: &[f32], classes: usize) {
    for (class, values) in logits.chunks_exact(logits.len() / classes).enumerate() {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
        for (name, shift) in [("head.classifier.weight", 0.0), ("head.classifier.bias", mean)] {
            let entry = held.layout().get(name).unwrap().clone();
            let own = held.slice_mut(&entry).chunks_exact_mut(entry.len() / classes).nth(class).unwrap();
            own.iter_mut().for_each(|v| *v = (*v - shift) / variance.sqrt());
        }
    }
}

/// Files of the published cell for `tests/onnxruntime_segmenter.py`, where the variable names a folder, and what burn
/// computes for an image.
#[test]
fn files_for_python() {
    let Some(directory) = std::env::var_os("GENAS_SEGMENTERS") else { return };
    let directory = Path::new(&directory);
    let genotype = genas_space::zoo::find("DARTS_V2").unwrap().genotype();
    for align_corners in [false, true] {
        let mut net = segmenter(8, true);
        net.backbone = EvalNet { genotype: genotype.clone(), channels: 16, layers: 14, ..net.backbone };
        (net.channels, net.classes, net.rates, net.align_corners) = (64, 19, vec![12, 24, 36], align_corners);
        let mut held = Weights::init(Arc::new(net.layout()), &Streams::new(1));
        let shape = [1, 3, 257, 513];
        let image = images(shape, 6);
        let burn =
            |held: &Weights| burn_values(held, &image, shape, |i, x| vec![net.segment(i, x)]).remove(0);
        let logits = burn(&held);
        level(&mut held, &logits, net.classes);
        let corners = if align_corners { "aligned" } else { "centres" };
        for (opset, fold_bn) in [(13, false), (17, true), (21, true)] {
            for form in FORMS {
                let options = GraphOptions { opset, fold_bn, ..GraphOptions::any_size() };
                let path = directory.join(format!("{}-{corners}-{opset}.onnx", form.name()));
                let report = export_segmenter(&path, &net, &held, &about(&net), form, &options).unwrap();
                println!("{}: {:e}", path.display(), report.max_abs_error);
                assert_eq!(report.opset, opset);
            }
        }
        let logits = burn(&held);
        for (name, values) in [("image", image), ("burn", logits)] {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(directory.join(format!("{name}-{corners}.f32")), bytes).unwrap();
        }
    }
}
