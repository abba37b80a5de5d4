//! The store on a real server: what goes beyond the conformance suite.

#![cfg(test)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use saga_core::port::{Change, CommitError, Committed, StartIn, Status, Store, StoreError, TimerChange};
use saga_postgres::PgStore;
use saga_postgres::sqlx::{self, AssertSqlSafe, Connection};
use support::{
    Counters, LEASE, advance, database, definition, definition_of, outbox_row, saga, start, start_with_key,
    step, store_all,
};

#[tokio::test]
async fn a_lost_race_harms_no_other_saga_of_its_batch_and_writes_nothing() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let sagas: Vec<_> = (0..500).map(|_| saga()).collect();
    store_all(&store, &sagas.iter().map(|id| start(*id)).collect::<Vec<_>>()).await;
    let raced = sagas[333];
    store_all(&store, &[advance(raced, 1)]).await;

    let mut batch: Vec<_> = sagas.iter().map(|id| advance(*id, 1)).collect();
    batch[333].timers = vec![TimerChange::Drop { step: step("reserve") }];
    let outcomes = store.commit(&batch, LEASE).await;

    for (commit, outcome) in batch.iter().zip(outcomes) {
        match commit.id == raced {
            true => assert!(matches!(outcome, Err(CommitError::Conflict)), "{outcome:?}"),
            false => assert!(matches!(outcome, Ok(Committed::Stored)), "{outcome:?}"),
        }
    }
    for table in ["SELECT count(*) FROM journal", "SELECT count(*) FROM outbox"] {
        assert_eq!(database.count(table).await, 1000, "{table}");
    }
    assert_eq!(database.count("SELECT count(*) FROM timer").await, 500);
    assert_eq!(database.count("SELECT count(*) FROM instance WHERE version = 2").await, 500);
}

#[tokio::test]
async fn a_commit_that_breaks_a_constraint_is_alone() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let sagas: Vec<_> = (0..500).map(|_| saga()).collect();
    let mut batch: Vec<_> = sagas.iter().map(|id| start(*id)).collect();
    batch[77].parked = Some("parked without the status".into());
    batch[400].state = Bytes::from(vec![0; 16 * 1024 * 1024 + 1]);

    let outcomes = store.commit(&batch, LEASE).await;

    for (index, outcome) in outcomes.iter().enumerate() {
        let constraint = match index {
            77 => "instance_parked_has_reason",
            400 => "instance_state_size",
            _ => {
                assert!(matches!(outcome, Ok(Committed::Stored)), "{index}: {outcome:?}");
                continue;
            }
        };
        assert!(
            matches!(outcome, Err(CommitError::Rejected(why)) if why.contains(constraint)),
            "{index}: {outcome:?}"
        );
    }
    assert_eq!(database.count("SELECT count(*) FROM instance").await, 498);
    assert_eq!(database.count("SELECT count(*) FROM outbox").await, 498);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_alone_and_the_limit_named() {
    let Some(database) = database().await else { return };
    let store = PgStore::connect(&database.config().body_bytes_max(1000)).await.unwrap();
    store.register(&[definition()]).await.unwrap();
    let body = |bytes: usize| {
        let mut commit = start(saga());
        commit.outbox[0].envelope.body = Bytes::from(vec![b'x'; bytes]);
        commit
    };
    let outcomes = store.commit(&[body(999), body(1001), body(1000)], LEASE).await;
    assert!(matches!(outcomes[0], Ok(Committed::Stored)), "{outcomes:?}");
    assert!(matches!(outcomes[2], Ok(Committed::Stored)), "{outcomes:?}");
    let Err(CommitError::Rejected(why)) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert!(why.contains("1001 bytes, more than body_bytes_max (1000)"), "{why}");
}

#[tokio::test]
async fn text_that_postgres_cannot_hold_is_stored_without_its_nul() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let mut commit = start(saga());
    commit.status = Status::Parked;
    commit.parked = Some("a\0b".into());
    commit.journal[0].decision = "c\0d".into();
    commit.state = Bytes::from_static(b"\0\\u0000");
    store_all(&store, &[commit.clone()]).await;
    let loaded = store.load(&[commit.id]).await.unwrap();
    assert_eq!(loaded.sagas[0].parked.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(loaded.sagas[0].state, commit.state);
}

