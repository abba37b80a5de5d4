//! The ledger: which deliveries are out, and what became of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{BasicProperties, Channel};
use saga_core::id::Destination;
use saga_core::port::{SettleError, Settlement, Settler, Token};
use tokio::time::Instant;

use super::line::Line;
use super::publish::{Outgoing, Publisher};
use super::{metric, properties};

/// Settles the deliveries of one subscription, on whichever channel it has at present.
pub(super) struct Ledger {
    /// The queue that is read.
    queue: String,
    dead_letters: Destination,
    publisher: Arc<Publisher>,
    deadline: Duration,
    lane: Arc<Mutex<Option<Lane>>>,
}

/// One channel of a subscription, and the deliveries that came over it and are not settled.
pub(super) struct Lane {
    pub(super) generation: u64,
    pub(super) line: Arc<Line>,
    pub(super) channel: Channel,
    pub(super) unsettled: BTreeMap<u64, Held>,
}

/// What is kept of a delivery, to make a dead letter of it as it came.
pub(super) struct Held {
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// What the broker is told of a delivery that has a place in its batch.
struct Word {
    place: usize,
    token: Token,
    verb: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Ack,
    Release,
}

type Results = [Result<(), SettleError>];

#[async_trait]
impl Settler for Ledger {
    async fn settle(&self, batch: &[(Token, Settlement)]) -> Vec<Result<(), SettleError>> {
        let mut results = vec![Ok(()); batch.len()];
        let (mut words, mut dead) = (Vec::with_capacity(batch.len()), Vec::new());
        for (place, (token, settlement)) in batch.iter().enumerate() {
            let token = *token;
            match settlement {
                Settlement::Ack => words.push(Word { place, token, verb: Verb::Ack }),
                Settlement::Release => words.push(Word { place, token, verb: Verb::Release }),
                Settlement::DeadLetter { reason } => dead.push((place, token, reason.as_str())),
            }
        }
        self.tell(&words, &mut results).await;
        if !dead.is_empty() {
            let buried = self.bury(&dead, &mut results).await;
            self.tell(&buried, &mut results).await;
        }
        results
    }
}

impl Ledger {
    pub(super) fn new(
        queue: String,
        dead_letters: Destination,
        publisher: Arc<Publisher>,
        deadline: Duration,
    ) -> Self {
        Ledger { queue, dead_letters, publisher, deadline, lane: Arc::default() }
    }

    /// Turns to another channel, or to none. Whatever the old one delivered is lost to it.
    pub(super) fn turn_to(&self, lane: Option<Lane>) {
        *self.lock() = lane;
    }

    /// Enters deliveries of the present channel.
    pub(super) fn enter(&self, deliveries: impl Iterator<Item = (u64, Held)>) {
        if let Some(lane) = self.lock().as_mut() {
            lane.unsettled.extend(deliveries);
        }
    }

    /// Tells the broker, and waits until it is written. A broker does not answer an ack.
    async fn tell(&self, words: &[Word], results: &mut Results) {
        let Some((line, written)) = self.queue(words, results) else {
            return;
        };
        let until = Instant::now() + self.deadline;
        if line.ask(until, "basic.ack", written).await.is_err() {
            lose(words, results);
        }
    }

    /// Queues the frames for `words`, and strikes their deliveries out.
    ///
    /// Both under one lock: frames are written in the order they are queued, so an ack for everything up to a tag
    /// cannot overtake, or repeat, one for a single tag before it.
    fn queue(&self, words: &[Word], results: &mut Results) -> Option<(Arc<Line>, Written)> {
        let mut lane = self.lock();
        let Some(lane) = lane.as_mut() else {
            lose(words, results);
            return None;
        };
        let mut verbs = Vec::with_capacity(words.len());
        for word in words {
            if lane.strike(word.token) {
                verbs.push((word.token.id, word.verb));
            } else {
                lose(std::slice::from_ref(word), results);
            }
        }
        let written = lane.queue(&fold(&verbs, lane.oldest_unsettled()))?;
        Some((lane.line.clone(), written))
    }

    /// Publishes copies to the dead letters, and says which deliveries may now be acked: those whose copy is
    /// confirmed. The others are given back after a while.
    async fn bury(&self, dead: &[(usize, Token, &str)], results: &mut Results) -> Vec<Word> {
        let (mut words, mut letters) = (Vec::new(), Vec::new());
        for &(place, token, reason) in dead {
            match self.letter(token, reason) {
                Some(letter) => {
                    words.push(Word { place, token, verb: Verb::Ack });
                    letters.push(letter);
                }
                None => results[place] = Err(stale()),
            }
        }
        let until = Instant::now() + self.deadline;
        let published = self.publisher.publish(&letters, until).await;
        let (mut buried, mut unburied) = (Vec::new(), Vec::new());
        for (word, result) in words.into_iter().zip(published) {
            match result {
                Ok(()) => buried.push(word),
                Err(error) => {
                    results[word.place] = Err(SettleError::Failed(error.to_string()));
                    unburied.push(word.token);
                }
            }
        }
        if !unburied.is_empty() {
            self.give_back_later(unburied);
        }
        buried
    }

    fn letter(&self, token: Token, reason: &str) -> Option<DeadLetter<'_>> {
        let lane = self.lock();
        let held =
            lane.as_ref().filter(|lane| lane.generation == token.generation)?.unsettled.get(&token.id)?;
        let properties = properties::of_dead_letter(&held.properties, &self.queue, reason);
        Some(DeadLetter { destination: &self.dead_letters, properties, body: held.body.clone() })
    }

