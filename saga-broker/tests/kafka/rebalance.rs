//! Partitions that come and go while messages flow.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saga_broker::kafka::{Kafka, KafkaConfig};
use saga_core::id::Destination;
use saga_core::port::{SettleError, Settlement, Subscription, Transport};
use tokio::time::{Instant, sleep, timeout};

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revoked_partition_delivered_is_lost_to_its_reader() {
    let Some(brokers) = brokers() else { return };
    let (first, topic) = declared(config(&brokers).partitions(4), "revoked").await;
    publish_all(&first, &messages(&topic, 0..100)).await;
    let mut reader = subscribe(&first, &topic, 100).await;
    let deliveries = receive(&mut reader, 100).await;

    let mut other = subscribe(&transport(&brokers), &topic, 100).await;
    receive(&mut other, 1).await;
    let settled = settle(&*reader, &deliveries, Settlement::Ack).await;
    assert!(settled.iter().all(|result| *result == Err(SettleError::Lost)), "{settled:?}");
    let again = settle(&*reader, &deliveries, Settlement::Release).await;
    assert!(again.iter().all(|result| *result == Err(SettleError::Lost)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_while_readers_join_and_leave_and_no_commit_goes_back() {
    rebalance_until_something_was_out("range").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_with_cooperative_rebalances_either() {
    rebalance_until_something_was_out("cooperative-sticky").await;
}

async fn rebalance_until_something_was_out(strategy: &str) {
    let Some(brokers) = brokers() else { return };
    let config = config(&brokers).partitions(PARTITIONS).property("partition.assignment.strategy", strategy);
    let (transport, topic) = declared(config.clone(), "load").await;
    let load = Arc::new(Load::default());
    let steady = tokio::spawn(load.clone().read(subscribe(&transport, &topic, 1_000).await));
    let guests = tokio::spawn(load.clone().come_and_go(config, topic.clone()));
    let watch = tokio::spawn(load.clone().watch_commits(brokers, topic.clone()));

    while !guests.is_finished() {
        // Not far ahead of the readers: what is left at the end must not depend on how fast the machine is.
        let published = load.published.load(Ordering::Relaxed);
        if published < load.settled() + AHEAD_MAX {
            publish_all(&transport, &messages(&topic, published..published + 100)).await;
            load.published.store(published + 100, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(20)).await;
    }
    guests.await.unwrap();
    let published = load.published.load(Ordering::Relaxed);
    let waited = timeout(PATIENCE, load.settles_all(published)).await;
    assert!(waited.is_ok(), "{} of {published} messages were settled", load.settled());
    load.over.store(true, Ordering::Relaxed);
    steady.await.unwrap();
    watch.await.unwrap();
    eprintln!("{strategy}: {published} messages, {} settlements were lost", load.lost());
}

/// What readers have done so far.
#[derive(Default)]
struct Load {
    published: AtomicU64,
    settled: Mutex<BTreeSet<u64>>,
    lost: AtomicU64,
    over: AtomicBool,
}

impl Load {
    /// Reads and settles until all is over, out of order, and slowly enough that deliveries are always out.
    async fn read(self: Arc<Self>, mut subscription: Box<dyn Subscription>) {
        while !self.over.load(Ordering::Relaxed) {
            self.read_some(&mut subscription).await;
        }
    }

    /// How many deliveries there were.
    async fn read_some(&self, subscription: &mut Box<dyn Subscription>) -> usize {
        let Ok(Ok(deliveries)) = timeout(Duration::from_millis(100), subscription.receive(500)).await else {
            return 0;
        };
        sleep(Duration::from_millis(100)).await;
        let settled = settle(&**subscription, deliveries.iter().rev(), Settlement::Ack).await;
        for (delivery, result) in deliveries.iter().rev().zip(settled) {
            match result {
                Ok(()) => drop(self.settled.lock().unwrap().insert(number(delivery))),
                Err(SettleError::Lost) => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
                Err(error) => panic!("{error}"),
            }
        }
        deliveries.len()
    }

    /// Until a guest has taken a partition of which something was out.
    ///
    /// A guest that comes soon after another has left gets that one's partitions, which are nobody's. So as long as
    /// nothing was out, it comes once the steady reader has them all.
    async fn come_and_go(self: Arc<Self>, config: KafkaConfig, topic: Destination) {
        for guest in 1..=GUESTS_MAX {
            if self.lost() == 0 {
                // The next batch is in all partitions. What was published before it may have been settled by a guest.
                let next = self.published.load(Ordering::Relaxed) + 200;
                let waited = timeout(PATIENCE, self.settles_all(next)).await;
                assert!(waited.is_ok(), "the steady reader does not get all partitions");
            }
            self.be_a_guest(&config, &topic).await;
            if guest >= GUESTS_MIN && self.lost() > 0 {
                return;
            }
        }
        panic!("no delivery was out while partitions were revoked, so nothing was tested");
    }

    /// Stays a while, and until the group has given it a partition, which may take longer.
    async fn be_a_guest(&self, config: &KafkaConfig, topic: &Destination) {
        let transport = Kafka::new(config.clone()).unwrap();
        let mut subscription = subscribe(&transport, topic, 1_000).await;
        let (began, mut received) = (Instant::now(), 0);
        while received == 0 || began.elapsed() < STAY {
            assert!(began.elapsed() < PATIENCE, "a guest gets no message");
            received += self.read_some(&mut subscription).await;
        }
        transport.close().await;
    }

    async fn watch_commits(self: Arc<Self>, brokers: String, topic: Destination) {
        let mut before = vec![None; PARTITIONS.into()];
        while !self.over.load(Ordering::Relaxed) {
            let (brokers, topic) = (brokers.clone(), topic.clone());
            let ask = move || committed(&brokers, &topic, PARTITIONS.into());
            let now = tokio::task::spawn_blocking(ask).await.unwrap();
            assert!(now.iter().zip(&before).all(|(now, before)| now >= before), "{before:?}, then {now:?}");
            before = now;
        }
    }

    /// Waits until the first `count` messages are settled.
    async fn settles_all(&self, count: u64) {
        while (self.settled.lock().unwrap().range(..count).count() as u64) < count {
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn settled(&self) -> u64 {
        self.settled.lock().unwrap().len() as u64
    }

    /// How many settlements were lost, because their partition was revoked while they were out.
    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

const PARTITIONS: u16 = 4;
const GUESTS_MIN: usize = 4;
const GUESTS_MAX: usize = 20;
const STAY: Duration = Duration::from_secs(2);
const AHEAD_MAX: u64 = 5_000;
