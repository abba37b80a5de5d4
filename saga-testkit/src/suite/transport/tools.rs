//! What the scenarios are written with: numbered messages, a queue of one's own, and a patient reader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use saga_core::id::{Destination, MessageId, SagaId};
use saga_core::message::{Envelope, Headers};
use saga_core::port::{
    Delivery, PublishError, SettleError, Settlement, Settler, SubscribeOptions, Subscription, Token,
    Transport, TransportError,
};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Harness;

/// A fresh client, and a destination that only one scenario knows.
pub(super) struct Client<'a> {
    harness: &'a dyn Harness,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) queue: Destination,
}

impl<'a> Client<'a> {
    /// A client with a new destination, declared.
    pub(super) async fn new(harness: &'a dyn Harness) -> Self {
        let client = Client::undeclared(harness, harness.unique("queue")).await;
        client.declare().await;
        client
    }

    /// A client with a new topic, declared. Whoever is to get what is published has to read it before that.
    pub(super) async fn of_topic(harness: &'a dyn Harness) -> Self {
        let client = Client::undeclared(harness, topic(harness)).await;
        client.declare().await;
        client
    }

    /// A client with a destination that nobody has declared yet.
    pub(super) async fn undeclared(harness: &'a dyn Harness, queue: Destination) -> Self {
        Client { harness, transport: harness.connect().await, queue }
    }

    /// Another client with the same destination.
    pub(super) async fn another(&self) -> Self {
        Client::undeclared(self.harness, self.queue.clone()).await
    }

    pub(super) async fn declare(&self) {
        let declared = self.transport.declare(std::slice::from_ref(&self.queue)).await;
        declared.expect("declaring a new destination");
    }

    /// A message that is told from others by its number. Its key is one of [`KEYS`].
    pub(super) fn message(&self, number: u64) -> Envelope {
        let key = Uuid::from_u128(0x5a9a_0000 + u128::from(number % KEYS));
        Envelope {
            id: MessageId::from_uuid(Uuid::from_u128(0x1d_0000_0000 + u128::from(number))),
            destination: self.queue.clone(),
            key: SagaId::from_uuid(key),
            headers: Headers::from_iter([("number", number.to_string())]),
            body: number.to_string().into(),
        }
    }

    pub(super) fn messages(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<Envelope> {
        numbers.into_iter().map(|number| self.message(number)).collect()
    }

    /// Publishes messages, each of which must be confirmed.
    pub(super) async fn publish(&self, messages: &[Envelope]) {
        let results = self.transport.publish(messages).await;
        assert_eq!(results.len(), messages.len(), "publishing gives one result for each message");
        for (index, result) in results.into_iter().enumerate() {
            result.unwrap_or_else(|error| panic!("publishing message {index} of a batch: {error}"));
        }
    }

    /// Publishes messages again and again until each was confirmed once.
    pub(super) async fn publish_until_confirmed(&self, mut messages: Vec<Envelope>) {
        let deadline = Instant::now() + PATIENCE;
        while !messages.is_empty() {
            let results = self.transport.publish(&messages).await;
            let mut results = results.into_iter();
            messages.retain(|_| match results.next().expect("one result for each message") {
                Ok(()) => false,
                Err(PublishError::Permanent(why)) => panic!("a proper message is never accepted: {why}"),
                Err(error) => {
                    assert!(Instant::now() < deadline, "publishing does not recover: {error}");
                    true
                }
            });
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads the destination in the group `readers`.
    pub(super) async fn reader(&self, in_flight_max: usize) -> Reader {
        self.reader_in("readers", in_flight_max).await
    }

    pub(super) async fn reader_in(&self, group: &str, in_flight_max: usize) -> Reader {
        self.reader_of(self.queue.clone(), group, in_flight_max).await
    }

    pub(super) async fn reader_of(&self, source: Destination, group: &str, in_flight_max: usize) -> Reader {
        let options = SubscribeOptions { group: format!("{source}.{group}"), source, in_flight_max };
        let subscription = self.transport.subscribe(options).await.expect("subscribing");
        Reader { settler: subscription.settler(), subscription }
    }

    /// Tries to read the destination in a group.
    pub(super) async fn subscribe(
        &self,
        group: &str,
        in_flight_max: usize,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        let (source, group) = (self.queue.clone(), group.to_owned());
        self.transport.subscribe(SubscribeOptions { group, source, in_flight_max }).await
    }
}

/// A subscription whose losses of connection are waited out.
pub(super) struct Reader {
    pub(super) subscription: Box<dyn Subscription>,
    pub(super) settler: Arc<dyn Settler>,
}

impl Reader {
    /// The next deliveries, at least one.
    ///
    /// # Panics
    ///
    /// If nothing comes within a minute.
    pub(super) async fn next(&mut self, max: usize) -> Vec<Delivery> {
        let next = timeout(PATIENCE, receive(&mut *self.subscription, max)).await;
        next.unwrap_or_else(|_| panic!("nothing arrives, though something should"))
    }

    /// What arrives until all of `numbers` have, by number. Repeats replace what came before.
    ///
    /// # Panics
    ///
    /// If some do not come within a minute.
    pub(super) async fn until(&mut self, numbers: impl IntoIterator<Item = u64>) -> BTreeMap<u64, Delivery> {
        let mut missing: BTreeSet<u64> = numbers.into_iter().collect();
        let mut arrived = BTreeMap::new();
        let deadline = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            let received = tokio::time::timeout_at(deadline, receive(&mut *self.subscription, BATCH)).await;
            let Ok(deliveries) = received else {
                panic!("{} messages are lost, such as {:?}", missing.len(), missing.first());
            };
            for delivery in deliveries {
                missing.remove(&number(&delivery));
                arrived.insert(number(&delivery), delivery);
            }
        }
        arrived
    }

    /// What still arrives within a short while.
    pub(super) async fn rest(&mut self) -> Vec<Delivery> {
        let mut rest = Vec::new();
        while let Ok(deliveries) = timeout(QUIET, receive(&mut *self.subscription, BATCH)).await {
            rest.extend(deliveries);
        }
        rest
    }

    /// Settles deliveries in the same way, each of which must be settled.
    pub(super) async fn settle<'d>(
        &self,
        deliveries: impl IntoIterator<Item = &'d Delivery>,
        settlement: Settlement,
    ) {
        let batch = batch(deliveries, settlement);
        for result in self.settler.settle(&batch).await {
            result.expect("settling on a connection that stands");
        }
    }

    pub(super) async fn ack<'d>(&self, deliveries: impl IntoIterator<Item = &'d Delivery>) {
        self.settle(deliveries, Settlement::Ack).await;
    }

