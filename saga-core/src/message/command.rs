//! The contract that both sides share: which commands there are, who takes them, and which takes back which.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A service with one fence database. A command belongs to exactly one.
///
/// # Example: the service that keeps the stock
///
/// ```
/// struct Inventory;
///
/// impl saga_core::Participant for Inventory {
///     const NAME: &'static str = "inventory";
/// }
/// ```
pub trait Participant: Send + Sync + 'static {
    /// The participant's name, which is also where its commands are sent. Letters, digits, `.`, `_` and `-`.
    const NAME: &'static str;
}

/// The orchestrator itself, as the participant of *local steps*: work in its own database.
///
/// The command of a local step is never sent. Its handler works in the transaction that also stores the saga's
/// transition, so the two happen together or not at all, and no fence is needed. The handlers are given to
/// [`OrchestratorBuilder::local`](crate::runtime::OrchestratorBuilder::local); they are the same traits as those of
/// any other participant.
///
/// # Example: a note of the order, in the orchestrator's own database
///
/// ```
/// use saga_core::{Command, Local};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct NoteOrder { order: u64 }
///
/// impl Command for NoteOrder {
///     const TYPE: &'static str = "orders.note.v1";
///     type Participant = Local;
///     type Reply = ();
///     type Refusal = String;
/// }
/// ```
#[derive(Debug)]
pub enum Local {}

impl Participant for Local {
    const NAME: &'static str = "saga.local";
}

/// A request to one participant, and what it may answer.
///
/// # Example: a command with its reply and its refusal
///
/// ```
/// # struct Inventory;
/// # impl saga_core::Participant for Inventory { const NAME: &'static str = "inventory"; }
/// use saga_core::Command;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct ReserveStock { order: u64, items: u32 }
///
/// #[derive(Serialize, Deserialize)]
/// struct Reserved { reservation: u64 }
///
/// #[derive(Serialize, Deserialize)]
/// struct OutOfStock { left: u32 }
///
/// impl Command for ReserveStock {
///     const TYPE: &'static str = "inventory.reserve.v1";
///     type Participant = Inventory;
///     type Reply = Reserved;
///     type Refusal = OutOfStock;
/// }
/// ```
pub trait Command: Serialize + DeserializeOwned + Send + 'static {
    /// What the command is called on the wire. Give a changed body a new name.
    const TYPE: &'static str;
    /// Who takes this command.
    type Participant: Participant;
    /// What a participant answers when the work is done.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// What a participant answers when the business says no. It then had no effect.
    type Refusal: Serialize + DeserializeOwned + Send + 'static;
    /// The name of the saga that this command runs, if it runs one. Only [`Run`](crate::Run) says so.
    const SUB_SAGA: Option<&'static str> = None;
}

/// Says in the contract, where both sides see it, which command takes back which.
///
/// The compiler checks that both belong to the same participant: an undo that reached another fence would be
/// taken for "nothing to undo" while the effect stands. An undo answers nothing but "undone", and never refuses.
///
/// # Example: releasing undoes reserving
///
/// ```
/// # use saga_core::{Command, Participant};
/// # use serde::{Deserialize, Serialize};
/// # struct Inventory;
/// # impl Participant for Inventory { const NAME: &'static str = "inventory"; }
/// # #[derive(Serialize, Deserialize)]
/// # struct ReserveStock;
/// # impl Command for ReserveStock {
/// #     const TYPE: &'static str = "inventory.reserve.v1";
/// #     type Participant = Inventory;
/// #     type Reply = ();
/// #     type Refusal = ();
/// # }
/// #[derive(Serialize, Deserialize)]
/// struct ReleaseStock;
///
/// impl Command for ReleaseStock {
///     const TYPE: &'static str = "inventory.release.v1";
///     type Participant = Inventory;
///     type Reply = ();
///     type Refusal = ();
/// }
///
/// impl saga_core::Undoes<ReserveStock> for ReleaseStock {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not undo `{C}`",
    label = "not the undo of this step's command",
    note = "say so beside the command: `impl Undoes<{C}> for {Self} {{}}`; both must belong to one participant"
)]
pub trait Undoes<C: Command>: Command<Reply = (), Participant = C::Participant> {}
