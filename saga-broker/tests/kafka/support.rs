//! What the tests share: a transport on the broker of the environment, names of their own, and messages.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use saga_broker::kafka::{Kafka, KafkaConfig};
use saga_core::id::{Destination, MessageId, SagaId};
use saga_core::message::{Envelope, Headers};
use saga_core::port::{
    Delivery, IdSource, RandomIds, SettleError, Settlement, SubscribeOptions, Subscription, Transport,
    TransportError,
};
use saga_testkit::suite;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// The brokers to test with. Without them a test is skipped, or fails where servers are required.
pub(crate) fn brokers() -> Option<String> {
    suite::server("SAGA_KAFKA_BROKERS")
}

/// One partition a topic, so that a message's offset is its number; and the shortest session that brokers allow.
pub(crate) fn config(brokers: &str) -> KafkaConfig {
    KafkaConfig::new(brokers).name("saga-tests").partitions(1).session_timeout(Duration::from_secs(6))
}

pub(crate) fn transport(brokers: &str) -> Kafka {
    Kafka::new(config(brokers)).unwrap()
}

pub(crate) fn unique(what: &str) -> Destination {
    Destination::new(format!("test-{what}-{}", RandomIds.uuid().simple())).unwrap()
}

/// A transport with a topic that is declared.
pub(crate) async fn declared(config: KafkaConfig, what: &str) -> (Kafka, Destination) {
    let (transport, topic) = (Kafka::new(config).unwrap(), unique(what));
    transport.declare(std::slice::from_ref(&topic)).await.unwrap();
    (transport, topic)
}

/// Creates a topic of one partition as an operator would, and no dead letters.
pub(crate) async fn create(brokers: &str, topic: &Destination, property: Option<(&str, &str)>) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().unwrap();
    let mut created = NewTopic::new(topic.as_str(), 1, TopicReplication::Fixed(1));
    created.config.extend(property);
    let results = admin.create_topics([&created], &AdminOptions::new()).await.unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

pub(crate) fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// A message whose body is its number.
pub(crate) fn message(topic: &Destination, number: u64) -> Envelope {
    Envelope {
        id: MessageId::from_uuid(Uuid::from_u128(number.into())),
        destination: topic.clone(),
        key: SagaId::from_uuid(Uuid::from_u128(1_000 + u128::from(number % 100))),
        headers: Headers::from_iter([("saga-kind", "command")]),
        body: number.to_string().into(),
    }
}

pub(crate) fn messages(topic: &Destination, numbers: Range<u64>) -> Vec<Envelope> {
    numbers.map(|number| message(topic, number)).collect()
}

pub(crate) fn number(delivery: &Delivery) -> u64 {
    std::str::from_utf8(&delivery.envelope.body).unwrap().parse().unwrap()
}

pub(crate) fn numbers(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(number).collect()
}

pub(crate) async fn publish_all(transport: &Kafka, batch: &[Envelope]) {
    for result in transport.publish(batch).await {
        result.unwrap();
    }
}

/// Publishes one message, again and again until it is confirmed: a first connection may take longer than a deadline.
pub(crate) async fn connect(transport: &Kafka, topic: &Destination) {
    let began = Instant::now();
    while transport.publish(&messages(topic, 0..1)).await[0].is_err() {
        assert!(began.elapsed() < PATIENCE, "publishing does not come about");
    }
}

pub(crate) async fn subscribe(
    transport: &Kafka,
    topic: &Destination,
    in_flight_max: usize,
) -> Box<dyn Subscription> {
    let options = SubscribeOptions { source: topic.clone(), group: topic.to_string(), in_flight_max };
    transport.subscribe(options).await.unwrap()
}

/// Receives exactly `count` deliveries.
pub(crate) async fn receive(subscription: &mut Box<dyn Subscription>, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        received.extend(receive_some(subscription, count - received.len()).await);
    }
    received
}

/// Receives, and passes over temporary errors.
pub(crate) async fn receive_some(subscription: &mut Box<dyn Subscription>, max: usize) -> Vec<Delivery> {
    loop {
        match timeout(PATIENCE, subscription.receive(max)).await.expect("nothing was delivered in time") {
            Ok(deliveries) => return deliveries,
            Err(TransportError::Temporary(why)) => eprintln!("passed over: {why}"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether nothing is delivered for a while.
pub(crate) async fn is_silent(subscription: &mut Box<dyn Subscription>) -> bool {
    timeout(Duration::from_secs(2), subscription.receive(1)).await.is_err()
}

pub(crate) fn settle<'d>(
    subscription: &dyn Subscription,
    deliveries: impl IntoIterator<Item = &'d Delivery>,
    settlement: Settlement,
) -> BoxFuture<'static, Vec<Result<(), SettleError>>> {
    let settle = |delivery: &Delivery| (delivery.token, settlement.clone());
    let batch: Vec<_> = deliveries.into_iter().map(settle).collect();
    let settler = subscription.settler();
    Box::pin(async move { settler.settle(&batch).await })
}

pub(crate) async fn ack<'d>(
    subscription: &dyn Subscription,
    deliveries: impl IntoIterator<Item = &'d Delivery>,
) {
    for result in settle(subscription, deliveries, Settlement::Ack).await {
        result.unwrap();
    }
}

/// What the topic's group has committed for its partitions, asked from the broker.
pub(crate) fn committed(brokers: &str, topic: &Destination, partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = client(brokers).set("group.id", topic.as_str()).create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic.as_str(), 0, partitions - 1);
    let committed = consumer.committed_offsets(asked, PATIENCE).unwrap();
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    committed.elements().iter().map(|element| offset(element.offset())).collect()
}

/// Waits until something holds.
pub(crate) async fn eventually(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it does not come to hold");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Far above what any of this takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
