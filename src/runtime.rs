//! `genas runtime`.

use anyhow::Result;
use genas_runtime::{InstallOptions, VERSION, install};
use genas_search::Observer;

use crate::args::{RuntimeAction, RuntimeArgs};
use crate::context::Ctx;
use crate::output::fields;

pub fn run(ctx: &Ctx, args: &RuntimeArgs) -> Result<()> {
    let RuntimeAction::Install { cuda, wheel } = &args.action;
    ctx.observer.message(&format!("installing ONNX Runtime {VERSION}"));
    let installed = install(InstallOptions { cuda: *cuda, wheel: wheel.clone() })?;
    ctx.out.result(&installed, || {
        fields(&[
            ("library", installed.library.display().to_string()),
            ("version", installed.version.clone()),
        ])
    })
}
