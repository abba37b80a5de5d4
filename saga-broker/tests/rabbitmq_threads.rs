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
    while proxy.connections() < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_few_threads();
    drop(client);
    proxy.resume();

    let client = RabbitMq::new(config.deadline(Duration::from_millis(500)));
    for _ in 0..10 {
        while !matches!(publish(&client).await, PublishError::Temporary(why) if why.contains("unroutable")) {}
        proxy.stall(Toward::Client);
        assert!(matches!(publish(&client).await, PublishError::Unknown(_)));
        proxy.resume();
    }
    assert_few_threads();
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

fn assert_few_threads() {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let threads = names.filter(|name| name.starts_with("lapin")).count();
    assert!(threads <= THREADS_MAX, "{threads} threads of the client library");
}

/// One for each of the two connections, and those whose end is not noticed yet.
const THREADS_MAX: usize = 6;
