//! How to reach the database, and the limits that hold there.

use std::fmt;
use std::time::Duration;

use saga_core::port::{BODY_BYTES_MAX, StoreError};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::schema::Schema;

/// How to reach the database, and the limits that hold there.
///
/// # Example: a store in a schema of its own
///
/// ```
/// use saga_postgres::{Config, Schema};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::new("postgres://orders@localhost/orders")?
///     .schema(Schema::new("order_sagas")?)
///     .writer("orders-1")
///     .connections(4);
/// # let _ = config;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Config {
    options: PgConnectOptions,
    report_statements: bool,
    pub(crate) schema: Schema,
    pub(crate) writer: String,
    pub(crate) connections: usize,
    pub(crate) transactions: usize,
    pub(crate) body_bytes_max: usize,
    pub(crate) deadline: Duration,
    pub(crate) transaction_idle_max: Duration,
    pub(crate) through_pooler: bool,
}

impl Config {
    /// The defaults, for the database at `url` (`postgres://user:password@host:port/database`).
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] if `url` is not a Postgres URL.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url
            .parse()
            .map_err(|error| StoreError::Rejected(format!("the database URL cannot be used: {error}")))?;
        Ok(Config {
            options,
            report_statements: false,
            schema: Schema::default(),
            writer: format!("process-{}", std::process::id()),
            connections: CONNECTIONS,
            transactions: TRANSACTIONS,
            body_bytes_max: BODY_BYTES_MAX,
            deadline: DEADLINE,
            transaction_idle_max: TRANSACTION_IDLE_MAX,
            through_pooler: false,
        })
    }

    /// The schema of the tables. `saga` by default.
    pub fn schema(self, schema: Schema) -> Self {
        Config { schema, ..self }
    }

    /// What this process is called in the journal. Its process id by default.
    pub fn writer(self, writer: impl Into<String>) -> Self {
        let writer = writer.into();
        Config { writer, ..self }
    }

    /// How many connections serve the calls that are one statement long. 4 by default.
    ///
    /// # Panics
    ///
    /// If `connections` is 0.
    pub fn connections(self, connections: usize) -> Self {
        assert!(connections > 0, "a store needs a connection");
        Config { connections, ..self }
    }

    /// How many handlers' transactions a fence has open at once; each has a connection of its own. 16 by default.
    ///
    /// # Panics
    ///
    /// If `transactions` is 0.
    pub fn transactions(self, transactions: usize) -> Self {
        assert!(transactions > 0, "a fence needs a connection for its transactions");
        Config { transactions, ..self }
    }

    /// The largest body that is stored, in bytes. [`BODY_BYTES_MAX`] by default; the tables take up to 16 MiB.
    pub fn body_bytes_max(self, body_bytes_max: usize) -> Self {
        Config { body_bytes_max, ..self }
    }

    /// How long one call may take, with the wait for a connection. 30 s by default.
    ///
    /// What takes longer counts as lost: the connection is closed, and the outcome is unknown.
    pub fn deadline(self, deadline: Duration) -> Self {
        Config { deadline, ..self }
    }

    /// How long a handler may let its transaction lie idle before Postgres ends it. 60 s by default.
    ///
    /// It frees the rows that a vanished process has locked.
    pub fn transaction_idle_max(self, transaction_idle_max: Duration) -> Self {
        Config { transaction_idle_max, ..self }
    }

    /// Has sqlx report each statement to `tracing`, under the target `sqlx::query`. Off by default: it costs time.
    pub fn report_statements(self) -> Self {
        Config { report_statements: true, ..self }
    }

    /// For a pooler that gives each transaction another session (pgbouncer's transaction mode): statements are
    /// prepared for one use, and no setting is sent with the connection.
    ///
    /// Nothing else depends on the session. Run [`migrate`](crate::migrate) past the pooler, it takes an advisory lock.
    pub fn through_pooler(self) -> Self {
        Config { options: self.options.statement_cache_capacity(0), through_pooler: true, ..self }
    }
}

impl Config {
    /// How each connection is made.
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        let options = self.options.clone();
        if self.report_statements { options } else { options.disable_statement_logging() }
    }
}

impl fmt::Debug for Config {
    /// Leaves the connection options out: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.options.get_host())
            .field("database", &self.options.get_database())
            .field("schema", &self.schema.as_str())
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

/// One for commits, one for the relay, one for timers, one to spare. More would only make smaller batches.
const CONNECTIONS: usize = 4;

/// Handlers mostly wait for the database; a small server has 100 connections for everybody.
const TRANSACTIONS: usize = 16;

/// Longer than any healthy statement waits for a lock, shorter than a broker waits for an ack.
const DEADLINE: Duration = Duration::from_secs(30);

/// Twice the deadline of a call, so that a handler that awaits another service's answer is not cut short.
const TRANSACTION_IDLE_MAX: Duration = Duration::from_secs(60);
