//! The conformance suites of the participant's ports, over Postgres.

#![cfg(test)]

mod support;

use async_trait::async_trait;
use saga_postgres::sqlx::{self, Executor};
use saga_postgres::{PgFence, Tx};
use saga_testkit::suite::fence;
use support::{Database, database};

saga_testkit::fence_suite!(Database);

#[async_trait]
impl fence::Harness for Database {
    type Fence = PgFence;

    async fn start() -> Option<Self> {
        let database = database().await?;
        database.run("CREATE TABLE written (name text PRIMARY KEY, value bigint)").await;
        Some(database)
    }

    async fn connect(&self) -> PgFence {
        self.fence().await
    }

    async fn write(&self, tx: &mut Tx, name: &str, value: i64) {
        let text =
            "INSERT INTO written VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let statement = sqlx::query(self.in_schema(text, "written"));
        statement.bind(name).bind(value).execute(&mut **tx).await.unwrap();
    }

    async fn fail(&self, tx: &mut Tx) {
        tx.execute("SELECT 1 / 0").await.unwrap_err();
    }

    async fn read(&self, name: &str) -> Option<i64> {
        let read = sqlx::query_scalar("SELECT value FROM written WHERE name = $1").bind(name);
        read.fetch_optional(&mut self.connection().await).await.unwrap()
    }
}
