//! Starting: business keys and definitions.

use futures_util::future::join_all;
use saga_core::definition::DefinitionRef;
use saga_core::port::{Commit, CommitError, Committed, Status, Store, StoreError};
use std::slice::from_ref;

use super::Harness;
use super::harness::Client;
use crate::suite::Skipped;
use crate::suite::samples::{LONG, SHORT, definition, keyed, next, row, start};

/// The same key and input give the saga that exists, also when it has ended; another input is an error.
pub async fn one_key_starts_one_saga<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let other_type = definition("cancel-order", 2);
    client.register(&other_type).await;
    let first = keyed(&client.definition, "order 7", 1);
    client.store_all(&[first.clone(), keyed(&other_type, "order 7", 1)]).await;

    for ended in [false, true] {
        if ended {
            client.store_one(&Commit { status: Status::Completed, ..next(first.id, 1) }).await;
        }
        let same = Commit { outbox: vec![row("again")], ..keyed(&client.definition, "order 7", 1) };
        let other = Commit { outbox: vec![row("other")], ..keyed(&client.definition, "order 7", 2) };
        let free = keyed(&client.definition, if ended { "order 9" } else { "order 8" }, 1);
        let results = client.commit(&[same.clone(), other.clone(), free]).await;
        let existing = matches!(results[0], Ok(Committed::Existing(id)) if id == first.id);
        assert!(existing, "a key with the same input: {:?}", results[0]);
        let taken = matches!(results[1], Err(CommitError::KeyTaken(id)) if id == first.id);
        assert!(taken, "a key with another input: {:?}", results[1]);
        assert!(matches!(results[2], Ok(Committed::Stored)), "a free key: {:?}", results[2]);
        assert!(client.load(&[same.id, other.id]).await.is_empty(), "no second saga of a key");
    }
    assert_eq!(client.unsent().await, 0, "nothing is sent for a saga that was not started");
    Ok(())
}

/// Two starts of one key in one batch: one is stored, and the other is told which.
pub async fn one_key_twice_in_a_batch_starts_one_saga<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let batch = [keyed(&client.definition, "order 7", 1), keyed(&client.definition, "order 7", 1)];
    let results = client.commit(&batch).await;
    let stored = client.load(&[batch[0].id, batch[1].id]).await;
    assert_eq!(stored.len(), 1, "one saga of the key: {results:?}");
    for (commit, result) in batch.iter().zip(results) {
        let expected = match result {
            Ok(Committed::Stored) => commit.id == stored[0].id,
            Ok(Committed::Existing(id)) => commit.id != stored[0].id && id == stored[0].id,
            Err(_) => false,
        };
        assert!(expected, "of two starts of one key: {result:?}");
    }
    Ok(())
}

/// Eight processes start one key at the same time: one saga, and all are told its id.
pub async fn of_many_that_start_one_key_one_wins<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let processes = join_all((0..8).map(|_| harness.connect())).await;
    for round in 0..5 {
        let racing = processes.iter().map(async |process| {
            let mine = keyed(&client.definition, &format!("order {round}"), 1);
            loop {
                match process.commit(from_ref(&mine), LONG).await.remove(0) {
                    Ok(Committed::Stored) => return (true, mine.id),
                    Ok(Committed::Existing(id)) => return (false, id),
                    // The store is slow, and does not wait for another's transaction for ever.
                    Err(error) if error.is_temporary() => tokio::time::sleep(SHORT).await,
                    Err(error) => panic!("a start of a key that others start too: {error}"),
                }
            }
        });
        let results = join_all(racing).await;
        let winners: Vec<_> = results.iter().filter(|(won, _)| *won).collect();
        assert_eq!(winners.len(), 1, "one process starts the saga");
        assert!(results.iter().all(|(_, id)| *id == winners[0].1), "the others are told which saga it is");
    }
    Ok(())
}

/// A start whose definition nobody has registered, or with another fingerprint, is refused, alone.
pub async fn a_start_needs_its_definition_registered<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let batch = [
        start(&client.definition),
        start(&definition("never-registered", 1)),
        start(&definition(client.definition.name.as_str(), 2)),
        start(&client.definition),
    ];
    let results = client.commit(&batch).await;
    assert!(matches!(results[1], Err(CommitError::Rejected(_))), "an unknown definition: {:?}", results[1]);
    assert!(matches!(results[2], Err(CommitError::Rejected(_))), "an unknown fingerprint: {:?}", results[2]);
    let ids = batch.map(|commit| commit.id);
    assert_eq!(client.load(&ids).await.len(), 2, "the others are stored: {results:?}");
    Ok(())
}

/// A definition may change only when none of its sagas is left; a parked one is left.
pub async fn a_definition_does_not_change_under_its_sagas<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let changed = definition(client.definition.name.as_str(), 2);
    let started = start(&client.definition);
    client.store_one(&started).await;
    assert_refused(&client, &changed).await;
    let parked = Commit { status: Status::Parked, parked: Some("why".into()), ..next(started.id, 1) };
    client.store_one(&parked).await;
    assert_refused(&client, &changed).await;
    client.register(&client.definition).await;

    client.store_one(&Commit { status: Status::Compensated, ..next(started.id, 2) }).await;
    client.register(&changed).await;
    client.store_one(&start(&changed)).await;
    let old = client.commit(&[start(&client.definition)]).await.remove(0);
    assert!(matches!(old, Err(CommitError::Rejected(_))), "the definition of before: {old:?}");
    Ok(())
}

/// Registering fails, names the definition, and registers nothing of its list.
async fn assert_refused<S: Store>(client: &Client<S>, changed: &DefinitionRef) {
    let list = [definition("another", 1), changed.clone()];
    match client.store.register(&list).await {
        Err(StoreError::Rejected(why)) => {
            assert!(why.contains(changed.name.as_str()), "it says which: {why}")
        }
        other => panic!("registering a definition that changed under its sagas: {other:?}"),
    }
}
