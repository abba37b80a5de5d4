//! The conformance suites over Postgres, with a schema for each scenario.

#![cfg(test)]

mod support;

use async_trait::async_trait;
use saga_postgres::sqlx::{self, PgConnection, Postgres, Transaction};
use saga_postgres::{PgFence, PgStore, Tx};
use saga_testkit::suite::{fence, run_in, start_in, store};
use support::Database;

#[async_trait]
impl store::Harness for Database {
    type Store = PgStore;

    async fn start() -> Option<Self> {
        support::database().await
    }

    async fn connect(&self) -> PgStore {
        PgStore::connect(&self.config()).await.unwrap()
    }
}

#[async_trait]
impl start_in::Harness for Database {
    type Store = PgStore;
    type Transaction = Transaction<'static, Postgres>;

    async fn start() -> Option<Self> {
        support::database().await
    }

    async fn connect(&self) -> PgStore {
        PgStore::connect(&self.config()).await.unwrap()
    }

    async fn begin(&self) -> Transaction<'static, Postgres> {
        let pool = sqlx::PgPool::connect(&self.url).await.unwrap();
        pool.begin().await.unwrap()
    }

    fn tx<'a>(transaction: &'a mut Transaction<'static, Postgres>) -> &'a mut PgConnection {
        transaction
    }

    async fn commit(&self, transaction: Transaction<'static, Postgres>) {
        transaction.commit().await.unwrap();
    }
}

#[async_trait]
impl fence::Harness for Database {
    type Fence = PgFence;

    async fn start() -> Option<Self> {
        let database = support::database().await?;
        database.run("CREATE TABLE handled (name text PRIMARY KEY, value bigint NOT NULL)").await;
        Some(database)
    }

    async fn connect(&self) -> PgFence {
        PgFence::connect(&self.config()).await.unwrap()
    }

    async fn write(&self, tx: &mut Tx, name: &str, value: i64) {
        let text = format!("INSERT INTO {}.handled VALUES ($1, $2)", self.schema);
        sqlx::query(sqlx::AssertSqlSafe(text)).bind(name).bind(value).execute(&mut **tx).await.unwrap();
    }

    async fn fail(&self, tx: &mut Tx) {
        sqlx::query("SELECT 1 / 0").execute(&mut **tx).await.unwrap_err();
    }

    async fn read(&self, name: &str) -> Option<i64> {
        let query = sqlx::query_scalar("SELECT value FROM handled WHERE name = $1").bind(name);
        query.fetch_optional(&mut self.connection().await).await.unwrap()
    }
}

#[async_trait]
impl run_in::Harness for Database {
    type Store = PgStore;

    async fn start() -> Option<Self> {
        <Database as fence::Harness>::start().await
    }

    async fn connect(&self) -> PgStore {
        self.client().await
    }

    async fn write(&self, tx: &mut Tx, name: &str, value: i64) {
        fence::Harness::write(self, tx, name, value).await;
    }

    async fn read(&self, name: &str) -> Option<i64> {
        fence::Harness::read(self, name).await
    }
}

mod orchestrator {
    use super::Database;

    saga_testkit::store_suite!(Database);
    saga_testkit::retire_suite!(Database);
}

mod transaction {
    use super::Database;

    saga_testkit::start_in_suite!(Database);
}

mod local {
    use super::Database;

    saga_testkit::run_in_suite!(Database);
}

mod participant {
    use super::Database;

    saga_testkit::fence_suite!(Database);
    saga_testkit::forget_suite!(Database);
    saga_testkit::watch_suite!(Database);
}