#[tokio::test]
async fn batches_that_overlap_in_any_order_wait_for_each_other() {
    let Some(database) = database().await else { return };
    let counters = Counters::default();
    let _recording = counters.record();
    let store = database.store().await;
    let sagas: Vec<_> = (0..60).map(|_| saga()).collect();
    store_all(&store, &sagas.iter().map(|id| start(*id)).collect::<Vec<_>>()).await;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..4_usize {
        let (store, mut order) = (store.clone(), sagas.clone());
        workers.spawn(async move {
            let mut stored = 0;
            for round in 0..25 {
                order.rotate_left(worker * 7 + round);
                if worker % 2 == 0 {
                    order.reverse();
                }
                let loaded = store.load(&order).await.unwrap();
                let mut batch: Vec<_> =
                    loaded.sagas.iter().map(|saga| advance(saga.id, saga.version)).collect();
                batch.extend((0..5).map(|key| start_with_key(saga(), &format!("{round}-{key}"), 1)));
                batch.rotate_right(worker);
                for outcome in store.commit(&batch, LEASE).await {
                    match outcome {
                        Ok(Committed::Stored) => stored += 1,
                        Ok(Committed::Existing(_)) | Err(CommitError::Conflict) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            stored
        });
    }
    let stored: i64 = workers.join_all().await.into_iter().sum();
    assert_eq!(database.count("SELECT count(*) FROM business_key").await, 125);
    assert_eq!(database.count("SELECT count(*) FROM journal").await, 60 + stored);
    assert_eq!(database.count("SELECT sum(version)::int8 FROM instance").await, 60 + stored);
    assert_eq!(counters.value("saga_commit_collisions_total"), 0, "deadlocks");
}

/// What makes the test above pass, seen at work: a batch that waits for its lowest row holds no other.
#[tokio::test]
async fn a_batch_locks_its_rows_in_the_order_of_their_ids() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let mut sagas: Vec<_> = (0..50).map(|_| saga()).collect();
    sagas.sort();
    store_all(&store, &sagas.iter().map(|id| start(*id)).collect::<Vec<_>>()).await;
    sagas.reverse();
    for (expected, (blocked, free)) in (1..).zip([("ASC", 49), ("DESC", 0)]) {
        let batch: Vec<_> = sagas.iter().map(|id| advance(*id, expected)).collect();
        let mut blocker = database.connection().await;
        let lock = format!("BEGIN; SELECT FROM instance ORDER BY id {blocked} LIMIT 1 FOR UPDATE");
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut blocker).await.unwrap();
        let commit = store.commit(&batch, LEASE);
        let look = async {
            database.someone_waits().await;
            let unlocked = "SELECT count(*) FROM (SELECT FROM instance FOR UPDATE SKIP LOCKED) AS unlocked";
            assert_eq!(database.count(unlocked).await, free, "the {blocked} first row is locked");
            sqlx::raw_sql("ROLLBACK").execute(&mut blocker).await.unwrap();
        };
        tokio::join!(commit, look);
    }
}

#[tokio::test]
async fn a_batch_takes_its_keys_in_their_order() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let batch = ["d", "c", "b", "a"].map(|key| start_with_key(saga(), key, 1));
    let mut blocker = database.connection().await;
    let mut tx = blocker.begin().await.unwrap();
    store.start_in(&mut tx, &start_with_key(saga(), "a", 1)).await.unwrap();
    let mut other = database.connection().await;
    let mut free = other.begin().await.unwrap();
    let look = async {
        database.someone_waits().await;
        sqlx::raw_sql("SET LOCAL lock_timeout = '5s'").execute(&mut *free).await.unwrap();
        for key in ["b", "c", "d"] {
            store.start_in(&mut free, &start_with_key(saga(), key, 1)).await.unwrap();
        }
        free.rollback().await.unwrap();
        tx.rollback().await.unwrap();
    };
    tokio::join!(store.commit(&batch, LEASE), look);
    for outcome in store.commit(&batch, LEASE).await {
        assert!(matches!(outcome, Ok(Committed::Stored | Committed::Existing(_))), "{outcome:?}");
    }
}

