//! The conformance suites of the orchestrator's ports, over Postgres.

#![cfg(test)]

mod support;

use async_trait::async_trait;
use saga_postgres::PgStore;
use saga_postgres::sqlx::{Executor, PgConnection};
use saga_testkit::suite::{start_in, store};
use support::{Database, database};

saga_testkit::store_suite!(Database);
saga_testkit::start_in_suite!(Database);

#[async_trait]
impl store::Harness for Database {
    type Store = PgStore;

    async fn start() -> Option<Self> {
        database().await
    }

    async fn connect(&self) -> PgStore {
        self.client().await
    }
}

#[async_trait]
impl start_in::Harness for Database {
    type Store = PgStore;
    type Transaction = PgConnection;

    async fn start() -> Option<Self> {
        database().await
    }

    async fn connect(&self) -> PgStore {
        self.client().await
    }

    async fn begin(&self) -> PgConnection {
        let mut connection = self.connection().await;
        connection.execute("BEGIN").await.unwrap();
        connection
    }

    fn tx(connection: &mut PgConnection) -> &mut PgConnection {
        connection
    }

    async fn commit(&self, mut connection: PgConnection) {
        connection.execute("COMMIT").await.unwrap();
    }
}
