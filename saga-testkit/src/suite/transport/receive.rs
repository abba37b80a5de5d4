//! Receiving: what comes, what comes again, how much at once, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use saga_core::port::{Delivery, Lanes, PublishError, Redelivery, Settlement};
use tokio::time::timeout;

use super::Harness;
use super::tools::{BATCH, Client, KEYS, PATIENCE, PAUSE, Reader, number};
use crate::suite::{Dice, Skipped, require};

/// Deliveries settled in any order, and then a reader that is gone: nothing unsettled is lost, and it is marked as
/// redelivered. Where messages are redelivered one by one, nothing settled comes again.
pub async fn what_was_not_settled_comes_again(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..20)).await;
    let mut first = client.reader(20).await;
    let delivered = first.until(0..20).await;
    let settled = BTreeSet::from([3, 17, 0, 8, 9]);
    first.ack(settled.iter().map(|number| &delivered[number])).await;
    drop(first);

    let unsettled: BTreeSet<u64> = (0..20).filter(|number| !settled.contains(number)).collect();
    let mut second = client.another().await.reader(20).await;
    let again = second.until(unsettled.clone()).await;
    assert!(again.values().all(|delivery| delivery.redelivered), "what comes again is marked as redelivered");
    if client.transport.capabilities().redelivery == Redelivery::Individual {
        let rest = second.rest().await;
        let came: BTreeSet<u64> = again.into_keys().chain(rest.iter().map(number)).collect();
        assert_eq!(came, unsettled, "nothing that was settled comes again");
    }
    Ok(())
}

/// A `receive` that is dropped, hundreds of times and at any moment, loses nothing.
pub async fn receiving_can_be_cancelled(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let mut reader = client.reader(BATCH).await;
    // A group may need its time until messages flow at all.
    client.publish(&client.messages(200..201)).await;
    reader.drain([200].into()).await;

    let publishing = async {
        for number in 0..200 {
            client.publish(&[client.message(number)]).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let ((), arrived) = tokio::join!(publishing, receive_impatiently(&mut reader, 200));

    reader.ack(arrived.values()).await;
    reader.until((0..200).filter(|number| !arrived.contains_key(number))).await;
    Ok(())
}

/// Receives with patience for 0 to 2 milliseconds, until `count` messages have arrived or it was tried often enough.
async fn receive_impatiently(reader: &mut Reader, count: usize) -> BTreeMap<u64, Delivery> {
    let mut dice = Dice::new(1);
    let mut arrived = BTreeMap::new();
    for _ in 0..3000 {
        let patience = Duration::from_millis(dice.roll(3) as u64);
        if let Ok(Ok(deliveries)) = timeout(patience, reader.subscription.receive(BATCH)).await {
            arrived.extend(deliveries.into_iter().map(|delivery| (number(&delivery), delivery)));
        }
        if arrived.len() == count {
            break;
        }
    }
    arrived
}

/// No more than `in_flight_max` deliveries are out. Settling one makes room, also for a `receive` that waits.
pub async fn no_more_than_the_limit_is_out(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..12)).await;
    let mut reader = client.reader(5).await;
    let mut out = Vec::new();
    while out.len() < 5 {
        out.extend(reader.next(BATCH).await);
    }
    out.extend(reader.rest().await);
    assert_eq!(out.len(), 5, "as many are out as are allowed, and no more");

    let settler = reader.settler.clone();
    let waiting = tokio::spawn(async move { (reader.next(BATCH).await, reader) });
    tokio::time::sleep(PAUSE).await;
    let acks: Vec<_> = out.iter().map(|delivery| (delivery.token, Settlement::Ack)).collect();
    let settled = settler.settle(&acks).await;
    assert!(settled.iter().all(Result::is_ok), "settling while a receive waits: {settled:?}");
    let (next, mut reader) = waiting.await.expect("a receive that waited goes on once there is room");
    assert!(next.len() <= 5, "as many are out as are allowed, and no more");

    reader.ack(&next).await;
    let arrived: BTreeSet<u64> = out.iter().chain(&next).map(number).collect();
    reader.drain((0..12).filter(|number| !arrived.contains(number)).collect()).await;
    Ok(())
}

/// Messages of one key arrive in the order of their publishing, as long as nothing is redelivered.
pub async fn messages_of_one_key_keep_their_order(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let ordered = client.transport.capabilities().lanes != Lanes::None;
    require(ordered, "capability: the transport keeps no order")?;
    for hundred in 0..10 {
        client.publish(&client.messages(hundred * 100..(hundred + 1) * 100)).await;
    }
    let mut reader = client.reader(50).await;
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let mut count = 0;
    while count < 1000 {
        let deliveries = reader.next(BATCH).await;
        for delivery in deliveries.iter().filter(|delivery| !delivery.redelivered) {
            let number = number(delivery);
            let before = last.insert(number % KEYS, number);
            assert!(before < Some(number), "{number} arrives after {before:?}, which has the same key");
        }
        count += deliveries.len();
        reader.ack(&deliveries).await;
    }
    Ok(())
}

/// `close` ends a `receive` that waits, gives back what is out, and leaves calls that say so instead of hanging.
pub async fn closing_ends_reads_and_gives_back_what_is_out(harness: &dyn Harness) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    client.publish(&client.messages(0..5)).await;
    let closing = client.another().await;
    let mut reader = closing.reader(10).await;
    let out = reader.until(0..5).await;
    reader.ack([&out[&1], &out[&4]]).await;

    let waiting = tokio::spawn(async move { reader.subscription.receive(BATCH).await.is_err() });
    tokio::time::sleep(PAUSE).await;
    closing.transport.close().await;
    let ended = timeout(PATIENCE, waiting).await.expect("a receive ends when its client is closed");
    assert!(ended.expect("a receive does not panic"), "a receive of a closed client ends with an error");
    let refused = closing.transport.publish(&[closing.message(9)]).await.remove(0);
    let error = refused.expect_err("a closed client publishes nothing");
    assert!(!matches!(error, PublishError::Permanent(_)), "another client could: {error}");

    client.reader(10).await.until([0, 2, 3]).await;
    Ok(())
}
