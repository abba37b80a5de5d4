//! Settling: acks, releases, dead letters, and many of them.

use std::collections::BTreeSet;

use saga_core::port::{DEAD_REASON, Delivery, Redelivery, SettleError, Settlement};

use super::Harness;
use super::tools::{BATCH, Client, Reader, number};
use crate::suite::{Dice, Skipped};

/// What is given back comes again, for whoever reads next.
pub async fn a_released_message_comes_again(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..5)).await;
    let mut first = client.reader(5).await;
    let out = first.until(0..5).await;
    first.ack([0, 1, 3, 4].map(|number| &out[&number])).await;
    first.settle([&out[&2]], Settlement::Release).await;
    drop(first);

    let again = client.another().await.reader(5).await.until([2]).await;
    assert!(again[&2].redelivered, "what comes again is marked as redelivered");
    Ok(())
}

/// A dead letter is found at `<destination>.dead` with everything it had and a reason, and does not come again; of a
/// queue, and of a topic.
pub async fn a_dead_letter_keeps_its_message_and_has_its_reason(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    bury(Client::new(harness).await).await;
    bury(Client::of_topic(harness).await).await;
    Ok(())
}

async fn bury(client: Client<'_>) {
    let mut reader = client.reader(10).await;
    client.publish(&client.messages(0..3)).await;
    let out = reader.until(0..3).await;
    let reason = "unknown command \"x\" ☃".to_owned();
    reader.settle([&out[&1]], Settlement::DeadLetter { reason: reason.clone() }).await;
    reader.ack([&out[&0], &out[&2]]).await;
    drop(reader);

    let dead_letters = client.queue.dead_letters();
    let mut dead = client.reader_of(dead_letters, "morgue", 10).await.until([1]).await;
    let dead = dead.remove(&1).expect("the dead letter is there").envelope;
    assert_eq!(dead.headers.value(DEAD_REASON), Some(reason.as_str()), "a dead letter has its reason");
    let original = client.message(1);
    for (name, value) in original.headers.iter() {
        assert_eq!(dead.headers.value(name), Some(value), "a dead letter keeps its headers");
    }
    assert_eq!((dead.id, dead.key, dead.body), (original.id, original.key, original.body));

    let rest = client.another().await.reader(10).await.rest().await;
    assert!(rest.iter().all(|delivery| number(delivery) != 1), "a dead letter does not come again");
}

/// Ten thousand messages, settled in batches of a random order while more arrive: each comes, and each is settled.
pub async fn ten_thousand_messages_are_settled_in_any_order(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let publisher = client.another().await;
    let publishing = async {
        for thousand in 0..10 {
            publisher.publish(&publisher.messages(thousand * 1000..(thousand + 1) * 1000)).await;
        }
    };
    let reading = async {
        let mut reader = client.reader(500).await;
        let mut missing: BTreeSet<u64> = (0..10_000).collect();
        let mut out = Vec::new();
        let mut dice = Dice::new(2);
        while !missing.is_empty() {
            out.extend(reader.next(BATCH).await);
            dice.shuffle(&mut out);
            let kept = if out.len() < missing.len() { dice.roll(out.len().min(250)) } else { 0 };
            for settled in ack(&reader, out.split_off(kept)).await {
                missing.remove(&settled);
            }
        }
    };
    tokio::join!(publishing, reading);

    if client.transport.capabilities().redelivery == Redelivery::Individual {
        let left = client.another().await.reader(500).await.rest().await;
        assert!(left.is_empty(), "{} messages come again though they were settled", left.len());
    }
    Ok(())
}

/// Acks deliveries, and returns the numbers of those that were settled. Lost ones come again.
async fn ack(reader: &Reader, deliveries: Vec<Delivery>) -> Vec<u64> {
    let batch: Vec<_> = deliveries.iter().map(|delivery| (delivery.token, Settlement::Ack)).collect();
    let results = reader.settler.settle(&batch).await;
    let settled = deliveries.iter().zip(results).filter_map(|(delivery, result)| match result {
        Ok(()) => Some(number(delivery)),
        Err(SettleError::Lost) => None,
        Err(error) => panic!("settling on a connection that stands: {error}"),
    });
    settled.collect()
}
