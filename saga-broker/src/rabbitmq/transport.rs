//! The transport: a publisher, a link to consume over, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join;
use saga_core::id::Destination;
use saga_core::message::Envelope;
use saga_core::port::{
    Capabilities, Lanes, PublishError, SubscribeOptions, Subscription, Transport, TransportError,
};
use tokio::time::Instant;

use super::connection::{Link, Patience};
use super::publish::Publisher;
use super::settle::Ledger;
use super::subscribe::Reader;
use super::{RabbitMqConfig, properties, topology};

/// A transport over RabbitMQ.
///
/// # Example: a broker that may come up later
///
/// ```no_run
/// use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
/// use saga_core::id::Destination;
/// use saga_core::port::Transport;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let rabbitmq = RabbitMq::new(RabbitMqConfig::new("amqp://guest:guest@localhost:5672/%2f")?);
/// rabbitmq.declare(&[Destination::new("inventory")?]).await?;
/// # Ok(())
/// # }
/// ```
pub struct RabbitMq {
    config: Arc<RabbitMqConfig>,
    publisher: Arc<Publisher>,
    publishing: Arc<Link>,
    consuming: Arc<Link>,
}

impl RabbitMq {
    /// Begins to connect in the background, and goes on for ever.
    ///
    /// The broker may be away: calls wait for it as long as their deadline lasts, and fail with a temporary error.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(config: RabbitMqConfig) -> Self {
        let config = Arc::new(config);
        let publishing = Link::start(config.clone(), "publish");
        let consuming = Link::start(config.clone(), "consume");
        let publisher = Arc::new(Publisher::new(publishing.clone(), config.publish_channels));
        RabbitMq { config, publisher, publishing, consuming }
    }

    fn until(&self) -> Instant {
        Instant::now() + self.config.deadline
    }
}

#[async_trait]
impl Transport for RabbitMq {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least(self.config.body_bytes_max)
            .durable()
            .lanes(Lanes::PerDestination)
            .reports_unroutable()
            .topics()
    }

    /// Over the connection that consumes, because the other one may be blocked.
    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        for destination in destinations {
            let until = self.until();
            let mut patience = Patience::new(&self.config, until);
            loop {
                let line = self.consuming.line(until).await?;
                match topology::declare(&line, &self.config, destination, until).await {
                    Ok(()) => break,
                    Err(error) => patience.after(error).await?,
                }
            }
        }
        Ok(())
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let checked: Vec<_> =
            batch.iter().map(|envelope| properties::check(envelope, self.config.body_bytes_max)).collect();
        let good: Vec<_> = batch
            .iter()
            .zip(&checked)
            .filter(|(_, check)| check.is_ok())
            .map(|(envelope, _)| envelope)
            .collect();
        let mut published = self.publisher.publish(&good, self.until()).await.into_iter();
        let mut next = || published.next().expect("the publisher gives one result per message");
        checked.into_iter().map(|check| check.and_then(|()| next())).collect()
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        let queue = topology::queue_to_read(&options)?;
        let dead_letters = options.source.dead_letters();
        let ledger = Ledger::new(queue.clone(), dead_letters, self.publisher.clone(), self.config.deadline);
        let mut reader = Reader::new(self.config.clone(), self.consuming.clone(), options, queue, ledger);
        reader.open().await?;
        Ok(Box::new(reader))
    }

    async fn close(&self) {
        let deadline = self.config.deadline;
        join(self.consuming.close(deadline), self.publishing.close(deadline)).await;
    }
}

/// The transport's name in logs and metrics.
pub(super) const NAME: &str = "rabbitmq";
