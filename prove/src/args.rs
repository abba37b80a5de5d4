//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Proves the framework itself, and prints figures.
#[derive(Debug, Parser)]
#[command(name = "prove", bin_name = "scripts/prove", after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Search every state of the example sagas and of sagas of all shapes, whatever fails
    Explore(ExploreArguments),
    /// Run a saga thousands of times with everything that can go wrong
    Simulate(SimulateArguments),
    /// Replay what orders of the example went through on real servers, by its definition of today
    Replay(ReplayArguments),
    /// Plant bugs, one after another, and show that the simulation finds each
    Gallery(GalleryArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ExploreArguments {
    /// Print one line of JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Go on with shapes that the seed draws until so many seconds have passed
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// The seed of the shapes that are drawn
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// How many runs
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(crate) runs: u64,
    /// Run for so many seconds instead
    #[arg(long, conflicts_with = "runs", value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// The seed of the first run
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub(crate) seed: u64,
    /// Print one line of JSON and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// The recordings; those of the order example unless named
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print one line of JSON instead of a line for each recording
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GalleryArguments {
    /// Print one line of JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  scripts/prove explore
  scripts/prove explore --json
  scripts/prove explore --seconds 600 --seed 7
  scripts/prove simulate
  scripts/prove simulate --seed 4711 --runs 1
  scripts/prove replay
  scripts/prove gallery";
