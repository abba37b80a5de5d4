//! The fence on a real server: what goes beyond the conformance suite.

#![cfg(test)]

mod support;

use std::time::Duration;

use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::SagaId;
use saga_core::port::{Fence, Outbox, StoreError};
use saga_postgres::PgFence;
use saga_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use support::{EFFECTS, LEASE, Polled, applied, database, key, outcome, saga};
use tokio::task::JoinSet;

#[tokio::test]
async fn sixty_four_copies_of_a_command_and_of_its_undo_have_one_effect_each() {
    let Some(database) = database().await else { return };
    database.run(EFFECTS).await;
    let fence = PgFence::connect(&database.config().transactions(64)).await.unwrap();
    let key = key(saga(), "reserve");
    let effects = "SELECT count(*) FROM effect";
    copies(&fence, &database.schema, &key, None, applied(1)).await;
    assert_eq!(database.count(effects).await, 1);
    copies(&fence, &database.schema, &key, Some(applied(1)), FenceState::Compensated).await;
    assert_eq!(database.count(effects).await, 2);
    assert_eq!(database.count("SELECT count(*) FROM outbox").await, 128);
}

/// Sixty-four deliveries at once of a command that has its effect on a row that is as in `before`.
async fn copies(
    fence: &PgFence,
    schema: &str,
    key: &FenceKey,
    before: Option<FenceState>,
    after: FenceState,
) {
    let mut copies = JoinSet::new();
    for _ in 0..64 {
        let (fence, schema, key) = (fence.clone(), schema.to_owned(), key.clone());
        let (before, after) = (before.clone(), after.clone());
        copies.spawn(async move {
            let (mut tx, rows) = fence.begin(std::slice::from_ref(&key)).await.unwrap();
            let runs = rows[0] == before;
            if runs {
                effect(&mut tx, &schema, key.saga).await.unwrap();
            }
            fence.commit(tx, &[outcome(&key, runs.then_some(after))], LEASE).await.unwrap();
        });
    }
    copies.join_all().await;
}

/// Library code that begins a transaction of its own on what it is given must not commit the fence's.
#[tokio::test]
async fn a_transaction_inside_a_handlers_is_a_savepoint() {
    let Some(database) = database().await else { return };
    database.run(EFFECTS).await;
    let fence = database.fence().await;
    let id = saga();
    for round in 0..3 {
        let (mut tx, _) = fence.begin(&[key(id, "reserve")]).await.unwrap();
        let mut inner = tx.begin().await.unwrap();
        effect(&mut inner, &database.schema, id).await.unwrap();
        inner.commit().await.unwrap();
        let mut dropped = tx.begin().await.unwrap();
        effect(&mut dropped, &database.schema, id).await.unwrap();
        drop(dropped);
        assert_eq!(database.count("SELECT count(*) FROM effect").await, 0, "round {round}");
        drop(tx);
    }
    let (mut tx, _) = fence.begin(&[key(id, "reserve")]).await.unwrap();
    let mut inner = tx.begin().await.unwrap();
    effect(&mut inner, &database.schema, id).await.unwrap();
    inner.commit().await.unwrap();
    fence.commit(tx, &[outcome(&key(id, "reserve"), Some(applied(1)))], LEASE).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM effect").await, 1);
}

#[tokio::test]
async fn a_handler_that_ends_its_transaction_is_found_out() {
    let Some(database) = database().await else { return };
    let fence = database.fence().await;
    for ending in ["COMMIT", "ROLLBACK", "ROLLBACK; BEGIN"] {
        let key = key(saga(), "reserve");
        let (mut tx, _) = fence.begin(std::slice::from_ref(&key)).await.unwrap();
        sqlx::raw_sql(ending).execute(&mut *tx).await.unwrap();
        let error = fence.commit(tx, &[outcome(&key, Some(applied(1)))], LEASE).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Rejected(why) if why.contains("ended the transaction")),
            "{error}"
        );
    }
    assert_eq!(database.count("SELECT count(*) FROM outbox").await, 0);
    // The row that the handler committed refuses the command from now on, instead of running it twice.
    assert_eq!(database.count("SELECT count(*) FROM fence WHERE state = 'closed'").await, 1);
    assert_eq!(database.count("SELECT count(*) FROM fence").await, 1);
}

#[tokio::test]
async fn a_statement_that_failed_unnoticed_fails_the_commit() {
    let Some(database) = database().await else { return };
    let fence = database.fence().await;
    let key = key(saga(), "reserve");
    let (mut tx, _) = fence.begin(std::slice::from_ref(&key)).await.unwrap();
    let _ignored = sqlx::raw_sql("SELECT 1 / 0").execute(&mut *tx).await;
    let error = fence.commit(tx, &[outcome(&key, Some(applied(1)))], LEASE).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected(_)), "{error}");
    assert_eq!(database.count("SELECT count(*) FROM fence").await, 0);
}

#[tokio::test]
async fn savepoints_follow_one_another_and_outlive_an_error() {
    let Some(database) = database().await else { return };
    database.run(EFFECTS).await;
    let fence = database.fence().await;
    let keys: Vec<FenceKey> = (0..5).map(|n| key(saga(), &format!("step-{n}"))).collect();
    let mut keys = keys;
    keys.sort();
    let (mut tx, _) = fence.begin(&keys).await.unwrap();
    let mut writes = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        fence.savepoint(&mut tx).await.unwrap();
        effect(&mut tx, &database.schema, key.saga).await.unwrap();
        let state = match n {
            1 => {
                sqlx::raw_sql("SELECT 1 / 0").execute(&mut *tx).await.unwrap_err();
                fence.rollback(&mut tx).await.unwrap();
                None
            }
            3 => {
                fence.rollback(&mut tx).await.unwrap();
                Some(FenceState::Closed)
            }
            _ => Some(applied(1)),
        };
        writes.push(outcome(key, state));
    }
    fence.commit(tx, &writes, LEASE).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM effect").await, 3);
    assert_eq!(database.count("SELECT count(*) FROM fence").await, 4);
    assert_eq!(database.count("SELECT count(*) FROM fence WHERE state = 'closed'").await, 1);
}

