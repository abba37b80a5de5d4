//! Saga orchestration.

pub mod definition;
pub mod fence;
pub mod id;
pub mod machine;
pub mod memory;
pub mod message;
pub mod policy;
pub mod port;
pub mod runtime;

pub use definition::{
    Compensate, Definition, DefinitionError, NothingToUndo, Outcome, Retriable, Saga, Step, saga,
};
pub use message::{Command, Participant, Undoes};
