//! Transports for `saga-core`: the brokers that move its envelopes, one cargo feature each and none by default.
//!
//! Both implement [`saga_core::port::Transport`], whose documentation is the contract.
//!
//! ```text
//!  saga-core                                saga-broker            broker
//!  relay ────────────── publish(batch) ──▶                 ──▶
//!  orchestrator  ◀───── receive(batch) ───  rabbitmq       ◀──  queue or topic  <name>
//!  and participant ──── settle(batch) ───▶  or kafka       ──▶  its dead letters <name>.dead
//! ```
//!
//! What it does not do: no retries of messages and no delays (the timers of the framework do that), no duplicates
//! removed (the fence does that), no serialisation (an envelope arrives as bytes).

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
