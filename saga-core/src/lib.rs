//! Saga orchestration.

pub mod definition;
pub mod fence;
pub mod id;
pub mod message;
pub mod policy;
pub mod port;

pub use message::{Command, Participant, Undoes};
