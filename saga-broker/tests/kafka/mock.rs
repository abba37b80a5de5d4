//! Errors of the protocol that a real broker gives too seldom to wait for, from librdkafka's broker in memory.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use saga_broker::kafka::Kafka;
use saga_core::port::{PUBLISH_DEADLINE, PublishError, Transport};
use tokio::time::Instant;

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_met_a_fatal_error_is_made_anew() {
    let cluster = MockCluster::new(1).unwrap();
    let (transport, topic) = (transport(&cluster.bootstrap_servers()), unique("fatal"));
    cluster.create_topic(topic.as_str(), 1, 1).unwrap();
    publish_all(&transport, &messages(&topic, 0..1)).await;
    let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[fatal]);
    let failed = transport.publish(&messages(&topic, 1..2)).await;
    assert!(matches!(&failed[..], [Err(PublishError::Unknown(_))]), "{failed:?}");
    publish_all(&transport, &messages(&topic, 1..3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_pass_are_not_shown() {
    let cluster = MockCluster::new(1).unwrap();
    let (transport, topic) = (transport(&cluster.bootstrap_servers()), unique("passing"));
    cluster.create_topic(topic.as_str(), 1, 1).unwrap();
    let passing = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &passing);
    publish_all(&transport, &messages(&topic, 0..10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_is_unknown_within_the_deadline() {
    let cluster = MockCluster::new(1).unwrap();
    let deadline = Duration::from_secs(2);
    let transport = Kafka::new(config(&cluster.bootstrap_servers()).deadline(deadline)).unwrap();
    let topic = unique("silent");
    cluster.create_topic(topic.as_str(), 1, 1).unwrap();
    connect(&transport, &topic).await;
    cluster.broker_round_trip_time(1, Duration::from_secs(30)).unwrap();
    let began = Instant::now();
    let published = transport.publish(&messages(&topic, 0..2)).await;
    assert!(published.iter().all(|result| matches!(result, Err(PublishError::Unknown(_)))), "{published:?}");
    assert!(began.elapsed() < PUBLISH_DEADLINE * 4 / 5, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_fail_are_made_again_and_hold_deliveries_back() {
    let cluster = MockCluster::new(1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let (transport, topic) = (transport(&brokers), unique("uncommitted"));
    cluster.create_topic(topic.as_str(), 1, 1).unwrap();
    publish_all(&transport, &messages(&topic, 0..10)).await;
    let failing = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 5];
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &failing);
    let mut subscription = subscribe(&transport, &topic, 10).await;
    let deliveries = receive(&mut subscription, 10).await;
    ack(&*subscription, &deliveries).await;
    eventually(|| committed(&brokers, &topic, 1) == [Some(10)]).await;
}
