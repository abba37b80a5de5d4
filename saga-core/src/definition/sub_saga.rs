//! Steps that run another saga, and take it back by compensating it.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::items::{CompensateEach, Each};
use super::step::{Compensate, Outcome, Saga, Step};
use crate::message::{Command, Participant, Undoes};

/// A saga that other sagas may run as one of their steps, said in the contract that both sides share.
///
/// Its orchestrator takes the commands of a participant, and the saga stands for the effect: it is run by [`Run`], and
/// taken back by compensating it. So its definition has no pivot; when it is through, it stays undoable until the saga
/// that ran it has completed.
///
/// # Example: an order runs a delivery
///
/// ```
/// # use saga_core::{Definition, DefinitionError, Participant, Run, Saga, Step, SubSaga, saga};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct PlaceOrder { address: String, parcel: Option<u64> }
/// # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
/// #[derive(Serialize, Deserialize)]
/// struct Delivery { address: String, parcel: Option<u64> }
/// # impl Saga for Delivery { const NAME: &'static str = "delivery"; }
///
/// /// The orchestrator of deliveries: where other sagas send what they ask of it.
/// struct Shipping;
/// impl Participant for Shipping {
///     const NAME: &'static str = "shipping";
/// }
/// impl SubSaga for Delivery {
///     type Orchestrator = Shipping;
/// }
///
/// impl Step<PlaceOrder> for Run<Delivery> {
///     fn command(order: &PlaceOrder) -> Self {
///         Run(Delivery { address: order.address.clone(), parcel: None })
///     }
///
///     fn on_reply(order: &mut PlaceOrder, delivery: Delivery) {
///         order.parcel = delivery.parcel;
///     }
/// }
///
/// fn place_order() -> Result<Definition<PlaceOrder>, DefinitionError> {
///     saga(1).step::<Run<Delivery>>().build()
/// }
/// # place_order().unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "saga `{Self}` cannot be run as a step of another saga",
    label = "this saga does not say which orchestrator runs it for others",
    note = "say so in the contract: `impl SubSaga for {Self} {{ type Orchestrator = ..; }}`, a `Participant`"
)]
pub trait SubSaga: Saga {
    /// The orchestrator that runs it for others, as a participant. It registers the definition with
    /// [`register_sub_saga`](crate::runtime::OrchestratorBuilder::register_sub_saga).
    type Orchestrator: Participant;
}

/// The command that runs the saga `C`, which begins with this data. The reply is its data when it is through.
///
/// A step, or a step for each item, like any other: `impl Step<PlaceOrder> for Run<Delivery>`. Its undo is
/// [`TakeBack`], and stands before the pivot only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Run<C>(pub C);

impl<C: SubSaga> Command for Run<C> {
    const TYPE: &'static str = C::NAME;
    type Participant = C::Orchestrator;
    type Reply = C;
    type Refusal = NotRun<C>;
    const SUB_SAGA: Option<&'static str> = Some(C::NAME);
}

/// The command that compensates the saga `C`, or sees to it that it never begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct TakeBack<C>(PhantomData<fn() -> C>);

impl<C: SubSaga> Command for TakeBack<C> {
    const TYPE: &'static str = C::NAME;
    type Participant = C::Orchestrator;
    type Reply = ();
    type Refusal = ();
}

impl<C: SubSaga> Undoes<Run<C>> for TakeBack<C> {}

impl<S: Saga, C: SubSaga> Compensate<S> for Run<C>
where
    Run<C>: Step<S, Reply = C, Participant = C::Orchestrator>,
{
    type Undo = TakeBack<C>;

    fn undo(_: &S, _: Outcome<C>) -> TakeBack<C> {
        TakeBack(PhantomData)
    }
}

impl<S: Saga, C: SubSaga> CompensateEach<S> for Run<C>
where
    Run<C>: Each<S, Reply = C, Participant = C::Orchestrator>,
{
    type Undo = TakeBack<C>;

    fn undo(_: &S, _: &str, _: Outcome<C>) -> TakeBack<C> {
        TakeBack(PhantomData)
    }
}

/// Why a saga that was run as a step came to nothing: it has compensated itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRun<C> {
    /// Why it was compensated, for a human.
    pub why: String,
    /// Its data at its end, with what its steps took note of.
    pub data: C,
}
