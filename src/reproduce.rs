//! `genas reproduce`: the paper's tables and figures beside what is measured here. [`paper`] and [`genas_report::compare`] hold the
//! paper's numbers, and each other file one kind of target.

mod figures;
mod nb201;
mod paper;
mod rows;
mod shares;

use anyhow::Result;

use crate::args::{ReproduceArgs, Target};
use crate::context::Ctx;

pub fn run(ctx: &Ctx, args: &ReproduceArgs) -> Result<()> {
    match args.target {
        Target::Table1 => nb201::run(ctx, args, nb201::Table::One),
        Target::Table2 => rows::run(ctx, args, rows::Table::Two),
        Target::Table3 => rows::run(ctx, args, rows::Table::Three),
        Target::Table4 => rows::run(ctx, args, rows::Table::Four),
        Target::Table5 => nb201::run(ctx, args, nb201::Table::Five),
        Target::Table6 => nb201::run(ctx, args, nb201::Table::Six),
        Target::Table7 => nb201::run(ctx, args, nb201::Table::Seven),
        Target::Table8 => shares::run(ctx, args, &paper::TABLE_8),
        Target::Table9 => shares::run(ctx, args, &paper::TABLE_9),
        Target::Table10 => shares::run(ctx, args, &paper::TABLE_10),
        Target::Fig1 => figures::minima(ctx, args),
        Target::Fig2 => figures::best_middle_worst(ctx, args),
        Target::Fig3 => figures::metrics(ctx, args),
        Target::Fig4 => figures::cost(ctx, args),
        Target::Fig5 => figures::cell(ctx, args, "GENAS_FLATNESS_CIFAR100"),
        Target::Fig6 => figures::cell(ctx, args, "RLDARTS_OURS_GT"),
        Target::Fig7 => figures::cell(ctx, args, "GENAS_ANGLE_FLATNESS_CIFAR100"),
    }
}
