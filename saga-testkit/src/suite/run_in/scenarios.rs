//! A move that commits with what a local step writes.

use std::time::Duration;

use saga_core::id::SagaId;
use saga_core::port::{BODY_BYTES_MAX, Commit, CommitError, Outbox, OutboxRow, RunIn, Store};

use super::Harness;
use crate::suite::Skipped;
use crate::suite::samples::{LONG, arm, definition, next, row, start};

/// What the step wrote, the saga's move, its messages and its timers are there together, and not before.
pub async fn a_local_step_commits_with_its_sagas_move<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let (store, saga) = started(harness).await;
    let sent = OutboxRow { claimed: true, ..row("ship") };
    let moved =
        Commit { outbox: vec![sent.clone()], timers: vec![arm("step", Duration::ZERO)], ..next(saga, 1) };
    let mut tx = store.begin_work().await.expect("beginning");
    harness.write(&mut tx, "note", 7).await;
    assert_eq!(harness.read("note").await, None, "nothing is there before the commit");
    store.finish(tx, &moved).await.expect("finishing");

    assert_eq!(harness.read("note").await, Some(7), "what the step wrote");
    assert_eq!(version(&store, saga).await, 2, "the saga's version");
    let claimed = store.claim(10, LONG).await.expect("claiming");
    assert_eq!(
        claimed.iter().map(|row| row.id).collect::<Vec<_>>(),
        [sent.id],
        "its messages are not claimed"
    );
    let due = store.due_timers(&[definition("place-order", 1)], 10, LONG, LONG).await.expect("timers");
    assert_eq!(due.len(), 1, "its timer is due");
    Ok(())
}

/// Nobody waits for an open transaction, and what it wrote falls with a race that is lost.
pub async fn a_local_step_is_gone_if_its_saga_was_moved_meanwhile<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let (store, saga) = started(harness).await;
    let mut tx = store.begin_work().await.expect("beginning");
    harness.write(&mut tx, "note", 7).await;
    let other = harness.connect().await;
    other.commit(&[next(saga, 1)], LONG).await.remove(0).expect("a move beside an open transaction");

    let late = Commit { outbox: vec![row("ship")], ..next(saga, 1) };
    let finished = store.finish(tx, &late).await;
    assert!(matches!(finished, Err(CommitError::Conflict)), "a lost race: {finished:?}");
    assert_eq!(harness.read("note").await, None, "what the loser wrote is gone");
    assert_eq!(version(&store, saga).await, 2, "the saga's version");
    assert!(store.claim(10, LONG).await.expect("claiming").is_empty(), "the loser sends nothing");
    Ok(())
}

/// A handler that failed, or whose process died.
pub async fn a_local_step_that_is_dropped_leaves_nothing<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let (store, saga) = started(harness).await;
    let mut tx = store.begin_work().await.expect("beginning");
    harness.write(&mut tx, "note", 7).await;
    drop(tx);
    assert_eq!(harness.read("note").await, None, "what was dropped is gone");
    let mut tx = store.begin_work().await.expect("beginning again");
    harness.write(&mut tx, "another note", 8).await;
    store.finish(tx, &next(saga, 1)).await.expect("finishing");
    assert_eq!(harness.read("another note").await, Some(8), "the next one is not harmed");
    Ok(())
}

/// A transition that the store refuses takes the step's work with it.
pub async fn a_local_step_whose_move_is_refused_leaves_nothing<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let (store, saga) = started(harness).await;
    let mut tx = store.begin_work().await.expect("beginning");
    harness.write(&mut tx, "note", 7).await;
    let mut large = row("ship");
    large.envelope.body = vec![b'x'; BODY_BYTES_MAX + 1].into();
    let finished = store.finish(tx, &Commit { outbox: vec![large], ..next(saga, 1) }).await;
    assert!(matches!(finished, Err(CommitError::Rejected(_))), "a body over the limit: {finished:?}");
    assert_eq!(harness.read("note").await, None, "what it wrote is gone");
    assert_eq!(version(&store, saga).await, 1, "the saga's version");
    Ok(())
}

/// A store with one saga.
async fn started<H: Harness>(harness: &H) -> (H::Store, SagaId) {
    let (store, definition) = (harness.connect().await, definition("place-order", 1));
    store.register(std::slice::from_ref(&definition)).await.expect("registering");
    let begun = start(&definition);
    store.commit(std::slice::from_ref(&begun), LONG).await.remove(0).expect("a start");
    (store, begun.id)
}

async fn version(store: &impl Store, saga: SagaId) -> u64 {
    store.load(&[saga]).await.expect("loading").sagas.remove(0).version
}
