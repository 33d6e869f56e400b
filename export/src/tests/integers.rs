//! 8-bit integers: what the graph looks like, that ONNX Runtime computes it in integers, and what is refused.

use super::samples::{eval_net, images, info, weights};
use crate::metadata::read_model;
use crate::proto::{DataType, GraphProto, TensorProto};
use crate::{
    Activations, Calibration, ExportError, ExportOptions, Features, GraphOptions, INT8_PARITY_TOLERANCE,
    Method, ModelFile, ModelInfo, ModelKind, Precision, calibrate, export_model, sidecar_path, verify,
    weights_from_onnx,
};
use genas_net::{EvalNet, NetworkKind, Weights};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

const SIDE: usize = 64;
const IMAGES: usize = 12;

fn calibration(
    net: &EvalNet,
    held: &Weights,
    kind: ModelKind,
    activations: Activations,
    method: Method,
) -> Result<Calibration, ExportError> {
    let info = ModelInfo { input_size: SIDE, ..info(net) };
    let images = images([IMAGES, 3, SIDE, SIDE], 9);
    calibrate(net, kind, held, &info, &images, activations, method, &|_, _| ())
}

fn export(
    path: &Path,
    net: &EvalNet,
    held: &Weights,
    kind: ModelKind,
    calibration: Calibration,
) -> Result<crate::ExportReport, ExportError> {
    let info = ModelInfo { input_size: SIDE, ..info(net) };
    let mut options = ExportOptions::new(kind, Precision::Int8, GraphOptions::square(SIDE));
    options.calibration = Some(Arc::new(calibration));
    export_model(path, net, held, &info, &options)
}

fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect()
}

/// Every activation that a layer reads is what a `DequantizeLinear` gives, weights are signed and biases of 32 bits.
fn check_structure(graph: &GraphProto, activations: Activations) {
    let constants = constants(graph);
    let producers: HashMap<&str, &crate::proto::NodeProto> =
        graph.node.iter().map(|node| (node.output[0].as_str(), node)).collect();
    let type_of = |node: &crate::proto::NodeProto| constants[node.input[2].as_str()].data_type;
    let wanted = match activations {
        Activations::Uint8 => DataType::Uint8,
        Activations::Int8 => DataType::Int8,
    };
    let is_pair = |op_type: &str| op_type == "QuantizeLinear" || op_type == "DequantizeLinear";
    for node in graph.node.iter().filter(|node| !is_pair(&node.op_type)) {
        let weighted = node.op_type == "Conv" || node.op_type == "Gemm";
        for (place, input) in node.input.iter().enumerate() {
            let source = producers[input.as_str()];
            assert_eq!(source.op_type, "DequantizeLinear", "{} reads {input}", node.name);
            let expected = match (weighted, place) {
                (true, 1) => DataType::Int8,
                (true, 2) => DataType::Int32,
                _ => wanted,
            };
            assert_eq!(type_of(source), expected as i32, "{} reads {input}", node.name);
            let zeros = &constants[source.input[2].as_str()].raw_data;
            if weighted && place > 0 || activations == Activations::Int8 {
                assert!(zeros.iter().all(|&byte| byte == 0), "{input} has a zero point");
            }
        }
        if weighted {
            let weight = constants[producers[node.input[1].as_str()].input[0].as_str()];
            assert!(weight.raw_data.iter().all(|&w| w != 0x80), "{} is not symmetric", weight.name);
            let scales = constants[producers[node.input[1].as_str()].input[1].as_str()];
            assert_eq!(scales.dims, weight.dims[..1], "one scale for each channel");
        }
        // What only moves numbers does not change their meaning.
        if node.op_type == "MaxPool" || node.op_type == "Flatten" {
            let before = producers[node.input[0].as_str()];
            let after =
                graph.node.iter().find(|n| n.op_type == "QuantizeLinear" && n.input[0] == node.output[0]);
            let after = after.unwrap();
            for place in [1, 2] {
                let bytes = |n: &crate::proto::NodeProto| constants[n.input[place].as_str()].raw_data.clone();
                assert_eq!(bytes(before), bytes(after), "{}", node.name);
            }
        }
    }
    let names: HashSet<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names.len(), graph.node.len(), "names of nodes are unique");
    assert!(graph.node.iter().all(|node| node.op_type != "Identity"));
}

