//! Storing batches: whole, byte for byte, once, and with bad data alone.

use std::collections::HashMap;

use saga_core::id::SagaId;
use saga_core::port::{
    BODY_BYTES_MAX, Commit, CommitError, Committed, IdSource, RandomIds, Status, Store, Stored,
};

use super::Harness;
use super::harness::Client;
use crate::suite::Skipped;
use crate::suite::samples::{LONG, arm, entry, keyed, next, row, start};

/// State and data are bytes: they come back as they were stored, at the start and after each move.
pub async fn a_saga_is_loaded_as_it_was_stored<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let everything: Vec<u8> = (0..=255).collect();
    let started =
        Commit { state: everything.clone().into(), data: "\u{0}".into(), ..start(&client.definition) };
    client.store_one(&started).await;
    assert_eq!(client.saga(started.id).await, stored(&client, &started, 1), "a saga that was started");

    let parked = Commit {
        status: Status::Parked,
        data: everything.into(),
        parked: Some("naïve ☃".into()),
        ..next(started.id, 1)
    };
    client.store_one(&parked).await;
    assert_eq!(client.saga(started.id).await, stored(&client, &parked, 2), "a saga that was moved");

    let before = client.store.load(&[]).await.expect("loading nothing").now;
    let loaded = client.store.load(&[started.id, RandomIds.saga()]).await.expect("loading");
    assert_eq!(loaded.sagas.len(), 1, "a saga that does not exist is left out");
    assert!(loaded.now >= before, "the store's time does not go back");
    Ok(())
}

/// A commit of several transitions moves the saga by as many versions and writes each into the journal.
pub async fn several_transitions_are_stored_at_once<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let started = Commit { journal: vec![entry(1), entry(2)], ..start(&client.definition) };
    client.store_one(&started).await;
    client.store_one(&Commit { journal: vec![entry(3), entry(4), entry(5)], ..next(started.id, 2) }).await;
    assert_eq!(client.saga(started.id).await.version, 5, "a version for each transition");
    assert_eq!(client.journal_length(started.id).await, 5, "a journal entry for each transition");
    client.store_one(&next(started.id, 5)).await;
    Ok(())
}

/// Storing a batch again, as a worker does that has not heard the answer, changes nothing.
pub async fn a_batch_stored_twice_is_stored_once<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let moved = start(&client.definition);
    client.store_one(&moved).await;
    let batch = [
        Commit { outbox: vec![row("start")], ..start(&client.definition) },
        Commit { outbox: vec![row("keyed")], ..keyed(&client.definition, "order 7", 1) },
        Commit { outbox: vec![row("move")], ..next(moved.id, 1) },
    ];
    client.store_all(&batch).await;
    let again = client.commit(&batch).await;
    assert!(matches!(again[0], Err(CommitError::Conflict)), "a start again: {:?}", again[0]);
    let same = matches!(again[1], Ok(Committed::Existing(id)) if id == batch[1].id);
    assert!(same || matches!(again[1], Err(CommitError::Conflict)), "a start of a key again: {:?}", again[1]);
    assert!(matches!(again[2], Err(CommitError::Conflict)), "a move again: {:?}", again[2]);

    assert_eq!(client.unsent().await, 3, "each message once");
    assert_eq!(client.journal_length(moved.id).await, 2, "each transition once");
    Ok(())
}

/// A large batch, with messages and timers, is stored like a small one.
pub async fn five_hundred_sagas_are_stored_at_once<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let starts: Vec<Commit> = (0..500)
        .map(|number| Commit {
            outbox: vec![row(&format!("first {number}")), row(&format!("second {number}"))],
            timers: vec![arm("reserve", LONG), arm("authorize", LONG)],
            ..start(&client.definition)
        })
        .collect();
    client.store_all(&starts).await;
    let moves: Vec<Commit> = starts.iter().rev().map(|started| next(started.id, 1)).collect();
    client.store_all(&moves).await;

    let ids: Vec<SagaId> = starts.iter().map(|started| started.id).collect();
    let loaded: HashMap<SagaId, Stored> =
        client.load(&ids).await.into_iter().map(|stored| (stored.id, stored)).collect();
    assert_eq!(loaded.len(), 500, "each saga is there");
    assert!(loaded.values().all(|stored| stored.version == 2), "each saga has started and moved");
    assert_eq!(client.unsent().await, 1000, "two messages each");
    Ok(())
}

/// What the store cannot hold is refused, whole, and the rest of its batch is stored.
pub async fn bad_data_is_refused_alone<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let mut batch: Vec<Commit> = (0..50).map(|_| start(&client.definition)).collect();
    let mut too_large = row("too large");
    too_large.envelope.body = vec![b'x'; BODY_BYTES_MAX + 1].into();
    batch[17].outbox = vec![row("proper"), too_large];
    batch[41].journal[0].decision = "a text that Postgres does not take: \u{0}".into();

    let results = client.commit(&batch).await;
    assert!(matches!(results[17], Err(CommitError::Rejected(_))), "a body over the limit: {:?}", results[17]);
    let odd_one_stored = match &results[41] {
        Ok(Committed::Stored) => true,
        Err(CommitError::Rejected(_)) => false,
        other => panic!("a text with a zero character is stored or refused: {other:?}"),
    };
    let refused = |index| index == 17 || index == 41 && !odd_one_stored;
    for (index, commit) in batch.iter().enumerate() {
        let found = client.load(&[commit.id]).await.len();
        assert_eq!(found, usize::from(!refused(index)), "commit {index} of the batch: {:?}", results[index]);
    }
    assert_eq!(client.unsent().await, 0, "nothing is sent for a commit that was refused");
    Ok(())
}

/// What a commit leaves behind.
fn stored<S>(client: &Client<S>, commit: &Commit, version: u64) -> Stored {
    Stored {
        id: commit.id,
        definition: client.definition.clone(),
        version,
        status: commit.status,
        state: commit.state.clone(),
        data: commit.data.clone(),
        parked: commit.parked.clone(),
    }
}
