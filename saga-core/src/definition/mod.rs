//! What a user writes, and the plan it becomes.

mod reference;

pub use reference::{DefinitionRef, Fingerprint};
