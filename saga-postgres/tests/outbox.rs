//! The outbox on a real server: what goes beyond the conformance suite.

#![cfg(test)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use saga_core::port::{Outbox, RowId, Store};
use saga_postgres::sqlx::{self, Connection};
use support::{LEASE, Polled, advance, database, saga, start, store_all};
use tokio::task::JoinSet;

#[tokio::test]
async fn rows_that_commit_late_are_found() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let mut slow = database.connection().await;
    let mut tx = slow.begin().await.unwrap();
    saga_core::port::StartIn::start_in(&store, &mut tx, &start(saga())).await.unwrap();
    let unclaimed = unclaimed_start();
    store_all(&store, &[unclaimed]).await;
    assert_eq!(store.claim(10, LEASE).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    assert_eq!(store.claim(10, LEASE).await.unwrap().len(), 1);
    assert_eq!(store.claim(10, LEASE).await.unwrap().len(), 0);
}

#[tokio::test]
async fn relays_that_claim_at_once_share_the_rows() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let batch: Vec<_> = (0..300).map(|_| unclaimed_start()).collect();
    store_all(&store, &batch).await;
    let mut relays = JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        relays.spawn(async move {
            let mut taken = Vec::new();
            while let rows @ [_, ..] = &store.claim(7, LEASE).await.unwrap()[..] {
                taken.extend(rows.iter().map(|row| row.id));
            }
            taken
        });
    }
    let taken: Vec<RowId> = relays.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 300);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), 300);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_set_aside_and_stops_nobody() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let (bad, good) = (unclaimed_start(), unclaimed_start());
    store_all(&store, &[bad.clone(), good.clone()]).await;
    let id = bad.outbox[0].id.as_uuid();
    database.run(format!("UPDATE outbox SET headers = '\\x00' WHERE id = '{id}'")).await;
    let claimed = store.claim(10, LEASE).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].envelope, good.outbox[0].envelope);
    let backlog = store.backlog().await.unwrap();
    assert_eq!((backlog.unsent, backlog.dead), (1, 1));
    let reason = "SELECT count(*) FROM outbox_dead WHERE reason LIKE '%headers cannot be read%'";
    assert_eq!(database.count(reason).await, 1);
}

#[tokio::test]
async fn a_postponed_row_says_why() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    let commit = unclaimed_start();
    store_all(&store, std::slice::from_ref(&commit)).await;
    for _ in 0..2 {
        store.postpone(&[commit.outbox[0].id], LEASE, "no\0 route").await.unwrap();
    }
    let noted = "SELECT count(*) FROM outbox WHERE attempts = 2 AND last_error = E'no\u{fffd} route'";
    assert_eq!(database.count(noted).await, 1);
}

/// What is claimed, deleted or postponed may be forgotten in a crash; what is committed may not.
#[tokio::test]
async fn only_what_may_be_repeated_does_not_wait_for_the_disk() {
    let Some(database) = database().await else { return };
    let store = database.store().await;
    // A commit that does not wait for the disk is allowed to commit although the disk fails: the setting is seen by
    // a trigger.
    database
        .run(
            "CREATE TABLE seen (operation text, setting text);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 EXECUTE format('INSERT INTO %I.seen VALUES (%L, %L)',
                     TG_TABLE_SCHEMA, TG_OP, current_setting('synchronous_commit'));
                 RETURN NULL;
             END $$;
             CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON outbox
                 FOR EACH STATEMENT EXECUTE FUNCTION see();",
        )
        .await;
    let commit = unclaimed_start();
    store_all(&store, std::slice::from_ref(&commit)).await;
    store.claim(10, LEASE).await.unwrap();
    store.delete(&[commit.outbox[0].id]).await.unwrap();
    store_all(&store, &[advance(commit.id, 1)]).await;
    let seen = "SELECT count(*) FROM seen WHERE (operation = 'INSERT') = (setting = 'on')";
    assert_eq!(database.count("SELECT count(*) FROM seen").await, 4);
    assert_eq!(database.count(seen).await, 4);
}

/// Futures dropped at every point of every call, and the next call is none the worse.
#[tokio::test]
async fn a_dropped_call_poisons_no_other() {
    let Some(database) = database().await else { return };
    let store = saga_postgres::PgStore::connect(&database.config().connections(1)).await.unwrap();
    store.register(&[support::definition()]).await.unwrap();
    for polls in 0..200 {
        let commit = start(saga());
        let call = async {
            store.commit(std::slice::from_ref(&commit), LEASE).await;
            store.claim(10, LEASE).await.unwrap();
            store.load(&[commit.id]).await.unwrap();
        };
        call.polled(polls % 25).await;
        let after = start(saga());
        store_all(&store, std::slice::from_ref(&after)).await;
        let loaded = store.load(&[after.id]).await.unwrap();
        assert_eq!(loaded.sagas.len(), 1, "after {polls} polls");
    }
    let mut connection = database.connection().await;
    let doubled = "SELECT count(*) FROM instance WHERE version <> (
        SELECT count(*) FROM journal WHERE journal.saga = instance.id)";
    assert_eq!(sqlx::query_scalar::<_, i64>(doubled).fetch_one(&mut connection).await.unwrap(), 0);
    assert!(database.count("SELECT count(*) FROM instance").await > 200);
}

#[tokio::test]
async fn a_call_that_gets_no_answer_ends_at_its_deadline() {
    let Some(database) = database().await else { return };
    // Long enough for a busy machine to connect within it, and to answer the last call.
    let config = database.config().deadline(Duration::from_secs(2));
    let store = saga_postgres::PgStore::connect(&config).await.unwrap();
    let mut blocker = database.connection().await;
    let mut tx = blocker.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE outbox").execute(&mut *tx).await.unwrap();
    let error = store.claim(1, LEASE).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("no answer within 2s"), "{error}");
    tx.rollback().await.unwrap();
    store.claim(1, LEASE).await.unwrap();
}

fn unclaimed_start() -> saga_core::port::Commit {
    let mut commit = start(saga());
    commit.outbox[0].claimed = false;
    commit
}