#[tokio::test]
async fn an_old_row_stays_as_it_was_when_nothing_is_recorded() {
    let Some(database) = database().await else { return };
    let fence = database.fence().await;
    let (old, new) = (key(saga(), "reserve"), key(saga(), "reserve"));
    let (tx, _) = fence.begin(std::slice::from_ref(&old)).await.unwrap();
    fence.commit(tx, &[outcome(&old, Some(applied(1)))], LEASE).await.unwrap();
    let mut keys = [old.clone(), new];
    keys.sort();
    let (tx, rows) = fence.begin(&keys).await.unwrap();
    assert_eq!(rows.iter().flatten().count(), 1);
    let writes = keys.each_ref().map(|key| outcome(key, None));
    fence.commit(tx, &writes, LEASE).await.unwrap();
    let (_tx, rows) = fence.begin(&[old]).await.unwrap();
    assert_eq!(rows, [Some(applied(1))]);
}

/// A handler whose future was dropped in the middle of a query, or with a transaction of its own half open.
#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_and_poisons_no_other() {
    let Some(database) = database().await else { return };
    database.run(EFFECTS).await;
    let fence = PgFence::connect(&database.config().transactions(2)).await.unwrap();
    for round in 0..400_u64 {
        let id = saga();
        let handler = async {
            let (mut tx, _) = fence.begin(&[key(id, "reserve")]).await?;
            effect(&mut tx, &database.schema, id).await?;
            let mut inner = tx.begin().await?;
            effect(&mut inner, &database.schema, id).await?;
            inner.rollback().await?;
            fence.savepoint(&mut tx).await?;
            sqlx::raw_sql("SELECT pg_sleep(0.002)").execute(&mut *tx).await?;
            fence.rollback(&mut tx).await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        };
        if let Some(finished) = handler.polled(round % 40).await {
            finished.unwrap();
        }
        let other = key(saga(), "reserve");
        let (mut tx, rows) = fence.begin(std::slice::from_ref(&other)).await.unwrap();
        assert_eq!(rows, [None]);
        effect(&mut tx, &database.schema, other.saga).await.unwrap();
        fence.commit(tx, &[outcome(&other, Some(applied(1)))], LEASE).await.unwrap();
        assert_eq!(fence.claim(10, LEASE).await.unwrap().len(), 1, "round {round}");
    }
    assert_eq!(database.count("SELECT count(*) FROM effect").await, 400);
    assert_eq!(database.count("SELECT count(*) FROM fence").await, 400);
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_rollback() {
    let Some(database) = database().await else { return };
    let fence = PgFence::connect(&database.config().transactions(1)).await.unwrap();
    let mut sessions = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let (mut tx, _) = fence.begin(&[key(saga(), "reserve")]).await.unwrap();
        let pid = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&mut *tx).await.unwrap();
        sessions.insert(pid);
    }
    assert_eq!(sessions.len(), 1);
}

#[tokio::test]
async fn a_transaction_that_lies_idle_is_ended() {
    let Some(database) = database().await else { return };
    let config = database.config().transaction_idle_max(Duration::from_secs(1));
    let forgetful = PgFence::connect(&config).await.unwrap();
    let key = key(saga(), "reserve");
    let (_abandoned, _) = forgetful.begin(std::slice::from_ref(&key)).await.unwrap();
    // Waits until Postgres has ended the first one. Its own may lie idle for as long as a busy machine takes.
    let fence = database.fence().await;
    let (tx, rows) = fence.begin(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(rows, [None]);
    fence.commit(tx, &[outcome(&key, Some(applied(1)))], LEASE).await.unwrap();
}

#[tokio::test]
async fn transactions_that_cross_wait_for_each_other() {
    let Some(database) = database().await else { return };
    let fence = database.fence().await;
    let sagas: Vec<SagaId> = (0..20).map(|_| saga()).collect();
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let (fence, sagas) = (fence.clone(), sagas.clone());
        workers.spawn(async move {
            for round in 0..20 {
                let mut keys: Vec<_> = (0..8).map(|n| (n * 7 + worker * 3 + round * 5) % 20).collect();
                keys.sort();
                keys.dedup();
                let mut keys: Vec<_> = keys.into_iter().map(|n| key(sagas[n], "reserve")).collect();
                keys.sort();
                let (tx, rows) = fence.begin(&keys).await.unwrap();
                let state = |row: &Option<FenceState>| match row {
                    None if round % 2 == 0 => None,
                    None => Some(applied(1)),
                    Some(_) => Some(applied(2)),
                };
                let writes: Vec<_> =
                    keys.iter().zip(&rows).map(|(key, row)| outcome(key, state(row))).collect();
                fence.commit(tx, &writes, LEASE).await.unwrap();
            }
        });
    }
    workers.join_all().await;
}

async fn effect(connection: &mut PgConnection, schema: &str, saga: SagaId) -> Result<(), sqlx::Error> {
    let insert = AssertSqlSafe(format!("INSERT INTO {schema}.effect VALUES ($1, 'reserve')"));
    sqlx::query(insert).bind(saga.as_uuid()).execute(connection).await?;
    Ok(())
}
