//! A service's own database: made if it is missing, with the framework's tables and the service's beside them.

use std::time::Duration;

use saga_core::port::StoreError;
use saga_postgres::sqlx::migrate::{MigrateDatabase, MigrateError, Migration, MigrationType, Migrator};
use saga_postgres::sqlx::postgres::PgConnectOptions;
use saga_postgres::sqlx::{self, ConnectOptions, PgConnection, Postgres};
use saga_postgres::{Config, migrate};

use crate::config::Common;

/// Brings the service's database up to date.
///
/// # Errors
///
/// [`StoreError::Unavailable`] if the server cannot be reached; a later call may succeed.
pub async fn prepare(common: &Common, tables: &'static str) -> Result<Config, StoreError> {
    let url = &common.database_url;
    create_if_missing(url).await.map_err(unavailable)?;
    let config = Config::new(url)?
        .writer(&common.process_name)
        .deadline(Duration::from_millis(common.call_deadline_ms));
    migrate(&config).await?;
    migrate_own(url, tables).await?;
    Ok(config)
}

/// A connection to the service's own tables.
///
/// # Errors
///
/// Those of connecting.
pub async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    url.parse::<PgConnectOptions>()?.disable_statement_logging().connect().await
}

async fn create_if_missing(url: &str) -> Result<(), sqlx::Error> {
    if Postgres::database_exists(url).await? {
        return Ok(());
    }
    match Postgres::create_database(url).await {
        // Another process of the service may have been faster.
        Err(error) if !Postgres::database_exists(url).await? => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn migrate_own(url: &str, tables: &'static str) -> Result<(), StoreError> {
    let migration = Migration::new(
        1,
        "tables".into(),
        MigrationType::Simple,
        sqlx::SqlSafeStr::into_sql_str(tables),
        false,
    );
    let migrator = Migrator::with_migrations(vec![migration]);
    let mut connection = connect(url).await.map_err(unavailable)?;
    match migrator.run_direct(None, &mut connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::Execute(error)) => Err(unavailable(error)),
        Err(error) => Err(StoreError::Rejected(error.to_string())),
    }
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
