//! How many sagas of a type may be under way, and how many begin in a second.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use saga_core::id::BusinessKey;
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::message::{Answer, Fault};
use saga_core::runtime::{Busy, Orchestrator, SagaLimits, StartError};
use tokio::time::Instant;

use crate::errands::{Errand, Go, answer_with, busy, count, fetching, limited, over, waiting};

#[tokio::test(start_paused = true)]
async fn of_many_starts_at_once_so_many_succeed_as_may_be_under_way() {
    let orchestrator = limited(SagaLimits::default().in_flight(10)).await;
    let started = join_all((0..50).map(|_| busy(&orchestrator))).await;
    assert_eq!(started.iter().filter(|busy| busy.is_none()).count(), 10);
    let refused = started.iter().flatten().next().unwrap().to_string();
    assert_eq!(refused, "10 sagas of errand may be under way, and are");
    count().await;
    assert!(busy(&orchestrator).await.is_some(), "they are under way");
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_has_ended_makes_room() {
    let orchestrator = limited(SagaLimits::default().in_flight(1)).await;
    let first = orchestrator.start(Errand(0)).await.unwrap();
    count().await;
    assert!(busy(&orchestrator).await.is_some());
    first.signal(Go).await.unwrap();
    count().await;
    assert_eq!(busy(&orchestrator).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_is_parked_makes_room_until_it_is_released() {
    let transport = MemoryTransport::default();
    let limits = SagaLimits::default().in_flight(1);
    let builder = over(&transport).register(&fetching::<Errand>()).limit::<Errand>(limits);
    let orchestrator = builder.start().await.unwrap();
    let first = orchestrator.start(Errand(0)).await.unwrap();
    count().await;
    assert!(busy(&orchestrator).await.is_some());
    answer_with(&transport, first.id(), Answer::Fault(Fault::permanent("no warehouse"))).await;
    count().await;
    let second = orchestrator.start(Errand(1)).await.expect("the first is parked").id();
    answer_with(&transport, second, Answer::Fault(Fault::permanent("no warehouse"))).await;
    orchestrator.retry(first.id(), "there is one now").await.unwrap();
    count().await;
    assert!(busy(&orchestrator).await.is_some(), "the first is under way again");
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_before_the_orchestrator_started_counts() {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let builder = || {
        let builder = Orchestrator::builder(store.clone(), Arc::new(transport.connect()), "errands.replies");
        builder.register(&waiting::<Errand>()).limit::<Errand>(SagaLimits::default().in_flight(1))
    };
    let first = builder().start().await.unwrap();
    first.start(Errand(0)).await.unwrap();
    let second = builder().start().await.unwrap();
    assert!(matches!(busy(&second).await, Some(Busy::Sagas { limit: 1, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_as_long_as_it_may_and_goes_on_when_there_is_room() {
    let orchestrator = limited(SagaLimits::default().in_flight(1).wait(Duration::from_secs(5))).await;
    let first = orchestrator.start(Errand(0)).await.unwrap();
    let begun = Instant::now();
    assert!(busy(&orchestrator).await.is_some());
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    let (second, _) = tokio::join!(orchestrator.start(Errand(2)), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        first.signal(Go).await.unwrap();
    });
    assert!(second.is_ok() && begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_start_in_a_transaction_waits_inside_it_as_long_as_it_may() {
    let wait = Duration::from_secs(5);
    let (full, store) = over_a_store(SagaLimits::default().in_flight(1).wait(wait)).await;
    full.start(Errand(0)).await.unwrap();
    let (mut tx, begun) = (store.begin().await, Instant::now());
    let refused = full.start_in(&mut tx, None, Errand(1)).await;
    assert!(matches!(refused, Err(StartError::Busy(Busy::Sagas { .. }))));
    assert_eq!(begun.elapsed(), wait);

    let (slow, store) = over_a_store(SagaLimits::default().per_second(1).wait(wait)).await;
    slow.start(Errand(0)).await.unwrap();
    // A second makes room for one, though what is under way cannot be counted meanwhile: that waits for this transaction.
    let (mut tx, begun) = (store.begin().await, Instant::now());
    let started = slow.start_in(&mut tx, None, Errand(1)).await.unwrap();
    assert!((1_000..=1_050).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    tx.commit();
    assert_eq!(started.committed().view().await.unwrap().data.0, 1);
}

async fn over_a_store(limits: SagaLimits) -> (Orchestrator<MemoryStore>, Arc<MemoryStore>) {
    let (store, transport) = (Arc::new(MemoryStore::default()), Arc::new(MemoryTransport::default()));
    let builder = Orchestrator::builder(store.clone(), transport, "errands.replies");
    let builder = builder.register(&waiting::<Errand>()).limit::<Errand>(limits);
    (builder.start().await.unwrap(), store)
}

#[tokio::test(start_paused = true)]
async fn who_no_longer_waits_takes_no_room() {
    let orchestrator = limited(SagaLimits::default().in_flight(1).wait(Duration::from_secs(60))).await;
    let first = orchestrator.start(Errand(0)).await.unwrap();
    let impatient = tokio::time::timeout(Duration::from_secs(1), orchestrator.start(Errand(1))).await;
    assert!(impatient.is_err());
    first.signal(Go).await.unwrap();
    count().await;
    let begun = Instant::now();
    assert_eq!(busy(&orchestrator).await, None);
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_on_its_way_takes_room_though_its_caller_has_lost_patience() {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let builder = Orchestrator::builder(store.clone(), Arc::new(transport.connect()), "errands.replies");
    let builder = builder.register(&waiting::<Errand>()).limit::<Errand>(SagaLimits::default().in_flight(1));
    let orchestrator = builder.start().await.unwrap();
    // The store is busy for as long as this transaction is open.
    let open = store.begin().await;
    assert!(orchestrator.start(Errand(0)).now_or_never().is_none());
    count().await;
    drop(open);
    // The count that waited sees no saga yet. The next one is far off.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(busy(&orchestrator).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_saga_in_a_callers_transaction_takes_room_until_its_commit_or_for_a_minute() {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let builder = Orchestrator::builder(store.clone(), Arc::new(transport.connect()), "errands.replies");
    let builder = builder.register(&waiting::<Errand>()).limit::<Errand>(SagaLimits::default().in_flight(2));
    let orchestrator = builder.start().await.unwrap();
    let mut rolled_back = store.begin().await;
    drop(orchestrator.start_in(&mut rolled_back, None, Errand(0)).await.unwrap());
    drop(rolled_back);
    let mut committed = store.begin().await;
    let started = orchestrator.start_in(&mut committed, None, Errand(1)).await.unwrap();
    committed.commit();
    started.committed().signal(Go).await.unwrap();
    count().await;
    assert_eq!(busy(&orchestrator).await, None, "the second has ended");
    count().await;
    assert!(busy(&orchestrator).await.is_some(), "nobody knows of the first");
    tokio::time::sleep(Duration::from_secs(60)).await;
    count().await;
    assert_eq!(busy(&orchestrator).await, None, "the first was never there");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_when_the_orchestrator_stops() {
    let orchestrator = limited(SagaLimits::default().in_flight(1).wait(Duration::from_secs(60))).await;
    orchestrator.start(Errand(0)).await.unwrap();
    let (waited, ()) = tokio::join!(orchestrator.start(Errand(1)), orchestrator.stop(Duration::from_secs(1)));
    assert!(matches!(waited, Err(StartError::Stopping)));
}

#[tokio::test(start_paused = true)]
async fn so_many_start_in_a_second() {
    let orchestrator = limited(SagaLimits::default().per_second(5)).await;
    for _ in 0..5 {
        assert_eq!(busy(&orchestrator).await, None);
    }
    assert_eq!(
        busy(&orchestrator).await.unwrap().to_string(),
        "5 sagas of errand may start in a second, and have"
    );
    tokio::time::sleep(Duration::from_millis(401)).await;
    let later = [busy(&orchestrator).await, busy(&orchestrator).await, busy(&orchestrator).await];
    assert_eq!(later.map(|busy| busy.is_none()), [true, true, false]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let rested = join_all((0..10).map(|_| busy(&orchestrator))).await;
    assert_eq!(rested.iter().filter(|busy| busy.is_none()).count(), 5);
    let patient = limited(SagaLimits::default().per_second(5).wait(Duration::from_secs(60))).await;
    let begun = Instant::now();
    let started = join_all((0..25).map(|_| busy(&patient))).await;
    assert!(started.iter().all(Option::is_none));
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_passes_those_who_wait() {
    let orchestrator = limited(SagaLimits::default().per_second(3).wait(Duration::from_secs(60))).await;
    for _ in 0..3 {
        orchestrator.start(Errand(0)).await.unwrap();
    }
    let begun = Instant::now();
    let started = async |after| {
        tokio::time::sleep(Duration::from_millis(after)).await;
        orchestrator.start(Errand(1)).await.unwrap();
        begun.elapsed().as_millis()
    };
    // A third of a second makes room for one, and those who wait are let in every twentieth.
    let (first, second) = tokio::join!(started(0), started(340));
    assert!((334..=350).contains(&first) && (667..=700).contains(&second), "{first} {second}");
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_was_started_before_is_not_refused() {
    let orchestrator = limited(SagaLimits::default().in_flight(1)).await;
    let key = |key| BusinessKey::new(key).unwrap();
    let first = orchestrator.start_as(key("errand 7"), Errand(7)).await.unwrap();
    let again = orchestrator.start_as(key("errand 7"), Errand(7)).await.unwrap();
    assert!(again.is_existing() && again.id() == first.id());
    let changed = orchestrator.start_as(key("errand 7"), Errand(8)).await;
    assert!(matches!(changed, Err(StartError::KeyTaken(_))));
    let other = orchestrator.start_as(key("errand 8"), Errand(8)).await;
    assert!(matches!(other, Err(StartError::Busy(_))));
}
