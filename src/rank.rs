//! `genas rank`.

use anyhow::{Result, bail};
use genas_data::{GroundTruth, Nb201Set};
use genas_search::rank::report::{BASELINES, Ranking, Report};
use genas_search::rank::run::{RESULT, RankRun, SCORES};
use genas_search::supernet::halve;
use genas_space::nb201::{Nb201Cell, sample_nb201};
use genas_train::directory::lock;

use crate::args::RankArgs;
use crate::context::Ctx;
use crate::output::table;
use crate::presets;

pub fn run(ctx: &Ctx, args: &RankArgs) -> Result<()> {
    let mut config = presets::read_nb201(&args.config, &args.set)?;
    config.seed = ctx.global.seed.or(config.seed);
    let truth = GroundTruth::read(&args.truth)?;
    let streams = config.streams();
    let halves = halve(&config.data, &streams, &args.data)?;
    let set = match (args.truth_set, halves.set.n_classes()) {
        (Some(set), _) => set.into(),
        (None, 10) => Nb201Set::Cifar10,
        (None, 100) => Nb201Set::Cifar100,
        (None, 120) => Nb201Set::Imagenet16,
        (None, classes) => bail!(
            "{}: these images have {classes} classes, and the benchmark's sets 10, 100 or 120; name the accuracies to \
             compare with (--truth-set)",
            args.data.display()
        ),
    };
    let cells = match args.sample {
        Some(n) => sample_nb201(n, &streams)?,
        None => Nb201Cell::all().collect(),
    };
    let devices = ctx.devices()?;
    ctx.ensure_runtime()?;
    let _lock = lock(&args.out)?;
    ctx.works_in(&args.out);
    let report = RankRun {
        directory: &args.out,
        config: &config,
        halves: &halves,
        cells: &cells,
        truth: truth.accuracies(set)?,
        unique: args.unique,
        evolve: args.evolve.as_deref(),
        devices: &devices,
        provider: ctx.global.provider,
        resume: args.resume,
        observer: &ctx.observer,
    }
    .run()?;
    ctx.out.result(&report, || text(&report, args))
}

fn text(report: &Report, args: &RankArgs) -> String {
    let ranked = |title: &str, ranking: &Ranking| {
        let row = |name: &str| {
            let [low, high] = ranking.tau_interval[name];
            let beaten: Vec<&str> = BASELINES
                .into_iter()
                .filter(|baseline| ranking.above[name].get(*baseline).is_some_and(|d| d[0] > 0.0))
                .collect();
            let share = |k: usize| {
                ranking.precision[name]
                    .get(&k)
                    .map_or("-".to_owned(), |share| format!("{:.0}", 100.0 * share))
            };
            vec![
                name.to_owned(),
                format!("{:.3}", ranking.tau[name]),
                format!("{low:.3} to {high:.3}"),
                format!("{:.3}", ranking.spearman[name]),
                share(50),
                format!("{:.2}", ranking.regret[name]),
                beaten.join(", "),
            ]
        };
        let rows: Vec<Vec<String>> = ranking.order().into_iter().map(row).collect();
        let head = ["metric", "tau", "95 %", "Spearman", "top 50 (%)", "regret", "above (95 %)"];
        format!("{title}, {} cells\n{}", ranking.n, table(&head, &rows))
    };
    let evolved = report.evolution.as_ref().map_or_else(String::new, |e| {
        format!(
            "evolution by {}, {} seeds: regret {:.2} percent points, random search {:.2}\n",
            e.metric,
            e.found.len(),
            e.regret,
            e.random_regret
        )
    });
    format!(
        "{}\n{}\n{evolved}written: {}, {}, scatter/",
        ranked("all", &report.all),
        ranked("the better half", &report.better_half),
        args.out.join(SCORES).display(),
        args.out.join(RESULT).display()
    )
}
