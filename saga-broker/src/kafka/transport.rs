//! The transport: one producer, and any number of readers.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::join_all;
use saga_core::id::Destination;
use saga_core::message::Envelope;
use saga_core::port::{
    Capabilities, Lanes, PublishError, Redelivery, SubscribeOptions, Subscription, Transport, TransportError,
};
use tokio::time::timeout;

use super::config::KafkaConfig;
use super::publish::{CLOSED, Producer};
use super::subscribe::{KafkaSubscription, Reading};
use super::topology;

/// A transport over Apache Kafka.
///
/// # Example: two services find each other
///
/// ```no_run
/// use saga_broker::kafka::{Kafka, KafkaConfig};
/// use saga_core::id::Destination;
/// use saga_core::port::Transport;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = Kafka::new(KafkaConfig::new("localhost:9092"))?;
/// transport.declare(&[Destination::new("inventory")?]).await?;
/// # Ok(())
/// # }
/// ```
pub struct Kafka {
    config: KafkaConfig,
    producer: Arc<Producer>,
    /// None once the transport is closed.
    readings: Mutex<Option<Vec<Arc<Reading>>>>,
}

impl Kafka {
    /// Prepares a transport. The brokers need not be up: it connects in the background, and again when it must.
    ///
    /// # Errors
    ///
    /// [`TransportError::Permanent`] if a property of the configuration is unknown or has a wrong value.
    pub fn new(config: KafkaConfig) -> Result<Self, TransportError> {
        let producer = Arc::new(Producer::new(config.clone())?);
        Ok(Kafka { config, producer, readings: Mutex::new(Some(Vec::new())) })
    }

    fn readings(&self) -> std::sync::MutexGuard<'_, Option<Vec<Arc<Reading>>>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Kafka {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least(self.config.body_bytes_max)
            .durable()
            .lanes(Lanes::PerKey)
            .redelivery(Redelivery::Cursor)
            .reports_unroutable()
            .topics()
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        topology::declare(&self.config, destinations).await
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        self.producer.publish(batch).await
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        let closed = || TransportError::Temporary(CLOSED.into());
        if self.readings().is_none() {
            return Err(closed());
        }
        let subscription = KafkaSubscription::start(&self.config, options, self.producer.clone()).await?;
        // If the transport was closed meanwhile, the subscription is dropped, which ends its reader.
        let mut readings = self.readings();
        let open = readings.as_mut().ok_or_else(closed)?;
        open.retain(|reading| !reading.has_ended());
        open.push(subscription.reading());
        Ok(Box::new(subscription))
    }

    async fn close(&self) {
        let readings = self.readings().take().unwrap_or_default();
        readings.iter().for_each(|reading| reading.end());
        let ended = join_all(readings.iter().map(|reading| reading.ended()));
        if timeout(self.config.deadline, ended).await.is_err() {
            tracing::warn!(
                "a reader of Kafka has not left its group in time; its session will end by itself"
            );
        }
        self.producer.close();
    }
}

/// The transport's name in logs and metrics.
pub(super) const NAME: &str = "kafka";
