//! The tables: their migrations, and every constraint by name.

#![cfg(test)]

mod support;

use std::collections::BTreeSet;

use saga_core::port::{Fence, Outbox, Store};
use saga_postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use saga_postgres::{Config, PgFence, PgStore, migrate};
use support::{LEASE, advance, applied, database, definition, key, outcome, saga, start_with_key, store_all};

/// Each constraint, and a row that breaks it and no other.
const ILLEGAL: &[(&str, &str)] = &[
    ("definition_pkey", "INSERT INTO definition OVERRIDING SYSTEM VALUE VALUES (1, 'b', 1, :id)"),
    (
        "definition_name_version_key",
        "INSERT INTO definition (name, version, fingerprint) VALUES ('a', 1, :id)",
    ),
    ("definition_name_length", "INSERT INTO definition (name, version, fingerprint) VALUES ('', 1, :id)"),
    ("definition_version_range", "INSERT INTO definition (name, version, fingerprint) VALUES ('b', -1, :id)"),
    ("instance_pkey", "INSERT INTO instance SELECT (instance).* FROM instance"),
    ("instance_version_positive", "UPDATE instance SET version = 0"),
    ("instance_status_known", "UPDATE instance SET status = 'done'"),
    ("instance_parked_has_reason", "UPDATE instance SET status = 'parked'"),
    ("instance_parked_has_reason", "UPDATE instance SET parked = 'why'"),
    ("instance_ended_has_time", "UPDATE instance SET ended_at = now()"),
    ("instance_ended_has_time", "UPDATE instance SET status = 'completed'"),
    ("instance_parent_has_step", "UPDATE instance SET parent = :other"),
    ("instance_parent_step_length", "UPDATE instance SET parent = :other, parent_step = ''"),
    ("instance_parent_ended_of_child", "UPDATE instance SET parent_ended_at = now()"),
    ("instance_state_size", "UPDATE instance SET state = :large"),
    ("instance_data_size", "UPDATE instance SET data = :large"),
    ("business_key_pkey", "INSERT INTO business_key VALUES ('a', 'k', :other, :id)"),
    ("business_key_saga_key", "INSERT INTO business_key VALUES ('a', 'other', :id, :id)"),
    ("business_key_name_length", "UPDATE business_key SET name = repeat('x', 121)"),
    ("business_key_key_length", "UPDATE business_key SET key = repeat('x', 201)"),
    ("journal_pkey", "INSERT INTO journal SELECT (journal).* FROM journal"),
    ("journal_version_positive", "UPDATE journal SET version = 0"),
    ("journal_event_size", "UPDATE journal SET event = :large"),
    ("timer_pkey", "INSERT INTO timer SELECT (timer).* FROM timer"),
    ("timer_step_length", "UPDATE timer SET step = ''"),
    ("timer_attempt_range", "UPDATE timer SET attempt = -1"),
    ("timer_direction_known", "UPDATE timer SET direction = 'redo'"),
    ("held_pkey", "INSERT INTO held SELECT (held).* FROM held"),
    ("held_destination_length", "UPDATE held SET destination = ''"),
    ("held_headers_size", "UPDATE held SET headers = :large"),
    ("held_body_size", "UPDATE held SET body = :large"),
    ("outbox_pkey", "INSERT INTO outbox SELECT (outbox).* FROM outbox"),
    ("outbox_attempts_range", "UPDATE outbox SET attempts = -1"),
    ("outbox_destination_length", "UPDATE outbox SET destination = ''"),
    ("outbox_headers_size", "UPDATE outbox SET headers = :large"),
    ("outbox_body_size", "UPDATE outbox SET body = :large"),
    ("outbox_dead_pkey", "INSERT INTO outbox_dead SELECT (outbox_dead).* FROM outbox_dead"),
    ("archive_pkey", "INSERT INTO archive SELECT (archive).* FROM archive"),
    ("archive_status_ended", "UPDATE archive SET status = 'parked'"),
    ("fence_pkey", "INSERT INTO fence SELECT (fence).* FROM fence"),
    ("fence_step_length", "UPDATE fence SET step = ''"),
    ("fence_participant_length", "UPDATE fence SET participant = ''"),
    ("fence_state_known", "UPDATE fence SET state = 'done', payload = NULL"),
    ("fence_payload_recorded", "UPDATE fence SET payload = NULL"),
    ("fence_payload_recorded", "UPDATE fence SET state = 'refused', payload = NULL"),
    ("fence_payload_recorded", "UPDATE fence SET state = 'closed'"),
    ("fence_payload_size", "UPDATE fence SET payload = :large"),
    (
        "fence_watched_length",
        "UPDATE fence SET state = 'refused', watched = '', watched_since = now(), look_at = now(), look_claims = 0",
    ),
    ("fence_watched_whole", "UPDATE fence SET state = 'refused', watched = 'c'"),
    (
        "fence_watched_has_moved_on",
        "UPDATE fence SET watched = 'c', watched_since = now(), look_at = now(), look_claims = 0",
    ),
    ("fence_run_pkey", "INSERT INTO fence_run SELECT (fence_run).* FROM fence_run"),
    ("fence_run_step_length", "UPDATE fence_run SET step = ''"),
    ("fence_run_participant_length", "UPDATE fence_run SET participant = ''"),
    ("fence_run_runs_range", "UPDATE fence_run SET runs = 0"),
];

