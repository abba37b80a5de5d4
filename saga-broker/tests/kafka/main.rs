//! The Kafka transport on a real broker, one test for each trap that was met on the way.
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod crash;
mod declare;
mod deliver;
mod mock;
mod publish;
mod rebalance;
mod settle;
mod support;
mod throughput;
