//! The tables: creating them, and bringing them up to date.

use saga_core::port::StoreError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions, Connection};

use crate::config::Config;
use crate::error::{Failure, of_connecting};
use crate::schema::Schema;

/// Creates the schema and its tables, or brings them up to date. Processes that do so at once wait for each other.
///
/// What was applied is noted in a table inside the schema, so the application's own migrations are not touched.
/// The migrations are plain SQL, in `migrations/`, for those who apply them by other means.
///
/// # Errors
///
/// - [`StoreError::Unavailable`] if the server cannot be reached, or is a standby.
/// - [`StoreError::Rejected`] if a migration fails, or the tables were made by a newer version.
///
/// # Cancel safety
///
/// Not cancel safe: each migration is applied whole or not at all, and running it again goes on from there.
pub async fn migrate(config: &Config) -> Result<(), StoreError> {
    let mut connection = config.connect_options().connect().await.map_err(of_connecting)?;
    migrator(&config.schema).run_direct(None, &mut connection, false).await.map_err(failed)?;
    // What was applied is committed; how the connection ends does not matter.
    let _ = connection.close().await;
    Ok(())
}

/// The migrations, for `schema`.
fn migrator(schema: &Schema) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, description, text)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, schema.sql(text), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.create_schema(schema.quoted());
    migrator.dangerous_set_table_name(format!("{}.migration", schema.quoted()));
    migrator
}

fn failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            Failure::from(error).into()
        }
        other => StoreError::Rejected(other.to_string()),
    }
}

/// Every migration, in the order of its version. Never edited once released.
const MIGRATIONS: [(i64, &str, &str); 9] = [
    (1, "sagas", include_str!("../migrations/0001_sagas.sql")),
    (2, "outbox", include_str!("../migrations/0002_outbox.sql")),
    (3, "fence", include_str!("../migrations/0003_fence.sql")),
    (4, "retention", include_str!("../migrations/0004_retention.sql")),
    (5, "lists", include_str!("../migrations/0005_lists.sql")),
    (6, "watch", include_str!("../migrations/0006_watch.sql")),
    (7, "children", include_str!("../migrations/0007_children.sql")),
    (8, "topics", include_str!("../migrations/0008_topics.sql")),
    (9, "retired children", include_str!("../migrations/0009_retired_children.sql")),
];
