//! `genas bench`.

use anyhow::Result;
use genas_transfer::{BenchOptions, bench};

use crate::args::BenchArgs;
use crate::context::Ctx;
use crate::output::{table, write_csv};

pub fn run(ctx: &Ctx, args: &BenchArgs) -> Result<()> {
    ctx.ensure_runtime()?;
    let options = BenchOptions {
        batches: args.batch.clone(),
        seconds: args.seconds,
        size: args.size,
        session: ctx.session_options(),
        ..BenchOptions::default()
    };
    let report = bench(&args.model, &options, &ctx.observer.counter("bench"))?;
    ctx.say_provider(report.provider);
    if let Some(path) = &args.csv {
        let rows = report.rows.iter().map(|row| {
            [
                args.model.display().to_string(),
                report.provider.to_string(),
                row.batch.to_string(),
                row.median_ms.to_string(),
                row.p95_ms.to_string(),
                row.images_per_second.to_string(),
                row.runs.to_string(),
            ]
        });
        let head = ["model", "provider", "batch", "median_ms", "p95_ms", "images_per_second", "runs"];
        write_csv(path, &head, rows)?;
    }
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
