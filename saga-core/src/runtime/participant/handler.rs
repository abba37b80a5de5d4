//! What a service writes: a handler for each command, working in the service's own transaction.

use std::future::Future;

use crate::definition::Outcome;
use crate::id::MessageId;
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
/// not: to call another service is the business of an [`External`] handler. A handler that panics, or takes longer than the participant's limit, is
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

/// Does the work of a command `C` in another system, such as a payment gateway, that no transaction of ours spans.
///
/// No transaction is open while it runs, and no connection is held. Its `key` is the command's message id: the same for
/// every attempt, every copy and the undo, and for no other command. Pass it on as the idempotency key. Calls with one
/// key may be made one after the other, and at the same time.
///
/// What the other system must do for it:
///
/// - **One key, one effect**, however often it is called with it.
/// - **The undo is idempotent** by the same key, and harmless if there is nothing to take back.
/// - **A call that nobody waits for any more** (the process died, the participant's time limit passed) lands within a day,
///   or for as long as
///   [`calls_land_within`](crate::runtime::ParticipantBuilder::calls_land_within) says, or not at all. Until then it is
///   taken back. Most gateways refuse a key that was taken back.
///
/// # Example: a handler that charges a card
///
/// ```
/// # use saga_core::{Command, Participant};
/// # use serde::{Deserialize, Serialize};
/// # struct Payment;
/// # impl Participant for Payment { const NAME: &'static str = "payment"; }
/// # #[derive(Serialize, Deserialize)]
/// # struct ChargeCard { cents: u64 }
/// # impl Command for ChargeCard {
/// #     const TYPE: &'static str = "payment.charge.v1";
/// #     type Participant = Payment;
/// #     type Reply = u64;
/// #     type Refusal = String;
/// # }
/// # struct Gateway;
/// # impl Gateway {
/// #     async fn charge(&self, _: &str, _: u64) -> Result<Option<u64>, std::io::Error> { Ok(Some(1)) }
/// #     async fn void(&self, _: &str) -> Result<(), std::io::Error> { Ok(()) }
/// # }
/// use saga_core::Outcome;
/// use saga_core::id::MessageId;
/// use saga_core::message::Fault;
/// use saga_core::runtime::{External, Handled, Reply};
///
/// impl External<ChargeCard> for Gateway {
///     async fn call(&self, command: ChargeCard, key: MessageId) -> Handled<ChargeCard> {
///         Ok(match self.charge(&key.to_string(), command.cents).await? {
///             Some(charge) => Reply::Done(charge),
///             None => Reply::Refused("the card is declined".into()),
///         })
///     }
///
///     async fn undo(&self, key: MessageId, _: Outcome<u64>) -> Result<(), Fault> {
///         Ok(self.void(&key.to_string()).await?)
///     }
/// }
/// ```
pub trait External<C: Command>: Send + Sync + 'static {
    /// Makes the call. An error says that nobody knows whether it has landed: it is made again, or undone.
    fn call(&self, command: C, key: MessageId) -> impl Future<Output = Handled<C>> + Send;

    /// Takes back whatever a call with this key has done or will still do, given its reply if that is on record.
    ///
    /// It may be run more than once, and while a call with the same key is under way.
    fn undo(&self, key: MessageId, did: Outcome<C::Reply>) -> impl Future<Output = Result<(), Fault>> + Send;
}
