//! What the services keep: numbers by name, changed inside the handler's transaction. In memory or in Postgres.

use std::collections::BTreeMap;
use std::future::Future;

use saga_core::memory::MemoryTx;
use saga_core::message::Fault;

/// Numbers by name, inside a handler's transaction.
pub(crate) trait Books: Send {
    /// Takes `amount` away if that much is there, and tells whether it was.
    fn take(&mut self, what: &str, amount: i64) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// Adds `amount`.
    fn put(&mut self, what: &str, amount: i64) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The books in memory.
pub(crate) type Shelf = BTreeMap<String, i64>;

impl Books for MemoryTx<Shelf> {
    async fn take(&mut self, what: &str, amount: i64) -> Result<bool, Fault> {
        let left = self.data_mut().entry(what.to_owned()).or_default();
        let enough = *left >= amount;
        *left -= if enough { amount } else { 0 };
        Ok(enough)
    }

    async fn put(&mut self, what: &str, amount: i64) -> Result<(), Fault> {
        *self.data_mut().entry(what.to_owned()).or_default() += amount;
        Ok(())
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use saga_core::message::Fault;
    use saga_postgres::Tx;
    use saga_postgres::sqlx::{self, PgPool};

    use super::{Books, Shelf};

    impl Books for Tx {
        async fn take(&mut self, what: &str, amount: i64) -> Result<bool, Fault> {
            let taken = sqlx::query(
                "UPDATE quickstart_book SET left_over = left_over - $2 WHERE what = $1 AND left_over >= $2",
            )
            .bind(what)
            .bind(amount)
            .execute(&mut **self)
            .await?;
            Ok(taken.rows_affected() == 1)
        }

        async fn put(&mut self, what: &str, amount: i64) -> Result<(), Fault> {
            sqlx::query("UPDATE quickstart_book SET left_over = left_over + $2 WHERE what = $1")
                .bind(what)
                .bind(amount)
                .execute(&mut **self)
                .await?;
            Ok(())
        }
    }

    /// Lays the books open in a database, as full as `shelf`.
    pub(crate) async fn lay_out(url: &str, shelf: &Shelf) -> Result<(), sqlx::Error> {
        let pool = PgPool::connect(url).await?;
        let table =
            "CREATE TABLE IF NOT EXISTS quickstart_book (what text PRIMARY KEY, left_over bigint NOT NULL)";
        sqlx::query(table).execute(&pool).await?;
        for (what, left) in shelf {
            let fill =
                "INSERT INTO quickstart_book VALUES ($1, $2) ON CONFLICT (what) DO UPDATE SET left_over = $2";
            sqlx::query(fill).bind(what).bind(left).execute(&pool).await?;
        }
        pool.close().await;
        Ok(())
    }
}

#[cfg(feature = "postgres")]
pub(crate) use postgres::lay_out;
