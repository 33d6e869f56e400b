//! burn-onnx's exporter and ours, of the same network: two programs that share no code write a graph
//! each, and ONNX Runtime computes the same with both.
//!
//! burn-onnx records what burn is asked to compute, so it sees the other reading of the wiring
//! (`Tensors`), not the one that ours writes (`OnnxGraph`).

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use burn_onnx::export::{AxisSpec, ExportError, ExportOutput, InputSpec, OnnxExporter, OnnxModel};
use genas_export::{BACKBONE_OUTPUTS, Dim, GraphOptions, LOGITS, OnnxGraph, OutputParity, Precision, Value};
use genas_interop::{images, network, weights};
use genas_net::{EvalNet, Feature, Interpreter, Mode, NetworkKind, Tensors, Weights};
use genas_runtime::{Output, Session};

/// The exporter wants a module, and looks for parameters in it: ours lie on the host and need none.
#[derive(Module, Debug)]
struct Empty;

const SHAPES: [(NetworkKind, [usize; 4]); 2] =
    [(NetworkKind::Cifar, [2, 3, 32, 32]), (NetworkKind::ImageNet, [2, 3, 64, 64])];

/// What burn computes, on the device that the images lie on.
fn burn(
    weights: &Weights,
    images: Tensor<4>,
    read: impl FnOnce(&mut Tensors, &Feature) -> Vec<Feature>,
) -> Vec<Tensor<4>> {
    let mut tensors = Tensors::new(weights, images.device(), Mode::Inference);
    read(&mut tensors, &images.into()).into_iter().map(Feature::tensor).collect()
}

fn sample(shape: [usize; 4]) -> Tensor<4> {
    Tensor::zeros(shape, &Device::flex())
}

fn run(model: &[u8], shape: [usize; 4]) -> Vec<Output> {
    genas_runtime::ensure(&|_| ()).unwrap();
    Session::from_bytes(model, &Default::default()).unwrap().run_f32(&images(shape), &shape).unwrap()
}

/// Runs both in ONNX Runtime and compares outputs by position: burn-onnx names them itself.
fn assert_agree(what: &str, theirs: &[u8], ours: &[u8], shape: [usize; 4]) {
    let (theirs, ours) = (run(theirs, shape), run(ours, shape));
    assert_eq!(theirs.len(), ours.len(), "{what}");
    for (their, our) in theirs.iter().zip(&ours) {
        let parity =
            OutputParity::between(&our.name, &their.values, &our.values, Precision::Fp32.tolerance());
        println!("{what}: {parity:?}");
        assert!(parity.holds(), "{what}: {parity:?}");
        let largest = our.values.iter().fold(0.0f32, |max, v| max.max(v.abs()));
        assert!(largest > 0.01, "{what}: {} says nothing", our.name);
    }
}