/// One legal row in each table.
const LEGAL: &str = "
INSERT INTO definition (name, version, fingerprint) VALUES ('a', 1, :id);
INSERT INTO instance (id, version, definition, status, state, data) VALUES (:id, 1, 1, 'running', '', '');
INSERT INTO business_key VALUES ('a', 'k', :id, :id);
INSERT INTO journal (saga, version, batch, now, writer, decision, event) VALUES (:id, 1, :id, now(), 'w', 'd', '');
INSERT INTO timer VALUES (:id, 's', now(), 1, 1, 'do');
INSERT INTO held VALUES (:id, :id, now(), :id, 'd', :id, '', '');
INSERT INTO outbox (id, claimed, due_at, message, key, destination, headers, body) VALUES (:id, true, now(), :id, :id, 'd', '', '');
INSERT INTO outbox_dead VALUES (:id, now(), now(), :id, :id, 0, 'd', '', '', 'r');
INSERT INTO archive VALUES (:id, 1, now(), now(), now(), 1, 'completed', '', '', NULL, NULL, '{}');
INSERT INTO fence (saga, step, participant, state, payload) VALUES (:id, 's', 'p', 'applied', '');
INSERT INTO fence_run (saga, step, participant) VALUES (:id, 's', 'p');
";

fn with_values(statements: &str) -> String {
    statements
        .replace(":id", "'01234567-89ab-7def-8123-456789abcdef'")
        .replace(":other", "'11234567-89ab-7def-8123-456789abcdef'")
        .replace(":large", "decode(repeat('00', 16 * 1024 * 1024 + 1), 'hex')")
}

#[tokio::test]
async fn each_illegal_row_is_refused_by_its_own_constraint() {
    let Some(database) = database().await else { return };
    database.run(with_values(LEGAL)).await;
    let mut connection = database.connection().await;
    for (constraint, statement) in ILLEGAL {
        let statement = AssertSqlSafe(with_values(statement));
        let error = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_err();
        let broken = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(broken, Some(*constraint), "{error}");
    }
}

#[tokio::test]
async fn every_constraint_has_an_illegal_row() {
    let Some(database) = database().await else { return };
    let mut connection = database.connection().await;
    let named = "SELECT conname::text FROM pg_constraint
        WHERE connamespace = current_schema()::regnamespace AND conrelid <> 'migration'::regclass";
    let named: BTreeSet<String> =
        sqlx::query_scalar(named).fetch_all(&mut connection).await.unwrap().into_iter().collect();
    let tried = ILLEGAL.iter().map(|(constraint, _)| (*constraint).to_owned()).collect();
    assert_eq!(named, tried);
}

#[tokio::test]
async fn migrations_run_twice_and_at_once_and_beside_the_applications_own() {
    let Some(database) = database().await else { return };
    let configs = [database.config(), database.config(), database.config()];
    let [first, second, third] = configs.each_ref().map(migrate);
    let (first, second, third) = tokio::join!(first, second, third);
    first.and(second).and(third).unwrap();
    let notes =
        "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'migration'";
    assert_eq!(database.count(notes).await, 1);
    let foreign =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = '_sqlx_migrations'";
    assert_eq!(database.count(foreign).await, 0);
}

#[tokio::test]
async fn the_rights_that_the_documentation_names_are_enough() {
    let Some(database) = database().await else { return };
    let role = &database.schema;
    database
        .run(format!(
            "CREATE ROLE {role} LOGIN;
             GRANT USAGE ON SCHEMA {role} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {role} TO {role};"
        ))
        .await;
    let (_, place) = database.url.split_once('@').unwrap();
    let config = database.config_at(&format!("postgres://{role}@{place}"));
    let store = PgStore::connect(&config).await.unwrap();
    store.register(&[definition()]).await.unwrap();
    let commit = start_with_key(saga(), "order-7", 1);
    store_all(&store, std::slice::from_ref(&commit)).await;
    store_all(&store, &[advance(commit.id, 1)]).await;
    store.due_timers(&[definition()], 10, LEASE, LEASE).await.unwrap();
    store.claim(10, LEASE).await.unwrap();
    store.set_aside(&[(commit.outbox[0].id, "why".into())]).await.unwrap();
    let fence = PgFence::connect(&config).await.unwrap();
    let key = key(saga(), "reserve");
    fence.count_runs(std::slice::from_ref(&key)).await.unwrap();
    let (tx, _) = fence.begin(std::slice::from_ref(&key)).await.unwrap();
    fence.commit(tx, &[outcome(&key, Some(applied(1)))], LEASE).await.unwrap();
    database.run(format!("DROP OWNED BY {role}; DROP ROLE {role};")).await;
}

#[tokio::test]
async fn a_database_of_its_own_needs_no_schema_to_be_named() {
    let Some(database) = database().await else { return };
    let name = &database.schema;
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
    let (server, _) = database.url.rsplit_once('/').unwrap();
    let config = Config::new(&format!("{server}/{name}")).unwrap();
    migrate(&config).await.unwrap();
    let store = PgStore::connect(&config).await.unwrap();
    store.register(&[definition()]).await.unwrap();
    drop(store);
    let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    sqlx::raw_sql(drop).execute(&mut admin).await.unwrap();
}
