//! Topics: exchanges, the queues of their groups, and what happens to either behind our back.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, ExchangeKind};
use saga_broker::rabbitmq::RabbitMq;
use saga_core::id::Destination;
use saga_core::port::{PublishError, Settlement, SubscribeOptions, Subscription, Transport, TransportError};

use crate::common::{Place, Raw, acks, envelope, envelopes, is_silent, place, publish, receive};

/// A topic that no test before had, declared.
async fn topic(place: &Place, client: &RabbitMq) -> Destination {
    let topic = Destination::topic(place.unique("topic").as_str()).unwrap();
    client.declare(std::slice::from_ref(&topic)).await.unwrap();
    topic
}

async fn join(client: &RabbitMq, topic: &Destination, group: &str) -> Box<dyn Subscription> {
    let options = SubscribeOptions { source: topic.clone(), group: group.into(), in_flight_max: 100 };
    client.subscribe(options).await.unwrap()
}

impl Raw {
    async fn delete_topic(&self, topic: &Destination, groups: &[&str]) {
        let options = ExchangeDeleteOptions::default();
        self.channel.exchange_delete(topic.as_str().into(), options).await.unwrap();
        for group in groups {
            self.delete_named(&format!("{}:{group}", topic.as_str())).await;
        }
    }
}

#[tokio::test]
async fn an_exchange_of_another_kind_is_refused_with_what_to_do() {
    let place = place!();
    let client = RabbitMq::new(place.config());
    let topic = Destination::topic(place.unique("direct").as_str()).unwrap();
    let raw = place.raw().await;
    let (kind, options) = (ExchangeKind::Direct, ExchangeDeclareOptions::default());
    let name = topic.as_str().into();
    raw.channel.exchange_declare(name, kind, options, FieldTable::default()).await.unwrap();
    let error = client.declare(std::slice::from_ref(&topic)).await.unwrap_err();
    assert!(matches!(error, TransportError::Permanent(_)), "{error}");
    let message = error.to_string();
    assert!(message.contains("the exchange") && message.contains("delete it"), "{message}");
    raw.delete_topic(&topic, &[]).await;
    place.sweep().await;
}

#[tokio::test]
async fn a_group_whose_name_is_too_long_is_refused() {
    let place = place!();
    let client = RabbitMq::new(place.config());
    let source = topic(&place, &client).await;
    let options = SubscribeOptions { source: source.clone(), group: "g".repeat(255), in_flight_max: 1 };
    let error = client.subscribe(options).await.err().unwrap();
    assert!(matches!(error, TransportError::Permanent(_)), "{error}");
    place.raw().await.delete_topic(&source, &[]).await;
    place.sweep().await;
}

#[tokio::test]
async fn a_dead_letter_of_a_topic_says_which_group_could_not_read_it() {
    let place = place!();
    let client = RabbitMq::new(place.config());
    let topic = topic(&place, &client).await;
    let mut reader = join(&client, &topic, "mailing").await;
    publish(&client, &[envelope(&topic, "unreadable")]).await;
    let token = receive(&mut *reader, 1).await[0].token;
    let dead = [(token, Settlement::DeadLetter { reason: "a test".into() })];
    reader.settler().settle(&dead).await.remove(0).unwrap();
    let mut morgue = crate::common::reader(&client, &topic.dead_letters(), 1).await;
    let letter = receive(&mut *morgue, 1).await.remove(0).envelope;
    let source = format!("{}:mailing", topic.as_str());
    assert_eq!(letter.headers.value("saga-dead-source"), Some(source.as_str()));
    place.raw().await.delete_topic(&topic, &["mailing"]).await;
    place.sweep().await;
}

/// What the broker gives up at its own limit must not be lost either.
#[tokio::test]
async fn what_a_group_gave_back_too_often_is_moved_to_the_topics_dead_letters() {
    let place = place!();
    let client = RabbitMq::new(place.config().delivery_limit(2));
    let topic = topic(&place, &client).await;
    let mut reader = join(&client, &topic, "mailing").await;
    publish(&client, &[envelope(&topic, "given back")]).await;
    for _ in 0..3 {
        let token = receive(&mut *reader, 1).await[0].token;
        reader.settler().settle(&[(token, Settlement::Release)]).await.remove(0).unwrap();
    }
    let mut morgue = crate::common::reader(&client, &topic.dead_letters(), 1).await;
    assert_eq!(&receive(&mut *morgue, 1).await[0].envelope.body[..], b"given back");
    place.raw().await.delete_topic(&topic, &["mailing"]).await;
    place.sweep().await;
}

#[tokio::test]
async fn a_topic_that_was_deleted_is_reported_and_mended_by_whoever_declares_it() {
    let place = place!();
    let client = RabbitMq::new(place.config());
    let (topic, queue) = (topic(&place, &client).await, place.unique("queue"));
    client.declare(std::slice::from_ref(&queue)).await.unwrap();
    place.raw().await.delete_topic(&topic, &[]).await;
    let mut batch = envelopes(&queue, 40);
    batch[3].destination = topic.clone();
    let results = client.publish(&batch).await;
    for (index, result) in results.iter().enumerate() {
        match index {
            3 => assert!(matches!(result, Err(PublishError::Temporary(_))), "{result:?}"),
            _ => assert!(result.is_ok(), "{index}: {result:?}"),
        }
    }
    client.declare(std::slice::from_ref(&topic)).await.unwrap();
    publish(&client, &batch[3..4]).await;
    place.raw().await.delete_topic(&topic, &[]).await;
    place.sweep().await;
}

/// An operator ends a group by deleting its queue; a service that is still there begins it anew.
#[tokio::test]
async fn a_group_that_was_deleted_begins_anew_with_its_reader() {
    let place = place!();
    let client = RabbitMq::new(place.config());
    let topic = topic(&place, &client).await;
    let mut reader = join(&client, &topic, "mailing").await;
    place.raw().await.delete_named(&format!("{}:mailing", topic.as_str())).await;
    let lost = tokio::time::timeout(Duration::from_secs(10), reader.receive(1)).await.unwrap();
    assert!(lost.unwrap_err().is_temporary());
    assert!(is_silent(&mut *reader).await, "and by now it has joined again");
    publish(&client, &[envelope(&topic, "hello")]).await;
    let deliveries = receive(&mut *reader, 1).await;
    assert!(reader.settler().settle(&acks(&deliveries)).await.iter().all(Result::is_ok));
    place.raw().await.delete_topic(&topic, &["mailing"]).await;
    place.sweep().await;
}

/// A program that knows nothing of us can tell something, too.
#[tokio::test]
async fn anybody_can_publish_to_the_exchange() {
    let place = place!();
    let client = RabbitMq::new(place.config());
    let topic = topic(&place, &client).await;
    let mut reader = join(&client, &topic, "mailing").await;
    let raw = place.raw().await;
    let (exchange, options) = (topic.as_str().into(), lapin::options::BasicPublishOptions::default());
    let properties = BasicProperties::default();
    raw.channel.basic_publish(exchange, "any".into(), options, b"hello", properties).await.unwrap();
    let delivery = receive(&mut *reader, 1).await.remove(0);
    assert_eq!((&delivery.envelope.body[..], delivery.envelope.destination), (&b"hello"[..], topic.clone()));
    raw.delete_topic(&topic, &["mailing"]).await;
    place.sweep().await;
}