/// Somebody has started a saga in a transaction, and hangs. Whoever starts it again has to wait, and nobody else.
#[tokio::test]
async fn a_key_that_an_open_transaction_holds_keeps_no_other_saga_from_moving() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let running = start(saga());
    store_all(&store, std::slice::from_ref(&running)).await;
    let mut hanging = database.connection().await;
    let mut tx = hanging.begin().await.unwrap();
    store.start_in(&mut tx, &start_with_key(saga(), "held", 1)).await.unwrap();

    let again = start_with_key(saga(), "held", 1);
    let batch = [again.clone(), start_with_key(saga(), "free", 1), start(saga()), advance(running.id, 1)];
    let outcomes = tokio::time::timeout(Duration::from_secs(10), store.commit(&batch, LEASE)).await.unwrap();
    let [held, others @ ..] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(matches!(held, Err(error) if error.is_temporary()), "{held:?}");
    assert!(others.iter().all(|outcome| matches!(outcome, Ok(Committed::Stored))), "{others:?}");

    tx.rollback().await.unwrap();
    store_all(&store, &[again]).await;
}

/// Also a start that comes alone. A machine that is slow may have to try once more.
#[tokio::test]
async fn a_key_that_is_soon_free_is_waited_for() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let mut other = database.connection().await;
    let mut stored = 0;
    for key in ["a", "b", "c", "d", "e"] {
        let mut tx = other.begin().await.unwrap();
        store.start_in(&mut tx, &start_with_key(saga(), key, 1)).await.unwrap();
        let ending = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            tx.rollback().await.unwrap();
        };
        let start = [start_with_key(saga(), key, 1)];
        let (outcomes, ()) = tokio::join!(store.commit(&start, LEASE), ending);
        stored += u32::from(matches!(outcomes[..], [Ok(Committed::Stored)]));
    }
    assert!(stored > 0, "no start has waited for its key");
}

#[tokio::test]
async fn a_start_that_comes_again_is_not_doubled() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let plain = start(saga());
    let keyed = start_with_key(saga(), "order-7", 1);
    let batch = [plain.clone(), keyed.clone()];
    store_all(&store, &batch).await;
    let again = store.commit(&batch, LEASE).await;
    assert!(matches!(again[0], Err(CommitError::Conflict)), "{again:?}");
    assert!(matches!(again[1], Ok(Committed::Existing(id)) if id == keyed.id), "{again:?}");
    assert_eq!(database.count("SELECT count(*) FROM journal").await, 2);
    assert_eq!(database.count("SELECT count(*) FROM outbox").await, 2);
}

#[tokio::test]
async fn a_saga_has_one_key() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let first = start_with_key(saga(), "order-7", 1);
    store_all(&store, std::slice::from_ref(&first)).await;
    let second = store.commit(&[start_with_key(first.id, "order-8", 1)], LEASE).await;
    assert!(matches!(second[0], Err(CommitError::Conflict)), "{second:?}");
    assert_eq!(database.count("SELECT count(*) FROM business_key").await, 1);
}

#[tokio::test]
async fn a_message_of_another_saga_is_kept_all_the_same() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let mut commit = start(saga());
    commit.outbox.push(outbox_row(saga(), true));
    store_all(&store, &[commit]).await;
    assert_eq!(database.count("SELECT count(*) FROM outbox").await, 2);
}

#[tokio::test]
async fn a_start_with_another_fingerprint_is_refused() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let mut commit = start(saga());
    let Change::Start(start) = &mut commit.change else { panic!("not a start") };
    start.definition = definition_of("place-order", 1, 2);
    let outcomes = store.commit(&[commit], LEASE).await;
    let Err(CommitError::Rejected(why)) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(why.contains("place-order version 1 is not registered"), "{why}");
    assert_eq!(database.count("SELECT count(*) FROM instance").await, 0);
}

