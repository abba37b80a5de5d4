//! RabbitMQ over AMQP 0-9-1: durable quorum queues, publisher confirms, acks in batches.
//!
//! A queue is a quorum queue of the same name on the default exchange. A topic is a durable fanout exchange of the same
//! name, to which each group binds a quorum queue of its own, `<topic>:<group>`. The dead letters of either are the queue
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
//! # What to know of RabbitMQ
//!
//! - The broker's own limit of deliveries is set to a million, because RabbitMQ before 4.0 counts every lost connection;
//!   the framework's own count decides about a message that kills its reader.
//! - A broker that is short of memory or disk stops taking messages: publishing then fails at once with a temporary
//!   error, reading goes on, and `saga_transport_blocked` is 1.
//! - RabbitMQ 3.10 writes down the names of new quorum queues minutes later. Killed before that, it begins them anew and
//!   empty, and they have no leader until it is started once more. The orchestrator's timers send again what was lost.
//!
//! # Security
//!
//! A service needs the rights to configure and read its own queues and their dead letters, and to write `amq.default`,
//! as RabbitMQ calls the default exchange, through which all but notifications are published. For a topic it needs the
//! right to configure the exchange, and to write it in order to publish; to read it, and to write the group's queue, in
//! order to subscribe. There is no TLS: `amqps` is refused
//! rather than sent in plain text. The client library logs messages that came back, with their bodies, as warnings of
//! `lapin::returned_messages`; turn that target off where bodies must not be logged.
//!
//! What it does not do: no patterns of topics, no end of a group whose service is gone (delete its queue, which grows until
//! then), no recovery inside the client library (it can hang for ever; a lost connection is dropped and made anew).

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
