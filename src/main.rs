//! The command line of genas: arguments, a call into a crate, output. One file per verb.

mod args;
mod bench;
mod cell;
mod compare;
mod context;
mod cost;
mod data;
mod doctor;
mod draw;
mod evaluate;
mod export;
mod import;
mod landscape;
mod output;
mod presets;
mod progress;
mod quickstart;
mod rank;
mod record;
mod report;
mod reproduce;
mod retrain;
mod runtime;
mod score;
mod search;
mod supernet;
mod transfer;
mod values;
mod verify;
mod weights;
mod zoo;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use args::{Cli, Verb};
use clap::Parser;
use context::Ctx;
use genas_report::model::commands::Outcome;
use genas_search::SearchError;
use genas_train::TrainError;
use genas_transfer::TransferError;

/// A training step frees and asks for the same large blocks again and again; page faults on fresh
/// ones cost more than the kernels (kernels/src/memory.rs).
#[global_allocator]
static ALLOCATOR: genas_kernels::memory::Recycling = genas_kernels::memory::Recycling;

/// Exit code of an interrupted run.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(wrong) = error.downcast_ref() {
                return usage(wrong);
            }
            output::print_error(&error);
            if is_interruption(&error) { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(wrong) => return Ok(usage(&wrong)),
    };
    if let Some(threads) = cli.global.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get());
        pool.build_global().context("cannot start the threads")?;
    }
    let ctx = Ctx::new(cli.global, asks_to_stop(&cli.verb))?;
    let result = match &cli.verb {
        Verb::Quickstart(args) => quickstart::run(&ctx, args),
        Verb::Doctor(args) => doctor::run(&ctx, args),
        Verb::Runtime(args) => runtime::run(&ctx, args),
        Verb::Data(args) => data::run(&ctx, args),
        Verb::Zoo(args) => zoo::run(&ctx, args),
        Verb::Cost(args) => cost::run(&ctx, args),
        Verb::Draw(args) => draw::run(&ctx, args),
        Verb::Supernet(args) => supernet::run(&ctx, args),
        Verb::Search(args) => search::run(&ctx, args),
        Verb::Score(args) => score::run(&ctx, args),
        Verb::Retrain(args) => retrain::run(&ctx, args),
        Verb::Import(args) => import::run(&ctx, args),
        Verb::Export(args) => export::run(&ctx, args),
        Verb::Verify(args) => verify::run(&ctx, args),
        Verb::Evaluate(args) => evaluate::run(&ctx, args),
        Verb::Bench(args) => bench::run(&ctx, args),
        Verb::Rank(args) => rank::run(&ctx, args),
        Verb::Landscape(args) => landscape::run(&ctx, args),
        Verb::Reproduce(args) => reproduce::run(&ctx, args),
        Verb::Transfer(args) => transfer::run(&ctx, args),
        Verb::Report(args) => report::run(&ctx, args),
        Verb::Compare(args) => compare::run(&ctx, args),
    };
    ctx.ended(match &result {
        Ok(()) => Outcome::Done,
        Err(error) if is_interruption(error) => Outcome::Interrupted,
        Err(_) => Outcome::Failed,
    });
    result.map(|()| ExitCode::SUCCESS)
}

/// Whether a verb looks whether it should stop, and saves what there is.
fn asks_to_stop(verb: &Verb) -> bool {
    match verb {
        Verb::Quickstart(_)
        | Verb::Supernet(_)
        | Verb::Search(_)
        | Verb::Retrain(_)
        | Verb::Score(_)
        | Verb::Rank(_)
        | Verb::Landscape(_)
        | Verb::Reproduce(_) => true,
        Verb::Transfer(args) => args.runs_a_model(),
        _ => false,
    }
}

/// Says what is wrong with the arguments, or the help that was asked for.
fn usage(wrong: &clap::Error) -> ExitCode {
    // Help and version count as errors here, and their reader may be gone.
    let _ = wrong.print();
    let _ = io::stdout().flush();
    u8::try_from(wrong.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Whether a verb stopped because it was asked to. An error that passes another on hides it from `chain`, so that each
/// type is looked into.
fn is_interruption(error: &anyhow::Error) -> bool {
    use TrainError::Interrupted;
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(Interrupted))
            || matches!(
                cause.downcast_ref(),
                Some(SearchError::Interrupted | SearchError::Train(Interrupted))
            )
            || matches!(
                cause.downcast_ref(),
                Some(TransferError::Interrupted | TransferError::Train(Interrupted))
            )
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interruptions_of_every_crate_are_known() {
        let train = || TrainError::Interrupted;
        let errors: [anyhow::Error; 5] = [
            train().into(),
            SearchError::Interrupted.into(),
            SearchError::from(train()).into(),
            TransferError::from(train()).into(),
            anyhow::Error::from(SearchError::from(train())).context("retraining"),
        ];
        for error in errors {
            assert!(is_interruption(&error), "{error:?}");
        }
        assert!(!is_interruption(&SearchError::from(TrainError::Setting("x".into())).into()));
        let text = SearchError::from(train()).to_string();
        assert_eq!(text, SearchError::Interrupted.to_string());
    }
}
