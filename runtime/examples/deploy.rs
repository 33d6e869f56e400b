//! What `docs/deployment.md` shows for Rust: an exported classifier with nothing but the crate `ort`.
//!
//!     ORT_DYLIB_PATH=/path/to/libonnxruntime.so cargo run -p genas-runtime --example deploy -- model.onnx

use ort::session::Session;
use ort::value::TensorRef;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = std::env::args().nth(1).ok_or("give a model.onnx")?;
    // Loads the library that ORT_DYLIB_PATH names.
    let environment = ort::init().build()?;
    let mut session = Session::builder(&environment)?.commit_from_file(&model)?;
    // The description that stands in the file; MODEL.json has the same.
    let describe = |key: &str| -> Result<String, Box<dyn std::error::Error>> {
        Ok(session.metadata()?.custom(key).ok_or_else(|| format!("{model} says no `{key}`"))?)
    };
    let side: usize = describe("input_size")?.parse()?;
    let (mean, std) = (numbers(&describe("mean")?)?, numbers(&describe("std")?)?);

    // Any image, decoded, resized and cropped to side x side: here a grey ramp. RGB bytes in rows.
    let rgb: Vec<u8> = (0..side * side).flat_map(|pixel| [(pixel * 255 / (side * side)) as u8; 3]).collect();
    // Planes of red, green and blue; (pixel / 255 - mean) / std.
    let mut input = vec![0.0f32; 3 * side * side];
    for (pixel, colours) in rgb.chunks_exact(3).enumerate() {
        for (c, &value) in colours.iter().enumerate() {
            input[c * side * side + pixel] = (f32::from(value) / 255.0 - mean[c]) / std[c];
        }
    }
    let tensor = TensorRef::from_array_view(([1, 3, side, side], input.as_slice()))?;
    let outputs = session.run(ort::inputs!["input" => tensor])?;
    let (_, logits) = outputs["logits"].try_extract_tensor::<f32>()?;
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).ok_or("no classes")?;
    println!("class {} with logit {}", best.0, best.1);
    Ok(())
}

/// `[0.485, 0.456, 0.406]` as numbers, without a JSON reader.
fn numbers(list: &str) -> Result<Vec<f32>, std::num::ParseFloatError> {
    list.trim_matches(['[', ']']).split(',').map(|number| number.trim().parse()).collect()
}
