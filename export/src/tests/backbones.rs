//! Backbones: shapes, numbers, what is and is not in the graph, weights read back.

use super::samples::{burn_values, eval_net, images, info, parity, weights};
use crate::metadata::read_model;
use crate::verify::open_file;
use crate::{
    BACKBONE_OUTPUTS, Dim, ExportError, ExportOptions, Features, GraphOptions, ModelFile, ModelKind,
    Precision, export_classifier, export_model, verify, weights_from_onnx,
};
use genas_net::{EvalNet, Interpreter, NetworkKind};
use std::path::Path;

const SIDE: usize = 64;

fn any_size(features: Features, fold_bn: bool) -> ExportOptions {
    let [height, width] = ["height", "width"].map(Dim::dynamic);
    let graph = GraphOptions { fold_bn, height, width, ..GraphOptions::square(SIDE) };
    ExportOptions::new(ModelKind::Backbone(features), Precision::Fp32, graph)
}

fn export(path: &Path, net: &EvalNet, options: &ExportOptions) -> Result<crate::ExportReport, ExportError> {
    let info = crate::ModelInfo { input_size: SIDE, ..info(net) };
    export_model(path, net, &weights(net.layout(), 1), &info, options)
}

/// Maps of burn at the stem and at the ends of the stages, by hand.
fn burn_maps(net: &EvalNet, shape: [usize; 4], features: Features) -> Vec<Vec<f32>> {
    burn_values(&weights(net.layout(), 1), &images(shape, 2), shape, |i, x| {
        let taps = net.features(i, x);
        let [c3, c4, c5] = net.stage_ends();
        let maps = [&taps.stem, &taps.cells[c3], &taps.cells[c4], &taps.cells[c5]];
        maps.map(|map| if features == Features::Relu { i.relu(map) } else { map.clone() }).to_vec()
    })
}

#[test]
fn stages_of_the_published_network() {
    let net = eval_net(NetworkKind::ImageNet, 14, 0);
    assert_eq!(net.stage_ends(), [3, 8, 13]);
    assert_eq!(EvalNet { channels: 46, ..net }.backbone_channels(), [46, 184, 368, 736]);
}

#[test]
fn maps_of_any_size_are_burns() {
    let directory = tempfile::tempdir().unwrap();
    for (layers, features, fold_bn) in [
        (3, Features::Raw, false),
        (4, Features::Relu, true),
        (5, Features::Raw, true),
        (3, Features::Relu, false),
    ] {
        let net = eval_net(NetworkKind::ImageNet, layers, layers as u64);
        let path = directory.path().join("backbone.onnx");
        let report = export(&path, &net, &any_size(features, fold_bn)).unwrap();
        let names: Vec<_> = report.outputs.iter().map(|port| port.name.as_str()).collect();
        assert_eq!(names, BACKBONE_OUTPUTS);

        let file = ModelFile::read(&path).unwrap();
        assert_eq!(file.kind, ModelKind::Backbone(features));
        assert_eq!(file.metadata["kind"], "backbone");
        assert_eq!(file.metadata["features"], features.name());
        assert_eq!(file.metadata["strides"], "[4,8,16,32]");
        let channels = net.backbone_channels();
        assert_eq!(file.metadata["feature_channels"], serde_json::json!(channels).to_string());

        let graph = read_model(&path).unwrap().graph.unwrap();
        let operators = ["Identity", "Gemm", "Flatten", "GlobalAveragePool"];
        assert!(graph.node.iter().all(|n| !operators.contains(&n.op_type.as_str())));
        assert!(graph.initializer.iter().all(|t| !t.name.starts_with("classifier")));

        let mut session = open_file(&path).unwrap();
        for shape in [[1, 3, 97, 131], [2, 3, 64, 96], [1, 3, 33, 47]] {
            let found = session.run_f32(&images(shape, 2), &shape).unwrap();
            for (n, expected) in burn_maps(&net, shape, features).iter().enumerate() {
                let stride = EvalNet::BACKBONE_STRIDES[n];
                let size = [shape[2].div_ceil(stride), shape[3].div_ceil(stride)];
                assert_eq!(found[n].shape, [shape[0], channels[n], size[0], size[1]], "{shape:?}");
                let parity = parity(&found[n].values, expected);
                assert!(parity.holds(), "{shape:?} {}: {parity:?}", found[n].name);
                let negative = expected.iter().any(|&value| value < 0.0);
                assert_eq!(negative, features == Features::Raw, "{}", found[n].name);
            }
        }
    }
}

#[test]
fn a_backbone_gives_its_weights_back_and_has_no_classifier() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backbone.onnx");
    let net = eval_net(NetworkKind::ImageNet, 3, 6);
    export(&path, &net, &any_size(Features::Raw, false)).unwrap();
    let (held, read_net, info) = weights_from_onnx(&path).unwrap();
    assert_eq!(read_net, net);
    let original = weights(net.layout(), 1);
    assert!(held.get("classifier.weight").is_none());
    for entry in held.layout().entries() {
        assert_eq!(Some(held.slice(entry)), original.get(&entry.name), "{}", entry.name);
    }
    assert!(verify(&path, None).unwrap().holds());
    assert!(verify(&path, Some(&original)).unwrap().holds());

    let again = directory.path().join("again.onnx");
    export_model(&again, &net, &held, &info, &any_size(Features::Relu, true)).unwrap();
    let classifier = directory.path().join("classifier.onnx");
    let error = export_classifier(&classifier, &net, &held, &info, &GraphOptions::square(SIDE)).unwrap_err();
    assert!(matches!(error, ExportError::NoClassifier), "{error}");
    assert!(error.to_string().contains("come from a backbone"), "{error}");
    assert!(!classifier.exists());
}

#[test]
fn networks_without_the_strides_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backbone.onnx");
    for (kind, layers, part) in
        [(NetworkKind::Cifar, 4, "the CIFAR network"), (NetworkKind::ImageNet, 2, "2 cells")]
    {
        let error = export(&path, &eval_net(kind, layers, 0), &any_size(Features::Raw, false)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(!path.exists());
}
