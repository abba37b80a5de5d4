//! What tests of sagas and of adapters share.
//!
//! A [story] tells a saga's behaviour as commands and answers, and needs no runtime. [`explore`](explore::explore)
//! goes every way that a saga can go, whatever fails. A [simulation](simulate) runs the real runtimes thousands of times
//! with everything that can go wrong. A [lock file](lock) shows a change that sagas under way would feel, and what sagas
//! went through in production is [replayed](replay).
//!
//! Every adapter of a port passes the same [suite]. `saga_core::memory` is the executable specification, and passes
//! them first. [`TcpProxy`] stands between a client and its server, to cut and to stall what is between them;
//! [`KafkaProxy`] is one for Kafka.

pub mod explore;
mod kafka;
pub mod lock;
mod proxy;
pub mod replay;
pub mod simulate;
pub mod story;
pub mod suite;
pub mod topology;

pub use kafka::KafkaProxy;
pub use proxy::{TcpProxy, Toward};

/// The programs in the README, compiled and run with the crate's own examples.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The program in the explorer's document.
#[cfg(doctest)]
#[doc = include_str!("../../docs/explorer.md")]
struct ExplorerDocument;

/// The program in the document on replay.
#[cfg(doctest)]
#[doc = include_str!("../../docs/replay.md")]
struct ReplayDocument;
