//! `genas report`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use genas_net::atomic_write;
use genas_report::{Page, Run, page};
use genas_search::Observer;
use serde_json::json;

use crate::args::ReportArgs;
use crate::context::Ctx;
use crate::output::{fields, grouped};

/// The report in a run's folder.
const FILE: &str = "report.html";

pub fn run(ctx: &Ctx, args: &ReportArgs) -> Result<()> {
    let (path, run, page) = write(&args.run, args.out.as_deref())?;
    for fault in &page.faults {
        ctx.observer.message(&format!("{}: {}", args.run.join(&fault.file).display(), fault.reason));
    }
    let result = json!({
        "report": path,
        "bytes": page.html.len(),
        "missing": run.missing,
        "faults": page.faults,
    });
    ctx.out.result(&result, || {
        let mut pairs =
            vec![("report", path.display().to_string()), ("bytes", grouped(page.html.len() as u64))];
        if !run.missing.is_empty() {
            let names: Vec<&str> = run.missing.iter().map(|missing| missing.file.as_str()).collect();
            pairs.push(("not there yet", names.join(", ")));
        }
        if !page.faults.is_empty() {
            let names: Vec<&str> = page.faults.iter().map(|fault| fault.file.as_str()).collect();
            pairs.push(("damaged", names.join(", ")));
        }
        fields(&pairs)
    })
}

/// Writes the report of a run, into its folder if `out` names no file.
pub fn write(folder: &Path, out: Option<&Path>) -> Result<(PathBuf, Run, Page)> {
    let run = Run::read(folder)?;
    let page = page(&run);
    let path = out.map_or_else(|| folder.join(FILE), Path::to_owned);
    atomic_write(&path, page.html.as_bytes())?;
    Ok((path, run, page))
}
