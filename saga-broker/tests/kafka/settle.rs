//! Settling: commits that skip nothing, dead letters, and messages that are given back.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use saga_core::id::Destination;
use saga_core::port::{DEAD_REASON, SettleError, Settlement, Transport};
use tokio::time::{Instant, sleep};

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_settled_out_of_order_are_committed_up_to_the_first_gap() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "gap").await;
    publish_all(&transport, &messages(&topic, 0..100)).await;
    let mut subscription = subscribe(&transport, &topic, 100).await;
    let deliveries = receive(&mut subscription, 100).await;
    ack(&*subscription, deliveries.iter().rev().filter(|delivery| number(delivery) != 40)).await;
    eventually(|| committed(&brokers, &topic, 1) == [Some(40)]).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(committed(&brokers, &topic, 1), [Some(40)]);
    ack(&*subscription, &deliveries[40..41]).await;
    eventually(|| committed(&brokers, &topic, 1) == [Some(100)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_message_comes_again_and_the_others_stay_settled() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "released").await;
    publish_all(&transport, &messages(&topic, 0..10)).await;
    let mut subscription = subscribe(&transport, &topic, 10).await;
    let deliveries = receive(&mut subscription, 10).await;
    ack(&*subscription, &deliveries[5..]).await;
    let released = settle(&*subscription, &deliveries[..3], Settlement::Release).await;
    assert!(released.iter().all(Result::is_ok));
    let again = receive(&mut subscription, 3).await;
    assert_eq!(numbers(&again), [0, 1, 2]);
    assert!(again.iter().all(|delivery| delivery.redelivered));
    assert!(is_silent(&mut subscription).await, "nothing else comes again");
    ack(&*subscription, again.iter().chain(&deliveries[3..5])).await;
    eventually(|| committed(&brokers, &topic, 1) == [Some(10)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_arrives_with_nil_ids_and_is_dead_lettered_as_it_was() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "foreign").await;
    let producer: FutureProducer = client(&brokers).create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "saga-message-id", value: Some("not a uuid") })
        .insert(Header { key: "null", value: None::<&[u8]> })
        .insert(Header { key: "binary", value: Some(&[0xff, 0xfe][..]) });
    let record = FutureRecord::<[u8], [u8]>::to(topic.as_str()).headers(headers);
    producer.send(record.key(&[0xff]), PATIENCE).await.unwrap();
    let tombstone = FutureRecord::<[u8], [u8]>::to(topic.as_str());
    producer.send(tombstone, PATIENCE).await.unwrap();

    let mut subscription = subscribe(&transport, &topic, 10).await;
    let deliveries = receive(&mut subscription, 2).await;
    for delivery in &deliveries {
        assert!(delivery.envelope.id.as_uuid().is_nil() && delivery.envelope.key.as_uuid().is_nil());
        assert!(delivery.envelope.body.is_empty());
    }
    assert_eq!(deliveries[0].envelope.headers.value("binary"), Some("\u{fffd}\u{fffd}"));
    let settled = settle(&*subscription, &deliveries, dead("no message of ours")).await;
    assert!(settled.iter().all(Result::is_ok), "{settled:?}");

    let letters = read(&brokers, &topic.dead_letters(), 2);
    assert_eq!(letters[0].key(), Some(&[0xff][..]));
    assert_eq!(header(&letters[0], "saga-message-id"), Some(Some(&b"not a uuid"[..])));
    assert_eq!(header(&letters[0], "null"), Some(None));
    assert_eq!(header(&letters[0], "binary"), Some(Some(&[0xff, 0xfe][..])));
    assert_eq!(header(&letters[0], DEAD_REASON), Some(Some(&b"no message of ours"[..])));
    assert_eq!(header(&letters[1], "saga-dead-source"), Some(Some(topic.as_str().as_bytes())));
    assert_eq!(header(&letters[1], "saga-dead-partition"), Some(Some(&b"0"[..])));
    assert_eq!(header(&letters[1], "saga-dead-offset"), Some(Some(&b"1"[..])));
    assert_eq!((letters[1].key(), letters[1].payload()), (None, None), "a tombstone stays one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_cannot_be_written_stays_unsettled_and_comes_again() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = (transport(&brokers), unique("undead"));
    create(&brokers, &topic, None).await;
    publish_all(&transport, &messages(&topic, 0..2)).await;
    let mut subscription = subscribe(&transport, &topic, 10).await;
    let deliveries = receive(&mut subscription, 2).await;
    let settled = settle(&*subscription, &deliveries[..1], dead("why")).await;
    assert!(matches!(&settled[..], [Err(SettleError::Failed(_))]), "{settled:?}");
    ack(&*subscription, &deliveries[1..]).await;
    let began = Instant::now();
    let again = receive(&mut subscription, 1).await;
    assert_eq!(numbers(&again), [0]);
    assert!(began.elapsed() > Duration::from_millis(500), "it is not tried again hot");
    assert_eq!(committed(&brokers, &topic, 1), [Some(0)], "nothing is committed past it");

    transport.declare(std::slice::from_ref(&topic)).await.unwrap();
    let began = Instant::now();
    while settle(&*subscription, &again, dead("why")).await[0].is_err() {
        assert!(began.elapsed() < PATIENCE, "settling does not recover");
    }
    eventually(|| committed(&brokers, &topic, 1) == [Some(2)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_message_at_the_brokers_limit_can_be_dead_lettered() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "large").await;
    let producer: FutureProducer = client(&brokers).set("message.max.bytes", "2000000").create().unwrap();
    // The broker's limit of 1,048,588 bytes is for the batch that the message is in.
    let body = vec![b'x'; 1_048_588 - 100];
    let record = FutureRecord::<[u8], _>::to(topic.as_str()).payload(&body);
    producer.send(record, PATIENCE).await.unwrap();
    let mut subscription = subscribe(&transport, &topic, 10).await;
    let deliveries = receive(&mut subscription, 1).await;
    let settled = settle(&*subscription, &deliveries, dead(&"x".repeat(1_000))).await;
    assert!(settled[0].is_ok(), "{settled:?}");
    assert_eq!(read(&brokers, &topic.dead_letters(), 1)[0].payload(), Some(&body[..]));
}

fn dead(reason: &str) -> Settlement {
    Settlement::DeadLetter { reason: reason.into() }
}

/// Reads a topic's first partition as a tool of an operator would.
fn read(brokers: &str, topic: &Destination, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer =
        client(brokers).set("group.id", "operator").set("auto.offset.reset", "earliest").create().unwrap();
    let mut partitions = rdkafka::TopicPartitionList::new();
    partitions.add_partition(topic.as_str(), 0);
    consumer.assign(&partitions).unwrap();
    let messages = std::iter::from_fn(|| consumer.poll(PATIENCE));
    messages.take(count).map(|message| message.unwrap().detach()).collect()
}

fn header<'m>(message: &'m OwnedMessage, name: &str) -> Option<Option<&'m [u8]>> {
    let headers = message.headers().unwrap();
    headers.iter().find(|header| header.key == name).map(|header| header.value)
}
