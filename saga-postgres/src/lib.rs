//! Postgres store, outbox, fence and timers for saga-core.

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
mod row;
mod schema;
mod store;
mod table;
mod transaction;

pub use config::Config;
pub use fence::PgFence;
pub use migrate::migrate;
pub use schema::{Schema, SchemaError};
pub use sqlx;
pub use store::PgStore;
pub use transaction::Tx;
