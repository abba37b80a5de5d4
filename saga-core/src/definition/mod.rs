//! What a user writes, and the plan it becomes.
//!
//! A saga is a list of steps, each the command of one participant. Before the pivot each step says how it is
//! taken back; after it each must succeed in the end. The compiler checks that, and its message tells what to do.

mod builder;
mod draft;
mod error;
mod items;
mod notification;
mod pause;
mod plan;
mod reference;
mod script;
mod signal;
mod step;
mod sub_saga;
mod upgrade;

pub use builder::{AfterPivot, BeforePivot, Builder, Group, Irreversible, RetriableGroup, Reversible, saga};
pub use draft::Steps;
pub use error::DefinitionError;
pub use items::{CompensateEach, Each, RetriableEach};
pub(crate) use items::{ITEM_MARK, step_of};
pub use notification::Notification;
pub use pause::Pause;
pub use plan::{CommandPlan, Definition, NotificationPlan, Plan, Role, StepPlan, UndoPlan, Work};
pub use reference::{DefinitionRef, Fingerprint};
pub use script::ScriptError;
pub(crate) use script::{At, Page};
pub use signal::Signal;
pub use step::{Compensate, NothingToUndo, Outcome, Retriable, Saga, Step};
pub use sub_saga::{NotRun, Run, SubSaga, TakeBack};
pub use upgrade::Parting;
