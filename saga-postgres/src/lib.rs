//! Remembers sagas in Postgres: the store, outbox and fence of `saga-core`, with their tables.
//!
//! ```text
//!   orchestrator                                         participant
//!        │ Store, StartIn, History, Outbox, Retire            │ Fence, Outbox, Forget
//!    ┌───▼───┐   one statement for a batch of sagas       ┌───▼───┐   a transaction for a handler
//!    │PgStore│─────────────────────────┐                  │PgFence│─────────────────────────┐
//!    └───────┘                         ▼                  └───────┘                         ▼
//!                  instance, business_key, journal,                    fence, fence_run, outbox
//!                  timer, held, outbox, definition, archive            and your own tables
//! ```
//!
//! - A batch of transitions is one statement, one round trip and one commit. A saga that lost a race, or has a value
//!   that Postgres refuses, does not harm the others.
//! - A commit whose answer was lost is made again under the same id, and reported as it is.
//! - A handler works in the transaction that records its command: `&mut **tx` is a [`PgConnection`](sqlx::PgConnection).
//! - A dropped future may close a connection; it never leaves one in disorder.
//!
//! # Example: the tables, a store and a fence
//!
//! ```no_run
//! use saga_postgres::{Config, PgFence, PgStore, migrate};
//!
//! # async fn run() -> Result<(), saga_core::port::StoreError> {
//! let config = Config::new("postgres://orders:secret@localhost/orders")?;
//! migrate(&config).await?;
//! let store = PgStore::connect(&config).await?; // for an orchestrator
//! let fence = PgFence::connect(&config).await?; // for a participant
//! # let _ = (store, fence);
//! # Ok(())
//! # }
//! ```
//!
//! # What this crate does not do
//!
//! - It decides nothing: what a reply or a fence row means is said by `saga-core`.
//! - It never deletes a business key, an archived saga, or an outbox row that no broker takes.
//! - It speaks to one primary. A standby is refused, and a failover to an asynchronous standby may forget commits.
//! - It does not encrypt: connections use TLS if the application enables one of sqlx's `tls` features, and then as
//!   `sslmode` in the URL says.
//!
//! The tables, and who relies on which constraint, are described in `docs/schema.md`.

mod commit;
mod commit_arguments;
mod config;
mod database;
mod error;
mod fence;
mod floor;
mod history;
mod migrate;
mod outbox;
mod pool;
mod register;
mod retention;
mod row;
mod schema;
mod store;
mod table;
mod transaction;
mod watch;

pub use config::Config;
pub use fence::PgFence;
pub use migrate::migrate;
pub use schema::{Schema, SchemaError};
pub use sqlx;
pub use store::PgStore;
pub use transaction::Tx;
