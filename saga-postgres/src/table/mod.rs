//! All SQL, a file for each table, each statement named for its purpose. Written for the schema `saga`;
//! [`Schema::sql`](crate::schema::Schema::sql) rewrites it for another.
//!
//! Times and leases are computed here, by Postgres. `statement_timestamp()` rather than `now()`: a statement may run
//! in a caller's long transaction, where `now()` is long past. Durations arrive as microseconds.

pub(crate) mod archive;
pub(crate) mod commit;
pub(crate) mod definition;
pub(crate) mod fence;
pub(crate) mod fence_run;
pub(crate) mod held;
pub(crate) mod instance;
pub(crate) mod outbox;
pub(crate) mod timer;
pub(crate) mod watch;

#[cfg(test)]
mod tests;
