//! Dead letters are copies with a reason, and no message is acked before its copy is safe.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use saga_core::port::{DEAD_REASON, SettleError, Settlement, Transport};

use crate::common::{envelope, envelopes, is_silent, place, publish, reader, receive};

fn because(reason: &str) -> Settlement {
    Settlement::DeadLetter { reason: reason.into() }
}

#[tokio::test]
async fn a_dead_letter_is_the_same_message_with_a_reason_and_its_queue() {
    let place = place!();
    let (client, here) = place.client("dead").await;
    let sent = envelope(&here, "überfällig");
    publish(&client, std::slice::from_ref(&sent)).await;
    let mut alive = reader(&client, &here, 10).await;
    let token = receive(&mut *alive, 1).await[0].token;
    let reason = "é".repeat(2000);
    assert_eq!(alive.settler().settle(&[(token, because(&reason))]).await, [Ok(())]);

    let mut dead = reader(&client, &here.dead_letters(), 10).await;
    let letter = receive(&mut *dead, 1).await.remove(0).envelope;
    assert_eq!((letter.id, letter.key, &letter.body), (sent.id, sent.key, &sent.body));
    assert_eq!(letter.headers.value("saga-step"), Some("réserver-le-stock"));
    assert_eq!(letter.headers.value(DEAD_REASON), Some("é".repeat(512).as_str()));
    assert_eq!(letter.headers.value("saga-dead-source"), Some(here.as_str()));
    assert!(is_silent(&mut *alive).await);
    place.raw().await.until_count(&here, 0).await;
    place.sweep().await;
}

/// A copy keeps what an envelope cannot hold, and loses what would keep it from arriving or staying.
#[tokio::test]
async fn a_foreign_message_is_buried_as_it_came() {
    let place = place!();
    let (client, here) = place.client("foreign").await;
    let elsewhere = place.unique("elsewhere");
    client.declare(std::slice::from_ref(&elsewhere)).await.unwrap();
    let mut headers = FieldTable::default();
    headers.insert("list".into(), AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::LongInt(7)])));
    let copies = FieldArray::from(vec![AMQPValue::LongString(elsewhere.as_str().into())]);
    headers.insert("CC".into(), AMQPValue::FieldArray(copies));
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_expiration("60000".into())
        .with_headers(headers);
    let raw = place.raw().await;
    raw.publish(&here, properties, b"hello").await;
    raw.until_count(&elsewhere, 1).await;

    let mut alive = reader(&client, &here, 10).await;
    let token = receive(&mut *alive, 1).await[0].token;
    assert_eq!(alive.settler().settle(&[(token, because("not ours"))]).await, [Ok(())]);
    let options = lapin::options::BasicGetOptions { no_ack: true };
    let letter = raw.channel.basic_get(here.dead_letters().as_str().into(), options).await.unwrap().unwrap();
    let properties = &letter.delivery.properties;
    let headers = properties.headers().as_ref().unwrap().inner();
    assert_eq!(letter.delivery.data, b"hello");
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "text/plain");
    assert!(matches!(headers["list"], AMQPValue::FieldArray(_)));
    assert!(properties.expiration().is_none(), "a dead letter waits for a human");
    assert_eq!(raw.count(&elsewhere).await, 1, "a dead letter was copied to further queues");
    place.sweep().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_buried_is_not_acked_and_comes_again() {
    let place = place!();
    let (client, here) = place.client("unburied").await;
    let raw = place.raw().await;
    raw.delete(&here.dead_letters()).await;
    publish(&client, &envelopes(&here, 2)).await;
    let mut reader = reader(&client, &here, 10).await;
    let deliveries = receive(&mut *reader, 2).await;
    let settlements =
        [(deliveries[0].token, because("nobody can read it")), (deliveries[1].token, Settlement::Ack)];
    let results = reader.settler().settle(&settlements).await;
    assert!(
        matches!(&results[0], Err(SettleError::Failed(why)) if why.contains("unroutable")),
        "{results:?}"
    );
    assert_eq!(results[1], Ok(()));

    let again = receive(&mut *reader, 1).await.remove(0);
    assert_eq!(again.envelope, deliveries[0].envelope);
    assert!(again.redelivered);
    client.declare(std::slice::from_ref(&here)).await.unwrap();
    assert_eq!(reader.settler().settle(&[(again.token, because("still"))]).await, [Ok(())]);
    assert_eq!(raw.count(&here.dead_letters()).await, 1);
    place.sweep().await;
}

#[tokio::test]
async fn settling_again_buries_what_could_not_be_buried_at_first() {
    let place = place!();
    let (client, here) = place.client("again").await;
    let raw = place.raw().await;
    raw.delete(&here.dead_letters()).await;
    publish(&client, &envelopes(&here, 1)).await;
    let mut reader = reader(&client, &here, 10).await;
    let token = receive(&mut *reader, 1).await[0].token;
    assert!(reader.settler().settle(&[(token, because("first"))]).await[0].is_err());
    client.declare(std::slice::from_ref(&here)).await.unwrap();
    assert_eq!(reader.settler().settle(&[(token, because("second"))]).await, [Ok(())]);
    assert_eq!(raw.count(&here.dead_letters()).await, 1);
    place.sweep().await;
}
