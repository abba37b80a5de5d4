//! The command line.

use clap::Parser;

/// Runs four sagas of placing an order, and prints what became of each.
///
/// Without options everything is in this one process and in memory: nothing has to be installed or started. One saga
/// completes, one is refused by payment and takes its reservation back, one is answered late and asked again, and one
/// has to repeat its compensation.
#[derive(Debug, Parser)]
#[command(version, after_help = SWITCHES)]
pub(crate) struct Args {
    /// Keep sagas, outboxes and fences in this Postgres database (needs `--features postgres`).
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,

    /// Send messages over this RabbitMQ broker (needs `--features rabbitmq`).
    #[arg(long, value_name = "URL", conflicts_with = "kafka")]
    pub(crate) amqp: Option<String>,

    /// Send messages over these Kafka brokers (needs `--features kafka`).
    #[arg(long, value_name = "BROKERS")]
    pub(crate) kafka: Option<String>,
}

const SWITCHES: &str = "What is behind a feature is compiled only when asked for:

  cargo run -p quickstart
  cargo run -p quickstart --features postgres,rabbitmq -- \\
      --postgres postgres://saga@127.0.0.1:5432/saga --amqp amqp://guest:guest@127.0.0.1:5672
  cargo run -p quickstart --features postgres,kafka -- \\
      --postgres postgres://saga@127.0.0.1:5432/saga --kafka 127.0.0.1:9092

Kafka compiles librdkafka, which takes a C compiler and about a minute.";
