//! Connections that are cut, silent, or not there yet. Nothing hangs, nothing confirmed is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use saga_broker::rabbitmq::RabbitMq;
use saga_core::id::Destination;
use saga_core::port::{PUBLISH_DEADLINE, PublishError, SettleError, Transport};
use saga_testkit::Toward;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::common::{
    DEADLINE_LONG, PATIENCE, acks, assert_all_arrive, envelopes, place, publish, publish_for_ever, reader,
    receive, rounds,
};

#[tokio::test]
async fn a_broker_that_comes_up_late_is_waited_for() {
    let place = place!();
    place.proxy.refuse();
    let client = RabbitMq::new(place.config());
    let here = place.unique("late");
    let declaring = client.declare(std::slice::from_ref(&here));
    let (declared, ()) = tokio::join!(declaring, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        place.proxy.allow();
    });
    declared.unwrap();
    publish(&client, &envelopes(&here, 1)).await;
    place.sweep().await;
}

#[tokio::test]
async fn wrong_credentials_are_told_at_once_and_do_not_end_the_attempts() {
    let place = place!();
    let url = format!("amqp://nobody:wrong@{}/%2f", place.proxy.address());
    let client = RabbitMq::new(saga_broker::rabbitmq::RabbitMqConfig::new(&url).unwrap());
    let here = place.unique("stranger");
    let declared = timeout(PUBLISH_DEADLINE * 4 / 5, client.declare(std::slice::from_ref(&here))).await;
    assert!(!declared.unwrap().unwrap_err().is_temporary());
    let results = client.publish(&envelopes(&here, 1)).await;
    assert!(
        matches!(results[0], Err(PublishError::Unreachable(_))),
        "credentials can be mended: {results:?}"
    );
}

/// Confirms that never come: the wait ends with the deadline, and the next connection works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirms_that_are_swallowed_cost_one_deadline_each() {
    let place = place!();
    let (_, here) = place.client("swallowed").await;
    let client = RabbitMq::new(place.config().deadline(IMPATIENT));
    for _ in 0..rounds(12, 300) {
        publish_when_back(&client, &here).await;
        place.proxy.stall(Toward::Client);
        let began = Instant::now();
        let results = client.publish(&envelopes(&here, 3)).await;
        assert!(began.elapsed() < PUBLISH_DEADLINE, "{:?}", began.elapsed());
        assert!(results.iter().all(|result| matches!(result, Err(PublishError::Unknown(_)))), "{results:?}");
        place.proxy.resume();
    }
    place.sweep().await;
}

/// The client library's own recovery hangs for ever in most runs of this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_under_load_over_many_cuts_never_hangs_and_loses_nothing_confirmed() {
    let place = place!();
    let (_, here) = place.client("load").await;
    let client = Arc::new(RabbitMq::new(place.config().deadline(DEADLINE_LONG)));
    let (progress, mut confirmed_batches) = watch::channel(0);
    let publishers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(publish_for_ever(client.clone(), here.clone(), progress.clone())))
        .collect();
    for cut in 0..rounds(60, 600) {
        // Each connection confirms something before it is cut, and is cut at another moment after that.
        confirmed_batches.mark_unchanged();
        let confirming = timeout(PATIENCE, confirmed_batches.changed());
        confirming.await.expect("a cut costs most of a deadline, or more").unwrap();
        tokio::time::sleep(Duration::from_micros(cut as u64 * 1300 % 20_000)).await;
        place.proxy.cut_all();
    }
    drop(confirmed_batches);
    let mut confirmed = HashSet::new();
    for publisher in publishers {
        confirmed.extend(publisher.await.unwrap());
    }
    assert_all_arrive(&client, &here, confirmed).await;
    place.sweep().await;
}

/// The client library forgets to answer who opens a channel while the connection breaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_while_channels_are_being_opened_does_not_cost_a_deadline() {
    let place = place!();
    let (_, here) = place.client("opening").await;
    let client = RabbitMq::new(place.config().deadline(DEADLINE_LONG));
    for round in 0..rounds(80, 1000) {
        let known = place.proxy.connections();
        place.proxy.cut_all();
        let publish = || async { client.publish(&envelopes(&here, 1)).await };
        let publishing = async { tokio::join!(publish(), publish(), publish(), publish()) };
        let cutting = async {
            while place.proxy.connections() == known {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_micros(round as u64 * 700 % 30_000)).await;
            place.proxy.cut_all();
        };
        let both = async { tokio::join!(publishing, cutting) };
        timeout(PATIENCE, both).await.expect("a cut costs a whole deadline");
    }
    place.sweep().await;
}

/// A settlement that cannot be written must not wait for the network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settling_and_declaring_into_silence_end_within_their_deadline() {
    let place = place!();
    let (patient, here) = place.client("silence").await;
    publish(&patient, &envelopes(&here, 10)).await;
    let client = RabbitMq::new(place.config().deadline(IMPATIENT));
    let mut reader = reader(&client, &here, 10).await;
    let deliveries = receive(&mut *reader, 10).await;
    place.proxy.stall(Toward::Server);
    place.proxy.stall(Toward::Client);
    let began = Instant::now();
    let settled = reader.settler().settle(&acks(&deliveries)).await;
    assert!(settled.iter().all(|result| matches!(result, Ok(()) | Err(SettleError::Lost))), "{settled:?}");
    assert!(client.declare(std::slice::from_ref(&here)).await.unwrap_err().is_temporary());
    assert!(began.elapsed() < PUBLISH_DEADLINE, "{:?}", began.elapsed());

    place.proxy.resume();
    publish_when_back(&client, &here).await;
    receive(&mut *reader, 1).await;
    place.sweep().await;
}

async fn publish_when_back(client: &RabbitMq, here: &Destination) {
    let publishing = async { while client.publish(&envelopes(here, 1)).await[0].is_err() {} };
    timeout(PATIENCE, publishing).await.expect("publishing recovers");
}

#[tokio::test]
async fn a_closed_transport_says_so_and_keeps_its_outbox() {
    let place = place!();
    let (client, here) = place.client("closed").await;
    let mut reader = reader(&client, &here, 1).await;
    client.close().await;
    let published = client.publish(&envelopes(&here, 1)).await;
    assert!(matches!(published[0], Err(PublishError::Unreachable(_))), "{published:?}");
    assert!(reader.receive(1).await.is_err());
    assert!(!reader.receive(1).await.unwrap_err().is_temporary());
    place.sweep().await;
}

/// Short enough to be waited for many times, long enough for a busy machine to answer within it.
const IMPATIENT: Duration = Duration::from_millis(500);
