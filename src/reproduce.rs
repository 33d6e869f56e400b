//! `genas reproduce`: the paper's tables beside what is measured here. [`paper`] holds the paper's numbers, and each other file
//! one kind of target.

mod nb201;
mod paper;

use anyhow::Result;

use crate::args::{ReproduceArgs, Target};
use crate::context::Ctx;

pub fn run(ctx: &Ctx, args: &ReproduceArgs) -> Result<()> {
    match args.target {
        Target::Table1 | Target::Table5 | Target::Table6 | Target::Table7 => nb201::run(ctx, args),
    }
}
