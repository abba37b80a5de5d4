//! Receiving and settling: what stands between a reader's thread and the tasks that handle deliveries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use saga_core::id::Destination;
use saga_core::port::{Delivery, Settler, SubscribeOptions, Subscription, TransportError};
use tokio::sync::{Notify, watch};

use super::config::KafkaConfig;
use super::lanes::{Fetched, Lanes};
use super::publish::{CLOSED, Producer};
use super::reader;
use super::settle::KafkaSettler;

/// One reader of a topic. Dropping it ends the reader, which leaves its group by itself.
pub(super) struct KafkaSubscription {
    reading: Arc<Reading>,
    producer: Arc<Producer>,
}

impl KafkaSubscription {
    /// Starts a reader once a broker has answered. It joins its group in the background.
    pub(super) async fn start(
        config: &KafkaConfig,
        options: SubscribeOptions,
        producer: Arc<Producer>,
    ) -> Result<Self, TransportError> {
        let group = consumer_group(&options);
        let reading = Arc::new(Reading::new(options.source, options.in_flight_max));
        // Made first, so that the reader ends if this future is dropped.
        let subscription = KafkaSubscription { reading: reading.clone(), producer };
        reader::start(config, &group, reading).await?;
        Ok(subscription)
    }

    /// What the transport holds on to, to end the reader when it is closed.
    pub(super) fn reading(&self) -> Arc<Reading> {
        self.reading.clone()
    }
}

/// For each topic a group of its own: the readers of one group wait for one another whenever one comes or goes.
fn consumer_group(options: &SubscribeOptions) -> String {
    let SubscribeOptions { source, group, .. } = options;
    match source.is_topic() {
        true => format!("{}:{group}", source.as_str()),
        false => group.clone(),
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, TransportError> {
        loop {
            let arrived = self.reading.arrived.notified();
            let taken = self.reading.take(max.max(1))?;
            if !taken.is_empty() {
                return Ok(taken.into_iter().map(|fetched| fetched.delivery(&self.reading.source)).collect());
            }
            arrived.await;
        }
    }

    fn settler(&self) -> Arc<dyn Settler> {
        Arc::new(KafkaSettler::new(self.reading.clone(), self.producer.clone()))
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.reading.end();
    }
}

impl Fetched {
    fn delivery(self, source: &Destination) -> Delivery {
        let envelope = self.record.envelope(source);
        Delivery { envelope, redelivered: self.redelivered, token: self.token }
    }
}

/// What a reader's thread shares with the tasks.
pub(super) struct Reading {
    source: Destination,
    lanes: Mutex<Lanes>,
    /// The reader waits here while too much is out.
    room: Condvar,
    /// Whoever receives waits here.
    arrived: Notify,
    /// An error that nobody has seen yet.
    failure: Mutex<Option<TransportError>>,
    ending: AtomicBool,
    left: watch::Sender<bool>,
}

impl Reading {
    fn new(source: Destination, in_flight_max: usize) -> Self {
        Reading {
            source,
            lanes: Mutex::new(Lanes::new(in_flight_max)),
            room: Condvar::new(),
            arrived: Notify::new(),
            failure: Mutex::new(None),
            ending: AtomicBool::new(false),
            left: watch::Sender::new(false),
        }
    }

    pub(super) fn topic(&self) -> &str {
        self.source.as_str()
    }

    pub(super) fn source(&self) -> &Destination {
        &self.source
    }

    /// A panic under the lock is a bug of `lanes` and leaves whole deliveries behind, so the lock is not poisoned.
    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for another delivery; false if there was none all the while.
    pub(super) fn wait_for_room(&self, patience: Duration) -> bool {
        let no_room = |lanes: &mut Lanes| lanes.is_full() && !self.is_ending();
        let waited = self.room.wait_timeout_while(self.lanes(), patience, no_room);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_full()
    }

    /// Tells the reader that deliveries were settled.
    pub(super) fn settled(&self) {
        self.room.notify_one();
    }

    /// Tells whoever receives that there may be deliveries.
    pub(super) fn arrived(&self) {
        self.arrived.notify_one();
    }

    /// Shows an error to whoever receives next. A permanent one is not hidden by a temporary one after it.
    pub(super) fn fail(&self, error: TransportError) {
        let mut failure = self.failure();
        if failure.as_ref().is_none_or(TransportError::is_temporary) {
            *failure = Some(error);
        }
        drop(failure);
        self.arrived();
    }

    /// Asks the reader to leave its group.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.room.notify_one();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Notes that the reader has left its group.
    pub(super) fn has_left(&self) {
        self.left.send_replace(true);
        self.arrived();
    }

    /// Whether the reader has left its group.
    pub(super) fn has_ended(&self) -> bool {
        *self.left.borrow()
    }

    /// Waits until the reader has left its group.
    pub(super) async fn ended(&self) {
        // The sender lives as long as `self`, so this ends only by the reader's leaving.
        let _ = self.left.subscribe().wait_for(|left| *left).await;
    }

    fn take(&self, max: usize) -> Result<Vec<Fetched>, TransportError> {
        let taken = self.lanes().take(max);
        if !taken.is_empty() {
            return Ok(taken);
        }
        let failure = match self.has_ended() {
            true => Some(self.failure().clone().unwrap_or(TransportError::Temporary(CLOSED.into()))),
            false => self.failure().take(),
        };
        failure.map_or(Ok(taken), Err)
    }

    fn failure(&self) -> MutexGuard<'_, Option<TransportError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(source: Destination) -> SubscribeOptions {
        SubscribeOptions { source, group: "mailing".into(), in_flight_max: 1 }
    }

    #[test]
    fn a_service_has_a_group_for_each_of_its_topics() {
        let topic = options(Destination::topic("orders").unwrap());
        assert_eq!(consumer_group(&topic), "orders:mailing");
        let queue = options(Destination::new("mailing").unwrap());
        assert_eq!(consumer_group(&queue), "mailing");
    }
}
