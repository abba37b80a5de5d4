//! The reader: a thread that polls Kafka, and never waits for a handler.
//!
//! It is a thread and no task, because the client library calls back while it is polled, and those callbacks block:
//! they commit before partitions are given up. A client that is not polled loses its partitions.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use saga_core::port::TransportError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::config::KafkaConfig;
use super::error::transport_error;
use super::rebalance::Group;
use super::record::Record;
use super::subscribe::Reading;

/// Starts a reader for `group`, once a broker has answered.
pub(super) async fn start(
    config: &KafkaConfig,
    group: &str,
    reading: Arc<Reading>,
) -> Result<(), TransportError> {
    let consumer = join(config, group, &reading).map_err(|error| transport_error(&error))?;
    let (name, deadline) = (format!("kafka-{}", reading.topic()), config.deadline);
    let (answered, answer) = oneshot::channel();
    let read = move || {
        let asked = consumer.fetch_metadata(Some(reading.topic()), deadline).map(drop);
        let is_there = asked.is_ok();
        // Whoever no longer waits for it has ended the reading.
        let _ = answered.send(asked.map_err(|error| transport_error(&error)));
        if is_there {
            run(consumer, reading);
        }
    };
    let started = thread::Builder::new().name(name).spawn(read);
    started.map_err(|error| TransportError::Temporary(error.to_string()))?;
    answer.await.unwrap_or_else(|_| Err(TransportError::Temporary("the reader has panicked".into())))
}

fn join(config: &KafkaConfig, group: &str, reading: &Arc<Reading>) -> KafkaResult<BaseConsumer<Group>> {
    let consumer: BaseConsumer<Group> =
        config.consumer(group).create_with_context(Group::new(reading.clone()))?;
    consumer.subscribe(&[reading.topic()])?;
    Ok(consumer)
}

/// Reads until the reading is ended from outside or the library gives up; then leaves the group.
fn run(consumer: BaseConsumer<Group>, reading: Arc<Reading>) {
    // Declared first and so dropped last: closing the client revokes its partitions, which commits what is settled.
    let _ending = Ending(reading.clone());
    let mut reader = Reader { consumer, reading, stalled: 0, ticked: Instant::now() };
    while !reader.reading.is_ending() && reader.turn() {}
}

/// Tells the subscription that nothing more will come, also if the thread panics.
struct Ending(Arc<Reading>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.has_left();
    }
}

struct Reader {
    consumer: BaseConsumer<Group>,
    reading: Arc<Reading>,
    /// How many turns in a row there was no room for more deliveries.
    stalled: u32,
    ticked: Instant,
}

impl Reader {
    /// Takes in the next message, or waits for the length of one tick. False if the library has given up.
    fn turn(&mut self) -> bool {
        let wait = self.wait_for_room();
        if self.ticked.elapsed() >= TICK {
            self.tick();
        }
        match wait.and_then(|wait| self.consumer.poll(wait)) {
            Some(Ok(message)) => self.admit(&message),
            Some(Err(error)) => return self.report(&error),
            None => {}
        }
        true
    }

    fn tick(&mut self) {
        self.ticked = Instant::now();
        let mut lanes = self.reading.lanes();
        lanes.tick();
        let given_back = lanes.give_back_due(self.ticked);
        drop(lanes);
        if given_back {
            self.reading.arrived();
        }
        self.commit();
    }

    /// How long to poll; `None` says not to poll at all, since a message would find no room.
    ///
    /// A short stall is waited out, which leaves the messages that are fetched already where they are. In a longer
    /// one the partitions are paused, which throws those away, and polling goes on without them.
    fn wait_for_room(&mut self) -> Option<Duration> {
        if self.reading.wait_for_room(TICK) {
            self.stalled = 0;
            self.consumer.context().resume(&self.consumer);
            return Some(TICK);
        }
        self.stalled += 1;
        if self.stalled < STALLED_TICKS_MAX {
            return None;
        }
        self.consumer.context().pause(&self.consumer);
        Some(Duration::ZERO)
    }

    fn admit(&self, message: &BorrowedMessage<'_>) {
        let record = Record::copy(message);
        let commit = self.reading.lanes().admit(message.partition(), message.offset(), record);
        self.reading.arrived();
        if commit {
            self.commit();
        }
    }

    fn commit(&self) {
        let due = self.reading.lanes().due();
        let committed = self.consumer.context().commit(&self.consumer, &due);
        if !committed.is_empty() {
            self.reading.lanes().confirm(&committed);
            self.reading.arrived();
        }
    }

    fn report(&self, error: &KafkaError) -> bool {
        tracing::warn!(%error, topic = self.reading.topic(), "a reader of Kafka met an error");
        self.reading.fail(transport_error(error));
        !matches!(error, KafkaError::MessageConsumptionFatal(_))
    }
}

/// How often offsets are committed, if there is something to commit, and how long a poll waits. What was settled in
/// the last tick before a crash comes again, and a tick costs one small request.
const TICK: Duration = Duration::from_millis(100);

/// A rebalance waits for this reader while it stalls, so a second of it is enough.
const STALLED_TICKS_MAX: u32 = 10;
