//! Delivering: what is marked as redelivered, who stays in a group, and what a reader costs its runtime.

use std::collections::BTreeSet;
use std::time::Duration;

use saga_broker::kafka::Kafka;
use saga_core::port::{PublishError, SubscribeOptions, Transport};
use saga_testkit::{KafkaProxy, Toward};
use tokio::time::{Instant, sleep, timeout};

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_group_finds_is_not_redelivered_nor_what_a_closed_reader_never_got() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "backlog").await;
    publish_all(&transport, &messages(&topic, 0..2_500)).await;
    let mut first = subscribe(&transport, &topic, 100).await;
    let deliveries = receive(&mut first, 100).await;
    assert!(deliveries.iter().all(|delivery| !delivery.redelivered), "nobody had them before");
    ack(&*first, &deliveries[..50]).await;
    transport.close().await;

    let transport = Kafka::new(config(&brokers)).unwrap();
    let mut second = subscribe(&transport, &topic, 3_000).await;
    let deliveries = receive(&mut second, 2_450).await;
    assert_eq!(number(&deliveries[0]), 50, "what was settled is committed when a transport is closed");
    assert!(deliveries[..50].iter().all(|delivery| delivery.redelivered), "the first reader had them");
    assert!(deliveries[200..].iter().all(|delivery| !delivery.redelivered), "nobody can have had them");
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_take_longer_than_the_poll_interval_keep_their_partitions() {
    let Some(brokers) = brokers() else { return };
    let interval = Duration::from_secs(6);
    let (transport, topic) = declared(config(&brokers).poll_interval_max(interval), "blocked").await;
    publish_all(&transport, &messages(&topic, 0..20)).await;
    let mut subscription = subscribe(&transport, &topic, 5).await;
    let deliveries = receive(&mut subscription, 5).await;
    sleep(interval + Duration::from_secs(3)).await;
    ack(&*subscription, &deliveries).await;
    for expected in [5, 10, 15] {
        let deliveries = receive(&mut subscription, 5).await;
        assert_eq!(numbers(&deliveries), (expected..expected + 5).collect::<Vec<_>>());
        assert!(deliveries.iter().all(|delivery| !delivery.redelivered));
        ack(&*subscription, &deliveries).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_were_paused_go_on_where_they_were() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "paused").await;
    publish_all(&transport, &messages(&topic, 0..1_000)).await;
    let mut subscription = subscribe(&transport, &topic, 100).await;
    for round in 0..10 {
        let deliveries = receive(&mut subscription, 100).await;
        let first = round * 100;
        assert_eq!(numbers(&deliveries), (first..first + 100).collect::<Vec<_>>());
        if round < 3 {
            // Long enough for a reader without room to pause.
            sleep(Duration::from_millis(1_500)).await;
        }
        ack(&*subscription, &deliveries).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_subscription_does_not_wait_for_its_group() {
    let Some(brokers) = brokers() else { return };
    let (_, topic) = declared(config(&brokers), "dropped").await;
    let proxy = KafkaProxy::to(brokers.parse().unwrap()).await.unwrap();
    let transport = transport(&proxy.tcp().address().to_string());
    publish_all(&transport, &messages(&topic, 0..10)).await;
    let mut subscription = subscribe(&transport, &topic, 10).await;
    receive(&mut subscription, 10).await;
    proxy.tcp().stall(Toward::Server);
    let began = Instant::now();
    drop(subscription);
    drop(transport);
    assert!(began.elapsed() < PATIENCE / 2, "a thread of the runtime stood still");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_leaves_the_group_at_once() {
    let Some(brokers) = brokers() else { return };
    // What a reader costs that does not say goodbye, or a close that waits in vain.
    let forgotten = Duration::from_secs(120);
    let config = config(&brokers).session_timeout(forgotten).poll_interval_max(forgotten).deadline(forgotten);
    let (first, topic) = declared(config, "left").await;
    publish_all(&first, &messages(&topic, 0..10)).await;
    let mut subscription = subscribe(&first, &topic, 10).await;
    let deliveries = receive(&mut subscription, 10).await;
    ack(&*subscription, &deliveries[..5]).await;
    let began = Instant::now();
    first.close().await;
    assert!(began.elapsed() < forgotten / 3, "closing took {:?}", began.elapsed());
    let again = receive(&mut subscribe(&transport(&brokers), &topic, 10).await, 5).await;
    assert_eq!(numbers(&again), [5, 6, 7, 8, 9]);
    assert!(began.elapsed() < forgotten * 2 / 3, "taking over took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_at_the_start_is_waited_for() {
    let Some(brokers) = brokers() else { return };
    let (_, topic) = declared(config(&brokers), "down").await;
    let proxy = KafkaProxy::to(brokers.parse().unwrap()).await.unwrap();
    proxy.tcp().refuse();
    let address = proxy.tcp().address().to_string();
    let transport = Kafka::new(config(&address).deadline(Duration::from_secs(2))).unwrap();

    let began = Instant::now();
    let published = transport.publish(&messages(&topic, 0..2)).await;
    assert!(published.iter().all(|result| matches!(result, Err(PublishError::Unknown(_)))), "{published:?}");
    let declared = transport.declare(std::slice::from_ref(&topic)).await.unwrap_err();
    assert!(declared.is_temporary(), "{declared}");
    let options = SubscribeOptions { source: topic.clone(), group: topic.to_string(), in_flight_max: 10 };
    let subscribed = transport.subscribe(options).await.map(drop).unwrap_err();
    assert!(subscribed.is_temporary(), "{subscribed}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());

    proxy.tcp().allow();
    connect(&transport, &topic).await;
    receive(&mut subscribe(&transport, &topic, 10).await, 1).await;
}

/// Its reader would hold partitions of the group, and nobody would take what comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_dropped_before_a_broker_has_answered_takes_no_messages() {
    let Some(brokers) = brokers() else { return };
    let (direct, topic) = declared(config(&brokers), "dropped").await;
    let proxy = KafkaProxy::to(brokers.parse().unwrap()).await.unwrap();
    proxy.tcp().refuse();
    let transport = Kafka::new(config(&proxy.tcp().address().to_string())).unwrap();
    let options = SubscribeOptions { source: topic.clone(), group: topic.to_string(), in_flight_max: 100 };
    let subscribing = timeout(Duration::from_millis(200), transport.subscribe(options)).await;
    assert!(subscribing.is_err(), "nobody has answered");
    proxy.tcp().allow();
    sleep(Duration::from_secs(3)).await;

    publish_all(&direct, &messages(&topic, 0..200)).await;
    receive(&mut subscribe(&direct, &topic, 200).await, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_declared_after_it_was_subscribed_to_is_found() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = (transport(&brokers), unique("late"));
    let mut subscription = subscribe(&transport, &topic, 10).await;
    let missing = subscription.receive(1).await.unwrap_err();
    assert!(missing.is_temporary(), "{missing}");
    transport.declare(std::slice::from_ref(&topic)).await.unwrap();
    publish_all(&transport, &messages(&topic, 0..1)).await;
    receive(&mut subscription, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_falls_silent_shows_as_an_error_and_reading_goes_on_after_it() {
    let Some(brokers) = brokers() else { return };
    let (_, topic) = declared(config(&brokers), "silent").await;
    let proxy = KafkaProxy::to(brokers.parse().unwrap()).await.unwrap();
    let config = config(&proxy.tcp().address().to_string()).deadline(Duration::from_secs(2));
    let transport = Kafka::new(config).unwrap();
    publish_all(&Kafka::new(self::config(&brokers)).unwrap(), &messages(&topic, 0..10)).await;
    let mut subscription = subscribe(&transport, &topic, 100).await;
    let deliveries = receive(&mut subscription, 10).await;
    proxy.tcp().stall(Toward::Server);
    // Now there is something to commit, which does not get through.
    ack(&*subscription, &deliveries[..5]).await;
    let error = tokio::time::timeout(PATIENCE, subscription.receive(1)).await;
    assert!(error.expect("it shows in time").is_err_and(|error| error.is_temporary()));

    proxy.tcp().resume();
    let mut missing: BTreeSet<u64> = (10..20).collect();
    let late = Kafka::new(self::config(&brokers)).unwrap();
    publish_all(&late, &messages(&topic, 10..20)).await;
    while !missing.is_empty() {
        for delivery in receive_some(&mut subscription, 10).await {
            missing.remove(&number(&delivery));
        }
    }
}
