//! Declaring queues, and reading them while others declare them.

use std::sync::Arc;

use futures_util::future::try_join_all;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use saga_broker::rabbitmq::RabbitMq;
use saga_core::id::Destination;
use saga_core::port::{Transport, TransportError};
use tokio::sync::Barrier;

use crate::common::{envelope, place, publish, reader, receive, rounds};

#[tokio::test]
async fn a_queue_of_another_kind_is_refused_with_what_to_do() {
    let place = place!();
    let client = RabbitMq::new(place.config());
    let classic = place.unique("classic");
    let raw = place.raw().await;
    let declared = raw.channel.queue_declare(
        classic.as_str().into(),
        QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() },
        FieldTable::default(),
    );
    declared.await.unwrap();
    let error = client.declare(std::slice::from_ref(&classic)).await.unwrap_err();
    assert!(matches!(error, TransportError::Permanent(_)), "{error}");
    let message = error.to_string();
    assert!(message.contains(classic.as_str()) && message.contains("delete it"), "{message}");
    // The refusal cost a channel, and nothing else.
    let other = place.unique("other");
    client.declare(std::slice::from_ref(&other)).await.unwrap();
    publish(&client, &[envelope(&other, "fine")]).await;
    place.sweep().await;
}

/// RabbitMQ 3.10 ends the connection of a client that reads a quorum queue which another one is declaring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_start_at_once_on_an_empty_broker_all_come_up() {
    let place = place!();
    let queues: Arc<Vec<Destination>> =
        Arc::new((0..rounds(10, 100)).map(|_| place.unique("storm")).collect());
    let together = Arc::new(Barrier::new(SERVICES));
    let services: Vec<_> = (0..SERVICES)
        .map(|_| tokio::spawn(start(RabbitMq::new(place.config()), queues.clone(), together.clone())))
        .collect();
    // The first that fails ends the test, the others would wait for it.
    try_join_all(services).await.unwrap();
    place.sweep().await;
}

/// What services do when they start, and a proof that they work.
async fn start(client: RabbitMq, queues: Arc<Vec<Destination>>, together: Arc<Barrier>) {
    for queue in queues.iter() {
        together.wait().await;
        client.declare(std::slice::from_ref(queue)).await.unwrap();
        let mut reader = reader(&client, queue, 1).await;
        publish(&client, &[envelope(queue, "hello")]).await;
        receive(&mut *reader, 1).await;
    }
}

const SERVICES: usize = 5;

#[tokio::test]
async fn a_queue_that_nobody_declared_cannot_be_read_for_now() {
    let place = place!();
    let client = RabbitMq::new(place.config().deadline(std::time::Duration::from_millis(500)));
    let source = Destination::new("test.never-declared").unwrap();
    let options = saga_core::port::SubscribeOptions { source, group: "test".into(), in_flight_max: 1 };
    let error = client.subscribe(options).await.err().unwrap();
    assert!(error.is_temporary(), "{error}");
    place.sweep().await;
}
