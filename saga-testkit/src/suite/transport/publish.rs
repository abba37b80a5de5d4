//! Confirms, and messages that arrive as they were published.

use bytes::Bytes;
use saga_core::message::{Envelope, Headers};
use saga_core::port::PublishError;

use super::Harness;
use super::tools::Client;
use crate::suite::{Skipped, require};

/// What was confirmed can be read by another client after the publisher is gone.
pub async fn a_confirmed_message_outlives_its_publisher(harness: &dyn Harness) -> Result<(), Skipped> {
    let publisher = Client::new(harness).await;
    let reader = publisher.another().await;
    publisher.publish(&publisher.messages(0..10)).await;
    publisher.transport.close().await;
    drop(publisher);

    reader.reader(10).await.until(0..10).await;
    Ok(())
}

/// Id, key, headers and body arrive as they were published, whatever they hold.
pub async fn a_message_arrives_byte_for_byte(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let mut headers =
        Headers::from_iter([("traceparent", "00-1-2-01"), ("empty", ""), ("text", "naïve ☃ \"x\"\n")]);
    for filler in headers.len()..HEADERS_MAX {
        headers.insert(format!("saga-filler-{filler}"), "x".repeat(1024));
    }
    let published = Envelope { headers, body: (0..=255).collect(), ..client.message(0) };
    client.publish(std::slice::from_ref(&published)).await;

    let mut arrived = client.reader(10).await.next(1).await.remove(0).envelope;
    assert_eq!(sorted(&arrived.headers), sorted(&published.headers), "the headers arrive");
    arrived.headers = published.headers.clone();
    assert_eq!(arrived, published, "id, destination, key and body arrive");
    Ok(())
}

/// An empty body and one of the promised size arrive; a larger one is refused for good, alone in its batch.
pub async fn bodies_up_to_the_limit_arrive_and_larger_ones_never_do(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let limit = client.transport.capabilities().body_bytes_max;
    let bodies = [0, 1, limit, limit + 1].map(|bytes| Bytes::from(vec![b'x'; bytes]));
    let messages = bodies.clone().map(|body| Envelope { body, ..client.message(0) });
    let results = client.transport.publish(&messages).await;
    assert!(results[..3].iter().all(Result::is_ok), "up to the limit: {results:?}");
    assert!(matches!(results[3], Err(PublishError::Permanent(_))), "over it: {:?}", results[3]);

    let mut reader = client.reader(10).await;
    let mut arrived = Vec::new();
    while arrived.len() < 3 {
        arrived.extend(reader.next(3).await.into_iter().map(|delivery| delivery.envelope.body));
    }
    arrived.sort_by_key(Bytes::len);
    assert!(arrived == bodies[..3], "the bodies that arrive are those that were published");
    Ok(())
}

/// In a large batch one message that cannot be routed is reported, at its position, and the others arrive.
pub async fn each_message_of_a_batch_has_its_own_result(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let reports = client.transport.capabilities().reports_unroutable;
    require(reports, "capability: the transport does not report unroutable messages")?;
    for (round, lost) in [0, 250, 499].into_iter().enumerate() {
        let first = round as u64 * 500;
        let mut messages = client.messages(first..first + 500);
        messages[lost].destination = harness.unique("nobody");
        let results = client.transport.publish(&messages).await;
        assert_eq!(results.len(), 500, "publishing gives one result for each message");
        for (index, result) in results.iter().enumerate() {
            let expected = if index == lost {
                matches!(result, Err(PublishError::Temporary(_)))
            } else {
                result.is_ok()
            };
            assert!(expected, "message {index} of a batch whose message {lost} has no queue: {result:?}");
        }
    }
    let routed = (0..1500).filter(|number| ![0, 750, 1499].contains(number));
    client.reader(2000).await.until(routed).await;
    Ok(())
}

/// Message ids are not unique: a resend may stand beside its first copy.
pub async fn two_messages_of_one_batch_may_share_their_id(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let mut messages = client.messages(0..4);
    messages[2].id = messages[1].id;
    client.publish(&messages).await;
    client.reader(10).await.until(0..4).await;
    Ok(())
}

/// Declaring a destination that exists keeps its messages.
pub async fn declaring_again_changes_nothing(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..5)).await;
    client.another().await.declare().await;
    client.publish(&client.messages(5..10)).await;
    client.reader(10).await.until(0..10).await;
    Ok(())
}

/// No adapter promises the order of headers.
fn sorted(headers: &Headers) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = headers.iter().collect();
    pairs.sort_unstable();
    pairs
}

/// What [`Envelope::headers`] promises.
const HEADERS_MAX: usize = 32;
