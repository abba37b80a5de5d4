//! The traits that a user implements: the saga's data, and one for each thing a step can promise.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::{Command, Undoes};
use crate::policy::Retry;

/// The data that a saga carries from step to step. Its fields are the saga's memory.
///
/// Stored as JSON with every transition, so keep it small, and give new fields a `#[serde(default)]`:
/// sagas that are under way were written by the version before.
pub trait Saga: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The saga type's name, such as `place-order`.
    const NAME: &'static str;
}

/// A step of the saga `S`: which command it sends, and what it makes of the answer.
///
/// All three functions are plain: no clock, no randomness, no I/O. A command is written again for each
/// resend and must come out the same, so it is written from nothing but the data as it is stored. A panic parks
/// the one saga it happens in.
///
/// # Example: a step that remembers what the participant answered
///
/// ```
/// # use saga_core::{Command, Participant, Saga, Step};
/// # use serde::{Deserialize, Serialize};
/// # struct Inventory;
/// # impl Participant for Inventory { const NAME: &'static str = "inventory"; }
/// # #[derive(Serialize, Deserialize)]
/// # struct ReserveStock { items: u32 }
/// # #[derive(Serialize, Deserialize)]
/// # struct Reserved { reservation: u64 }
/// # impl Command for ReserveStock {
/// #     const TYPE: &'static str = "inventory.reserve.v1";
/// #     type Participant = Inventory;
/// #     type Reply = Reserved;
/// #     type Refusal = ();
/// # }
/// #[derive(Serialize, Deserialize)]
/// struct PlaceOrder { items: u32, reservation: Option<u64> }
///
/// impl Saga for PlaceOrder {
///     const NAME: &'static str = "place-order";
/// }
///
/// impl Step<PlaceOrder> for ReserveStock {
///     fn command(order: &PlaceOrder) -> Self {
///         ReserveStock { items: order.items }
///     }
///
///     fn on_reply(order: &mut PlaceOrder, reply: Reserved) {
///         order.reservation = Some(reply.reservation);
///     }
/// }
/// ```
pub trait Step<S: Saga>: Command {
    /// The step's name inside the saga, stable for ever. Its command's type unless it says otherwise.
    const NAME: &'static str = <Self as Command>::TYPE;

    /// The command to send.
    fn command(saga: &S) -> Self;

    /// Takes note of the reply. Does nothing by default.
    ///
    /// The replies of a parallel group are noted once the whole group is done, in the order of the definition,
    /// whatever came first. So what one step of a group answered never changes what is sent to another. Each is tried
    /// on a copy of the data when it arrives, to find one that cannot be noted while its step can still be resolved.
    fn on_reply(saga: &mut S, reply: Self::Reply) {
        let _ = (saga, reply);
    }

    /// Takes note of a refusal, before the saga compensates. Does nothing by default.
    fn on_refused(saga: &mut S, refusal: Self::Refusal) {
        let _ = (saga, refusal);
    }

    /// How the command is retried while its outcome is unknown.
    fn retry() -> Retry {
        Retry::default()
    }
}

/// What is known of the effect that is to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// The step was done, with this reply.
    Done(R),
    /// Nobody knows whether the step was done. The participant's fence makes the undo safe either way.
    Unknown,
}

/// A step that can be taken back.
#[diagnostic::on_unimplemented(
    message = "saga step `{Self}` has no compensation, so it cannot stand before the pivot",
    label = "this step needs `impl Compensate<{S}> for {Self}`",
    note = "every step before the pivot must be undoable: implement `Compensate<{S}>` for `{Self}`",
    note = "or, if there is nothing to undo, `impl NothingToUndo<{S}> for {Self} {{}}` and add it with `.check::<{Self}>()`",
    note = "or make it the pivot with `.pivot::<{Self}>()`, or move it after the pivot with `.then::<{Self}>()`"
)]
pub trait Compensate<S: Saga>: Step<S> {
    /// The command that takes this one back. It belongs to the same participant, which `Undoes` checks.
    type Undo: Undoes<Self>;

    /// The command that takes this one back, given what is known of its effect.
    fn undo(saga: &S, did: Outcome<Self::Reply>) -> Self::Undo;

    /// How the undo is retried. When its attempts are spent, the saga parks and waits for a human.
    fn undo_retry() -> Retry {
        Retry::for_undo()
    }
}

/// A step without an effect that would have to be taken back: a check, a quote, a question.
#[diagnostic::on_unimplemented(
    message = "saga step `{Self}` does not say that it leaves nothing to undo",
    label = "`.check` takes steps that have no effect to take back",
    note = "if that is so: `impl NothingToUndo<{S}> for {Self} {{}}`",
    note = "if it has an effect: implement `Compensate<{S}>` and add it with `.step::<{Self}>()`"
)]
pub trait NothingToUndo<S: Saga>: Step<S> {}

/// A step that succeeds in the end if it is retried for long enough, so that it may stand after the pivot.
#[diagnostic::on_unimplemented(
    message = "saga step `{Self}` is not marked retriable, so it cannot stand after the pivot",
    label = "after the pivot nothing is undone: every step must succeed in the end",
    note = "if this step can be retried until it succeeds: `impl Retriable<{S}> for {Self} {{}}`",
    note = "if it may be refused, it belongs before the pivot: `.step::<{Self}>()`"
)]
pub trait Retriable<S: Saga>: Step<S> {}
