//! Connections that are cut, networks that fall silent, and brokers that restart.

use std::collections::BTreeSet;
use std::time::Duration;

use saga_core::message::Envelope;
use saga_core::port::{PUBLISH_DEADLINE, PublishError};
use tokio::time::timeout;

use super::Harness;
use super::tools::{Client, PAUSE, number};
use crate::suite::{Dice, Skipped, require};

/// After a cut, what was out can be settled as lost or as settled, never hangs, and comes again unless it was settled.
pub async fn a_message_whose_connection_was_cut_comes_again(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..10)).await;
    let mut reader = client.reader(10).await;
    let out = reader.until(0..10).await;
    harness.sever().await?;
    harness.mend().await;

    let lost = reader.ack_what_stands(out.into_values().collect()).await;
    reader.drain(lost.iter().map(number).collect()).await;
    Ok(())
}

/// Reading goes on over cuts, and whatever was not settled comes again.
pub async fn nothing_is_lost_while_a_readers_connection_is_cut(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..200)).await;
    let mut reader = client.reader(20).await;
    let mut missing: BTreeSet<u64> = (0..200).collect();
    for _ in 0..CUTS {
        let deliveries = reader.next(10).await;
        let arrived: BTreeSet<u64> = deliveries.iter().map(number).collect();
        harness.sever().await?;
        harness.mend().await;
        let lost = reader.ack_what_stands(deliveries).await;
        let lost: BTreeSet<u64> = lost.iter().map(number).collect();
        missing.retain(|number| !arrived.contains(number) || lost.contains(number));
    }
    reader.drain(missing).await;
    Ok(())
}

/// Without its broker a publish ends with errors that may be retried, and works again when the broker is back.
pub async fn publishing_while_the_broker_is_away_ends_and_recovers(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..10)).await;
    harness.sever().await?;
    assert_fails(&client, &client.messages(10..20)).await;
    harness.mend().await;
    client.publish_until_confirmed(client.messages(10..20)).await;
    client.reader(50).await.until(0..20).await;
    Ok(())
}

/// A publish whose answer never comes ends as unknown, and works again when the network does.
pub async fn publishing_into_silence_ends_and_recovers(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..10)).await;
    harness.silence().await?;
    assert_fails(&client, &client.messages(10..20)).await;
    harness.mend().await;
    client.publish_until_confirmed(client.messages(10..20)).await;
    client.reader(50).await.until(0..20).await;
    Ok(())
}

/// Publishing under load while the connection is cut at any moment: what was confirmed arrives.
pub async fn nothing_confirmed_is_lost_while_connections_are_cut(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..1)).await;
    let mut dice = Dice::new(3);
    for round in 0..CUTS {
        let messages = client.messages(round * 100..(round + 1) * 100);
        let cutting = async {
            tokio::time::sleep(Duration::from_millis(dice.roll(8) as u64)).await;
            harness.sever().await?;
            tokio::time::sleep(PAUSE).await;
            harness.mend().await;
            Ok(())
        };
        let (cut, ()) = tokio::join!(cutting, client.publish_until_confirmed(messages));
        cut?;
    }
    client.another().await.reader(100).await.drain((0..CUTS * 100).collect()).await;
    Ok(())
}

/// What was confirmed survives the broker's restart, and clients of before find it again.
pub async fn a_restart_keeps_confirmed_messages(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    require(client.transport.capabilities().durable, "capability: the transport is not durable")?;
    client.publish(&client.messages(0..100)).await;
    harness.restart().await?;
    client.publish_until_confirmed(client.messages(100..200)).await;
    client.another().await.reader(100).await.drain((0..200).collect()).await;
    Ok(())
}

/// Publishes while nothing can get through: every message has an error that may be retried and says that nobody has
/// answered, and has it in time. Subscribing does not succeed either.
async fn assert_fails(client: &Client<'_>, messages: &[Envelope]) {
    let published = timeout(PUBLISH_DEADLINE * 2, client.transport.publish(messages)).await;
    let results = published.expect("publishing ends within its deadline, whatever the network does");
    for result in results {
        let error = result.expect_err("nothing is confirmed while nothing can get through");
        assert!(!matches!(error, PublishError::Permanent(_)), "a broker that is away is temporary: {error}");
        let unanswered = matches!(error, PublishError::Unknown(_) | PublishError::Unreachable(_));
        assert!(unanswered, "a broker that is away has not said no: {error}");
    }
    let subscribed = timeout(PUBLISH_DEADLINE * 2, client.subscribe("nobody", 1)).await;
    let subscribed = subscribed.expect("subscribing ends in time, whatever the network does");
    assert!(subscribed.is_err(), "nothing is subscribed to while the broker cannot answer");
}

/// Enough to hit a connection in most of what it can be doing, few enough that reconnecting takes seconds in all.
const CUTS: u64 = 8;
