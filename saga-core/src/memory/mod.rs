//! The ports in memory: the executable specification of a store, a fence and a transport.
//!
//! They do what the contracts say in the simplest way that is obviously right, and keep nothing when the process
//! ends. Use them for tests, for a program that needs no server, and to look up what a port means. Every adapter
//! passes the same suites.
//!
//! Time comes from a [`Clock`](crate::port::Clock). The default is [`TokioClock`], so that a test that pauses
//! tokio's time pauses leases and timers too.

mod broker;
mod clock;
mod fence;
mod history;
mod outbox;
mod retention;
mod store;
mod tables;
mod transport;

pub use clock::TokioClock;
pub use fence::{MemoryFence, MemoryTx};
pub use store::{MemoryStore, MemoryStoreTx, MemoryWorkTx};
pub use transport::MemoryTransport;
