//! DeepLab-v3's parts against PyTorch, kernels against burn's own operations, dropout.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use burn::tensor::{Device, Tensor, TensorData};
use genas_net::{
    AuxiliaryHead, Average, DeepLabV3, Devices, EvalNet, Feature, Interpreter, Layout, Mode, NetworkKind,
    PixelLabels, Polynomial, Pool, Probability, Tensors, Weights, cross_entropy_map,
};
use genas_space::{Streams, random_candidate};
use rand::RngExt;
use serde_json::Value;
use std::sync::Arc;

/// Values that `deeplab_torch.py` recorded.
fn recorded() -> Value {
    serde_json::from_str(include_str!("deeplab.json")).unwrap()
}

/// Numbers from -1 to 1 that Python makes too.
fn pattern(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 4729) % 10007) as f32 / 5003.0 - 1.0).collect()
}

fn map(values: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn host(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(found: &[f32], want: &Value, what: &str) {
    let want = numbers(want);
    assert_eq!(found.len(), want.len(), "{what}");
    for (found, want) in found.iter().zip(want) {
        assert!((f64::from(*found) - want).abs() < 2e-6, "{what}: {found}, not {want}");
    }
}

fn nothing() -> Weights {
    Weights::init(Arc::new(Layout::of([1, 1, 1], |_, _| ())), &Streams::new(0))
}

fn training() -> Mode {
    Mode::Train { drop_path: 0.0, rng: Box::new(Streams::new(7).rng("masks", 0)) }
}

/// Output and gradient of one operation, by kernels and by burn.
fn check_operation(case: &Value, seed: usize, what: &str, run: impl Fn(&mut Tensors, &Feature) -> Feature) {
    let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
    let shape: [usize; 4] = shape.try_into().unwrap();
    for kernels in [true, false] {
        let (weights, device) = (nothing(), Devices::cpu().recording());
        let mut i = Tensors::new(&weights, device.clone(), training());
        if !kernels {
            i = i.with_burn_operations();
        }
        let x = map(pattern(shape.iter().product(), seed), shape, &device).require_grad();
        let y = run(&mut i, &x.clone().into()).tensor();
        let g = map(pattern(y.shape().num_elements(), 3), y.dims(), &device);
        let mut gradients = (y.clone() * g).sum().backward();
        let what = format!("{what}, kernels {kernels}");
        close(&host(y), &case["out"], &what);
        close(&host(x.grad_remove(&mut gradients).unwrap()), &case["gradient"], &what);
    }
}

#[test]
fn resizing_is_that_of_pytorch() {
    for case in recorded()["resizes"].as_array().unwrap() {
        let size: [usize; 2] = serde_json::from_value(case["size"].clone()).unwrap();
        let align_corners = case["align_corners"].as_bool().unwrap();
        check_operation(case, 2, &format!("{size:?} {align_corners}"), |i, x| {
            let like =
                Feature::from_values(vec![0.0; size[0] * size[1]], [1, 1, size[0], size[1]], i.device());
            i.resize(x, &like, align_corners)
        });
    }
}

#[test]
fn dilated_pools_are_those_of_pytorch() {
    for case in recorded()["pools"].as_array().unwrap() {
        let pool = Pool::same(3, 1, case["dilation"].as_u64().unwrap() as usize);
        let max = case["kind"] == "max";
        check_operation(case, 5, &format!("{} {pool:?}", case["kind"]), |i, x| {
            if max { i.max_pool(&pool, x) } else { i.avg_pool(&pool, x) }
        });
    }
}

#[test]
fn losses_of_maps_are_those_of_pytorch() {
    let labels: Arc<[i64]> = (0..30).map(|p| if p % 4 == 0 { 255 } else { p * p % 4 }).collect();
    for case in recorded()["losses"].as_array().unwrap() {
        let weights: Option<Vec<f32>> = serde_json::from_value(case["weights"].clone()).unwrap();
        let average = if case["average"] == "all" { Average::AllPlaces } else { Average::Counted };
        let pixels = PixelLabels {
            labels: labels.clone(),
            ignore: Some(255),
            weights: weights.map(Into::into),
            average,
        };
        let values = pattern(120, 7).into_iter().map(|v| 3.0 * v).collect();
        let x = map(values, [2, 4, 3, 5], &Devices::cpu().recording()).require_grad();
        let loss = cross_entropy_map(x.clone(), &pixels);
        let mut gradients = loss.backward();
        close(&[loss.into_scalar()], &Value::Array(vec![case["loss"].clone()]), "loss");
        close(&host(x.grad_remove(&mut gradients).unwrap()), &case["gradient"], "gradient");
    }
    // Nothing to learn from: no loss, and not PyTorch's NaN.
    let pixels =
        PixelLabels { labels: [255; 4].into(), ignore: Some(255), weights: None, average: Average::Counted };
    let x = map(pattern(8, 1), [1, 2, 2, 2], &Devices::cpu().recording()).require_grad();
    let loss = cross_entropy_map(x.clone(), &pixels);
    assert_eq!(host(x.grad_remove(&mut loss.backward()).unwrap()), [0.0; 8]);
    assert_eq!(loss.into_scalar::<f32>(), 0.0);
}

#[test]
fn the_polynomial_schedule_is_that_of_pytorch() {
    let recorded = &recorded()["schedule"];
    let number = |name: &str| recorded[name].as_f64().unwrap();
    let (base, min, power) = (number("base"), number("min"), number("power"));
    let schedule = Polynomial { base, min, power, steps: number("steps") as usize };
    for (step, rate) in numbers(&recorded["rates"]).into_iter().enumerate() {
        assert!((schedule.at(step) - rate).abs() < 1e-14, "step {step}: {}, not {rate}", schedule.at(step));
    }
}

#[test]
fn dropout_takes_whole_channels_in_training_only() {
    let (weights, device) = (nothing(), Devices::cpu().recording());
    let (n, c, pixels) = (4, 500, 6);
    let x = Feature::from_values(vec![1.0; n * c * pixels], [n, c, 2, 3], &device);
    let probability = Probability::new(0.25).unwrap();
    let run =
        |mode| host(Tensors::new(&weights, device.clone(), mode).dropout(probability, x.clone()).tensor());
    let dropped = run(training());
    let mut kept = 0;
    for channel in dropped.chunks(pixels) {
        assert!(channel.iter().all(|v| *v == channel[0]), "{channel:?}");
        assert!(channel[0] == 0.0 || (channel[0] - 1.0 / 0.75).abs() < 1e-6, "{channel:?}");
        kept += usize::from(channel[0] > 0.0);
    }
    let share = kept as f64 / (n * c) as f64;
    assert!((share - 0.75).abs() < 0.04, "{share}");
    assert_eq!(dropped, run(training()), "the same stream, the same masks");
    assert!(run(Mode::Inference).iter().all(|v| *v == 1.0));
}

fn segmenter(output_stride: usize, exact_dilation: bool) -> DeepLabV3 {
    let genotype = random_candidate(&mut Streams::new(3).rng("cell", 0)).genotype();
    let kind = NetworkKind::ImageNet;
    DeepLabV3 {
        backbone: EvalNet { kind, genotype, channels: 8, layers: 5, classes: 1, auxiliary: false },
        output_stride,
        exact_dilation,
        relu_features: true,
        channels: 10,
        rates: vec![2, 4, 6],
        classes: 4,
        auxiliary: Some(AuxiliaryHead { channels: 6 }),
        dropout: Probability::new(0.1).unwrap(),
        align_corners: false,
    }
}

/// Loss and gradients of a training step.
fn step(net: &DeepLabV3, kernels: bool) -> (f32, Vec<(usize, Vec<f32>)>) {
    const SIZE: [usize; 2] = [64, 96];
    let mut weights = Weights::init(Arc::new(net.layout()), &Streams::new(7));
    let mut rng = Streams::new(7).rng("test/noise", 0);
    weights.parameters_mut().iter_mut().for_each(|p| *p += rng.random_range(-0.1..0.1));
    let device = Devices::cpu().recording();
    let mut i = Tensors::new(&weights, device.clone(), training());
    if !kernels {
        i = i.with_burn_operations();
    }
    // Not every draw will do: with number 2 a value lies so near to a ReLU's zero that burn itself, given images that differ
    // by 1e-7, finds gradients that differ by 1.9e-2. With number 3, at every output stride, by 1.7e-5.
    let mut rng = Streams::new(7).rng("test/images", 3);
    let pixels = (0..3 * 3 * SIZE[0] * SIZE[1]).map(|_| rng.random_range(-2.0..2.0)).collect();
    let x = Feature::from_values(pixels, [3, 3, SIZE[0], SIZE[1]], &device);
    let labels = (0..(3 * SIZE[0] * SIZE[1]) as i64).map(|p| if p % 5 == 0 { 255 } else { p * p % 4 });
    let pixels = PixelLabels {
        labels: labels.collect(),
        ignore: Some(255),
        weights: None,
        average: Average::AllPlaces,
    };
    let (logits, auxiliary) = net.forward(&mut i, &x);
    let main = cross_entropy_map(net.resize(&mut i, &logits, &x).tensor(), &pixels);
    let auxiliary = cross_entropy_map(net.resize(&mut i, &auxiliary.unwrap(), &x).tensor(), &pixels);
    let loss = main + auxiliary.mul_scalar(0.4);
    let mut gradients = loss.backward();
    let mut found = Vec::new();
    i.visit_gradients(&mut gradients, |position, values| found.push((position, values.to_vec())));
    (loss.into_scalar(), found)
}

#[test]
fn kernels_and_burn_agree_on_a_segmenters_step() {
    let norm = |g: &[f32]| g.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
    for (output_stride, exact) in [(8, true), (8, false), (16, true), (32, true)] {
        let net = segmenter(output_stride, exact);
        let ((loss, ours), (burn, theirs)) = (step(&net, true), step(&net, false));
        assert!((loss / burn - 1.0).abs() < 1e-5, "{loss} {burn}");
        assert_eq!(ours.len(), theirs.len());
        assert_eq!(ours.len(), net.layout().entries().iter().filter(|e| e.role.is_parameter()).count());
        let floor = 1e-3 * norm(&theirs.iter().flat_map(|(_, g)| g).copied().collect::<Vec<_>>());
        let mut worst = 0.0f64;
        for ((a, ours), (b, theirs)) in ours.iter().zip(&theirs) {
            assert_eq!(a, b);
            let difference: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
            worst = worst.max(norm(&difference) / norm(theirs).max(floor));
        }
        println!("output stride {output_stride}, exact {exact}: {} gradients, worst {worst:.1e}", ours.len());
        assert!(worst < 1e-4, "output stride {output_stride}, exact {exact}: {worst}");
    }
}
