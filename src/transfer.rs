//! `genas transfer`.

mod cityscapes;
mod coco;
mod fine_tune;

use anyhow::Result;

use crate::args::{TransferAction, TransferArgs};
use crate::context::Ctx;

pub fn run(ctx: &Ctx, args: &TransferArgs) -> Result<()> {
    match &args.action {
        TransferAction::Coco(args) => coco::run(ctx, args),
        TransferAction::Cityscapes(args) => cityscapes::run(ctx, args),
    }
}
