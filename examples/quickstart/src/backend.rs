//! Where sagas are kept and what their messages travel over: in memory, or what the command line names.

use std::sync::Arc;

use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport};
use saga_core::port::{SystemClock, Transport};

use crate::Failure;
use crate::args::Args;
use crate::books::Shelf;

/// A store for the orchestrator and a fence for each service, in memory.
pub(crate) fn in_memory() -> (Arc<MemoryStore>, Arc<MemoryFence<Shelf>>, Arc<MemoryFence<Shelf>>) {
    let fence = || Arc::new(MemoryFence::new(full_shelf(), Arc::new(SystemClock)));
    (Arc::new(MemoryStore::default()), fence(), fence())
}

fn full_shelf() -> Shelf {
    [("stock".to_owned(), 100), ("money".to_owned(), 1000)].into()
}

/// The transport that the command line names.
pub(crate) fn transport(args: &Args) -> Result<Arc<dyn Transport>, Failure> {
    match (&args.amqp, &args.kafka) {
        (Some(url), _) => rabbitmq(url),
        (None, Some(brokers)) => kafka(brokers),
        (None, None) => Ok(Arc::new(MemoryTransport::default())),
    }
}

#[cfg(feature = "rabbitmq")]
fn rabbitmq(url: &str) -> Result<Arc<dyn Transport>, Failure> {
    use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
    Ok(Arc::new(RabbitMq::new(RabbitMqConfig::new(url)?)))
}

#[cfg(not(feature = "rabbitmq"))]
fn rabbitmq(_url: &str) -> Result<Arc<dyn Transport>, Failure> {
    Err(missing("--amqp", "rabbitmq"))
}

#[cfg(feature = "kafka")]
fn kafka(brokers: &str) -> Result<Arc<dyn Transport>, Failure> {
    use saga_broker::kafka::{Kafka, KafkaConfig};
    Ok(Arc::new(Kafka::new(KafkaConfig::new(brokers))?))
}

#[cfg(not(feature = "kafka"))]
fn kafka(_brokers: &str) -> Result<Arc<dyn Transport>, Failure> {
    Err(missing("--kafka", "kafka"))
}

/// Runs the sagas with everything in one database.
#[cfg(feature = "postgres")]
pub(crate) async fn run_on_postgres(url: &str, transport: Arc<dyn Transport>) -> Result<(), Failure> {
    use saga_postgres::{Config, PgFence, PgStore, migrate};

    let config = Config::new(url)?;
    migrate(&config).await?;
    crate::books::lay_out(url, &full_shelf()).await?;
    let store = Arc::new(PgStore::connect(&config).await?);
    let fence = Arc::new(PgFence::connect(&config).await?);
    crate::run(store, fence.clone(), fence, transport).await
}

#[cfg(not(feature = "postgres"))]
pub(crate) async fn run_on_postgres(_url: &str, _transport: Arc<dyn Transport>) -> Result<(), Failure> {
    Err(missing("--postgres", "postgres"))
}

#[cfg(not(all(feature = "postgres", feature = "rabbitmq", feature = "kafka")))]
fn missing(option: &str, feature: &str) -> Failure {
    format!("{option} needs the cargo feature {feature:?}: cargo run -p quickstart --features {feature} -- {option} ..").into()
}
