//! What a service writes: a handler for each command, working in the service's own transaction.

use std::future::Future;

use crate::message::{Command, Fault, Undoes};

/// What a handler answers when nothing went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<C: Command> {
    /// The work is done.
    Done(C::Reply),
    /// The business says no. Whatever the handler wrote is rolled back.
    Refused(C::Refusal),
}

/// What a handler returns. `?` on any error gives a temporary [`Fault`]: the command is retried.
pub type Handled<C> = Result<Reply<C>, Fault>;

/// Does the work of a command `C`, in the transaction `Tx` that also holds the fence row and the reply.
///
/// Everything the handler writes through `tx` takes effect exactly once, or not at all. What it does elsewhere does
/// not: call no other service from here. A handler that panics, or takes longer than the participant's limit, is
/// rolled back and counts as a temporary fault.
///
/// # Example: a handler on the in-memory fence
///
/// ```
/// # use saga_core::{Command, Participant};
/// # use serde::{Deserialize, Serialize};
/// # struct Inventory;
/// # impl Participant for Inventory { const NAME: &'static str = "inventory"; }
/// # #[derive(Serialize, Deserialize)]
/// # struct ReserveStock { items: u32 }
/// # impl Command for ReserveStock {
/// #     const TYPE: &'static str = "inventory.reserve.v1";
/// #     type Participant = Inventory;
/// #     type Reply = ();
/// #     type Refusal = String;
/// # }
/// use saga_core::memory::MemoryTx;
/// use saga_core::runtime::{Handle, Handled, Reply};
///
/// struct Stock;
///
/// impl Handle<ReserveStock, MemoryTx<u32>> for Stock {
///     async fn handle(&self, command: ReserveStock, tx: &mut MemoryTx<u32>) -> Handled<ReserveStock> {
///         if *tx.data() < command.items {
///             return Ok(Reply::Refused("out of stock".into()));
///         }
///         *tx.data_mut() -= command.items;
///         Ok(Reply::Done(()))
///     }
/// }
/// ```
pub trait Handle<C: Command, Tx>: Send + Sync + 'static {
    /// Does the work.
    fn handle(&self, command: C, tx: &mut Tx) -> impl Future<Output = Handled<C>> + Send;
}

/// Takes back what a command `C` did. It cannot refuse: an error is a fault, and the undo is tried again.
pub trait Undo<C: Command, U: Undoes<C>, Tx>: Send + Sync + 'static {
    /// Takes the work back, given the reply that the fence recorded. Called only if there is something to take back.
    fn undo(&self, command: U, did: C::Reply, tx: &mut Tx) -> impl Future<Output = Result<(), Fault>> + Send;
}
