//! Transports for `saga-core`: the brokers that move its envelopes, one cargo feature each and none by default.
//!
//! Both implement [`saga_core::port::Transport`], whose documentation is the contract.
//!
//! ```text
//!            saga-core                     saga-broker                     broker
//!  relay ─────────── publish(batch) ──▶ rabbitmq │ kafka ──────▶ queue or topic, <name>.dead
//!  orchestrator, ◀── receive(batch) ──     │
//!  participant  ──── settle(batch) ───▶    ┘
//! ```
//!
//! What it does not do: no retries of messages and no delays (the timers of the framework do that), no duplicates
//! removed (the fence does that), no serialisation (an envelope arrives as bytes).

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
