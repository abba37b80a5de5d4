//! Compare-and-set: who reads an old version writes nothing, and harms nobody.

use std::collections::HashMap;
use std::slice::from_ref;
use std::time::Duration;

use futures_util::future::join_all;
use saga_core::port::{Commit, CommitError, Committed, Outbox, Store};

use super::Harness;
use super::harness::Client;
use crate::suite::Skipped;
use crate::suite::samples::{LONG, arm, next, row, start};

/// The second of two moves from one version stores no state, no journal entry, no message and no timer.
pub async fn a_lost_race_writes_nothing<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let other = harness.connect().await;
    let started = start(&client.definition);
    client.store_one(&started).await;
    client.store_one(&next(started.id, 1)).await;

    for expected in [1, 3] {
        let late = Commit {
            state: "late".into(),
            outbox: vec![row("late")],
            timers: vec![arm("late", Duration::ZERO)],
            ..next(started.id, expected)
        };
        let lost = other.commit(&[late], LONG).await.remove(0);
        assert!(matches!(lost, Err(CommitError::Conflict)), "a move from version {expected} of 2: {lost:?}");
    }
    let unknown = client.commit(&[next(start(&client.definition).id, 1)]).await.remove(0);
    assert!(matches!(unknown, Err(CommitError::Conflict)), "a move of no saga: {unknown:?}");

    assert_eq!(client.saga(started.id).await.state, "state 2", "no state of a lost race");
    assert_eq!(client.journal_length(started.id).await, 2, "no transition of a lost race");
    assert!(client.store.claim(10, LONG).await.expect("claiming").is_empty(), "no message of a lost race");
    let due = client.store.due_timers(from_ref(&client.definition), 10, LONG, LONG).await;
    assert!(due.expect("timers").is_empty(), "no timer of a lost race");
    Ok(())
}

/// The others of a batch are stored, with their messages, whichever of it lost their races.
pub async fn a_lost_race_harms_no_other_of_its_batch<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let starts: Vec<Commit> = (0..20).map(|_| start(&client.definition)).collect();
    client.store_all(&starts).await;
    let moved_already = [&starts[0], &starts[7], &starts[19]].map(|started| next(started.id, 1));
    client.store_all(&moved_already).await;

    let text = |index| format!("move {index}");
    let batch: Vec<Commit> = starts
        .iter()
        .enumerate()
        .map(|(index, started)| Commit { outbox: vec![row(&text(index))], ..next(started.id, 1) })
        .collect();
    for (index, result) in client.commit(&batch).await.into_iter().enumerate() {
        let expected = match result {
            Ok(Committed::Stored) => ![0, 7, 19].contains(&index),
            Err(CommitError::Conflict) => [0, 7, 19].contains(&index),
            _ => false,
        };
        assert!(expected, "saga {index} of a batch in which 0, 7 and 19 had moved: {result:?}");
    }
    assert_eq!(client.unsent().await, 17, "the messages of those that were stored");
    Ok(())
}

/// Eight workers move one saga from one version at the same time, again and again: one of them does.
pub async fn of_many_that_move_a_saga_one_wins<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let started = start(&client.definition);
    client.store_one(&started).await;
    let workers = join_all((0..8).map(|_| harness.connect())).await;
    for version in 1..=10 {
        let racing = workers.iter().map(async |worker| {
            let mine = Commit { outbox: vec![row("racing")], ..next(started.id, version) };
            worker.commit(&[mine], LONG).await.remove(0)
        });
        let results = join_all(racing).await;
        let won = results.iter().filter(|result| matches!(result, Ok(Committed::Stored))).count();
        let lost = results.iter().filter(|result| matches!(result, Err(CommitError::Conflict))).count();
        assert_eq!((won, lost), (1, 7), "of eight, one moves the saga: {results:?}");
    }
    assert_eq!(client.saga(started.id).await.version, 11, "ten moves");
    assert_eq!(client.journal_length(started.id).await, 11, "ten transitions");
    assert_eq!(client.unsent().await, 10, "each winner's message, and no other");
    Ok(())
}

/// Batches over the same sagas in different orders, at the same time: each saga is moved once, and nobody fails.
pub async fn batches_that_cross_do_not_hinder_each_other<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let starts: Vec<Commit> = (0..100).map(|_| start(&client.definition)).collect();
    client.store_all(&starts).await;
    let workers = join_all((0..4).map(|_| harness.connect())).await;
    for version in 1..=5 {
        let crossing = workers.iter().enumerate().map(async |(number, worker)| {
            let mut batch: Vec<Commit> = starts.iter().map(|started| next(started.id, version)).collect();
            batch.rotate_left(number * 25);
            if number % 2 == 1 {
                batch.reverse();
            }
            let results = worker.commit(&batch, LONG).await;
            batch.into_iter().map(|commit| commit.id).zip(results).collect::<Vec<_>>()
        });
        let mut stored = HashMap::new();
        for (id, result) in join_all(crossing).await.into_iter().flatten() {
            match result {
                Ok(Committed::Stored) => *stored.entry(id).or_insert(0) += 1,
                Err(CommitError::Conflict) => {}
                other => panic!("a saga in batches that cross: {other:?}"),
            }
        }
        assert_eq!(stored.len(), 100, "each saga is moved");
        assert!(stored.values().all(|count| *count == 1), "each saga is moved once");
    }
    Ok(())
}
