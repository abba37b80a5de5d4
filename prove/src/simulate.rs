//! Runs the shop's saga with everything that can go wrong.

use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use saga_testkit::simulate::Report;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::args::SimulateArguments;
use crate::shop;

pub(crate) fn run(arguments: &SimulateArguments) -> anyhow::Result<()> {
    let report = simulate(arguments)?;
    match arguments.json {
        true => println!("{}", in_json(&report)),
        false => print(&report),
    }
    let unseen = if report.runs < RUNS_THAT_SEE_ALL { Vec::new() } else { report.counters.missing() };
    match (&report.first, unseen.as_slice()) {
        (None, []) => Ok(()),
        (None, unseen) => bail!("never seen in {} runs: {}", report.runs, unseen.join(", ")),
        (Some(first), _) => bail!("seed {} breaks what is promised", first.seed),
    }
}

fn simulate(arguments: &SimulateArguments) -> anyhow::Result<Report> {
    let SimulateArguments { runs, seconds, seed, .. } = *arguments;
    let runs = if seconds.is_some() { u64::MAX - seed } else { runs };
    let simulation = shop::simulation()?.seeds(seed..seed.saturating_add(runs));
    let (began, bar) = (Instant::now(), bar(seconds.unwrap_or(runs)));
    let report = simulation.run_with(|runs| {
        bar.set_position(if seconds.is_some() { began.elapsed().as_secs() } else { runs });
        seconds.is_none_or(|seconds| began.elapsed() < Duration::from_secs(seconds))
    });
    bar.finish_and_clear();
    Ok(report)
}

/// Shows itself on standard error, if that is a terminal.
fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

fn in_json(report: &Report) -> Value {
    let mut counters: Map<String, Value> =
        report.counters.iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    counters.insert("repeated".into(), report.repeated.into());
    json!({
        "runs": report.runs,
        "violations": report.violations,
        "first_failing_seed": report.first.as_ref().map(|first| first.seed),
        "counters": counters,
    })
}

fn print(report: &Report) {
    if let Some(first) = &report.first {
        println!("{first}");
    }
    let Report { runs, repeated, violations, counters, .. } = report;
    println!("{runs} runs, {repeated} of them made twice, {violations} broke a promise\n{counters}");
}

/// In so many runs everything that is counted is seen, the rarest of it dozens of times.
const RUNS_THAT_SEE_ALL: u64 = 20_000;

const TEMPLATE: &str = "simulate {wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left";
