//! `genas evaluate`.

use anyhow::Result;
use genas_transfer::{EvaluateOptions, evaluate, write_predictions};

use crate::args::EvaluateArgs;
use crate::context::Ctx;
use crate::output::fields;

pub fn run(ctx: &Ctx, args: &EvaluateArgs) -> Result<()> {
    ctx.ensure_runtime()?;
    let options = EvaluateOptions {
        set: args.set,
        batch_size: args.batch_size,
        ignore_labels: args.ignore_labels,
        session: ctx.session_options(),
    };
    let evaluation = evaluate(&args.model, &args.data, &options, &ctx.observer.counter("evaluate"))?;
    ctx.say_provider(evaluation.provider);
    if let Some(path) = &args.predictions {
        write_predictions(path, &evaluation.predictions)?;
    }
    ctx.out.result(&evaluation, || {
        let percent =
            |fraction: Option<f64>| fraction.map_or("-".to_owned(), |f| format!("{:.2} %", 100.0 * f));
        fields(&[
            ("top-1", percent(evaluation.top1)),
            ("top-5", percent(evaluation.top5)),
            ("images", format!("{} ({})", evaluation.n, evaluation.matching)),
            ("images per second", format!("{:.1}", evaluation.images_per_second)),
            ("provider", evaluation.provider.to_string()),
        ])
    })
}
