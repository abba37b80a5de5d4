//! The command line.

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// Measures sagas end to end: throughput, latency, and what one saga costs.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the floor: the same rows and messages, hand-written and batched, without the framework
    Floor(FloorArguments),
    /// Run the framework: orchestrator and participants as processes of their own, or one process in memory
    Load(LoadArguments),
    /// Run floor and framework by turns, three times each, and print the ratio of their medians
    Compare(CompareArguments),
    #[command(hide = true)]
    FloorOrchestrator { job: String },
    #[command(hide = true)]
    FloorParticipants { job: String },
    #[command(hide = true)]
    LoadOrchestrator { job: String },
    #[command(hide = true)]
    LoadParticipants { job: String },
}

#[derive(Debug, Args)]
pub(crate) struct FloorArguments {
    /// The broker between orchestrator and participants
    #[arg(long, value_enum)]
    pub(crate) transport: Transport,
    #[command(flatten)]
    pub(crate) workload: Workload,
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Print one line of JSON and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// Where sagas and fences are kept
    #[arg(long, value_enum, default_value_t = Store::Postgres)]
    pub(crate) store: Store,
    /// The broker between orchestrator and participants; memory goes with the memory store
    #[arg(long, value_enum)]
    pub(crate) transport: Transport,
    /// How many commands a participant may run in one transaction
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) commands_per_transaction: u64,
    /// Retire sagas a second after their end, while others are under way; for the Postgres store
    #[arg(long)]
    pub(crate) retire: bool,
    #[command(flatten)]
    pub(crate) workload: Workload,
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Print one line of JSON and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Compare the framework that retires its sagas with the one that keeps them, rather than with the floor
    #[arg(long)]
    pub(crate) retire: bool,
    /// The broker between orchestrator and participants
    #[arg(long, value_enum)]
    pub(crate) transport: Transport,
    /// How many commands a participant of the framework may run in one transaction
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) commands_per_transaction: u64,
    #[command(flatten)]
    pub(crate) workload: Workload,
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Print lines of JSON and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where sagas and fences are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Store {
    Memory,
    Postgres,
}

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    #[value(name = "rabbitmq")]
    RabbitMq,
    Kafka,
    /// In one process; for `load --store memory` only
    Memory,
}

/// How much is to be done, and how much of it at once.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub(crate) struct Workload {
    /// How many sagas to run
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) sagas: u64,
    /// How many sagas are under way at once; 1 shows the latency of a single saga
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) in_flight: u64,
    /// How many steps a saga has
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) steps: u16,
    /// The share of sagas that is refused at the last step and compensated
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(crate) refuse: u64,
}

impl Workload {
    /// Whether the saga with this number is one of those that are refused.
    pub(crate) fn refuses(&self, number: u64) -> bool {
        // 37 and 100 have no common divisor: the share is exact in every hundred, and spread over it.
        number * 37 % 100 < self.refuse
    }

    /// How many of the sagas are refused.
    pub(crate) fn refused(&self) -> u64 {
        (0..self.sagas).filter(|&number| self.refuses(number)).count() as u64
    }
}

/// Where the servers are. `eval "$(scripts/services env)"` sets the variables.
#[derive(Clone, Debug, Args)]
pub(crate) struct Servers {
    /// A Postgres server on which the bench may create and drop databases
    #[arg(long, value_name = "URL", env = "SAGA_POSTGRES_URL")]
    pub(crate) postgres: Option<String>,
    /// The RabbitMQ server, for --transport rabbitmq
    #[arg(long, value_name = "URL", env = "SAGA_AMQP_URL")]
    pub(crate) amqp: Option<String>,
    /// The Kafka brokers, for --transport kafka
    #[arg(long, value_name = "HOST:PORT,..", env = "SAGA_KAFKA_BROKERS")]
    pub(crate) brokers: Option<String>,
}

impl Servers {
    /// The Postgres server's URL.
    pub(crate) fn postgres(&self) -> Result<&str> {
        self.postgres.as_deref().context("name a Postgres server with --postgres or SAGA_POSTGRES_URL")
    }

    /// The address of the broker behind a transport.
    pub(crate) fn broker(&self, transport: Transport) -> Result<String> {
        let (address, how) = match transport {
            Transport::RabbitMq => (&self.amqp, "name a RabbitMQ server with --amqp or SAGA_AMQP_URL"),
            Transport::Kafka => (&self.brokers, "name Kafka brokers with --brokers or SAGA_KAFKA_BROKERS"),
            Transport::Memory => {
                bail!("the memory transport has no broker; it goes with `load --store memory`")
            }
        };
        address.clone().context(how)
    }
}

const EXAMPLES: &str = "\
Examples:
  eval \"$(scripts/services env)\"          names the servers
  cargo run --release -p bench -- floor --transport kafka --sagas 50000 --in-flight 500
  cargo run --release -p bench -- floor --transport rabbitmq --sagas 2000 --in-flight 1 --json
  cargo run --release -p bench -- load --store memory --transport memory
  cargo run --release -p bench -- compare --transport rabbitmq

Figures per saga that come from the Postgres server (WAL bytes, write transactions) count all that the
server does: measure on a server that does nothing else.";

/// How many partitions a topic of Kafka has, on both sides of a comparison. Its one reader needs no more, and each
/// partition more makes batches smaller on the wire and in the log.
pub(crate) const KAFKA_PARTITIONS: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(refuse: u64) -> Workload {
        Workload { sagas: 1_000, in_flight: 1, steps: 3, refuse }
    }

    #[test]
    fn the_refused_share_is_exact() {
        for percent in [0, 1, 7, 50, 99, 100] {
            assert_eq!(workload(percent).refused(), percent * 10);
        }
    }

    #[test]
    fn the_refused_are_spread() {
        let refused: Vec<u64> = (0..100).filter(|&n| workload(10).refuses(n)).collect();
        assert!(refused.windows(2).all(|pair| pair[1] - pair[0] < 30), "{refused:?}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
