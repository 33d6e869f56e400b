//! `genas bench`.

use anyhow::Result;
use genas_transfer::{BenchOptions, bench};

use crate::args::BenchArgs;
use crate::context::Ctx;
use crate::output::table;

pub fn run(ctx: &Ctx, args: &BenchArgs) -> Result<()> {
    ctx.ensure_runtime()?;
    let options = BenchOptions {
        batches: args.batch.clone(),
        seconds: args.seconds,
        session: ctx.session_options(),
        ..BenchOptions::default()
    };
    let report = bench(&args.model, &options, &ctx.observer.counter("bench"))?;
    ctx.say_provider(report.provider);
    ctx.out.result(&report, || {
        let rows: Vec<Vec<String>> = report
            .rows
            .iter()
            .map(|row| {
                vec![
                    row.batch.to_string(),
                    format!("{:.3}", row.median_ms),
                    format!("{:.3}", row.p95_ms),
                    format!("{:.1}", row.images_per_second),
                    row.runs.to_string(),
                ]
            })
            .collect();
        table(&["batch", "median ms", "p95 ms", "images/s", "runs"], &rows)
    })
}
