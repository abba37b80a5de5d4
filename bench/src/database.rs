//! Databases of the bench's own, one for each side, made for a run and dropped after it.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

/// Connects to the database that the user named, which also tells what the server has done.
///
/// # Errors
///
/// If the server cannot be reached, or would lose commits in a crash: figures would then mean nothing.
pub(crate) async fn connect(url: &str) -> Result<PgConnection> {
    let mut connection = PgConnection::connect(url)
        .await
        .with_context(|| format!("cannot connect to Postgres at {}", without_password(url)))?;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&mut connection).await?;
        ensure!(value == "on", "the server has {setting} = {value}; the bench wants durable commits");
    }
    Ok(connection)
}

/// Creates an empty database and returns its URL.
pub(crate) async fn create(server: &mut PgConnection, url: &str, name: &str) -> Result<String> {
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(server)
        .await
        .with_context(|| format!("cannot create the database {name}"))?;
    Ok(PgConnectOptions::from_str(url)?.database(name).to_url_lossy().to_string())
}

/// Drops a database, whoever is still connected to it.
pub(crate) async fn drop(server: &mut PgConnection, name: &str) -> Result<()> {
    sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
        .execute(server)
        .await
        .with_context(|| format!("cannot drop the database {name}"))?;
    Ok(())
}

/// The part of a server's URL that may be shown.
pub(crate) fn without_password(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, server)| server)
}
