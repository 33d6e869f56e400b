//! Proofs that others can use our files, in the workspace `interop/`: burn-onnx imports them and exports
//! the same network, onnxsim simplifies them.

use crate::run;
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs all of them. What is built lies in `target/interop`, apart from everything else: other features of
/// burn, and no optimisation.
pub fn interop() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the repository")?;
    let folder = root.join("interop");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // Absolute: a relative CARGO_TARGET_DIR is relative to where cargo was called.
    let target = env::current_dir()?.join(target).join("interop");
    let models = target.join("models");
    let cargo = |args: &[&str]| {
        let mut cargo = crate::cargo();
        cargo.current_dir(&folder).args(args).env("CARGO_TARGET_DIR", &target).env("GENAS_INTEROP", &models);
        cargo
    };

    run(&mut cargo(&["fmt", "--check"]))?;
    // Models and generated code of an earlier run must not stand in for what is not written any more.
    if models.exists() {
        fs::remove_dir_all(&models).with_context(|| format!("cannot empty {}", models.display()))?;
    }
    run(cargo(&["run", "-p", "genas-interop", "--"]).arg(&models))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(&mut cargo(&["test", "--workspace"]))?;

    let venv = target.join("venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let requirements = folder.join("requirements.txt");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(Command::new(&python).args(pip).arg(requirements))?;
    run(Command::new(&python).arg(folder.join("check_onnxsim.py")).args(onnx_files(&models)?))
}

/// The ONNX files of a folder, by name.
fn onnx_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "onnx") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