fn ours(
    net: &EvalNet,
    weights: &Weights,
    options: &GraphOptions,
    read: impl FnOnce(&EvalNet, &mut OnnxGraph, &Value) -> Vec<(&'static str, Value)>,
) -> Vec<u8> {
    let (mut graph, input) = OnnxGraph::new("ours", weights, options);
    let outputs = read(net, &mut graph, &input);
    graph.finish_bytes(&outputs).unwrap()
}

fn our_classifier(net: &EvalNet, weights: &Weights, options: &GraphOptions) -> Vec<u8> {
    ours(net, weights, options, |net, i, x| vec![(LOGITS, net.forward(i, x))])
}

/// The classifier in burn, but for its last layer's weights, which are transposed on the host:
/// burn-onnx 0.22 cannot write a transposition.
fn logits(net: &EvalNet, weights: &Weights, images: Tensor<4>) -> Tensor<2> {
    let mut pooled = burn(weights, images, |i, x| {
        let taps = net.features(i, x);
        vec![i.global_avg_pool(&taps.cells[net.layers - 1])]
    });
    let pooled = pooled.remove(0);
    let [n, c, ..] = pooled.dims();
    let of = |name: &str| weights.get(name).unwrap();
    let (weight, bias) = (of("classifier.weight"), of("classifier.bias"));
    let transposed: Vec<f32> = (0..c).flat_map(|i| weight.iter().skip(i).step_by(c).copied()).collect();
    let device = pooled.device();
    let weight = Tensor::<2>::from_data(TensorData::new(transposed, [c, net.classes]), &device);
    let bias = Tensor::<2>::from_data(TensorData::new(bias.to_vec(), [1, net.classes]), &device);
    pooled.reshape([n, c]).matmul(weight) + bias
}

/// burn-onnx's export with some axes of the images free.
fn export_free<O: ExportOutput>(
    shape: [usize; 4],
    free: &[&str],
    forward: impl Fn(&Empty, Tensor<4>) -> O,
) -> Result<OnnxModel, ExportError> {
    let names = ["batch", "channels", "height", "width"];
    let is_free = names.map(|name| free.contains(&name));
    let axis = |n| if is_free[n] { AxisSpec::dynamic(names[n]) } else { AxisSpec::Static };
    let other = std::array::from_fn(|n| if is_free[n] { shape[n] + 32 } else { shape[n] });
    let axes = [InputSpec::new([0, 1, 2, 3].map(axis))];
    OnnxExporter::new().export_dynamic(&Empty, sample(shape), sample(other), &axes, forward)
}

#[test]
fn classifiers() {
    for (kind, shape) in SHAPES {
        let net = network(kind);
        let weights = weights(net.layout());
        let forward = |_: &Empty, x: Tensor<4>| logits(&net, &weights, x);
        let theirs = OnnxExporter::new().export(&Empty, sample(shape), forward).unwrap();
        for fold_bn in [false, true] {
            let options = GraphOptions { fold_bn, ..GraphOptions::square(shape[2]) };
            let ours = our_classifier(&net, &weights, &options);
            assert_agree(&format!("{kind:?}, fold {fold_bn}"), theirs.as_bytes(), &ours, shape);
        }
    }
}

/// What [`logits`] goes round. When this fails, the tests can export the forward as it stands.
#[test]
fn the_forward_as_it_stands_is_beyond_it() {
    let (kind, shape) = SHAPES[0];
    let net = network(kind);
    let weights = weights(net.layout());
    let forward = |_: &Empty, x: Tensor<4>| burn(&weights, x, |i, x| vec![net.forward(i, x)]);
    let error = OnnxExporter::new().export(&Empty, sample(shape), forward).unwrap_err().to_string();
    assert!(error.contains("SwapDims"), "{error}");
}

#[test]
fn free_batch() {
    for (kind, shape) in SHAPES {
        let net = network(kind);
        let weights = weights(net.layout());
        let forward = |_: &Empty, x: Tensor<4>| logits(&net, &weights, x);
        let theirs = export_free(shape, &["batch"], forward).unwrap();
        let [_, c, h, w] = shape;
        let ours = our_classifier(&net, &weights, &GraphOptions::square(h));
        assert_agree(&format!("{kind:?}, free batch"), theirs.as_bytes(), &ours, [5, c, h, w]);
    }
}

#[test]
fn backbones() {
    let (kind, shape) = SHAPES[1];
    let net = network(kind);
    let weights = weights(net.backbone_layout());
    let forward =
        |_: &Empty, x: Tensor<4>| burn(&weights, x, |i, x| net.backbone(i, x, false).into_iter().collect());
    let read = |net: &EvalNet, i: &mut OnnxGraph, x: &Value| {
        BACKBONE_OUTPUTS.into_iter().zip(net.backbone(i, x, false)).collect()
    };

    let theirs = OnnxExporter::new().export(&Empty, sample(shape), forward).unwrap();
    let fixed = GraphOptions::square(shape[2]);
    assert_agree("backbone", theirs.as_bytes(), &ours(&net, &weights, &fixed, read), shape);

    let theirs = export_free(shape, &["batch", "height", "width"], forward).unwrap();
    let [height, width] = ["height", "width"].map(Dim::dynamic);
    let free = GraphOptions { height, width, ..fixed };
    assert_agree("any size", theirs.as_bytes(), &ours(&net, &weights, &free, read), [1, 3, 97, 131]);
}
