//! Developers' tasks: `cargo xtask check` before a change is handed in.

mod interop;

use anyhow::{Context, Result, bail};
use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

const USAGE: &str = "\
Usage: cargo xtask TASK

  check   lint, then test: what must pass before a change is handed in
  lint    formatting, clippy and documentation, warnings denied
  test    all tests
  cuda    compiles with the feature `cuda` (no GPU or CUDA toolkit needed)
  interop burn-onnx and onnxsim use our ONNX files (builds burn a second time, minutes)
  neon    the kernels' tests for 64-bit ARM, emulated by qemu (minutes)";

/// One command; stops the task if it fails.
struct Step {
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

impl Step {
    const fn new(args: &'static [&'static str]) -> Self {
        Self { args, env: &[] }
    }

    fn run(&self) -> Result<()> {
        run(cargo().args(self.args).envs(self.env.iter().copied()))
    }
}

const LINT: [Step; 3] = [
    Step::new(&["fmt", "--all", "--check"]),
    Step::new(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Step { args: &["doc", "--workspace", "--no-deps"], env: &[("RUSTDOCFLAGS", "-D warnings")] },
];
const TEST: Step = Step::new(&["test", "--workspace"]);
/// Needs `rustup target add aarch64-unknown-linux-gnu`, and Debian's qemu-user, gcc-aarch64-linux-gnu and
/// libc6-dev-arm64-cross.
const NEON: Step = Step {
    args: &["test", "--package", "genas-kernels", "--target", "aarch64-unknown-linux-gnu"],
    env: &[
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64 -L /usr/aarch64-linux-gnu"),
    ],
};
const CUDA: Step = Step::new(&["check", "--features", "cuda"]);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["check"] => LINT.iter().chain([&TEST]).try_for_each(Step::run),
        ["lint"] => LINT.iter().try_for_each(Step::run),
        ["test"] => TEST.run(),
        ["cuda"] => CUDA.run(),
        ["interop"] => interop::interop(),
        ["neon"] => NEON.run(),
        ["help" | "-h" | "--help"] => {
            eprintln!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The cargo that runs this: cargo sets CARGO for its programs, so the toolchain stays the caller's.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Says what runs, waits for it, says how long it took.
fn run(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    let shown = std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ");
    eprintln!("== {shown}");
    let start = Instant::now();
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    eprintln!("== {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