#[test]
fn integers_agree_with_burn_and_are_integers() {
    let directory = tempfile::tempdir().unwrap();
    for (seed, kind, activations, method) in [
        (1, ModelKind::Classifier, Activations::Uint8, Method::MinMax),
        (2, ModelKind::Classifier, Activations::Int8, Method::Entropy),
        (3, ModelKind::Backbone(Features::Raw), Activations::Uint8, Method::Percentile(99.9)),
        (4, ModelKind::Backbone(Features::Relu), Activations::Int8, Method::MinMax),
    ] {
        let path = directory.path().join("int8.onnx");
        let net = eval_net(NetworkKind::ImageNet, 4, seed);
        let held = weights(net.layout(), seed);
        let ranges = calibration(&net, &held, kind, activations, method).unwrap();
        let report = export(&path, &net, &held, kind, ranges.clone()).unwrap();
        assert!(report.relative_rms_error > 0.0 && report.relative_rms_error < 0.2, "{report:?}");
        let share = report.integers.unwrap();
        if activations == Activations::Uint8 {
            assert_eq!(share.integer, share.convolutions, "{kind:?}");
        }
        assert!(share.integer > share.convolutions / 2, "{share:?}");

        let file = ModelFile::read(&path).unwrap();
        assert_eq!((file.precision, file.folded, file.kind), (Precision::Int8, true, kind));
        let said: serde_json::Value = serde_json::from_str(&file.metadata["quantization"]).unwrap();
        assert_eq!(said["activations"], activations.name());
        assert_eq!((&said["calibration"], &said["images"]), (&method.to_string().into(), &IMAGES.into()));
        assert_eq!(said["integer_convolutions"], share.integer);
        let sidecar: serde_json::Value =
            serde_json::from_slice(&std::fs::read(sidecar_path(&path)).unwrap()).unwrap();
        assert_eq!(sidecar["quantization"], said);
        check_structure(&read_model(&path).unwrap().graph.unwrap(), activations);

        let parity = verify(&path, Some(&held)).unwrap();
        assert!(parity.outputs.iter().all(|output| output.allowed == INT8_PARITY_TOLERANCE));
        for error in
            [weights_from_onnx(&path).map(|_| ()).unwrap_err(), verify(&path, None).map(|_| ()).unwrap_err()]
        {
            assert!(error.to_string().contains("int8.onnx: it is in 8-bit integers"), "{error}");
        }
        let again = directory.path().join("again.onnx");
        export(&again, &net, &held, kind, ranges).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
    }
}

/// A channel without weights, and one whose bias is large beside its weights, are no trouble.
#[test]
fn extreme_channels() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("int8.onnx");
    let net = eval_net(NetworkKind::ImageNet, 3, 5);
    let mut held = weights(net.layout(), 5);
    let gamma = held.layout().get("stem1.bn.weight").unwrap().clone();
    held.slice_mut(&gamma)[0] = 0.0;
    held.slice_mut(&gamma)[1] = 1e-12;
    let beta = held.layout().get("stem1.bn.bias").unwrap().clone();
    held.slice_mut(&beta)[1] = 0.5;
    let ranges = calibration(&net, &held, ModelKind::Classifier, Activations::Uint8, Method::MinMax).unwrap();
    let report = export(&path, &net, &held, ModelKind::Classifier, ranges).unwrap();
    assert!(report.relative_rms_error < 0.2, "{report:?}");
    let model = read_model(&path).unwrap();
    let graph = model.graph.as_ref().unwrap();
    let constants = constants(graph);
    let scale = constants["stem1.conv.bias_scale"].to_f32().unwrap();
    let words = constants["stem1.conv.bias_quantized"].raw_data.as_chunks::<4>().0;
    let bias = i32::from_le_bytes(words[1]) as f32 * scale[1];
    assert!((bias - 0.5).abs() < 1e-3, "{bias}");
}

#[test]
fn what_cannot_be_quantised_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("int8.onnx");
    let net = eval_net(NetworkKind::ImageNet, 3, 6);
    let mut held = weights(net.layout(), 6);
    let kind = ModelKind::Classifier;
    let side = ModelInfo { input_size: SIDE, ..info(&net) };

    let options = ExportOptions::new(kind, Precision::Int8, GraphOptions::square(SIDE));
    let error = export_model(&path, &net, &held, &side, &options).unwrap_err().to_string();
    assert!(error.contains("--calibrate DIR"), "{error}");

    let one = images([1, 3, SIDE, SIDE], 1);
    let few = calibrate(&net, kind, &held, &side, &one, Activations::Uint8, Method::MinMax, &|_, _| ())
        .unwrap_err();
    assert!(few.to_string().starts_with("1 images are too few"), "{few}");
    let error = calibration(&net, &held, kind, Activations::Uint8, Method::Percentile(0.5)).unwrap_err();
    assert!(error.to_string().contains("percentile 0.5"), "{error}");

    // Ranges of a backbone do not fit its classifier.
    let backbone = ModelKind::Backbone(Features::Raw);
    let ranges = calibration(&net, &held, backbone, Activations::Uint8, Method::MinMax).unwrap();
    let error = export(&path, &net, &held, kind, ranges).unwrap_err().to_string();
    assert!(error.contains("int8.onnx") && error.contains("another network"), "{error}");

    let entry = held.layout().get("stem1.bn.weight").unwrap().clone();
    held.slice_mut(&entry)[0] = f32::NAN;
    let error = calibration(&net, &held, kind, Activations::Uint8, Method::MinMax).unwrap_err().to_string();
    assert!(error.contains("not a finite number"), "{error}");
    assert!(!path.exists() && !sidecar_path(&path).exists());
}
