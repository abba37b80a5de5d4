//! Declaring: what exists is left alone, unless it loses messages.

use saga_broker::kafka::Kafka;
use saga_core::id::Destination;
use saga_core::port::{Transport, TransportError};

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_refused_since_it_forgets_messages() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = (transport(&brokers), unique("compacted"));
    create(&brokers, &topic, Some(("cleanup.policy", "compact"))).await;
    let error = transport.declare(&[topic]).await.unwrap_err();
    assert!(matches!(&error, TransportError::Permanent(why) if why.contains("compacted")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_exists_gets_its_dead_letters_and_keeps_its_partitions() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("existing");
    create(&brokers, &topic, None).await;
    let transport = Kafka::new(config(&brokers).partitions(5)).unwrap();
    transport.declare(std::slice::from_ref(&topic)).await.unwrap();
    assert_eq!(partitions(&brokers, &topic), 1);
    assert_eq!(partitions(&brokers, &topic.dead_letters()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_kafka_does_not_take_is_refused_for_good() {
    let Some(brokers) = brokers() else { return };
    let error = transport(&brokers).declare(&[Destination::new("..").unwrap()]).await.unwrap_err();
    assert!(!error.is_temporary(), "{error}");
}

fn partitions(brokers: &str, topic: &Destination) -> usize {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer = client(brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic.as_str()), PATIENCE).unwrap();
    metadata.topics()[0].partitions().len()
}
