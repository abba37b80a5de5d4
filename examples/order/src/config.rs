//! What every service is told on its command line or by its environment.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use saga_core::id::Destination;
use tracing::Level;

/// The options that all three services have.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The service's own database. It is created if it is missing
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Where to listen for HTTP
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// What moves the messages
    #[arg(long, env = "BROKER", value_enum, default_value = "rabbitmq")]
    pub broker: BrokerKind,
    /// Where RabbitMQ is
    #[arg(
        long,
        env = "SAGA_AMQP_URL",
        hide_env_values = true,
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    pub amqp_url: String,
    /// Where Kafka is: host:port, with commas between
    #[arg(long, env = "SAGA_KAFKA_BROKERS", default_value = "127.0.0.1:9092")]
    pub kafka_brokers: String,
    /// Goes before the name of every queue and topic, so that several systems may share a broker
    #[arg(long, env = "NAMESPACE")]
    pub namespace: Option<Destination>,
    /// What this process is called in journals and by brokers
    #[arg(long, env = "PROCESS_NAME", default_value_t = format!("process-{}", std::process::id()))]
    pub process_name: String,
    /// How much to log: error, warn, info, debug or trace
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: Level,
    /// How long a publish or a call of the database may take, in milliseconds
    #[arg(long, env = "CALL_DEADLINE_MS", default_value_t = 10_000)]
    pub call_deadline_ms: u64,
}

/// The brokers to choose from.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// RabbitMQ, over AMQP 0-9-1.
    Rabbitmq,
    /// Apache Kafka.
    Kafka,
}
