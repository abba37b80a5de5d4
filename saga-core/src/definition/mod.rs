//! What a user writes, and the plan it becomes.
//!
//! A saga is a list of steps, each the command of one participant. Before the pivot each step says how it is
//! taken back; after it each must succeed in the end. The compiler checks that, and its message tells what to do.

mod builder;
mod draft;
mod error;
mod plan;
mod reference;
mod script;
mod signal;
mod step;

pub use builder::{AfterPivot, BeforePivot, Builder, Group, Irreversible, Reversible, saga};
pub use draft::Steps;
pub use error::DefinitionError;
pub use plan::{CommandPlan, Definition, Plan, Role, StepPlan, UndoPlan, Work};
pub use reference::{DefinitionRef, Fingerprint};
pub(crate) use script::Page;
pub use script::ScriptError;
pub use signal::Signal;
pub use step::{Compensate, NothingToUndo, Outcome, Retriable, Saga, Step};
