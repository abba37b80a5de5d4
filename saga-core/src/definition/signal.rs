//! What a saga waits for from outside.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Saga;

/// Something that the saga `S` waits for from outside: an event in another system, or what a human decides.
///
/// It is given by [`SagaHandle::signal`](crate::runtime::SagaHandle::signal). One that comes before the saga waits for
/// it is kept. The first one counts: giving the same again changes nothing, and giving another one is an error.
///
/// # Example: a manager decides within a day, and silence is a no
///
/// ```
/// # use std::time::Duration;
/// # use saga_core::{Saga, Signal};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct PlaceOrder { approved_by: Option<String> }
/// # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
/// #[derive(Serialize, Deserialize)]
/// enum Decision {
///     Approved { by: String },
///     Rejected,
/// }
///
/// impl Signal<PlaceOrder> for Decision {
///     const NAME: &'static str = "decision";
///
///     fn deadline() -> Duration {
///         Duration::from_secs(24 * 3600)
///     }
///
///     fn is_refusal(&self) -> bool {
///         matches!(self, Decision::Rejected)
///     }
///
///     fn on_signal(order: &mut PlaceOrder, decision: Decision) {
///         if let Decision::Approved { by } = decision {
///             order.approved_by = Some(by);
///         }
///     }
/// }
///
/// let definition = saga_core::saga::<PlaceOrder>(1).wait::<Decision>().build();
/// # definition.unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no signal of the saga `{S}`",
    label = "`.wait` needs `impl Signal<{S}> for {Self}`",
    note = "a signal comes from outside; if a participant is to be asked, it is a command: `.step`, `.check` or `.pivot`"
)]
pub trait Signal<S: Saga>: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the step that waits for it, stable for ever.
    const NAME: &'static str;

    /// How long the saga waits, from when it comes to this step.
    fn deadline() -> Duration;

    /// Takes note of the signal, whatever it says. Does nothing by default.
    fn on_signal(saga: &mut S, signal: Self) {
        let _ = (saga, signal);
    }

    /// Whether this signal is a "no", for which the saga is compensated. None is by default.
    fn is_refusal(&self) -> bool {
        false
    }

    /// The signal that counts as given when the deadline has passed. Without one, as by default, the saga is
    /// compensated then.
    fn at_deadline(saga: &S) -> Option<Self> {
        let _ = saga;
        None
    }
}
