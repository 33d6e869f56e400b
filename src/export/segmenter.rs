//! `genas export --kind segmenter`: trained weights, or a segmenter's file, in either form.

use anyhow::{Result, bail};
use genas_export::{Segmentation, SegmenterForm, export_segmenter};

use super::{FORM_OF_DETECTORS, graph_options, refuse_others, source, written};
use crate::args::{AxisArg, ExportArgs, FormArg};
use crate::context::Ctx;
use crate::output::fields;
use crate::weights::{self, TrainedSegmenter};

/// Where a run keeps its segmenter.
const TRAINED: &str = "cityscapes/final.safetensors";

pub fn run(ctx: &Ctx, args: &ExportArgs) -> Result<()> {
    refuse_others(args, "segmenters")?;
    let form = match args.form {
        None | Some(FormArg::Logits) => SegmenterForm::Logits,
        Some(FormArg::Labels) => SegmenterForm::Labels,
        Some(FormArg::EndToEnd | FormArg::Raw) => bail!("{FORM_OF_DETECTORS}"),
    };
    let path = source(args, TRAINED, "train one with `genas transfer cityscapes --backbone MODEL --out")?;
    let TrainedSegmenter { net, weights, info } = weights::read_segmenter(&path)?;
    let fixed = !(args.is_free(AxisArg::Height) && args.is_free(AxisArg::Width));
    let size = match input_size(&info.segmentation) {
        Some(size) => size,
        None if fixed => bail!(
            "{}: pictures of any size go through this segmenter, so height and width cannot be fixed; add them to \
             --dynamic",
            path.display()
        ),
        None => [0; 2],
    };
    ctx.ensure_runtime()?;
    if let Some(run) = &args.run {
        ctx.works_in(run);
    }
    let report = export_segmenter(&args.onnx, &net, &weights, &info, form, &graph_options(args, size))?;
    ctx.out.result(&report, || fields(&written(&report)))
}

/// Height and width that hold every window, or every picture: what a fixed size is.
fn input_size(segmentation: &Segmentation) -> Option<[usize; 2]> {
    let sides = segmentation.window.as_ref().map(|window| window.crop).or(segmentation.within)?;
    let [width, height] = sides.map(|side| side.next_multiple_of(segmentation.divisor.max(1)));
    Some([height, width])
}
