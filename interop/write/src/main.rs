//! Writes every model into a folder, by way of `genas export`'s own function, and beside each `NAME.onnx`:
//!
//! - `NAME.images` and `NAME.outputs`: what ONNX Runtime was given and answered, outputs one after the
//!   other, as little-endian float32;
//! - `NAME.rs` and `NAME.bpk`: what burn-onnx makes of the file for Rust programs that use burn.

use anyhow::{Context, Result};
use burn_onnx::ModelGen;
use genas_export::{Activations, FEWEST_IMAGES, Method, Precision, calibrate, export_model};
use genas_interop::{Case, cases, images, info, weights};
use genas_runtime::Session;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("give the folder to write into")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let cases = cases();
    let mut for_burn = Vec::new();
    for case in &cases {
        let file = write(folder, case)?;
        if case.is_for_burn() {
            for_burn.push(file);
        }
    }
    import(folder, &for_burn)
}

/// Writes one model, and what ONNX Runtime computes with it.
fn write(folder: &Path, case: &Case) -> Result<PathBuf> {
    let onnx = folder.join(case.name).with_extension("onnx");
    let (net, weights) = (&case.net, weights(case.net.layout()));
    let (info, mut options) = (info(net, case.shape[2]), case.options.clone());
    if options.precision == Precision::Int8 {
        let some = images([FEWEST_IMAGES, 3, info.input_size, info.input_size]);
        let (activations, method) = (Activations::Uint8, Method::MinMax);
        let ranges = calibrate(net, options.kind, &weights, &info, &some, activations, method, &|_, _| ())?;
        options.calibration = Some(Arc::new(ranges));
    }
    export_model(&onnx, net, &weights, &info, &options)?;
    let images = images(case.shape);
    let outputs = Session::from_file(&onnx, &Default::default())?.run_f32(&images, &case.shape)?;
    let values: Vec<f32> = outputs.into_iter().flat_map(|output| output.values).collect();
    fs::write(onnx.with_extension("images"), bytes(&images))?;
    fs::write(onnx.with_extension("outputs"), bytes(&values))?;
    Ok(onnx)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Lets burn-onnx make Rust code of the files. One that it cannot read is a panic with its reason.
fn import(folder: &Path, files: &[PathBuf]) -> Result<()> {
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the folder's name is not UTF-8");
    let mut burn = ModelGen::new();
    // It logs every node unless it is told not to after it began.
    log::set_max_level(log::LevelFilter::Warn);
    burn.out_dir(&text(folder)?);
    for file in files {
        burn.input(&text(file)?);
    }
    burn.run_from_cli();
    Ok(())
}
