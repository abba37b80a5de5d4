//! How long a saga waits before it goes on, for nothing but time.

use std::time::Duration;

use super::Saga;

/// A pause of the saga `S`: the step after it starts that much later.
///
/// The pause is a timer in the database, so it outlives every process. It begins when the saga comes to it, and its
/// length is fixed then. A saga that is cancelled meanwhile is taken back at once, and an operator who resolves it as
/// done ends it.
///
/// # Example: a day in which the customer may change their mind
///
/// ```
/// # use std::time::Duration;
/// # use saga_core::{Pause, Saga};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct PlaceOrder { is_gift: bool }
/// # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
/// struct CoolingOff;
///
/// impl Pause<PlaceOrder> for CoolingOff {
///     const NAME: &'static str = "cooling-off";
///
///     fn length(order: &PlaceOrder) -> Duration {
///         Duration::from_secs(if order.is_gift { 0 } else { 24 * 3600 })
///     }
/// }
///
/// let definition = saga_core::saga::<PlaceOrder>(1).pause::<CoolingOff>().build();
/// # definition.unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no pause of the saga `{S}`",
    label = "`.pause` and `.then_pause` need `impl Pause<{S}> for {Self}`",
    note = "to wait for something from outside, with a deadline, use a signal: `.wait`"
)]
pub trait Pause<S: Saga>: 'static {
    /// The name of the step that pauses, stable for ever.
    const NAME: &'static str;

    /// How long the saga pauses. The saga parks, and says why, if that is over 365 days.
    fn length(saga: &S) -> Duration;
}
