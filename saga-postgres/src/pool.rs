//! Connections, kept open and handed from call to call.
//!
//! A pool of our own because of what it does *not* do: sqlx's pool asks the server on every release and takes a
//! connection back whatever state a dropped future has left it in. Here a connection comes back only through
//! [`Lease::give_back`], which is reached after its answer was read to the end; dropped, it is closed.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Config;
use crate::error::{Failure, of_connecting};

/// A statement with its arguments.
pub(crate) type Statement = Query<'static, Postgres, PgArguments>;

/// A limited number of connections.
pub(crate) struct Pool {
    options: PgConnectOptions,
    purpose: Purpose,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
    deadline: Duration,
}

/// What a pool's connections are for.
#[derive(Clone, Copy)]
enum Purpose {
    /// The framework's own statements.
    Statements,
    /// Transactions that handlers write in.
    Transactions,
}

impl Purpose {
    /// Whether sqlx is to believe that a connection is always in a transaction.
    fn counts_a_transaction(self) -> bool {
        match self {
            Purpose::Statements => false,
            Purpose::Transactions => true,
        }
    }
}

struct Session {
    connection: PgConnection,
    opened: Instant,
}

/// A connection, for one caller.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    session: Session,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Connections for the framework's own statements.
    pub(crate) fn for_statements(config: &Config) -> Arc<Self> {
        // The tables may have grown a thousandfold since their statistics were taken, or have none yet. Every
        // statement here finds its rows by an index; a plan that reads a table from end to end is never right.
        let options = config.connect_options();
        let options = match config.through_pooler {
            true => options,
            false => options.options([("enable_seqscan", "off"), ("jit", "off")]),
        };
        Pool::new(options, Purpose::Statements, config.connections, config.deadline)
    }

    /// Connections for handlers' transactions.
    pub(crate) fn for_transactions(config: &Config) -> Arc<Self> {
        let options = config.connect_options();
        Pool::new(options, Purpose::Transactions, config.transactions, config.deadline)
    }

    fn new(options: PgConnectOptions, purpose: Purpose, size: usize, deadline: Duration) -> Arc<Self> {
        Arc::new(Pool {
            options,
            purpose,
            permits: Arc::new(Semaphore::new(size)),
            idle: Mutex::default(),
            deadline,
        })
    }

    /// Waits for a connection.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, Failure> {
        let patience = tokio::time::timeout(self.deadline, async {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.map_err(|_| Failure::Permanent("the pool is closed".into()))?;
            let idle = self.idle().pop();
            let session = match idle {
                Some(session) => session,
                None => self.connect().await?,
            };
            Ok(Lease { pool: Arc::clone(self), session, _permit: permit })
        });
        patience.await.unwrap_or_else(|_| {
            let why = format!("no connection within {:?}", self.deadline);
            Err(Failure::Unavailable(why))
        })
    }

    /// Runs one statement in a transaction of its own, and returns all its rows.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the statement may or may not have its effect. The connection is closed.
    pub(crate) async fn fetch(self: &Arc<Self>, statement: Statement) -> Result<Vec<PgRow>, Failure> {
        let mut lease = self.lease().await?;
        let answer = lease.answer(|connection| statement.fetch_all(connection)).await;
        match &answer {
            Ok(_) => lease.give_back(),
            Err(failure) if failure.spares_connection() => lease.give_back(),
            Err(_) => lease.discard(),
        }
        answer
    }

    async fn connect(&self) -> Result<Session, Failure> {
        let mut connection = self.options.connect().await.map_err(of_connecting)?;
        let standby = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut connection);
        if standby.await.map_err(of_connecting)? {
            let host = self.options.get_host();
            return Err(Failure::Unavailable(format!("the server at {host} is a standby")));
        }
        if self.purpose.counts_a_transaction() {
            count_one_transaction(&mut connection).await.map_err(of_connecting)?;
        }
        Ok(Session { connection, opened: Instant::now() })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(crate) fn connection(&self) -> &PgConnection {
        &self.session.connection
    }

    pub(crate) fn connection_mut(&mut self) -> &mut PgConnection {
        &mut self.session.connection
    }

    /// Asks the server, and waits for the answer no longer than the deadline.
    pub(crate) async fn answer<'a, T, F>(
        &'a mut self,
        ask: impl FnOnce(&'a mut PgConnection) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, sqlx::Error>> + Send + 'a,
    {
        let deadline = self.pool.deadline;
        match tokio::time::timeout(deadline, ask(&mut self.session.connection)).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::Lost(format!("no answer within {deadline:?}"))),
        }
    }

    /// Runs simple statements, as text, and forgets what they return.
    pub(crate) async fn run(&mut self, text: impl sqlx::SqlSafeStr) -> Result<(), Failure> {
        let text = sqlx::raw_sql(text);
        self.answer(|connection| connection.execute(text)).await?;
        Ok(())
    }

    /// Gives back a connection whose last answer was read to its end, and that is in no transaction.
    pub(crate) fn give_back(self) {
        // A handler that dropped a `begin` half-way leaves sqlx with the wrong count, see `count_one_transaction`.
        let counts_right =
            self.session.connection.is_in_transaction() == self.pool.purpose.counts_a_transaction();
        if counts_right && self.session.opened.elapsed() < LIFETIME {
            self.pool.idle().push(self.session);
        }
    }

    /// Closes a connection that is not to be trusted, and those that lie idle: they likely share its fate.
    pub(crate) fn discard(self) {
        self.pool.idle().clear();
    }
}

/// Makes sqlx believe for good that the connection is in a transaction, so that a handler that calls `begin` on
/// it gets a savepoint. It would get, and commit, the transaction that holds the fence otherwise.
async fn count_one_transaction(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    std::mem::forget(connection.begin().await?);
    connection.execute("ROLLBACK").await?;
    Ok(())
}

/// Long enough to cost nothing, short enough that a new address of the server and a new certificate are noticed.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
