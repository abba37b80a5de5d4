//! Apache Kafka: an idempotent producer, and one reader per subscription that commits only what is settled.
//!
//! A destination is a topic of the same name, and its dead letters are the topic `<name>.dead`. The key of a record is
//! the saga's id, so one saga's messages share a partition. Groups are Kafka's consumer groups: each gets every
//! message. Needs Kafka 2.4 or later; librdkafka is built in. `docs/wire.md` has the format.
//!
//! ```text
//!  publish ──▶ producer ──▶ the batch is queued ──▶ all confirms awaited ──▶ one result per message
//!
//!  reader (a thread of its own: polls, never waits for a handler, pauses when too much is out)
//!    │ assigned, revoked                 ▲ commits: the first unsettled offset of each partition
//!    ▼                                   │
//!  lanes: one window of deliveries per partition and assignment ◀── settle, from any task
//!    │
//!    └──▶ receive
//! ```
//!
//! Kafka remembers one offset per partition. So after a crash everything from a partition's first unsettled message on
//! comes again, settled or not; and one message that is never settled holds the commit of its partition back.
//!
//! # Security
//!
//! TLS and SASL are configured with [`KafkaConfig::property`], as librdkafka documents them. They need OpenSSL, which is
//! not linked by default: depend on `rdkafka` with its feature `ssl` (or `ssl-vendored`) beside this crate.
//!
//! What it does not do: no transactions (an outbox row is in no Kafka transaction, so receivers need the fence anyway),
//! no retry topics (the orchestrator's timers send again), no topics made by publishing to them.

mod client;
mod config;
mod error;
mod lane;
mod lanes;
mod metric;
mod offsets;
mod publish;
mod reader;
mod rebalance;
mod record;
mod settle;
mod subscribe;
mod topology;
mod transport;

pub use config::KafkaConfig;
pub use transport::Kafka;
