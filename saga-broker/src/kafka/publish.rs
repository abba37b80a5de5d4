//! Publishing: the whole batch is handed to the client library, then all confirms are awaited.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use saga_core::message::Envelope;
use saga_core::port::{PublishError, TransportError};
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{Aside, Logs};
use super::config::KafkaConfig;
use super::error::{delivery_error, enqueue_error, transport_error};
use super::metric;
use super::record::Outgoing;

type Client = Aside<FutureProducer<Logs>>;

/// One idempotent producer, made anew when the library gives it up.
pub(super) struct Producer {
    config: KafkaConfig,
    /// None once the transport is closed.
    client: Mutex<Option<Arc<Client>>>,
}

impl Producer {
    pub(super) fn new(config: KafkaConfig) -> Result<Self, TransportError> {
        let client = connect(&config).map_err(|error| transport_error(&error))?;
        Ok(Producer { config, client: Mutex::new(Some(client)) })
    }

    /// Publishes envelopes. One result each, in the same order.
    pub(super) async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let until = self.deadline();
        let mut results = self.send(batch.iter().map(|envelope| self.measured(envelope)), until).await;
        // The broker measures what the library has put into one request: if that is too large, its messages need not
        // be. Those that it refused are sent once more, each alone.
        for (envelope, result) in batch.iter().zip(&mut results) {
            if let Err(PublishError::Permanent(_)) = result
                && let Ok(record) = self.measured(envelope)
            {
                *result = self.send([Ok(record)].into_iter(), until).await.remove(0);
            }
        }
        results
    }

    /// Until when a call that begins now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.config.deadline
    }

    fn measured<'a>(&self, envelope: &'a Envelope) -> Result<Outgoing<'a>, PublishError> {
        let (bytes, max) = (envelope.body.len(), self.config.body_bytes_max);
        if bytes > max {
            let why = format!("a body of {bytes} bytes, {max} are allowed");
            return Err(PublishError::Permanent(why));
        }
        Ok(Outgoing::of(envelope))
    }

    /// Publishes records and waits for their confirms. One result each, in the same order.
    pub(super) async fn send<'a>(
        &self,
        records: impl Iterator<Item = Result<Outgoing<'a>, PublishError>> + Send,
        until: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let client = match self.current() {
            Ok(client) => client,
            Err(error) => return records.map(|_| Err(error.clone())).collect(),
        };
        let mut confirms = Vec::with_capacity(records.size_hint().0);
        for record in records {
            confirms.push(match record {
                Ok(record) => enqueue(&client, record, until).await,
                Err(error) => Err(error),
            });
        }
        let mut results = Vec::with_capacity(confirms.len());
        for confirm in confirms {
            results.push(match confirm {
                Ok(confirm) => confirm.wait(until).await,
                Err(error) => Err(error),
            });
        }
        let unknown = results.iter().filter(|result| matches!(result, Err(PublishError::Unknown(_))));
        metric::unknown(unknown.count());
        results
    }

    /// Closes the producer. What is under way is then unknown.
    pub(super) fn close(&self) {
        self.lock().take();
    }

    /// The producer, made anew if it has met an error after which the library sends nothing any more.
    fn current(&self) -> Result<Arc<Client>, PublishError> {
        let mut current = self.lock();
        let client = current.as_mut().ok_or_else(|| PublishError::Unreachable(CLOSED.into()))?;
        if let Some((code, reason)) = client.client().fatal_error() {
            tracing::error!(%code, reason, "the producer met a fatal error and is made anew");
            *client = connect(&self.config).map_err(|error| PublishError::Unreachable(error.to_string()))?;
        }
        Ok(client.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Client>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(config: &KafkaConfig) -> Result<Arc<Client>, KafkaError> {
    Ok(Arc::new(Aside::new(config.producer().create_with_context(Logs)?)))
}

/// Hands a record to the library. While its queue is full, waits for room.
async fn enqueue<'a>(
    client: &Client,
    record: Outgoing<'a>,
    until: Instant,
) -> Result<Confirm<'a>, PublishError> {
    let Outgoing { topic, key, body, headers } = record;
    let mut record = FutureRecord {
        topic,
        partition: None,
        payload: body,
        key: key.as_deref(),
        timestamp: None,
        headers: Some(headers),
    };
    loop {
        let (error, given_back) = match client.send_result(record) {
            Ok(future) => return Ok(Confirm { topic, future }),
            Err(refused) => refused,
        };
        if error != QUEUE_FULL || Instant::now() >= until {
            return Err(enqueue_error(topic, &error));
        }
        record = given_back;
        sleep(QUEUE_FULL_PAUSE).await;
    }
}

/// A message on its way.
struct Confirm<'a> {
    topic: &'a str,
    future: DeliveryFuture,
}

impl Confirm<'_> {
    async fn wait(self, until: Instant) -> Result<(), PublishError> {
        match timeout_at(until, self.future).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err((error, _)))) => Err(delivery_error(self.topic, &error)),
            Ok(Err(_)) => Err(PublishError::Unknown("the producer was closed".into())),
            Err(_) => Err(PublishError::Unknown("no confirm within the deadline".into())),
        }
    }
}

pub(super) const CLOSED: &str = "the transport is closed";

const QUEUE_FULL: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);

/// A producer sends thousands of messages in this time, so its queue has room after it.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);
