//! Confirms, returns, refusals.

use std::sync::Arc;

use saga_core::message::Envelope;
use saga_core::port::{PublishError, Transport};

use crate::common::{acks, envelope, envelopes, place, publish, reader, receive, rounds};

/// The client library hands returned messages to the wrong confirms when many are pipelined.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unroutable_message_is_found_in_every_batch_and_takes_no_other_with_it() {
    let place = place!();
    let (client, here) = place.client("returns").await;
    let client = Arc::new(client);
    let nowhere = place.unique("nowhere");
    // More publishers than channels: no channel may carry two batches at once.
    let attempts = [8, 8, 8, 8, 8, 32, 32, 128].map(|size| {
        let (client, here, nowhere) = (client.clone(), here.clone(), nowhere.clone());
        tokio::spawn(async move {
            for round in 0..rounds(60, 2000) {
                let mut batch = envelopes(&here, size);
                let lost = round % size;
                batch[lost].destination = nowhere.clone();
                assert_only_unroutable(&client.publish(&batch).await, &[lost]);
            }
        })
    });
    for attempt in attempts {
        attempt.await.unwrap();
    }
    place.sweep().await;
}

#[tokio::test]
async fn many_unroutable_messages_of_one_batch_are_all_found() {
    let place = place!();
    let (client, here) = place.client("returns").await;
    let nowhere = place.unique("nowhere");
    for _ in 0..rounds(20, 500) {
        let mut batch = envelopes(&here, 64);
        let lost: Vec<usize> = (0..64).filter(|place| place % 3 == 0).collect();
        lost.iter().for_each(|&place| batch[place].destination = nowhere.clone());
        assert_only_unroutable(&client.publish(&batch).await, &lost);
    }
    place.sweep().await;
}

#[tokio::test]
async fn a_message_that_shares_its_id_with_a_returned_one_is_published_once_more() {
    let place = place!();
    let (client, here) = place.client("twins").await;
    let routable = envelope(&here, "twin");
    let lost = Envelope { destination: place.unique("nowhere"), ..routable.clone() };
    let results = client.publish(&[routable, lost, envelope(&here, "other")]).await;
    assert_only_unroutable(&results, &[0, 1]);
    place.sweep().await;
}

/// A dropped publish leaves confirms and returns under way that must not reach the next batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cancelled_batch_left_behind_does_not_reach_the_next_one() {
    let place = place!();
    let client = saga_broker::rabbitmq::RabbitMq::new(place.config().publish_channels(1));
    let here = place.unique("cancelled");
    client.declare(std::slice::from_ref(&here)).await.unwrap();
    let nowhere = place.unique("nowhere");
    for round in 0..rounds(100, 1000) {
        let unroutable = envelopes(&nowhere, 50);
        let patience = std::time::Duration::from_micros(50 * (round as u64 % 60));
        let _ = tokio::time::timeout(patience, client.publish(&unroutable)).await;
        let mut batch = envelopes(&here, 10);
        batch[3].destination = nowhere.clone();
        assert_only_unroutable(&client.publish(&batch).await, &[3]);
    }
    place.sweep().await;
}

#[tokio::test]
async fn what_amqp_cannot_carry_is_refused_and_the_rest_of_the_batch_is_not() {
    let place = place!();
    let (client, here) = place.client("refused").await;
    let mut batch = envelopes(&here, 6);
    batch[1].body = vec![0; 256 * 1024 + 1].into();
    batch[2].headers.insert("x".repeat(256), "a name too long");
    batch[3].headers.insert("CC", "another queue");
    batch[4].headers.insert("long", "x".repeat(64 * 1024));
    let results = client.publish(&batch).await;
    for (number, result) in results.iter().enumerate() {
        let refused = matches!(result, Err(PublishError::Permanent(_)));
        assert_eq!(refused, (1..=4).contains(&number), "{number}: {result:?}");
    }
    let mut reader = reader(&client, &here, 10).await;
    let bodies: Vec<_> =
        receive(&mut *reader, 2).await.into_iter().map(|delivery| delivery.envelope.body).collect();
    assert_eq!(bodies, ["0", "5"]);
    place.sweep().await;
}

#[tokio::test]
async fn a_batch_larger_than_what_is_pipelined_arrives_whole_and_in_order() {
    let place = place!();
    let (client, here) = place.client("large").await;
    let mut batch = envelopes(&here, 1300);
    (0..40).for_each(|place| batch[place * 30].body = vec![place as u8; 200 * 1024].into());
    publish(&client, &batch).await;
    let mut reader = reader(&client, &here, 2000).await;
    let deliveries = receive(&mut *reader, batch.len()).await;
    for (sent, arrived) in batch.iter().zip(&deliveries) {
        assert_eq!(*sent, arrived.envelope);
    }
    assert!(reader.settler().settle(&acks(&deliveries)).await.iter().all(Result::is_ok));
    place.sweep().await;
}

fn assert_only_unroutable(results: &[Result<(), PublishError>], lost: &[usize]) {
    for (number, result) in results.iter().enumerate() {
        match result {
            Ok(()) => assert!(!lost.contains(&number), "message {number} is lost, and was confirmed"),
            Err(PublishError::Temporary(why)) => {
                assert!(lost.contains(&number), "message {number} arrived, and was not confirmed: {why}");
                assert!(why.contains("unroutable"), "{why}");
            }
            Err(error) => panic!("message {number}: {error}"),
        }
    }
}
