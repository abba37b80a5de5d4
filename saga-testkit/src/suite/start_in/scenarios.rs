//! A start that commits with what its caller writes.

use std::time::Duration;

use saga_core::definition::DefinitionRef;
use saga_core::port::{Commit, CommitError, Committed, Outbox, OutboxRow, StartIn, Store};

use super::Harness;
use crate::suite::Skipped;
use crate::suite::samples::{LONG, arm, definition, keyed, next, row, start};

/// A start is there once its transaction has committed, with its timers, and its messages due at once.
pub async fn a_start_commits_with_its_callers_transaction<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let (store, definition) = registered(harness).await;
    let hot = OutboxRow { claimed: true, ..row("reserve") };
    let started =
        Commit { outbox: vec![hot.clone()], timers: vec![arm("step", Duration::ZERO)], ..start(&definition) };
    let mut transaction = harness.begin().await;
    let result = store.start_in(H::tx(&mut transaction), &started).await;
    assert!(matches!(result, Ok(Committed::Stored)), "a start in a transaction: {result:?}");
    harness.commit(transaction).await;

    assert_eq!(store.load(&[started.id]).await.expect("loading").sagas.len(), 1, "the saga is there");
    let claimed = store.claim(10, LONG).await.expect("claiming");
    assert_eq!(
        claimed.iter().map(|row| row.id).collect::<Vec<_>>(),
        [hot.id],
        "its messages are not claimed"
    );
    assert_eq!(
        store.due_timers(&[definition], 10, LONG, LONG).await.expect("timers").len(),
        1,
        "its timer is due"
    );
    let moved = store.commit(&[next(started.id, 1)], LONG).await.remove(0);
    assert!(matches!(moved, Ok(Committed::Stored)), "it moves like any other: {moved:?}");
    Ok(())
}

/// A transaction that is dropped takes the start with it, and the key is free again.
pub async fn a_start_is_gone_with_its_callers_transaction<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let (store, definition) = registered(harness).await;
    let started = Commit { outbox: vec![row("reserve")], ..keyed(&definition, "order 7", 1) };
    let mut transaction = harness.begin().await;
    store.start_in(H::tx(&mut transaction), &started).await.expect("a start in a transaction");
    drop(transaction);

    let again = keyed(&definition, "order 7", 2);
    let result = store.commit(std::slice::from_ref(&again), LONG).await.remove(0);
    assert!(matches!(result, Ok(Committed::Stored)), "the key is free: {result:?}");
    assert!(store.load(&[started.id]).await.expect("loading").sagas.is_empty(), "no saga is left");
    assert!(store.claim(10, LONG).await.expect("claiming").is_empty(), "nothing is sent");
    Ok(())
}

/// A start whose key exists says so, and its transaction goes on and commits.
pub async fn a_transaction_outlives_a_key_that_is_taken<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let (store, definition) = registered(harness).await;
    let first = keyed(&definition, "order 7", 1);
    store.commit(std::slice::from_ref(&first), LONG).await.remove(0).expect("a first start");

    let mut transaction = harness.begin().await;
    let tx = H::tx(&mut transaction);
    let same = store.start_in(tx, &keyed(&definition, "order 7", 1)).await;
    assert!(matches!(same, Ok(Committed::Existing(id)) if id == first.id), "the same input: {same:?}");
    let other = store.start_in(tx, &keyed(&definition, "order 7", 2)).await;
    assert!(matches!(other, Err(CommitError::KeyTaken(id)) if id == first.id), "another input: {other:?}");
    let free = keyed(&definition, "order 8", 1);
    let result = store.start_in(tx, &free).await;
    assert!(matches!(result, Ok(Committed::Stored)), "a free key: {result:?}");
    harness.commit(transaction).await;

    assert_eq!(store.load(&[free.id]).await.expect("loading").sagas.len(), 1, "the saga is there");
    Ok(())
}

async fn registered<H: Harness>(harness: &H) -> (H::Store, DefinitionRef) {
    let store = harness.connect().await;
    let definition = definition("place-order", 1);
    store.register(std::slice::from_ref(&definition)).await.expect("registering a definition");
    (store, definition)
}
