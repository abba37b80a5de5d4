//! Limits: who may start a saga, who is refused, and who waits for how long.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod errands;
mod metrics;
mod mistakes;
mod participants;
mod sagas;
