//! `genas export --kind detector`: a detector's file written again, in another form.

use anyhow::{Result, bail};
use genas_export::{DetectorForm, export_detector};

use super::{FORM_OF_SEGMENTERS, graph_options, refuse_others, source, written};
use crate::args::{ExportArgs, FormArg};
use crate::context::Ctx;
use crate::output::fields;
use crate::weights::{self, TrainedDetector};

/// Where a run keeps its detector.
const TRAINED: &str = "coco/detector.onnx";

pub fn run(ctx: &Ctx, args: &ExportArgs) -> Result<()> {
    refuse_others(args, "detectors")?;
    let form = match args.form {
        None | Some(FormArg::EndToEnd) => DetectorForm::EndToEnd,
        Some(FormArg::Raw) => DetectorForm::Raw,
        Some(FormArg::Logits | FormArg::Labels) => bail!("{FORM_OF_SEGMENTERS}"),
    };
    let path = source(args, TRAINED, "train one with `genas transfer coco --backbone MODEL --out")?;
    let TrainedDetector { net, weights, info } = weights::read_detector(&path)?;
    let detection = &info.detection;
    // A fixed size holds every picture that lies on its long side.
    let size =
        [detection.shorter_side, detection.longer_side].map(|s| s.next_multiple_of(detection.divisor.max(1)));
    ctx.ensure_runtime()?;
    if let Some(run) = &args.run {
        ctx.works_in(run);
    }
    let report = export_detector(&args.onnx, &net, &weights, &info, form, &graph_options(args, size))?;
    ctx.out.result(&report, || fields(&written(&report)))
}
