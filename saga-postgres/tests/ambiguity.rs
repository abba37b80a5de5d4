//! Commits whose answer is lost: connections cut before and after the server's commit.

#![cfg(test)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use saga_core::id::SagaId;
use saga_core::port::{Commit, CommitError, Committed, Fence, Store, StoreError};
use saga_postgres::sqlx::{self, AssertSqlSafe};
use saga_postgres::{Config, PgFence, PgStore};
use saga_testkit::suite::Dice;
use saga_testkit::{TcpProxy, Toward};
use support::{
    Counters, Database, EFFECTS, LEASE, advance, applied, database, definition, key, outcome, saga, start,
    start_with_key, store_all,
};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_reported_as_stored() {
    let Some(database) = database().await else { return };
    let counters = Counters::default();
    let _recording = counters.record();
    let (proxy, store) = proxied_store(&database).await;
    let moving = saga();
    store_all(&store, &[start(moving)]).await;
    for round in 1..=ROUNDS {
        let batch =
            [advance(moving, round), start(saga()), start_with_key(saga(), &format!("key {round}"), 1)];
        proxy.stall(Toward::Client);
        let commit = store.commit(&batch, LEASE);
        let lose_the_answer = async {
            while database.count("SELECT count(*) FROM journal").await < 3 * round as i64 + 1 {}
            proxy.cut_all();
            proxy.resume();
        };
        let (outcomes, ()) = tokio::join!(commit, lose_the_answer);
        for outcome in outcomes {
            assert!(matches!(outcome, Ok(Committed::Stored)), "round {round}: {outcome:?}");
        }
    }
    assert_eq!(counters.value("saga_ambiguous_commits_total committed"), ROUNDS);
    assert_nothing_is_lost_or_doubled(&database).await;
}

#[tokio::test]
async fn a_commit_that_did_not_arrive_is_stored_by_asking_again() {
    let Some(database) = database().await else { return };
    let counters = Counters::default();
    let _recording = counters.record();
    let (proxy, store) = proxied_store(&database).await;
    let moving = saga();
    store_all(&store, &[start(moving)]).await;
    for round in 1..=ROUNDS {
        let batch =
            [advance(moving, round), start(saga()), start_with_key(saga(), &format!("key {round}"), 1)];
        proxy.stall(Toward::Server);
        let commit = store.commit(&batch, LEASE);
        let cut = async {
            // The commit is under way when this is polled, and stays so.
            proxy.cut_all();
            proxy.resume();
        };
        let (outcomes, ()) = tokio::join!(commit, cut);
        for outcome in outcomes {
            assert!(matches!(outcome, Ok(Committed::Stored)), "round {round}: {outcome:?}");
        }
    }
    assert_eq!(counters.value("saga_ambiguous_commits_total rolled_back"), ROUNDS);
    assert_nothing_is_lost_or_doubled(&database).await;
}

#[tokio::test]
async fn a_commit_that_nobody_can_answer_is_ambiguous_and_its_retry_does_no_harm() {
    let Some(database) = database().await else { return };
    let (proxy, store) = proxied_store(&database).await;
    let moving = saga();
    store_all(&store, &[start(moving)]).await;
    let batch = [advance(moving, 1), start(saga())];
    proxy.stall(Toward::Client);
    let lose_the_server = async {
        while database.count("SELECT count(*) FROM journal").await < 3 {}
        proxy.refuse();
        proxy.cut_all();
        proxy.resume();
    };
    let (outcomes, ()) = tokio::join!(store.commit(&batch, LEASE), lose_the_server);
    for outcome in &outcomes {
        assert!(matches!(outcome, Err(CommitError::Store(StoreError::Ambiguous(_)))), "{outcome:?}");
    }
    proxy.allow();
    for outcome in store.commit(&batch, LEASE).await {
        assert!(matches!(outcome, Err(CommitError::Conflict)), "{outcome:?}");
    }
    assert_nothing_is_lost_or_doubled(&database).await;
}

#[tokio::test]
async fn whatever_is_cut_no_transition_is_lost_or_doubled() {
    let Some(database) = database().await else { return };
    let (proxy, store) = proxied_store(&database).await;
    let sagas: Vec<SagaId> = (0..30).map(|_| saga()).collect();
    store_all(&store, &sagas.iter().map(|id| start(*id)).collect::<Vec<_>>()).await;
    let cutting = Cutting::begin(proxy, 1);
    let mut workers = JoinSet::new();
    for worker in 0..4 {
        workers.spawn(move_sagas(store.clone(), sagas.clone(), worker));
    }
    let (stored, ambiguous) =
        workers.join_all().await.into_iter().fold((0, 0), |sum, worker| (sum.0 + worker.0, sum.1 + worker.1));
    let cuts = cutting.end().await;
    assert!(cuts > 20, "only {cuts} cuts");
    assert_nothing_is_lost_or_doubled(&database).await;
    let moved = database.count("SELECT count(*) FROM journal WHERE version > 1").await;
    assert!(
        stored <= moved && moved <= stored + ambiguous,
        "{moved} moved, {stored} stored, {ambiguous} unknown"
    );
    println!("{cuts} cuts, {moved} transitions, {ambiguous} outcomes unknown to the caller");
}

