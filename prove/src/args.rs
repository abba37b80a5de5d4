//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Plant bugs, one after another, and show which tool finds each
    Gallery(GalleryArguments),
    /// Have one tool look for the bug that is planted
    #[command(hide = true)]
    Try {
        /// Which one
        #[arg(value_enum)]
        trial: Trial,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExploreArguments {
    /// Print one line of JSON instead of a line for each saga; what goes wrong is told on standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// When all that is searched, go on with shapes that the seed draws until so many seconds have passed in all
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// The seed of the shapes that are drawn, after all that is searched every time: only with --seconds
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    #[arg(long = "runs", hide = true, value_parser = no_runs)]
    _runs: Option<u64>,
}

fn no_runs(_: &str) -> Result<u64, &'static str> {
    Err("an exploration has no runs, it searches every state once; --seconds has it go on with drawn shapes")
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
    #[command(flatten)]
    pub(crate) _drawn: NothingDrawn,
}

#[derive(Debug, Args)]
pub(crate) struct GalleryArguments {
    /// Print one line of JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) _drawn: NothingDrawn,
}

/// Flags of other proofs, refused with a reason by those that do the same every time.
#[derive(Debug, Args)]
pub(crate) struct NothingDrawn {
    #[arg(long = "seconds", hide = true, value_parser = refused)]
    _seconds: Option<u64>,
    #[arg(long = "seed", hide = true, value_parser = refused)]
    _seed: Option<u64>,
    #[arg(long = "runs", hide = true, value_parser = refused)]
    _runs: Option<u64>,
}

fn refused(_: &str) -> Result<u64, &'static str> {
    Err("this proof does the same every time, to its end, so it takes no seed, no time and no number of runs")
}

/// A tool that the gallery runs in a process of its own.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Trial {
    Explorer,
    Simulator,
}

impl Trial {
    #[cfg_attr(not(saga_planted), expect(dead_code, reason = "only a build with bugs has a gallery"))]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Trial::Explorer => "explorer",
            Trial::Simulator => "simulator",
        }
    }
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
