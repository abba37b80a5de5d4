//! What a saga tells others, without asking for an answer.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Saga;

/// Something that the saga `S` tells whoever wants to know, such as that an order was placed. Nobody answers.
///
/// It is sent when the saga comes to this step, in the same transaction. It is not taken back if the saga is
/// compensated later; what must not be told too early stands behind the pivot.
///
/// # Example: an order was placed
///
/// ```
/// # use saga_core::{Notification, Saga};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct PlaceOrder { order: u64 }
/// # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
/// #[derive(Serialize, Deserialize)]
/// struct OrderPlaced { order: u64 }
///
/// impl Notification<PlaceOrder> for OrderPlaced {
///     const TYPE: &'static str = "orders.placed.v1";
///     const TOPICS: &'static [&'static str] = &["orders.placed"];
///
///     fn of(order: &PlaceOrder) -> Self {
///         OrderPlaced { order: order.order }
///     }
/// }
///
/// let definition = saga_core::saga::<PlaceOrder>(1).notify::<OrderPlaced>().build();
/// # definition.unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no notification of the saga `{S}`",
    label = "`.notify` needs `impl Notification<{S}> for {Self}`",
    note = "nobody answers a notification; if an answer is awaited, it is a command: `.step`, `.check`, `.pivot` or `.then`"
)]
pub trait Notification<S: Saga>: Serialize + DeserializeOwned + Send + 'static {
    /// What it is called on the wire. Give a changed body a new name.
    const TYPE: &'static str;

    /// The topics that it is sent to, at least one and at most 64. Any number of services subscribe to each, as
    /// [`subscriber`](crate::runtime::subscriber) does, and the saga does not know them. No queue has the same name: no
    /// participant, and no replies' destination.
    const TOPICS: &'static [&'static str];

    /// The step's name inside the saga, stable for ever. Its type unless it says otherwise.
    const NAME: &'static str = Self::TYPE;

    /// What to tell.
    fn of(saga: &S) -> Self;
}