#[tokio::test]
async fn whatever_is_cut_a_command_has_one_effect() {
    let Some(database) = database().await else { return };
    database.run(EFFECTS).await;
    let proxy = proxy(&database).await;
    let fence = PgFence::connect(&config(&database, &proxy)).await.unwrap();
    let sagas: Vec<SagaId> = (0..COMMANDS).map(|_| saga()).collect();
    let cutting = Cutting::begin(proxy, 2);
    let mut workers = JoinSet::new();
    for worker in 0..4 {
        let (fence, schema) = (fence.clone(), database.schema.clone());
        // Every command has two copies, with two workers.
        let share: Vec<_> = sagas.iter().copied().enumerate().filter(|(n, _)| n % 2 == worker % 2).collect();
        workers.spawn(async move {
            for (_, saga) in share {
                while !run_command(&fence, &schema, saga).await {}
            }
        });
    }
    workers.join_all().await;
    let cuts = cutting.end().await;
    assert!(cuts > 20, "only {cuts} cuts");
    assert_eq!(database.count("SELECT count(*) FROM effect").await, COMMANDS);
    assert_eq!(database.count("SELECT count(DISTINCT saga) FROM effect").await, COMMANDS);
    assert_eq!(database.count("SELECT count(*) FROM fence WHERE state = 'applied'").await, COMMANDS);
    // One reply from the run, and at most one for each copy that met the record.
    let replies = "SELECT count(*) FROM (SELECT key FROM outbox GROUP BY key) AS answered";
    assert_eq!(database.count(replies).await, COMMANDS);
}

/// One attempt at a command, as a participant makes it. Says whether it was answered.
async fn run_command(fence: &PgFence, schema: &str, saga: SagaId) -> bool {
    let key = key(saga, "reserve");
    let Ok((mut tx, rows)) = fence.begin(std::slice::from_ref(&key)).await else { return false };
    let state = match rows[0] {
        Some(_) => None,
        None => {
            let insert = AssertSqlSafe(format!("INSERT INTO {schema}.effect VALUES ($1, 'reserve')"));
            let inserted = sqlx::query(insert).bind(saga.as_uuid()).execute(&mut *tx).await;
            if inserted.is_err() {
                return false;
            }
            Some(applied(1))
        }
    };
    fence.commit(tx, &[outcome(&key, state)], LEASE).await.is_ok()
}

async fn move_sagas(store: PgStore, sagas: Vec<SagaId>, worker: usize) -> (i64, i64) {
    let mut dice = Dice::new(worker as u64);
    let (mut stored, mut ambiguous) = (0, 0);
    for _ in 0..BATCHES {
        let Ok(loaded) = store.load(&sagas).await else { continue };
        let mut batch: Vec<Commit> = loaded.sagas.iter().map(|saga| advance(saga.id, saga.version)).collect();
        dice.shuffle(&mut batch);
        for outcome in store.commit(&batch, LEASE).await {
            match outcome {
                Ok(Committed::Stored) => stored += 1,
                Err(CommitError::Conflict | CommitError::Store(StoreError::Unavailable(_))) => {}
                Err(CommitError::Store(StoreError::Ambiguous(_))) => ambiguous += 1,
                outcome => panic!("{outcome:?}"),
            }
        }
    }
    (stored, ambiguous)
}

/// Versions are 1..n for each saga, and every transition has its one message.
async fn assert_nothing_is_lost_or_doubled(database: &Database) {
    let gaps = "SELECT count(*) FROM instance WHERE version <> (
        SELECT count(*) FROM journal WHERE journal.saga = instance.id AND journal.version <= instance.version)";
    assert_eq!(database.count(gaps).await, 0, "sagas whose journal has gaps");
    let transitions = database.count("SELECT count(*) FROM journal").await;
    assert_eq!(database.count("SELECT sum(version)::int8 FROM instance").await, transitions);
    assert_eq!(database.count("SELECT count(*) FROM outbox").await, transitions);
}

/// Cuts all connections of a proxy again and again, sometimes after a silence in one direction.
struct Cutting {
    ended: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Cutting {
    fn begin(proxy: TcpProxy, seed: u64) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(cut_again_and_again(proxy, seed, ended.clone()));
        Cutting { ended, task }
    }

    async fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

async fn cut_again_and_again(proxy: TcpProxy, seed: u64, ended: Arc<AtomicBool>) -> u64 {
    let mut dice = Dice::new(seed);
    let mut cuts = 0;
    while !ended.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(30 + dice.roll(100) as u64)).await;
        match dice.roll(3) {
            0 => proxy.stall(Toward::Client),
            1 => proxy.stall(Toward::Server),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(15) as u64)).await;
        proxy.cut_all();
        proxy.resume();
        cuts += 1;
    }
    cuts
}

async fn proxied_store(database: &Database) -> (TcpProxy, PgStore) {
    let proxy = proxy(database).await;
    let store = PgStore::connect(&config(database, &proxy)).await.unwrap();
    store.register(&[definition()]).await.unwrap();
    (proxy, store)
}

async fn proxy(database: &Database) -> TcpProxy {
    let target = database.pooler().unwrap_or_else(|| database.address().to_owned());
    TcpProxy::to(target).await.unwrap()
}

fn config(database: &Database, proxy: &TcpProxy) -> Config {
    let config = database.config_at(&database.url.replace(database.address(), &proxy.address().to_string()));
    if database.pooler().is_some() { config.through_pooler() } else { config }
}

/// Each takes a few milliseconds.
/// Enough to last for dozens of cuts on a machine that does nothing else.
const BATCHES: usize = 240;
const COMMANDS: i64 = 600;
const ROUNDS: u64 = 100;
