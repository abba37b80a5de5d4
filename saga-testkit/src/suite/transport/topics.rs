//! Topics: each group gets every message, whether somebody reads just now or not.

use saga_core::port::{PublishError, Redelivery};

use super::Harness;
use super::tools::{Client, number, topic};
use crate::suite::{Skipped, require};

/// Each group that has subscribed to a topic gets every message of it, and none that belongs to another one.
pub async fn each_group_gets_every_message(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::of_topic(harness).await;
    require(client.transport.capabilities().topics, "capability: all readers of a topic share its messages")?;
    let mut first = client.reader_in("first", 50).await;
    let mut second = client.another().await.reader_in("second", 50).await;
    let other = Client::of_topic(harness).await;
    other.publish(&other.messages(100..110)).await;
    client.publish(&client.messages(0..20)).await;
    let mut all = Vec::new();
    for reader in [&mut first, &mut second] {
        let arrived = reader.until(0..20).await;
        reader.ack(arrived.values()).await;
        all.extend(arrived.into_values());
        all.extend(reader.rest().await);
    }
    assert!(all.iter().all(|delivery| number(delivery) < 100), "what belongs to another topic came along");
    let named = all.iter().all(|delivery| delivery.envelope.destination == client.queue);
    assert!(named, "a delivery names the topic that it was published to");
    Ok(())
}

/// What is published while nobody reads waits for the group; what was settled does not come again.
pub async fn a_group_keeps_what_comes_while_nobody_reads(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::of_topic(harness).await;
    let mut before = client.another().await.reader(10).await;
    // A group may need its time until messages flow at all.
    client.publish(&client.messages(0..3)).await;
    before.drain((0..3).collect()).await;
    drop(before);

    client.publish(&client.messages(3..13)).await;
    let mut after = client.another().await.reader(50).await;
    let arrived = after.until(3..13).await;
    after.ack(arrived.values()).await;
    if client.transport.capabilities().redelivery == Redelivery::Individual {
        let settled_before = arrived.keys().any(|number| *number < 3);
        assert!(!settled_before, "what the group had settled comes again");
    }
    Ok(())
}

/// A topic takes messages though nobody reads it, and whoever reads it from then on gets what comes then.
pub async fn a_topic_without_readers_takes_messages(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::of_topic(harness).await;
    client.publish(&client.messages(0..20)).await;
    let mut reader = client.reader(50).await;
    client.publish(&client.messages(20..40)).await;
    reader.until(20..40).await;
    Ok(())
}

/// A message for a topic that nobody has declared is reported, at its position, and the others of its batch arrive.
pub async fn a_topic_that_nobody_declared_harms_no_other_message(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    let client = Client::of_topic(harness).await;
    let reports = client.transport.capabilities().reports_unroutable;
    require(reports, "capability: the transport does not report unroutable messages")?;
    let mut reader = client.reader(50).await;
    let mut messages = client.messages(0..20);
    messages[7].destination = topic(harness);
    let results = client.transport.publish(&messages).await;
    for (index, result) in results.iter().enumerate() {
        let expected =
            if index == 7 { matches!(result, Err(PublishError::Temporary(_))) } else { result.is_ok() };
        assert!(expected, "message {index} of a batch whose message 7 has no topic: {result:?}");
    }
    reader.until((0..20).filter(|number| *number != 7)).await;
    Ok(())
}
