//! A handler's transaction.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use saga_core::policy::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::{Failure, without_effect};
use crate::pool::{Lease, Pool};
use crate::watch::Asked;

/// A transaction on a connection of its own. It is a [`PgConnection`], so statements run on `&mut **tx`.
///
/// The framework begins and commits it. A handler may use `begin` on it, which gives a savepoint; it must not send
/// `COMMIT` or `ROLLBACK`, or drop the future of a `begin` and go on: the fence notices, and the command fails.
///
/// Dropped, it is rolled back in the background; its connection is used again only if it then answers as it should.
pub struct Tx {
    /// Taken out only by [`commit`](Tx::commit) and by drop.
    lease: Option<Lease>,
    has_savepoint: bool,
    /// Which of the fence's keys, in their order, had no row before.
    pub(crate) placed: Vec<bool>,
    /// Postgres's id of this transaction, as text.
    pub(crate) xid: String,
    /// Postgres's time when rows were placed.
    pub(crate) began: Timestamp,
    /// Rows that are to be watched from the commit on.
    pub(crate) asked: Vec<Asked>,
}

impl Tx {
    /// Begins a transaction that Postgres ends if it lies idle for longer than `idle_max`.
    pub(crate) async fn begin(pool: &Arc<Pool>, idle_max: Duration) -> Result<Self, Failure> {
        let mut lease = pool.lease().await?;
        let idle_ms = idle_max.as_millis();
        let text = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {idle_ms}");
        match lease.run(AssertSqlSafe(text)).await.map_err(without_effect) {
            Ok(()) => {
                let (placed, xid, began) = (Vec::new(), String::new(), Timestamp::default());
                Ok(Tx { lease: Some(lease), has_savepoint: false, placed, xid, began, asked: Vec::new() })
            }
            Err(failure) => {
                lease.discard();
                Err(failure)
            }
        }
    }

    /// The connection, while the transaction is open.
    pub(crate) fn lease(&mut self) -> &mut Lease {
        self.lease.as_mut().expect("a transaction has its connection until it ends")
    }

    /// Marks a point to roll back to, in one round trip; an earlier one is forgotten.
    pub(crate) async fn savepoint(&mut self) -> Result<(), Failure> {
        let text = match self.has_savepoint {
            true => "RELEASE SAVEPOINT saga_command; SAVEPOINT saga_command",
            false => "SAVEPOINT saga_command",
        };
        self.lease().run(text).await.map_err(without_effect)?;
        self.has_savepoint = true;
        Ok(())
    }

    /// Undoes what was written since the last mark.
    pub(crate) async fn roll_back_to_savepoint(&mut self) -> Result<(), Failure> {
        let run = self.lease().run("ROLLBACK TO SAVEPOINT saga_command");
        run.await.map_err(without_effect)
    }

    /// Commits. [`Failure::Lost`] says that nobody knows.
    pub(crate) async fn commit(mut self) -> Result<(), Failure> {
        self.lease().run("COMMIT").await?;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        let lease = self.lease.as_ref();
        lease.expect("a transaction has its connection until it ends").connection()
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.lease().connection_mut()
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // Without a runtime the connection is closed, which rolls back as well.
        if let (Some(lease), Ok(runtime)) = (self.lease.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(roll_back(lease));
        }
    }
}

/// Rolls back, and gives the connection back if it proves to be in step: a handler that was dropped in the middle
/// of a query leaves answers behind.
async fn roll_back(mut lease: Lease) {
    let in_step = tokio::time::timeout(ROLLBACK_DEADLINE, async {
        lease.run("ROLLBACK").await?;
        let token = TOKEN.fetch_add(1, Ordering::Relaxed);
        let echo = sqlx::query_scalar::<_, i64>("SELECT $1::bigint").bind(token);
        let echoed = lease.answer(|connection| echo.fetch_one(connection)).await?;
        Ok::<bool, Failure>(echoed == token)
    });
    match in_step.await {
        Ok(Ok(true)) => lease.give_back(),
        Ok(Ok(false) | Err(_)) | Err(_) => drop(lease),
    }
}

/// Enough for the rows of a transaction, which roll back at once; a query that still runs must not hold the
/// connection's place in the pool.
const ROLLBACK_DEADLINE: Duration = Duration::from_secs(2);

/// What the next connection is asked to repeat: not what any earlier answer holds.
static TOKEN: AtomicI64 = AtomicI64::new(1);
