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
    store.finish(tx, &[moved]).await.expect("finishing");

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
    let finished = store.finish(tx, &[late]).await;
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
    store.finish(tx, &[next(saga, 1)]).await.expect("finishing");
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
    let finished = store.finish(tx, &[Commit { outbox: vec![large], ..next(saga, 1) }]).await;
    assert!(matches!(finished, Err(CommitError::Rejected(_))), "a body over the limit: {finished:?}");
    assert_eq!(harness.read("note").await, None, "what it wrote is gone");
    assert_eq!(version(&store, saga).await, 1, "the saga's version");
    Ok(())
}

/// Steps of several sagas share a transaction; what one of them wrote is gone if it is rolled back, and only that.
pub async fn local_steps_of_several_sagas_share_a_commit<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let (store, sagas) = begun::<H, 3>(harness).await;
    let mut tx = store.begin_work().await.expect("beginning");
    for (place, name) in ["first", "refused", "third"].into_iter().enumerate() {
        store.savepoint(&mut tx).await.expect("a savepoint");
        harness.write(&mut tx, name, 7).await;
        if place == 1 {
            store.rollback(&mut tx).await.expect("rolling back");
        }
    }
    // Not in the order of their ids.
    let mut moves = [next(sagas[0], 1), next(sagas[2], 1)];
    moves.sort_by_key(|commit| std::cmp::Reverse(commit.id));
    store.finish(tx, &moves).await.expect("finishing");
    let read = (harness.read("first").await, harness.read("refused").await, harness.read("third").await);
    assert_eq!(read, (Some(7), None, Some(7)), "what each of them wrote");
    let versions =
        (version(&store, sagas[0]).await, version(&store, sagas[1]).await, version(&store, sagas[2]).await);
    assert_eq!(versions, (2, 1, 2), "the sagas' versions");
    Ok(())
}

/// If one saga of a transaction was moved meanwhile, none of them moves, and none of their work is done.
pub async fn local_steps_that_share_a_commit_fall_together<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let (store, [saga, moved]) = begun(harness).await;
    let mut tx = store.begin_work().await.expect("beginning");
    store.savepoint(&mut tx).await.expect("a savepoint");
    harness.write(&mut tx, "note", 7).await;
    store.commit(&[next(moved, 1)], LONG).await.remove(0).expect("a move beside an open transaction");
    let commits = [Commit { outbox: vec![row("ship")], ..next(saga, 1) }, next(moved, 1)];
    let finished = store.finish(tx, &commits).await;
    assert!(matches!(finished, Err(CommitError::Conflict)), "a lost race: {finished:?}");
    assert_eq!(harness.read("note").await, None, "what was written beside the loser");
    assert_eq!(version(&store, saga).await, 1, "the version of the saga beside the loser");
    assert!(store.claim(10, LONG).await.expect("claiming").is_empty(), "nothing is sent");
    Ok(())
}

/// A store with one saga.
async fn started<H: Harness>(harness: &H) -> (H::Store, SagaId) {
    let (store, [saga]) = begun(harness).await;
    (store, saga)
}

/// A store with sagas.
async fn begun<H: Harness, const N: usize>(harness: &H) -> (H::Store, [SagaId; N]) {
    let (store, definition) = (harness.connect().await, definition("place-order", 1));
    store.register(std::slice::from_ref(&definition)).await.expect("registering");
    let starts = [(); N].map(|()| start(&definition));
    for started in store.commit(&starts, LONG).await {
        started.expect("a start");
    }
    (store, starts.map(|start| start.id))
}

async fn version(store: &impl Store, saga: SagaId) -> u64 {
    store.load(&[saga]).await.expect("loading").sagas.remove(0).version
}
