//! Half precision: types, tolerance, and numbers that it cannot hold.

use super::samples::{eval_net, info, weights};
use crate::metadata::read_model;
use crate::proto::DataType;
use crate::{
    ExportError, ExportOptions, Features, GraphOptions, HALF_PARITY_TOLERANCE, ModelFile, ModelInfo,
    ModelKind, Precision, export_model, sidecar_path, verify, weights_from_onnx,
};
use genas_net::{EvalNet, NetworkKind, Weights};
use genas_runtime::Dtype;
use std::path::Path;

const SIDE: usize = 64;

fn export(
    path: &Path,
    net: &EvalNet,
    held: &Weights,
    kind: ModelKind,
    half_io: bool,
) -> Result<crate::ExportReport, ExportError> {
    let info = ModelInfo { input_size: SIDE, ..info(net) };
    let precision = Precision::Fp16 { half_io };
    let options = ExportOptions::new(kind, precision, GraphOptions::square(SIDE));
    export_model(path, net, held, &info, &options)
}

#[test]
fn half_precision_agrees_with_burn() {
    let directory = tempfile::tempdir().unwrap();
    for (seed, kind, half_io) in [
        (1, ModelKind::Classifier, false),
        (2, ModelKind::Classifier, true),
        (3, ModelKind::Backbone(Features::Raw), false),
        (4, ModelKind::Backbone(Features::Relu), true),
    ] {
        let path = directory.path().join("half.onnx");
        let net = eval_net(NetworkKind::ImageNet, 4, seed);
        let held = weights(net.layout(), seed);
        let report = export(&path, &net, &held, kind, half_io).unwrap();
        assert!(report.max_abs_error > 0.0);
        let parity = verify(&path, Some(&held)).unwrap();
        assert_eq!(parity.max_abs_error(), report.max_abs_error);
        let allowed = parity.outputs.iter().map(|output| output.allowed).fold(f32::INFINITY, f32::min);
        assert!(allowed >= HALF_PARITY_TOLERANCE);

        let wanted = if half_io { Dtype::Float16 } else { Dtype::Float32 };
        assert!(report.inputs.iter().chain(&report.outputs).all(|port| port.dtype == wanted));
        let file = ModelFile::read(&path).unwrap();
        assert_eq!((file.precision.name(), file.folded, file.kind), ("fp16", true, kind));
        let graph = read_model(&path).unwrap().graph.unwrap();
        assert!(graph.initializer.iter().all(|t| t.data_type == DataType::Float16 as i32));
        let casts = graph.node.iter().filter(|node| node.op_type == "Cast").count();
        assert_eq!(casts, if half_io { 0 } else { 1 + graph.output.len() });
        assert!(graph.node.iter().all(|node| node.op_type != "Identity"));

        for error in
            [weights_from_onnx(&path).map(|_| ()).unwrap_err(), verify(&path, None).map(|_| ()).unwrap_err()]
        {
            assert!(matches!(error, ExportError::Rounded { .. }), "{error}");
            assert!(error.to_string().contains("half.onnx: it is in half precision"), "{error}");
        }
    }
}

/// The folded weights stay, whatever the variance: it is divided out before anything is rounded.
#[test]
fn variances_beyond_half_precision_are_no_overflow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("half.onnx");
    let net = eval_net(NetworkKind::ImageNet, 3, 5);
    let mut held = weights(net.layout(), 5);
    scale(&mut held, "stem0.conv1.weight", 3e4);
    scale(&mut held, "stem0.bn1.running_var", 9e8);
    scale(&mut held, "stem0.bn1.running_mean", 3e4);
    export(&path, &net, &held, ModelKind::Classifier, false).unwrap();
}

#[test]
fn what_half_precision_cannot_hold_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("half.onnx");
    let net = eval_net(NetworkKind::ImageNet, 3, 6);
    for (factors, tensor) in [
        (&[("stem1.bn.weight", 1e7)][..], "the weight stem1.conv.weight"),
        (&[("classifier.weight", 7e5)][..], "the activation logits"),
        // Weights of at most 0.2 * 1.5 / sqrt(0.05) times that still fit.
        (
            &[("stem0.bn1.weight", 4e4), ("stem0.bn1.running_mean", 0.0)][..],
            "the activation /stem0/conv1_output",
        ),
    ] {
        let mut held = weights(net.layout(), 6);
        factors.iter().for_each(|&(name, factor)| scale(&mut held, name, factor));
        let error = export(&path, &net, &held, ModelKind::Classifier, true).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ExportError::HalfOverflow { .. }), "{text}");
        let start = format!("half precision cannot hold {tensor}, which reaches");
        assert!(text.contains("half.onnx: ") && text.contains(&start), "{text}");
        assert!(text.contains("--precision fp32"), "{text}");
        assert!(!path.exists() && !sidecar_path(&path).exists());
    }
}

fn scale(weights: &mut Weights, name: &str, factor: f32) {
    let entry = weights.layout().get(name).unwrap().clone();
    weights.slice_mut(&entry).iter_mut().for_each(|value| *value *= factor);
}
