//! Developers' tasks: `cargo xtask check` before a change is handed in.

use anyhow::{Context, Result, bail};
use std::env;
use std::process::{Command, ExitCode};
use std::time::Instant;

const USAGE: &str = "\
Usage: cargo xtask TASK

  check   lint, then test: what must pass before a change is handed in
  lint    formatting, clippy and documentation, warnings denied
  test    all tests
  cuda    compiles with the feature `cuda` (no GPU or CUDA toolkit needed)";

/// One command; stops the task if it fails.
struct Step {
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

impl Step {
    const fn new(args: &'static [&'static str]) -> Self {
        Self { args, env: &[] }
    }
}

const LINT: [Step; 3] = [
    Step::new(&["fmt", "--all", "--check"]),
    Step::new(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Step { args: &["doc", "--workspace", "--no-deps"], env: &[("RUSTDOCFLAGS", "-D warnings")] },
];
const TEST: Step = Step::new(&["test", "--workspace"]);
const CUDA: Step = Step::new(&["check", "--features", "cuda"]);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let steps: Vec<&Step> = match args.as_slice() {
        ["check"] => LINT.iter().chain([&TEST]).collect(),
        ["lint"] => LINT.iter().collect(),
        ["test"] => vec![&TEST],
        ["cuda"] => vec![&CUDA],
        ["help" | "-h" | "--help"] => {
            eprintln!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match steps.into_iter().try_for_each(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(step: &Step) -> Result<()> {
    let shown = format!("cargo {}", step.args.join(" "));
    eprintln!("== {shown}");
    let start = Instant::now();
    // Cargo sets CARGO for the programs that it runs, so the toolchain stays the caller's.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(step.args)
        .envs(step.env.iter().copied())
        .status()
        .with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    eprintln!("== {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
