//! The order saga: what the services promise one another, and the steps of placing an order.

use std::time::Duration;

use saga_core::policy::{Backoff, Retry};
use saga_core::{
    Command, Compensate, Definition, DefinitionError, Outcome, Participant, Retriable, Saga, Step, Undoes,
    saga,
};
use serde::{Deserialize, Serialize};

/// The service that keeps the stock.
pub(crate) struct Inventory;
impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

/// The service that keeps the money.
pub(crate) struct Payment;
impl Participant for Payment {
    const NAME: &'static str = "payment";
}

/// Sets items aside for an order.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReserveStock {
    pub(crate) customer: String,
    pub(crate) items: i64,
}
impl Command for ReserveStock {
    const TYPE: &'static str = "inventory.reserve.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = String;
}

/// Gives the items back.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReleaseStock {
    pub(crate) customer: String,
    pub(crate) items: i64,
}
impl Command for ReleaseStock {
    const TYPE: &'static str = "inventory.release.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<ReserveStock> for ReleaseStock {}

/// Takes the money. This is the pivot: once it is done, the order will be shipped.
#[derive(Serialize, Deserialize)]
pub(crate) struct CapturePayment {
    pub(crate) customer: String,
    pub(crate) amount: i64,
}
impl Command for CapturePayment {
    const TYPE: &'static str = "payment.capture.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = String;
}

/// Sends the parcel.
#[derive(Serialize, Deserialize)]
pub(crate) struct ShipOrder {
    pub(crate) items: i64,
}
impl Command for ShipOrder {
    const TYPE: &'static str = "inventory.ship.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}

/// What an order carries from step to step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlaceOrder {
    pub(crate) customer: String,
    pub(crate) items: i64,
    pub(crate) amount: i64,
}
impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

impl Step<PlaceOrder> for ReserveStock {
    const NAME: &'static str = "reserve-stock";

    fn command(order: &PlaceOrder) -> Self {
        ReserveStock { customer: order.customer.clone(), items: order.items }
    }
}
impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;

    fn undo(order: &PlaceOrder, _: Outcome<()>) -> ReleaseStock {
        ReleaseStock { customer: order.customer.clone(), items: order.items }
    }
}

impl Step<PlaceOrder> for CapturePayment {
    const NAME: &'static str = "capture-payment";

    fn command(order: &PlaceOrder) -> Self {
        CapturePayment { customer: order.customer.clone(), amount: order.amount }
    }

    /// Short, so that a late answer shows within seconds.
    fn retry() -> Retry {
        let pause = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
        Retry::default().timeout(Duration::from_millis(500)).backoff(pause)
    }
}

impl Step<PlaceOrder> for ShipOrder {
    const NAME: &'static str = "ship-order";

    fn command(order: &PlaceOrder) -> Self {
        ShipOrder { items: order.items }
    }
}
impl Retriable<PlaceOrder> for ShipOrder {}

/// The saga itself.
pub(crate) fn place_order() -> Result<Definition<PlaceOrder>, DefinitionError> {
    saga(1).step::<ReserveStock>().pivot::<CapturePayment>().then::<ShipOrder>().build()
}
