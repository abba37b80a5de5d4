//! Tokens, generations, and messages that are not ours.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use saga_core::id::{MessageId, SagaId};
use saga_core::port::{SettleError, Settlement, Transport};
use uuid::Uuid;

use crate::common::{PATIENCE, acks, envelopes, is_silent, place, publish, reader, receive, rounds};

/// The same tag means another message on the next channel.
#[tokio::test]
async fn a_token_of_a_lost_connection_settles_nothing() {
    let place = place!();
    let (client, here) = place.client("stale").await;
    publish(&client, &envelopes(&here, 10)).await;
    let mut reader = reader(&client, &here, 10).await;
    let settler = reader.settler();
    let before = receive(&mut *reader, 10).await;
    place.proxy.cut_all();
    assert!(reader.receive(1).await.is_err());
    let after = receive(&mut *reader, 10).await;

    let stale =
        [acks(&before), before.iter().map(|delivery| (delivery.token, Settlement::Release)).collect()];
    for batch in stale {
        assert_eq!(settler.settle(&batch).await, vec![Err(SettleError::Lost); 10]);
    }
    assert!(after.iter().all(|delivery| delivery.redelivered));
    assert!(is_silent(&mut *reader).await, "a stale token released what is out");
    assert_eq!(settler.settle(&acks(&after)).await, vec![Ok(()); 10]);
    place.raw().await.until_count(&here, 0).await;
    place.sweep().await;
}

#[tokio::test]
async fn a_delivery_is_settled_once() {
    let place = place!();
    let (client, here) = place.client("twice").await;
    publish(&client, &envelopes(&here, 3)).await;
    let mut reader = reader(&client, &here, 10).await;
    let deliveries = receive(&mut *reader, 3).await;
    let settler = reader.settler();
    let twice = [acks(&deliveries[..1]), acks(&deliveries[..1])].concat();
    assert_eq!(settler.settle(&twice).await, [Ok(()), Err(SettleError::Lost)]);
    assert_eq!(settler.settle(&acks(&deliveries[1..])).await, [Ok(()), Ok(())]);
    assert!(is_silent(&mut *reader).await, "the channel is closed by an ack of an unknown tag");
    place.sweep().await;
}

/// Acks are folded, so the order of settling is what can go wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settling_from_many_tasks_in_any_order_settles_exactly_what_was_said() {
    let place = place!();
    let (client, here) = place.client("order").await;
    let mut reader = reader(&client, &here, 300).await;
    for round in 0..rounds(10, 200) {
        publish(&client, &envelopes(&here, 300)).await;
        let deliveries = receive(&mut *reader, 300).await;
        let is_released = |place: usize| (place * 31 + round) % 7 == 3;
        let tasks: Vec<_> = (0..5)
            .map(|task| {
                let own = deliveries.iter().enumerate().filter(|(place, _)| place % 5 == task);
                let mut batch: Vec<_> = own
                    .map(|(place, delivery)| match is_released(place) {
                        true => (delivery.token, Settlement::Release),
                        false => (delivery.token, Settlement::Ack),
                    })
                    .collect();
                if task == 3 {
                    batch.reverse();
                }
                let settler = reader.settler();
                tokio::spawn(async move {
                    for part in batch.chunks(6) {
                        assert!(settler.settle(part).await.iter().all(Result::is_ok));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let released = (0..300).filter(|place| is_released(*place)).count();
        let again = receive(&mut *reader, released).await;
        assert!(again.iter().all(|delivery| delivery.redelivered));
        assert!(reader.settler().settle(&acks(&again)).await.iter().all(Result::is_ok));
    }
    assert!(is_silent(&mut *reader).await);
    place.raw().await.until_count(&here, 0).await;
    place.sweep().await;
}

/// Lost connections count as deliveries on RabbitMQ before 4.0, which gives up after 20 unless it is told otherwise.
#[tokio::test]
async fn cut_connections_make_no_dead_letters() {
    let place = place!();
    let (client, here) = place.client("cuts").await;
    publish(&client, &envelopes(&here, 5)).await;
    let mut reader = reader(&client, &here, 5).await;
    for _ in 0..rounds(40, 200) {
        receive(&mut *reader, 5).await;
        place.proxy.cut_all();
        assert!(reader.receive(1).await.is_err());
    }
    let deliveries = receive(&mut *reader, 5).await;
    assert!(deliveries.iter().all(|delivery| delivery.redelivered));
    assert_eq!(place.raw().await.count(&here.dead_letters()).await, 0);
    place.sweep().await;
}

#[tokio::test]
async fn a_message_that_is_not_ours_arrives_with_what_can_be_held_of_it() {
    let place = place!();
    let (client, here) = place.client("foreign").await;
    let raw = place.raw().await;
    let mut odd = FieldTable::default();
    odd.insert("saga-attempt".into(), AMQPValue::LongInt(3));
    odd.insert("flag".into(), AMQPValue::Boolean(true));
    odd.insert("list".into(), AMQPValue::FieldArray(FieldArray::default()));
    odd.insert("bytes".into(), AMQPValue::LongString(vec![0xff, 0xfe].into()));
    odd.insert("nothing".into(), AMQPValue::Void);
    raw.publish(&here, BasicProperties::default(), b"").await;
    raw.publish(
        &here,
        BasicProperties::default().with_message_id("order 7".into()).with_headers(odd),
        &[0xff],
    )
    .await;

    let mut reader = reader(&client, &here, 10).await;
    let deliveries = receive(&mut *reader, 2).await;
    for delivery in &deliveries {
        assert_eq!(delivery.envelope.id, MessageId::from_uuid(Uuid::nil()));
        assert_eq!(delivery.envelope.key, SagaId::from_uuid(Uuid::nil()));
        assert_eq!(delivery.envelope.destination, here);
    }
    assert!(deliveries[0].envelope.headers.is_empty() && deliveries[0].envelope.body.is_empty());
    let held: Vec<_> = deliveries[1].envelope.headers.iter().collect();
    assert_eq!(held, [("flag", "true"), ("saga-attempt", "3")]);
    assert_eq!(deliveries[1].envelope.body, [0xff][..]);
    place.sweep().await;
}

/// A queue that is deleted under its reader ends the subscription, and one that is there again goes on.
#[tokio::test]
async fn reading_goes_on_when_a_deleted_queue_is_declared_again() {
    let place = place!();
    let (client, here) = place.client("deleted").await;
    let mut reader = reader(&client, &here, 10).await;
    place.raw().await.delete(&here).await;
    let ended = tokio::time::timeout(PATIENCE, reader.receive(1)).await;
    assert!(ended.unwrap().unwrap_err().is_temporary());
    client.declare(std::slice::from_ref(&here)).await.unwrap();
    publish(&client, &envelopes(&here, 1)).await;
    receive(&mut *reader, 1).await;
    place.sweep().await;
}
