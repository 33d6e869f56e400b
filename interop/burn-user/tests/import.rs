//! The imported models compute in burn what ONNX Runtime computes from the files.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use std::fs;
use std::path::PathBuf;

/// Allowed difference over an output's largest value, or over 1 where that is below one: as genas itself
/// allows between ONNX Runtime and burn.
const FP32: f32 = 1e-4;
const FP16: f32 = 5e-3;

fn file(name: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("GENAS_INTEROP")).join(name).with_extension(extension)
}

fn numbers(name: &str, extension: &str) -> Vec<f32> {
    let bytes = fs::read(file(name, extension)).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn images(name: &str, shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(numbers(name, "images"), shape), &Device::flex())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().unwrap()
}

fn assert_agree(name: &str, outputs: &[Vec<f32>], tolerance: f32) {
    let all = numbers(name, "outputs");
    let mut rest = &all[..];
    for (n, found) in outputs.iter().enumerate() {
        let expected = rest.split_off(..found.len()).expect("as many values as ONNX Runtime gave");
        let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = expected.iter().map(|v| v.abs()).fold(0.0, f32::max);
        println!("{name}, output {n}: {difference:.1e} of {largest:.2}");
        assert!(found.iter().all(|v| v.is_finite()), "{name}, output {n}: {found:?}");
        assert!(difference <= tolerance * largest.max(1.0), "{name}, output {n}: {difference} of {largest}");
        assert!(largest > 0.01, "{name}, output {n} says nothing: {largest}");
    }
    assert!(rest.is_empty(), "{name}: {} values of ONNX Runtime are left", rest.len());
}

macro_rules! classifiers {
    ($($name:ident $shape:expr, $tolerance:expr, $dtype:expr;)*) => {$(
        #[test]
        fn $name() {
            let name = stringify!($name);
            let model = burn_user::$name::Model::from_file(file(name, "bpk"), &Device::flex());
            let logits = model.forward(images(name, $shape).cast($dtype));
            assert_eq!(logits.dims(), [$shape[0], 5]);
            assert_agree(name, &[values(logits)], $tolerance);
        }
    )*};
}

classifiers! {
    classifier [2, 3, 32, 32], FP32, DType::F32;
    folded [2, 3, 32, 32], FP32, DType::F32;
    lowest_opset [2, 3, 32, 32], FP32, DType::F32;
    highest_opset [2, 3, 32, 32], FP32, DType::F32;
    imagenet [2, 3, 64, 64], FP32, DType::F32;
    free_sizes [1, 3, 71, 83], FP32, DType::F32;
    half [2, 3, 64, 64], FP16, DType::F32;
    half_io [2, 3, 32, 32], FP16, DType::F16;
}

#[test]
fn backbone() {
    let model = burn_user::backbone::Model::from_file(file("backbone", "bpk"), &Device::flex());
    let (c2, c3, c4, c5) = model.forward(images("backbone", [1, 3, 71, 83]));
    assert_eq!([c2.dims()[2], c3.dims()[2], c4.dims()[2], c5.dims()[2]], [18, 9, 5, 3]);
    assert_agree("backbone", &[values(c2), values(c3), values(c4), values(c5)], FP32);
}
