//! Settling: what the tasks say of deliveries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga_core::port::{PublishError, SettleError, Settlement, Settler, Token};
use tokio::time::Instant;

use super::lanes::Lanes;
use super::metric;
use super::publish::Producer;
use super::record::{Origin, Record};
use super::subscribe::Reading;

/// Settles deliveries of one reader.
///
/// - `Ack` marks a delivery; the reader commits it with the next tick, once all before it are settled.
/// - `DeadLetter` marks it when its copy is confirmed. If the copy fails, the delivery stays out, so that settling can be
///   repeated, and is received again after [`DEAD_LETTER_PAUSE`].
/// - `Release` makes it ready to be received again, by this subscription, since Kafka knows no giving back of one
///   message. It is marked nowhere, so when the subscription ends instead, another gets it.
pub(super) struct KafkaSettler {
    reading: Arc<Reading>,
    producer: Arc<Producer>,
}

type Copies = HashMap<Token, Result<(), PublishError>>;

impl KafkaSettler {
    pub(super) fn new(reading: Arc<Reading>, producer: Arc<Producer>) -> Self {
        KafkaSettler { reading, producer }
    }

    /// Publishes the dead letters of a batch. What is lost by now is not among the results.
    async fn copy_dead_letters(&self, batch: &[(Token, Settlement)]) -> Copies {
        let letters = self.dead_letters(batch);
        if letters.is_empty() {
            return Copies::new();
        }
        let topic = self.reading.source().dead_letters();
        let copies = letters.iter().map(|(token, reason, record)| {
            Ok(record.dead_letter(topic.as_str(), reason, &Origin::of(*token, self.reading.topic())))
        });
        let confirms = self.producer.send(copies, self.producer.deadline()).await;
        letters.iter().map(|(token, ..)| *token).zip(confirms).collect()
    }

    fn dead_letters<'a>(&self, batch: &'a [(Token, Settlement)]) -> Vec<(Token, &'a str, Record)> {
        let lanes = self.reading.lanes();
        let letter = |(token, settlement): &'a (Token, Settlement)| match settlement {
            Settlement::DeadLetter { reason } => Some((*token, reason.as_str(), lanes.kept(*token)?.clone())),
            Settlement::Ack | Settlement::Release => None,
        };
        batch.iter().filter_map(letter).collect()
    }
}

#[async_trait]
impl Settler for KafkaSettler {
    async fn settle(&self, batch: &[(Token, Settlement)]) -> Vec<Result<(), SettleError>> {
        let copies = self.copy_dead_letters(batch).await;
        let mut lanes = self.reading.lanes();
        let settled = batch.iter().map(|(token, settlement)| mark(&mut lanes, *token, settlement, &copies));
        let results: Vec<_> = settled.collect();
        drop(lanes);
        self.reading.settled();
        self.reading.arrived();
        metric::stale(results.iter().filter(|result| **result == Err(SettleError::Lost)).count());
        results
    }
}

fn mark(
    lanes: &mut Lanes,
    token: Token,
    settlement: &Settlement,
    copies: &Copies,
) -> Result<(), SettleError> {
    let known = match settlement {
        Settlement::Ack => lanes.settle(token),
        Settlement::Release => lanes.give_back(token),
        Settlement::DeadLetter { .. } => match copies.get(&token) {
            Some(Err(error)) => {
                lanes.give_back_later(token, Instant::now() + DEAD_LETTER_PAUSE);
                return Err(SettleError::Failed(error.to_string()));
            }
            Some(Ok(())) | None => lanes.settle(token),
        },
    };
    if known { Ok(()) } else { Err(SettleError::Lost) }
}

/// A dead letter that cannot be written now, because nobody declared its topic say, is not tried again hot.
const DEAD_LETTER_PAUSE: Duration = Duration::from_secs(1);
