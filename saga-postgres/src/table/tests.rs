//! Every statement is one that Postgres understands.

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};

use uuid::Uuid;

use super::{archive, commit, definition, fence, fence_run, held, instance, outbox, timer, watch};
use crate::{Config, Schema, migrate};

/// A file's name, its text, and the statements in it.
const FILES: [(&str, &str, &[&str]); 10] = [
    (
        "archive",
        include_str!("archive.rs"),
        &[archive::NOTE_PARTICIPANTS, archive::LOCK_ENDED, archive::LOCK_ENDED_CHILDREN, archive::RETIRE],
    ),
    ("commit", include_str!("commit.rs"), &[commit::COMMIT, commit::WHY_NOT_STORED]),
    (
        "definition",
        include_str!("definition.rs"),
        &[definition::ADD, definition::LOCK_CHANGED, definition::IN_USE, definition::REPLACE_FINGERPRINT],
    ),
    (
        "fence",
        include_str!("fence.rs"),
        &[fence::PLACE, fence::LOCK, fence::RECORD, fence::NOTE_ENDED, fence::FORGET],
    ),
    ("fence_run", include_str!("fence_run.rs"), &[fence_run::COUNT, fence_run::FORGET]),
    ("held", include_str!("held.rs"), &[held::KEEP, held::READ, held::DROP]),
    (
        "instance",
        include_str!("instance.rs"),
        &[
            instance::LOAD,
            instance::LIST,
            instance::SHOW,
            instance::HOLDER,
            instance::WORKLOAD,
            instance::HEALTH,
            instance::TRANSACTION,
            instance::NOTE_PARENT_ENDED,
        ],
    ),
    (
        "outbox",
        include_str!("outbox.rs"),
        &[outbox::CLAIM, outbox::DELETE, outbox::POSTPONE, outbox::SET_ASIDE, outbox::BACKLOG],
    ),
    ("timer", include_str!("timer.rs"), &[timer::TAKE_DUE]),
    ("watch", include_str!("watch.rs"), &[watch::WATCH, watch::CLAIM, watch::COUNT, watch::LOOKED]),
];

#[test]
fn every_statement_is_listed() {
    for (file, text, statements) in FILES {
        assert_eq!(text.matches(": &str = ").count(), statements.len(), "table/{file}.rs");
    }
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let Some(url) = saga_testkit::suite::server("SAGA_POSTGRES_URL") else { return };
    let schema = Schema::new(format!("prepare_{}", std::process::id())).unwrap();
    let config = Config::new(&url).unwrap().schema(schema.clone());
    migrate(&config).await.unwrap();
    let mut connection = config.connect_options().connect().await.unwrap();
    for statement in FILES.iter().flat_map(|(_, _, statements)| *statements) {
        if let Err(error) = connection.prepare(schema.sql(statement)).await {
            panic!("{error}: {statement}");
        }
    }
    drop_schema(&mut connection, &schema).await;
}

/// What retires, forgets and lists works beside the real work on large tables, so it may read none from end to end.
#[tokio::test]
async fn what_retires_forgets_and_lists_finds_its_rows_by_an_index() {
    let Some(url) = saga_testkit::suite::server("SAGA_POSTGRES_URL") else { return };
    let schema = Schema::new(format!("explain_{}", std::process::id())).unwrap();
    let config = Config::new(&url).unwrap().schema(schema.clone());
    migrate(&config).await.unwrap();
    let mut connection = config.connect_options().connect().await.unwrap();
    sqlx::raw_sql(schema.sql(MANY_ROWS)).execute(&mut connection).await.unwrap();
    let sagas: Vec<Uuid> = (1..=9).map(Uuid::from_u128).collect();
    let explained = |statement: &'static str| {
        sqlx::query_scalar::<_, String>(AssertSqlSafe(format!("EXPLAIN {}", schema.sql(statement).as_str())))
    };
    let ended = explained(archive::LOCK_ENDED).bind(HOUR).bind(0_i64).bind(200_i64);
    let children_ended =
        explained(archive::LOCK_ENDED_CHILDREN).bind(HOUR).bind(0_i64).bind(200_i64).bind(HOUR);
    let (no_ids, no_names, no_bytes) = (Vec::<Uuid>::new(), Vec::<String>::new(), Vec::<Vec<u8>>::new());
    let retired = explained(archive::RETIRE)
        .bind(&sagas)
        .bind(true)
        .bind(&no_ids)
        .bind(&no_ids)
        .bind(no_names)
        .bind(&no_ids)
        .bind(&no_bytes)
        .bind(&no_bytes)
        .bind(Vec::<bool>::new());
    let noted = explained(fence::NOTE_ENDED).bind("inventory").bind(&sagas);
    let forgotten = explained(fence::FORGET).bind("inventory").bind(HOUR).bind(1_000_i64);
    let list = |younger: Option<i64>, unmoved: Option<i64>| {
        let none = None::<String>;
        let list = explained(instance::LIST).bind(none.clone()).bind(none.clone()).bind(none);
        list.bind(None::<Uuid>).bind(1_000_i64).bind(None::<i64>).bind(younger).bind(unmoved)
    };
    let children = explained(instance::NOTE_PARENT_ENDED).bind(&sagas);
    let looks = explained(watch::CLAIM).bind("inventory").bind(16_i64).bind(HOUR);
    let (young, unmoved) = (list(Some(HOUR), None), list(None, Some(HOUR)));
    let plans = [
        (ended, &["instance_ended"][..]),
        (children_ended, &["instance_parent_ended"]),
        (retired, &["instance_pkey", "journal_pkey"]),
        (noted, &["fence_pkey"]),
        (forgotten, &["fence_ended"]),
        (young, &["instance_started"]),
        (unmoved, &["instance_unfinished"]),
        (children, &["instance_parent"]),
        (looks, &["fence_look"]),
    ];
    for (plan, indexes) in plans {
        let plan = plan.fetch_all(&mut connection).await.unwrap().join("\n");
        for index in indexes {
            assert!(
                plan.contains(&format!("using {index}")) || plan.contains(&format!("on {index}")),
                "{plan}"
            );
        }
        for table in ["instance", "journal", "fence"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{plan}");
        }
    }
    drop_schema(&mut connection, &schema).await;
}

