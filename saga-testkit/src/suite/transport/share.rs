//! Several readers of one destination, and many clients that come at once.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use saga_core::id::Destination;
use saga_core::port::Delivery;
use tokio::time::{Instant, timeout};

use super::Harness;
use super::tools::{Client, PATIENCE, Reader, number, topic};
use crate::suite::Skipped;

/// Two readers of a queue both get messages, and no message goes to both unless it is marked as redelivered.
pub async fn readers_of_one_group_share_the_messages(harness: &dyn Harness) -> Result<(), Skipped> {
    share(Client::new(harness).await).await;
    Ok(())
}

/// So do two readers of a topic that are in one group.
pub async fn readers_of_one_group_share_a_topic(harness: &dyn Harness) -> Result<(), Skipped> {
    share(Client::of_topic(harness).await).await;
    Ok(())
}

async fn share(client: Client<'_>) {
    let another = client.another().await;
    let mut readers = [client.reader(100).await, another.reader(100).await];
    let mut arrived = [Vec::new(), Vec::new()];
    let deadline = Instant::now() + PATIENCE;
    let mut published = 0;
    // A group may need its time until each reader has a share, so messages are published until each had some.
    while arrived.iter().any(Vec::is_empty) {
        assert!(Instant::now() < deadline, "one reader of two gets none of {published} messages");
        client.publish(&client.messages(published..published + 20)).await;
        published += 20;
        for (reader, arrived) in readers.iter_mut().zip(&mut arrived) {
            take_some(reader, arrived).await;
        }
    }
    let twice = &fresh(&arrived[0]) & &fresh(&arrived[1]);
    assert!(twice.is_empty(), "{twice:?} went to both readers of a group");

    let [mut first, second] = readers;
    drop(second);
    let arrived: BTreeSet<u64> = arrived.iter().flatten().map(number).collect();
    let missing = (0..published).filter(|number| !arrived.contains(number)).collect();
    first.drain(missing).await;
}

/// Takes and acks what one `receive` gives, if there is something.
async fn take_some(reader: &mut Reader, arrived: &mut Vec<Delivery>) {
    if let Ok(Ok(deliveries)) = timeout(TURN, reader.subscription.receive(5)).await {
        arrived.extend(deliveries.iter().cloned());
        reader.ack_what_stands(deliveries).await;
    }
}

/// The numbers of what arrived for the first time.
fn fresh(arrived: &[Delivery]) -> BTreeSet<u64> {
    let fresh = arrived.iter().filter(|delivery| !delivery.redelivered);
    fresh.map(number).collect()
}

/// Several services that start at once on an empty broker declare, publish and read without an error.
pub async fn many_clients_start_at_once(harness: &dyn Harness) -> Result<(), Skipped> {
    start_at_once(harness, harness.unique("queue")).await;
    start_at_once(harness, topic(harness)).await;
    Ok(())
}

async fn start_at_once(harness: &dyn Harness, source: Destination) {
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::undeclared(harness, source.clone()).await);
    }
    let starting = clients.iter().enumerate().map(|(index, client)| async move {
        client.declare().await;
        let reader = client.reader(100).await;
        client.publish(&[client.message(index as u64)]).await;
        reader
    });
    let mut readers = join_all(starting).await;

    let mut first = readers.remove(0);
    drop(readers);
    first.until(0..8).await;
}

/// How long a reader has for its turn; together with the number published in a turn it keeps the queue short.
const TURN: Duration = Duration::from_millis(100);
