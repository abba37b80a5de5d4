//! How fast it is, and what it costs. Run with
//! `cargo test --release -p saga-broker --features rabbitmq --test rabbitmq speed -- --ignored --nocapture`.

use std::sync::Arc;

use saga_broker::rabbitmq::RabbitMq;
use saga_core::port::Transport;
use tokio::time::Instant;

use crate::common::{acks, envelope, place, reader};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn messages_published_confirmed_consumed_and_acked() {
    let place = place!();
    let client = Arc::new(RabbitMq::new(place.direct()));
    let destination = place.unique("speed");
    client.declare(std::slice::from_ref(&destination)).await.unwrap();
    let body = vec![b'x'; 300];
    let batch: Arc<Vec<_>> = Arc::new((0..BATCH).map(|_| envelope(&destination, body.clone())).collect());
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (client, batch) = (client.clone(), batch.clone());
            tokio::spawn(async move {
                for _ in 0..MESSAGES / BATCH / PUBLISHERS {
                    assert!(client.publish(&batch).await.iter().all(Result::is_ok));
                }
            })
        })
        .collect();
    let mut reader = reader(&client, &destination, 2000).await;
    let settler = reader.settler();
    let (mut received, mut batches) = (0, 0);
    while received < MESSAGES {
        let deliveries = reader.receive(1000).await.unwrap();
        assert!(settler.settle(&acks(&deliveries)).await.iter().all(Result::is_ok));
        received += deliveries.len();
        batches += 1;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{:.0} messages/s, {:.1} µs of CPU each in this process, {:.0} in a received batch",
        MESSAGES as f64 / seconds,
        cpu * 1e6 / MESSAGES as f64,
        received as f64 / f64::from(batches)
    );
    place.sweep().await;
}

/// What this process used so far: fields 14 and 15, in hundredths of a second, which follow the program's name.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

const MESSAGES: usize = 96_000;
const BATCH: usize = 500;
const PUBLISHERS: usize = 4;
