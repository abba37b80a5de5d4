//! Measures sagas end to end, beside a hand-written floor that does the same row writes and messages.
//!
//! ```text
//!        bench floor, bench load                       starts the two, says "go", measures, reports
//!           /           \
//! orchestrator <-broker-> participants                the same binary in a hidden role, one process each
//!      |                       |
//!   database                database                  one each, made for the run and dropped after it
//! ```
//!
//! What a figure means and how it is measured stands where it is measured: `measure` (the server's side),
//! `usage` (CPU and memory), `statements` (statements and commits), `latency`.

mod args;
mod compare;
mod database;
mod floor;
mod latency;
mod load;
mod measure;
mod process;
mod progress;
mod report;
mod statements;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Floor(arguments) => {
            let report = floor::run(&arguments).await?;
            report::print(&[report], arguments.json)
        }
        Command::Load(arguments) => {
            let report = load::run(&arguments).await?;
            report::print(&[report], arguments.json)
        }
        Command::Compare(arguments) => compare::run(&arguments).await,
        Command::LoadOrchestrator { job } => load::orchestrate(&job).await,
        Command::LoadParticipants { job } => load::participate(&job).await,
        Command::FloorOrchestrator { job } => floor::orchestrate(&job).await,
        Command::FloorParticipants { job } => floor::participate(&job).await,
    }
}
