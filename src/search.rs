//! `genas search`.

use anyhow::Result;
use genas_search::RunDir;
use genas_search::config::ScorerKind;
use genas_search::racing::RacingReport;
use genas_search::scorer::check_images;
use genas_search::search::{SearchResult, search};
use genas_search::supernet::{adopt, read_halves, train};

use crate::args::{ScorerArg, SearchArgs};
use crate::context::Ctx;
use crate::output::fields;
use crate::supernet::config;

pub fn run(ctx: &Ctx, args: &SearchArgs) -> Result<()> {
    let result = find(ctx, args)?;
    ctx.out.result(&result, || {
        let racing = result.racing.as_ref().map_or_else(|| "no".to_owned(), describe);
        fields(&[
            ("genotype", result.genotype.to_string()),
            ("candidate", result.candidate.to_string()),
            ("score", format!("{} ({})", result.score, result.metric)),
            ("evaluated", format!("{} ({} failed)", result.evaluated, result.failed)),
            ("racing", racing),
            ("seconds", format!("{:.1}", result.seconds)),
            ("written", args.run.out.join("genotype.json").display().to_string()),
        ])
    })
}

/// What racing saved, in a line.
fn describe(r: &RacingReport) -> String {
    format!(
        "{:.1} % of the images of full scores; {} partial scores; {} places open at the end of a budget, the others \
         decided at {} standard errors ({:.2} % each)",
        100.0 * r.share,
        r.partial,
        r.undecided,
        r.standard_errors,
        100.0 * r.confidence
    )
}

/// Trains the supernet if the run has none, then searches.
pub fn find(ctx: &Ctx, args: &SearchArgs) -> Result<SearchResult> {
    let mut config = config(ctx, &args.run.config, &args.run.set)?;
    config.metric.name = args.metric.unwrap_or(config.metric.name);
    config.metric.scorer = match args.scorer {
        Some(ScorerArg::Ort) => ScorerKind::Ort,
        Some(ScorerArg::Burn) => ScorerKind::Burn,
        None => config.metric.scorer,
    };
    if args.racing {
        config.racing.enabled = true;
        config.metric.common_random_numbers = true;
    }
    config.check().map_err(anyhow::Error::msg)?;
    let halves = read_halves(&config, &args.run.data)?;
    // What can fail at once does so before the run directory is taken.
    check_images(&config, Some(&halves))?;
    let devices = ctx.devices()?;
    if config.metric.name.needs_data() && config.metric.scorer == ScorerKind::Ort {
        ctx.ensure_runtime()?;
    }
    let run = RunDir::open(&args.run.out, &config)?;
    ctx.works_in(run.root());
    if let Some(source) = &args.supernet {
        adopt(&run, &RunDir::existing(source, &[])?.0, &config, &halves)?;
    }
    train(&run, &config, &halves, &devices, args.run.resume, &ctx.observer)?;
    Ok(search(&run, &config, Some(&halves), &devices, ctx.global.provider, args.run.resume, &ctx.observer)?)
}
