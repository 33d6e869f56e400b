//! `genas export --kind detector`: a detector's file written again, in another form.

use std::path::PathBuf;

use anyhow::{Result, bail};
use genas_export::{DetectorForm, export_detector};

use super::{graph_options, written};
use crate::args::{ExportArgs, FormArg, PrecisionArg};
use crate::context::Ctx;
use crate::output::fields;
use crate::weights::{self, TrainedDetector};

/// Where a run keeps its detector.
const TRAINED: &str = "coco/detector.onnx";

pub fn run(ctx: &Ctx, args: &ExportArgs) -> Result<()> {
    let others = [
        ("--features", args.features.is_some()),
        ("--calibrate", args.calibrate.is_some()),
        ("--classes-file", args.classes_file.is_some()),
        ("--precision fp16 or int8", args.precision != PrecisionArg::Fp32),
    ];
    if let Some((flag, _)) = others.iter().find(|(_, given)| *given) {
        bail!("{flag} is not for detectors, which are written in fp32");
    }
    let path = source(args)?;
    let TrainedDetector { net, weights, info } = weights::read_detector(&path)?;
    let detection = &info.detection;
    // A fixed size holds every picture that lies on its long side.
    let size =
        [detection.shorter_side, detection.longer_side].map(|s| s.next_multiple_of(detection.divisor.max(1)));
    let form = match args.form {
        None | Some(FormArg::EndToEnd) => DetectorForm::EndToEnd,
        Some(FormArg::Raw) => DetectorForm::Raw,
    };
    ctx.ensure_runtime()?;
    let report = export_detector(&args.onnx, &net, &weights, &info, form, &graph_options(args, size))?;
    ctx.out.result(&report, || fields(&written(&report)))
}

fn source(args: &ExportArgs) -> Result<PathBuf> {
    match (&args.weights, &args.run) {
        (Some(weights), _) => Ok(weights.clone()),
        (None, Some(run)) => {
            let path = run.join(TRAINED);
            if !path.is_file() {
                bail!(
                    "{} has no {TRAINED}; train one with `genas transfer coco --backbone MODEL --out {0}` first",
                    run.display()
                );
            }
            Ok(path)
        }
        (None, None) => bail!("give --run or --weights"),
    }
}
