//! `genas verify`.

use anyhow::Result;
use genas_export::{OutputParity, is_detector, is_segmenter, verify, verify_detector, verify_segmenter};
use serde_json::json;

use crate::args::VerifyArgs;
use crate::context::Ctx;
use crate::output::fields;
use crate::weights;

pub fn run(ctx: &Ctx, args: &VerifyArgs) -> Result<()> {
    // Read first: a file that is no model is said to be that before anything is installed.
    let parity = if is_detector(&args.model)? {
        let written_from = args.weights.as_deref().map(weights::read_detector).transpose()?;
        ctx.ensure_runtime()?;
        verify_detector(&args.model, written_from.as_ref().map(|t| &t.weights))?
    } else if is_segmenter(&args.model)? {
        let written_from = args.weights.as_deref().map(weights::read_segmenter).transpose()?;
        ctx.ensure_runtime()?;
        verify_segmenter(&args.model, written_from.as_ref().map(|t| &t.weights))?
    } else {
        genas_export::ModelFile::read(&args.model)?;
        let trained = args.weights.as_deref().map(weights::read).transpose()?;
        ctx.ensure_runtime()?;
        verify(&args.model, trained.as_ref().map(|t| &t.weights))?
    };
    let result = json!({
        "max_abs_error": parity.max_abs_error(),
        "outputs": parity.outputs,
        "model": args.model,
    });
    ctx.out.result(&result, || {
        let differences: Vec<_> = parity.outputs.iter().map(OutputParity::to_string).collect();
        fields(&[
            ("model", args.model.display().to_string()),
            ("differs from burn in", differences.join(", ")),
        ])
    })
}