    /// Gives back what could not be buried, unless it is settled meanwhile. After a pause, because it comes again at
    /// once and most likely fails again.
    fn give_back_later(&self, tokens: Vec<Token>) {
        let lane = Arc::downgrade(&self.lane);
        tokio::spawn(async move {
            tokio::time::sleep(GIVE_BACK_AFTER).await;
            let Some(lane) = lane.upgrade() else { return };
            let mut lane = lock(&lane);
            if let Some(lane) = lane.as_mut() {
                let ours = tokens.into_iter().filter(|token| lane.strike(*token));
                let releases: Vec<_> = ours.map(|token| Frame::Release(token.id)).collect();
                drop(lane.queue(&releases));
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lane>> {
        lock(&self.lane)
    }
}

fn lock(lane: &Mutex<Option<Lane>>) -> MutexGuard<'_, Option<Lane>> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A frame that is queued; the future ends when it is written.
type Written = BoxFuture<'static, lapin::Result<()>>;

impl Lane {
    fn strike(&mut self, token: Token) -> bool {
        token.generation == self.generation && self.unsettled.remove(&token.id).is_some()
    }

    fn oldest_unsettled(&self) -> Option<u64> {
        self.unsettled.first_key_value().map(|(tag, _)| *tag)
    }

    /// Queues frames and gives the last one to wait for: when that is written, the others are.
    fn queue(&self, frames: &[Frame]) -> Option<Written> {
        let mut last = None;
        for &frame in frames {
            let mut writing = write(self.channel.clone(), frame).boxed();
            // The first poll queues the frame; an answer now means that the channel is gone.
            last = match (&mut writing).now_or_never() {
                Some(Err(error)) => return Some(ready(Err(error)).boxed()),
                Some(Ok(())) => None,
                None => Some(writing),
            };
        }
        last
    }
}

async fn write(channel: Channel, frame: Frame) -> lapin::Result<()> {
    match frame {
        Frame::Ack(tag) => channel.basic_ack(tag, BasicAckOptions { multiple: false }).await,
        Frame::AckThrough(tag) => channel.basic_ack(tag, BasicAckOptions { multiple: true }).await,
        Frame::Release(tag) => {
            let options = BasicNackOptions { requeue: true, multiple: false };
            channel.basic_nack(tag, options).await
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Ack(u64),
    /// Everything up to this tag that the broker still waits for.
    AckThrough(u64),
    Release(u64),
}

/// The fewest frames that say `verbs`, given the oldest delivery that is still out.
///
/// What lies before that delivery is settled or among `verbs`, so one ack covers all of it. Releases go first, so
/// that this ack does not cover them, too.
fn fold(verbs: &[(u64, Verb)], oldest_unsettled: Option<u64>) -> Vec<Frame> {
    let tags = |wanted| verbs.iter().filter(move |(_, verb)| *verb == wanted).map(|(tag, _)| *tag);
    let covered = |tag: &u64| oldest_unsettled.is_none_or(|oldest| *tag < oldest);
    let through = tags(Verb::Ack).filter(covered).max();
    let single = tags(Verb::Ack).filter(|tag| !covered(tag));
    let releases = tags(Verb::Release).map(Frame::Release);
    releases.chain(through.map(Frame::AckThrough)).chain(single.map(Frame::Ack)).collect()
}

fn lose(words: &[Word], results: &mut Results) {
    for word in words {
        results[word.place] = Err(stale());
    }
}

fn stale() -> SettleError {
    metric::stale();
    SettleError::Lost
}

/// A copy of a delivery on its way to the dead letters.
struct DeadLetter<'a> {
    destination: &'a Destination,
    properties: BasicProperties,
    body: Bytes,
}

impl Outgoing for DeadLetter<'_> {
    fn destination(&self) -> &Destination {
        self.destination
    }

    fn properties(&self) -> BasicProperties {
        self.properties.clone()
    }

    fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Long enough to keep a message that cannot be buried from going round and round, short enough to notice that it
/// can be buried again.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use Verb::{Ack, Release};

    #[test]
    fn a_whole_prefix_is_one_ack() {
        assert_eq!(fold(&[(1, Ack), (3, Ack), (2, Ack)], None), [Frame::AckThrough(3)]);
        assert_eq!(fold(&[(1, Ack), (2, Ack)], Some(3)), [Frame::AckThrough(2)]);
    }

    #[test]
    fn nothing_that_is_still_out_is_covered() {
        assert_eq!(
            fold(&[(1, Ack), (2, Ack), (4, Ack), (6, Ack)], Some(3)),
            [Frame::AckThrough(2), Frame::Ack(4), Frame::Ack(6)]
        );
        assert_eq!(fold(&[(4, Ack)], Some(3)), [Frame::Ack(4)]);
    }

    #[test]
    fn releases_go_before_the_ack_that_would_cover_them() {
        assert_eq!(
            fold(&[(1, Ack), (2, Release), (3, Ack)], None),
            [Frame::Release(2), Frame::AckThrough(3)]
        );
        assert_eq!(fold(&[(1, Release)], None), [Frame::Release(1)]);
        assert_eq!(fold(&[], Some(1)), []);
    }
}
