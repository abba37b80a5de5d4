//! RabbitMQ over AMQP 0-9-1: durable quorum queues, publisher confirms, acks in batches.
//!
//! A destination is a quorum queue of the same name on the default exchange, and its dead letters are the queue
//! `<name>.dead`. Works on RabbitMQ 3.10 and later. One [`RabbitMq`] holds two connections, one to publish and one
//! to consume, because a broker that is short of memory stops reading from those that publish.
//!
//! ```text
//!  publish ──▶ publisher ──▶ one of n channels ──▶ confirms + returns ──▶ one result per message
//!                                   │
//!                                 link ── supervisor: dial, watch, drop at any error, back off, dial again
//!                                   │
//!  receive ◀── subscription ◀── channel of one generation ◀── settle (acks folded, releases, dead letters)
//! ```
//!
//! What it does not do: no exchanges or bindings of its own, no fan-out to groups (all readers of a queue share its
//! messages), no recovery inside the client library (it can hang for ever; a lost connection is dropped and made anew).

mod config;
mod connection;
mod error;
mod line;
mod metric;
mod properties;
mod publish;
mod settle;
mod subscribe;
mod topology;
mod transport;

pub use config::RabbitMqConfig;
pub use transport::RabbitMq;
