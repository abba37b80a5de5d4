//! Every statement is one that Postgres understands.

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use super::{commit, definition, fence, fence_run, held, instance, outbox, timer};
use crate::{Config, Schema, migrate};

/// A file's name, its text, and the statements in it.
const FILES: [(&str, &str, &[&str]); 8] = [
    ("commit", include_str!("commit.rs"), &[commit::COMMIT, commit::WHY_NOT_STORED]),
    (
        "definition",
        include_str!("definition.rs"),
        &[definition::ADD, definition::LOCK_CHANGED, definition::IN_USE, definition::REPLACE_FINGERPRINT],
    ),
    ("fence", include_str!("fence.rs"), &[fence::PLACE, fence::LOCK, fence::RECORD]),
    ("fence_run", include_str!("fence_run.rs"), &[fence_run::COUNT, fence_run::FORGET]),
    ("held", include_str!("held.rs"), &[held::KEEP, held::READ, held::DROP]),
    (
        "instance",
        include_str!("instance.rs"),
        &[instance::LOAD, instance::LIST, instance::SHOW, instance::HEALTH],
    ),
    (
        "outbox",
        include_str!("outbox.rs"),
        &[outbox::CLAIM, outbox::DELETE, outbox::POSTPONE, outbox::SET_ASIDE, outbox::BACKLOG],
    ),
    ("timer", include_str!("timer.rs"), &[timer::TAKE_DUE]),
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

async fn drop_schema(connection: &mut PgConnection, schema: &Schema) {
    let text = format!("DROP SCHEMA {} CASCADE", schema.quoted());
    connection.execute(AssertSqlSafe(text)).await.unwrap();
    connection.ping().await.unwrap();
}
