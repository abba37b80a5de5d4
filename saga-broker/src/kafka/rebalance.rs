//! What happens when partitions come and go. The client library calls here while the reader polls it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem as Element;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Logs;
use super::lane::{Mark, Past};
use super::metric;
use super::subscribe::Reading;

/// The member of a consumer group that one reader is.
pub(super) struct Group {
    reading: Arc<Reading>,
    paused: AtomicBool,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logs.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logs.error(error, reason);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.assign(consumer, partitions),
            Rebalance::Revoke(partitions) => self.revoke(consumer, partitions),
            Rebalance::Error(error) => self.warn(error, "a rebalance failed"),
        }
    }
}

impl Group {
    pub(super) fn new(reading: Arc<Reading>) -> Self {
        Group { reading, paused: AtomicBool::new(false) }
    }

    /// Stops fetching; polling then serves the group alone.
    pub(super) fn pause(&self, consumer: &BaseConsumer<Self>) {
        if !self.paused.swap(true, Ordering::Relaxed) {
            tracing::debug!(topic = self.reading.topic(), "reading is paused until deliveries are settled");
            let paused = consumer.pause(&self.partitions());
            paused.unwrap_or_else(|error| self.warn(&error, "partitions could not be paused"));
        }
    }

    /// Fetches again if it was paused.
    pub(super) fn resume(&self, consumer: &BaseConsumer<Self>) {
        if self.paused.swap(false, Ordering::Relaxed) {
            let resumed = consumer.resume(&self.partitions());
            resumed.unwrap_or_else(|error| self.warn(&error, "partitions could not be resumed"));
        }
    }

    fn partitions(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in self.reading.lanes().partitions() {
            list.add_partition(self.reading.topic(), partition);
        }
        list
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        if partitions.count() == 0 {
            return;
        }
        metric::rebalanced("assigned");
        // What is new is not paused; the reader pauses all if it still has to.
        self.resume(consumer);
        let pasts: Vec<_> = match consumer.committed_offsets(partitions.clone(), ASK_WITHIN) {
            Ok(committed) => committed.elements().iter().map(|found| past(consumer, found)).collect(),
            Err(error) => {
                self.warn(&error, "it is not known what is committed");
                let unknown = |element: &Element<'_>| Past::unknown(element.partition());
                partitions.elements().iter().map(unknown).collect()
            }
        };
        self.reading.lanes().assign(pasts);
    }

    /// Commits what is settled of the partitions, and forgets them. Tokens of theirs are lost from now on.
    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        metric::rebalanced("revoked");
        // A pause would outlive the assignment.
        self.resume(consumer);
        let revoked = partitions.elements();
        let marks = self.reading.lanes().revoke(revoked.iter().map(Element::partition));
        // Of partitions that others have by now, nothing may be committed, and the broker would refuse it.
        if marks.is_empty() || consumer.assignment_lost() {
            return;
        }
        // The library gives a partition up only when its commits have ended; it does not answer questions by then.
        match consumer.commit(&self.offsets(&marks), CommitMode::Async) {
            Ok(()) => metric::committed(marks.len(), "last"),
            Err(error) => self.warn(&error, "what was settled last is not committed and comes again"),
        }
    }

    /// Commits each partition's mark. Returns what the broker then has, as far as it could be asked.
    ///
    /// The library tells the outcome of an asynchronous commit to nobody, and waits for that of a synchronous one for
    /// as long as a silent network takes. So it is asked back, within a limit; the two go over one connection, in order.
    pub(super) fn commit(&self, consumer: &BaseConsumer<Self>, marks: &[(i32, Mark)]) -> Vec<(i32, Mark)> {
        if marks.is_empty() {
            return Vec::new();
        }
        let offsets = self.offsets(marks);
        let sent = consumer.commit(&offsets, CommitMode::Async);
        let committed: Vec<_> = match sent.and_then(|()| consumer.committed_offsets(offsets, ASK_WITHIN)) {
            Ok(found) => found.elements().iter().filter_map(partition_and_mark).collect(),
            Err(error) => {
                self.warn(&error, "it is not known what is committed");
                Vec::new()
            }
        };
        let confirmed = marks.iter().filter(|mark| committed.contains(mark)).count();
        metric::committed(confirmed, "ok");
        metric::committed(marks.len() - confirmed, "failed");
        committed
    }

    /// Offsets to commit, each with its reach as metadata.
    fn offsets(&self, marks: &[(i32, Mark)]) -> TopicPartitionList {
        let mut offsets = TopicPartitionList::with_capacity(marks.len());
        for (partition, mark) in marks {
            let mut element = offsets.add_partition(self.reading.topic(), *partition);
            // Fails for negative offsets, which no broker gives; what has no offset is not committed.
            let _ = element.set_offset(Offset::Offset(mark.offset));
            element.set_metadata(mark.reach.to_string());
        }
        offsets
    }

    fn warn(&self, error: &KafkaError, what: &'static str) {
        tracing::warn!(%error, topic = self.reading.topic(), "{what}");
    }
}

/// Reads what a group has committed for a partition.
///
/// Nothing committed says that nothing was ever delivered, since the reach is committed first. An offset without a
/// reach was committed by someone else, an operator say: then all that is there may be a repeat.
fn past(consumer: &BaseConsumer<Group>, found: &Element<'_>) -> Past {
    let partition = found.partition();
    let Offset::Offset(offset) = found.offset() else {
        let unknown = Past::unknown(partition);
        return if found.error().is_ok() { Past { suspect_below: Some(0), ..unknown } } else { unknown };
    };
    if let Some(mark) = mark(found) {
        return Past { partition, committed: Some(mark), suspect_below: Some(mark.reach) };
    }
    let client = consumer.client();
    let watermarks = client.fetch_watermarks(found.topic(), partition, ASK_WITHIN);
    let suspect_below = watermarks.ok().map(|(_, high)| high);
    Past { partition, committed: Some(Mark { offset, reach: 0 }), suspect_below }
}

fn partition_and_mark(element: &Element<'_>) -> Option<(i32, Mark)> {
    Some((element.partition(), mark(element)?))
}

fn mark(element: &Element<'_>) -> Option<Mark> {
    let Offset::Offset(offset) = element.offset() else {
        return None;
    };
    let reach = element.metadata().parse().ok()?;
    Some(Mark { offset, reach })
}

/// Whoever polls is away from its client for so long at most, which is well within every limit on that.
const ASK_WITHIN: Duration = Duration::from_secs(5);