/// Before any search has found all, rows are looked for that became due of late.
#[tokio::test]
async fn a_search_may_begin_so_long_before_now() {
    let Some(url) = saga_testkit::suite::server("SAGA_POSTGRES_URL") else { return };
    let schema = Schema::new(format!("of_late_{}", std::process::id())).unwrap();
    let config = Config::new(&url).unwrap().schema(schema.clone());
    migrate(&config).await.unwrap();
    let mut connection = config.connect_options().connect().await.unwrap();
    sqlx::raw_sql(schema.sql(DUE_ROWS)).execute(&mut connection).await.unwrap();
    for (from, found) in [(-60_000_000_i64, 1), (0, 1), (0, 0)] {
        let claim = sqlx::query(schema.sql(outbox::CLAIM)).bind(10_i64).bind(HOUR).bind(from);
        let rows = claim.fetch_all(&mut connection).await.unwrap();
        let claimed = rows.iter().filter(|row| row.get::<Option<Uuid>, _>("id").is_some()).count();
        let due = timers_due(&schema, &mut connection, from).await;
        assert_eq!((claimed, due), (found, found), "from {from}");
    }
    drop_schema(&mut connection, &schema).await;
}

/// How many timers are taken that became due after `from`.
async fn timers_due(schema: &Schema, connection: &mut PgConnection, from: i64) -> usize {
    let take = sqlx::query(schema.sql(timer::TAKE_DUE))
        .bind(vec!["a"])
        .bind(vec![1_i64])
        .bind(vec![Uuid::nil()])
        .bind(10_i64)
        .bind(HOUR)
        .bind(from)
        .bind(HOUR);
    let rows = take.fetch_all(connection).await.unwrap();
    rows.iter().filter(|row| row.get::<Option<Uuid>, _>("saga").is_some()).count()
}

async fn drop_schema(connection: &mut PgConnection, schema: &Schema) {
    let text = format!("DROP SCHEMA {} CASCADE", schema.quoted());
    connection.execute(AssertSqlSafe(text)).await.unwrap();
    connection.ping().await.unwrap();
}

/// Ten thousand sagas, half of which have ended, some as steps of others, with a journal and a fence row each; and the
/// setting that the framework's own connections have.
const MANY_ROWS: &str = "
INSERT INTO saga.definition (name, version, fingerprint, participants)
VALUES ('a', 1, gen_random_uuid(), '{inventory}');
INSERT INTO saga.instance (id, started_at, version, definition, status, state, data, ended_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, now() - 12 * interval '1 hour' * n / 10000, 1, 1, CASE WHEN n % 2 = 0 THEN 'completed' ELSE 'running' END, '', '',
    CASE WHEN n % 2 = 0 THEN now() - n % 10 * interval '20 minutes' END
FROM generate_series(1, 10000) AS n;
UPDATE saga.instance SET parent = gen_random_uuid(), parent_step = 's', parent_ended_at = ended_at
WHERE ended_at IS NOT NULL AND extract(second FROM started_at)::int % 2 = 0;
INSERT INTO saga.journal (saga, version, batch, now, writer, decision, event)
SELECT id, line, id, now(), 'w', 'd', '' FROM saga.instance, generate_series(1, 5) AS line;
INSERT INTO saga.fence (saga, step, participant, state, payload, ended_at)
SELECT id, 's', 'inventory', 'closed', NULL, ended_at FROM saga.instance;
ANALYZE saga.definition, saga.instance, saga.journal, saga.fence;
SET enable_seqscan = off;
";

/// A claimed row and a timer that became due ten seconds ago, and some that did two minutes ago.
const DUE_ROWS: &str = "
INSERT INTO saga.definition (name, version, fingerprint) VALUES ('a', 1, lpad('', 32, '0')::uuid);
INSERT INTO saga.instance (id, version, definition, status, state, data)
VALUES (lpad('', 32, '0')::uuid, 1, 1, 'running', '', '');
INSERT INTO saga.outbox (id, claimed, due_at, message, key, destination, headers, body)
SELECT gen_random_uuid(), true, now() - ago, gen_random_uuid(), gen_random_uuid(), 'd', '', ''
FROM (VALUES (interval '10 seconds'), (interval '2 minutes')) AS due (ago);
INSERT INTO saga.timer (saga, step, due_at, attempt, definition, direction)
SELECT lpad('', 32, '0')::uuid, ago::text, now() - ago, 1, 1, 'do'
FROM (VALUES (interval '10 seconds'), (interval '2 minutes')) AS due (ago);
";

/// In microseconds.
const HOUR: i64 = 3_600_000_000;