/// Either the start comes first, and the change is refused; or the change does, and the start is.
#[tokio::test]
async fn a_definition_never_changes_under_a_saga_that_starts_at_the_same_moment() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let mut changed = 0;
    for version in 1..=40 {
        let old = definition_of("race", version, 1);
        let new = definition_of("race", version, 2);
        store.register(std::slice::from_ref(&old)).await.unwrap();
        let mut commit = start(saga());
        let Change::Start(start) = &mut commit.change else { panic!("not a start") };
        start.definition = old;
        let batch = [commit];
        let (started, registered) =
            tokio::join!(store.commit(&batch, LEASE), store.register(std::slice::from_ref(&new)));
        match (&started[0], registered) {
            (Ok(Committed::Stored), Err(StoreError::Rejected(why))) => {
                assert!(why.contains("new version"), "{why}")
            }
            (Err(CommitError::Rejected(_)), Ok(())) => changed += 1,
            outcome => panic!("{outcome:?}"),
        }
    }
    println!("the change came first in {changed} of 40");
}

#[tokio::test]
async fn registering_again_uses_up_no_ids() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    for _ in 0..10 {
        store.register(&[definition()]).await.unwrap();
    }
    store.register(&[definition_of("another", 1, 1)]).await.unwrap();
    assert_eq!(database.count("SELECT max(id)::int8 FROM definition").await, 2);
}

#[tokio::test]
async fn a_start_joins_any_transaction_of_sqlx() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let taken = start_with_key(saga(), "order-7", 1);
    store_all(&store, std::slice::from_ref(&taken)).await;
    let mut connection = database.connection().await;
    let mut tx = connection.begin().await.unwrap();
    let other = start_with_key(saga(), "order-7", 2);
    let outcome = store.start_in(&mut tx, &other).await;
    assert!(matches!(outcome, Err(CommitError::KeyTaken(id)) if id == taken.id), "{outcome:?}");
    let outcome = store.start_in(&mut tx, &start(saga())).await;
    assert!(matches!(outcome, Ok(Committed::Stored)), "{outcome:?}");
    let outcome = store.start_in(&mut tx, &advance(taken.id, 1)).await;
    assert!(matches!(outcome, Err(CommitError::Rejected(_))), "{outcome:?}");
    tx.commit().await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM journal").await, 2);
    // The row is claimed by nobody: the sweeper may have it at once.
    let due = "SELECT count(*) FROM outbox WHERE due_at <= statement_timestamp()";
    assert_eq!(database.count(due).await, 1);
}

#[tokio::test]
async fn a_transition_touches_no_index() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let id = saga();
    store_all(&store, &[start(id)]).await;
    for version in 1..=20 {
        store_all(&store, &[advance(id, version)]).await;
    }
    // Statistics are sent when a session is idle for a moment; ours end with the store.
    drop(store);
    let hot = "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'instance'::regclass";
    let arrived = async {
        while database.count(hot).await < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), arrived).await.expect("20 HOT updates");
}

#[tokio::test]
async fn a_standby_is_refused() {
    let Some(database) = database().await else { return };
    // Found before pg_catalog's, so that this server takes itself for a standby.
    database.run("CREATE FUNCTION pg_is_in_recovery() RETURNS bool LANGUAGE sql AS 'SELECT true'").await;
    let url = format!("{}?options[search_path]={},pg_catalog", database.url, database.schema);
    let error = PgStore::connect(&database.config_at(&url)).await.err().expect("refused");
    assert!(error.is_temporary() && error.to_string().contains("is a standby"), "{error}");
}

/// A session's own `search_path` or settings play no part: every name is written with its schema.
#[tokio::test]
async fn a_callers_search_path_does_not_matter() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let mut connection = database.connection().await;
    sqlx::raw_sql("SET search_path = pg_catalog").execute(&mut connection).await.unwrap();
    let outcome = store.start_in(&mut connection, &start(saga())).await;
    assert!(matches!(outcome, Ok(Committed::Stored)), "{outcome:?}");
}