    /// Acks deliveries whose connection may be gone, and returns those that are lost and must come again.
    pub(super) async fn ack_what_stands(&self, mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let mut lost = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while !deliveries.is_empty() {
            let results = self.settler.settle(&batch(&deliveries, Settlement::Ack)).await;
            let mut failed = Vec::new();
            for (delivery, result) in deliveries.into_iter().zip(results) {
                match result {
                    Ok(()) => {}
                    Err(SettleError::Lost) => lost.push(delivery),
                    Err(error) => {
                        assert!(Instant::now() < deadline, "settling does not recover: {error}");
                        failed.push(delivery);
                    }
                }
            }
            deliveries = failed;
        }
        lost
    }

    /// Reads and acks until all of `missing` have arrived, whatever becomes of the connection meanwhile.
    pub(super) async fn drain(&mut self, mut missing: BTreeSet<u64>) {
        while !missing.is_empty() {
            let deliveries = self.next(BATCH).await;
            for delivery in &deliveries {
                missing.remove(&number(delivery));
            }
            self.ack_what_stands(deliveries).await;
        }
    }
}

/// A topic that no test before had.
pub(super) fn topic(harness: &dyn Harness) -> Destination {
    Destination::topic(harness.unique("topic").as_str()).expect("the suite's names are proper ones")
}

/// The number of a message that [`Client::message`] made.
pub(super) fn number(delivery: &Delivery) -> u64 {
    let body = std::str::from_utf8(&delivery.envelope.body).expect("a body is what was published");
    body.parse().expect("a body is what was published")
}

fn batch<'d>(
    deliveries: impl IntoIterator<Item = &'d Delivery>,
    settlement: Settlement,
) -> Vec<(Token, Settlement)> {
    let settle = |delivery: &Delivery| (delivery.token, settlement.clone());
    deliveries.into_iter().map(settle).collect()
}

/// Receives, and goes on after temporary errors.
async fn receive(subscription: &mut dyn Subscription, max: usize) -> Vec<Delivery> {
    loop {
        match subscription.receive(max).await {
            Ok(deliveries) => {
                assert!(!deliveries.is_empty(), "receiving ended without a delivery");
                assert!(deliveries.len() <= max, "more was received than was asked for");
                return deliveries;
            }
            Err(error) if error.is_temporary() => tokio::time::sleep(PAUSE).await,
            Err(error) => panic!("receiving: {error}"),
        }
    }
}

/// How many keys the numbered messages have.
pub(super) const KEYS: u64 = 10;

/// As many deliveries as a scenario takes at once when it does not matter.
pub(super) const BATCH: usize = 256;

/// How long "nothing more arrives" is watched for. Too short can only hide a fault, never invent one.
const QUIET: Duration = Duration::from_millis(300);

/// How long something that must come is waited for before it counts as lost: long enough for the rebalance of a group.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps a retry from spinning.
pub(super) const PAUSE: Duration = Duration::from_millis(10);
