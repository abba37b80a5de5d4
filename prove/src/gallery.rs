//! Plants bugs at the ports of the shop's simulation, and shows which promise gives each away.

use anyhow::bail;
use saga_testkit::simulate::{Bug, Report};
use serde_json::json;

use crate::args::GalleryArguments;
use crate::shop;

pub(crate) fn run(arguments: &GalleryArguments) -> anyhow::Result<()> {
    let mut missed = Vec::new();
    if !arguments.json {
        println!("| bug | found in run | by |\n|---|---|---|");
    }
    for bug in Bug::ALL {
        let report = shop::simulation()?.plant(bug).seeds(0..RUNS_MAX).run();
        if report.first.is_none() {
            missed.push(bug);
        }
        if !arguments.json {
            println!("{}", line(bug, &report));
        }
    }
    let (planted, caught) = (Bug::ALL.len(), Bug::ALL.len() - missed.len());
    if arguments.json {
        println!("{}", json!({ "planted": planted, "caught": caught, "by_tool": { "simulator": caught } }));
    }
    if missed.is_empty() { Ok(()) } else { bail!("not found: {missed:?}") }
}

fn line(bug: Bug, report: &Report) -> String {
    match &report.first {
        Some(first) => {
            let by = first.broken.first().map_or("", String::as_str);
            let promise = by.split(':').next().unwrap_or_default();
            format!("| {bug:?} | {} | {promise} |", first.seed + 1)
        }
        None => format!("| {bug:?} | not in {} | |", report.runs),
    }
}

/// Most bugs show in the first few runs.
const RUNS_MAX: u64 = 2_000;
