//! How fast messages go through, printed and not asserted: `cargo test --release ... throughput -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Duration;

use saga_broker::kafka::Kafka;
use saga_core::id::Destination;
use saga_core::port::{Settlement, Transport};
use tokio::time::Instant;

use super::support::*;

const MESSAGES: u64 = 400_000;
const BATCH: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn messages_of_300_bytes_published_confirmed_consumed_and_settled() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers).partitions(8), "throughput").await;
    let transport = Arc::new(transport);
    let mut subscription = subscribe(&transport, &topic, 5_000).await;
    let settler = subscription.settler();
    publish_all(&transport, &messages(&topic, 0..1)).await;
    let first = receive(&mut subscription, 1).await;
    ack(subscription.as_ref(), &first).await;

    let began = Instant::now();
    let publishers: Vec<_> =
        (0..4).map(|_| tokio::spawn(publish(transport.clone(), topic.clone()))).collect();
    let (mut received, mut batches) = (0, 0);
    while received < MESSAGES as usize {
        let deliveries = receive_some(&mut subscription, BATCH).await;
        received += deliveries.len();
        batches += 1;
        let batch: Vec<_> = deliveries.iter().map(|delivery| (delivery.token, Settlement::Ack)).collect();
        assert!(settler.settle(&batch).await.iter().all(Result::is_ok));
    }
    let took = began.elapsed();
    for publisher in publishers {
        eprintln!("published after {:?}", publisher.await.unwrap() - began);
    }
    let rate = MESSAGES as f64 / took.as_secs_f64();
    eprintln!("{MESSAGES} messages in {took:?}: {rate:.0}/s, {} to a received batch", received / batches);
    assert!(took < Duration::from_secs(600));
    transport.close().await;
}

async fn publish(transport: Arc<Kafka>, topic: Destination) -> Instant {
    let mut batch = messages(&topic, 0..BATCH as u64);
    for envelope in &mut batch {
        envelope.body = vec![b'x'; 300].into();
        for header in 0..9 {
            envelope.headers.insert(format!("saga-header-{header}"), "value-of-it");
        }
    }
    for _ in 0..MESSAGES / 4 / BATCH as u64 {
        publish_all(&transport, &batch).await;
    }
    Instant::now()
}
