//! What tests of sagas and of adapters share.
//!
//! A [story] tells a saga's behaviour as commands and answers, and needs no runtime.
//!
//! Every adapter of a port passes the same [suite]. `saga_core::memory` is the executable specification, and passes
//! them first. [`TcpProxy`] stands between a client and its server, to cut and to stall what is between them;
//! [`KafkaProxy`] is one for Kafka.

mod kafka;
mod proxy;
pub mod story;
pub mod suite;

pub use kafka::KafkaProxy;
pub use proxy::{TcpProxy, Toward};

/// The programs in the README, compiled and run with the crate's own examples.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
