//! The client library has a thread for each connection, and must not keep it. Alone in its process, to count them.

use std::time::Duration;

use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
use saga_core::id::{Destination, MessageId, SagaId};
use saga_core::message::{Envelope, Headers};
use saga_core::policy::Backoff;
use saga_core::port::{PublishError, Transport};
use saga_testkit::{TcpProxy, Toward, suite};
use uuid::Uuid;

/// A peer that takes connections and never says a word, such as a load balancer without a broker behind it; then a
/// broker that falls silent again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_silent_peer_leave_no_threads_behind() {
    let Some(url) = suite::server("SAGA_AMQP_URL") else { return };
    let address = url.rsplit_once('@').unwrap().1.split('/').next().unwrap();
    let proxy = TcpProxy::to(address).await.unwrap();
    let config = RabbitMqConfig::new(&url.replace(address, &proxy.address().to_string())).unwrap();
    let config = config.backoff(Backoff::new(Duration::from_millis(10), Duration::from_millis(100)));

    proxy.stall(Toward::Client);
    let client = RabbitMq::new(config.clone().deadline(Duration::from_millis(50)));
    within(PATIENCE, "20 connections", async || proxy.connections() >= 20).await;
    few_threads().await;
    drop(client);
    proxy.resume();

    let client = RabbitMq::new(config.deadline(Duration::from_millis(500)));
    for _ in 0..10 {
        within(PATIENCE, "an answer of the broker", async || is_unroutable(&publish(&client).await)).await;
        proxy.stall(Toward::Client);
        assert!(matches!(publish(&client).await, PublishError::Unknown(_)));
        proxy.resume();
    }
    few_threads().await;
}

/// Waits until something holds.
async fn within(patience: Duration, what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(patience, waiting).await;
    assert!(waited.is_ok(), "not within {patience:?}: {what}");
}

fn is_unroutable(error: &PublishError) -> bool {
    matches!(error, PublishError::Temporary(why) if why.contains("unroutable"))
}

/// Publishes where nobody declared a queue; that it is unroutable proves that the broker answers.
async fn publish(client: &RabbitMq) -> PublishError {
    let envelope = Envelope {
        id: MessageId::from_uuid(Uuid::nil()),
        destination: Destination::new("test.never-declared").expect("a proper name"),
        key: SagaId::from_uuid(Uuid::nil()),
        headers: Headers::default(),
        body: Default::default(),
    };
    let results = client.publish(&[envelope]).await;
    results[0].clone().expect_err("nobody declared it")
}

async fn few_threads() {
    within(NOTICED, "few threads of the client library", async || threads() <= THREADS_MAX).await;
}

fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lapin")).count()
}

/// One for each of the two connections, and those whose end is not noticed yet.
const THREADS_MAX: usize = 6;

/// Sooner than missed heartbeats end a connection and its thread.
const NOTICED: Duration = Duration::from_secs(8);

/// Far above what any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
