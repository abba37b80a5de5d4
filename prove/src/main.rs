//! Long proofs of the framework itself, with figures: see `scripts/prove --help`.
//!
//! A proof is a subcommand with a file of its own. It prints what it did as it goes, one line of JSON at the end if it
//! is asked for that, and fails if anything is wrong.

mod args;
mod draw;
mod examples;
mod explore;
#[cfg(saga_planted)]
mod gallery;
mod progress;
mod replay;
mod shop;
mod simulate;
mod subjects;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
// The order example looks for its contract here.
use examples::contract;

fn main() -> ExitCode {
    let proved = match Arguments::parse().command {
        Command::Explore(arguments) => explore::run(&arguments),
        #[cfg(saga_planted)]
        Command::Gallery(arguments) => gallery::run(&arguments),
        #[cfg(saga_planted)]
        Command::Try { trial } => gallery::try_one(trial),
        #[cfg(not(saga_planted))]
        Command::Gallery(_) | Command::Try { .. } => {
            Err(anyhow::anyhow!("no bugs are in this build: run scripts/prove gallery"))
        }
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
    };
    match proved {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prove: {error:#}");
            ExitCode::FAILURE
        }
    }
}
