//! Publishing: what is confirmed, what is refused, and how soon.

use std::time::Duration;

use saga_core::port::{PUBLISH_DEADLINE, PublishError, Transport};
use tokio::time::Instant;

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_topic_is_reported_within_the_deadline_and_found_once_it_is_declared() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = (transport(&brokers), unique("unroutable"));
    let batch = messages(&topic, 0..3);
    for _ in 0..2 {
        let began = Instant::now();
        for result in transport.publish(&batch).await {
            let reported = matches!(&result, Err(PublishError::Temporary(why)) if why.contains("unroutable"));
            assert!(reported, "{result:?}");
        }
        assert!(began.elapsed() < PUBLISH_DEADLINE * 2, "{:?}", began.elapsed());
    }
    transport.declare(std::slice::from_ref(&topic)).await.unwrap();
    let began = Instant::now();
    while transport.publish(&batch).await.iter().any(Result::is_err) {
        assert!(began.elapsed() < PATIENCE, "the topic is not found");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_finds_too_large_is_refused_alone() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = (transport(&brokers), unique("small"));
    create(&brokers, &topic, Some(("max.message.bytes", "2000"))).await;
    let mut batch = messages(&topic, 0..100);
    batch[50].body = vec![b'x'; 5_000].into();
    let results = transport.publish(&batch).await;
    for (index, result) in results.into_iter().enumerate() {
        let expected = match index {
            50 => matches!(result, Err(PublishError::Permanent(_))),
            _ => result.is_ok(),
        };
        assert!(expected, "message {index}: {result:?}");
    }
}

#[tokio::test]
async fn a_full_queue_is_waited_for_without_blocking_the_runtime() {
    let Some(brokers) = brokers() else { return };
    let config = config(&brokers).property("queue.buffering.max.messages", "10");
    let (transport, topic) = declared(config, "queue").await;
    let batch = messages(&topic, 0..500);
    let (mut ticks, mut timer) = (0, tokio::time::interval(Duration::from_millis(5)));
    let publishing = publish_all(&transport, &batch);
    tokio::pin!(publishing);
    loop {
        tokio::select! {
            () = &mut publishing => break,
            _ = timer.tick() => ticks += 1,
        }
    }
    assert!(ticks > 10, "a timer of the one thread ticked {ticks} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_transport_publishes_no_more_and_says_so() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "closed").await;
    transport.close().await;
    let results = transport.publish(&messages(&topic, 0..2)).await;
    assert!(matches!(&results[..], [Err(PublishError::Unreachable(_)), Err(PublishError::Unreachable(_))]));
}
