//! The saga of a large order: each parcel of it is delivered by a saga of its own.

use std::time::Duration;

use saga_core::policy::Retry;
use saga_core::{
    Compensate, Definition, DefinitionError, Each, Outcome, Participant, Run, Saga, Signal, Step, SubSaga,
    saga,
};
use serde::{Deserialize, Serialize};

use super::contract::{
    AuthorizePayment, CapturePayment, PackParcel, PayCourier, RefundCourier, UnpackParcel, VoidPayment,
};
use super::saga::{quick, steps, undos};

/// A large order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlaceBulkOrder {
    pub(crate) order: u64,
    pub(crate) amount: u32,
    pub(crate) parcels: u64,
}

impl Saga for PlaceBulkOrder {
    const NAME: &'static str = "place-bulk-order";
}

/// The delivery of a parcel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Delivery {
    order: u64,
    amount: u32,
}

impl Saga for Delivery {
    const NAME: &'static str = "delivery";
}

/// Who runs deliveries.
pub(crate) struct Shipping;
impl Participant for Shipping {
    const NAME: &'static str = "shipping";
}

impl SubSaga for Delivery {
    type Orchestrator = Shipping;
}

/// Whether somebody in the shop finds the order too large.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) is_given: bool,
}

impl Signal<PlaceBulkOrder> for Approval {
    const NAME: &'static str = "approval";

    fn deadline() -> Duration {
        Duration::from_millis(1_500)
    }

    fn is_refusal(&self) -> bool {
        !self.is_given
    }
}

/// The saga itself.
pub(crate) fn place_bulk_order() -> Result<Definition<PlaceBulkOrder>, DefinitionError> {
    saga(1)
        .step::<AuthorizePayment>()
        .wait::<Approval>()
        .for_each::<Run<Delivery>>()
        .pivot::<CapturePayment>()
        .build()
}

/// The saga of each parcel.
pub(crate) fn delivery() -> Result<Definition<Delivery>, DefinitionError> {
    saga(1).step::<PackParcel>().step::<PayCourier>().build()
}

impl Each<PlaceBulkOrder> for Run<Delivery> {
    const AT_ONCE: usize = 2;

    fn items(saga: &PlaceBulkOrder) -> Vec<String> {
        (0..saga.parcels).map(|parcel| parcel.to_string()).collect()
    }

    fn command(saga: &PlaceBulkOrder, item: &str) -> Self {
        let parcel = item.parse().unwrap_or(0);
        Run(Delivery { order: saga.order.wrapping_add(parcel), amount: saga.amount })
    }

    fn retry() -> Retry {
        quick()
    }
}

steps! {
    PlaceBulkOrder:
    AuthorizePayment quick();
    CapturePayment quick().close_when_spent();
}

undos! {
    PlaceBulkOrder:
    AuthorizePayment by VoidPayment;
}

steps! {
    Delivery:
    PackParcel quick();
    PayCourier quick();
}

undos! {
    Delivery:
    PackParcel by UnpackParcel;
    PayCourier by RefundCourier;
}
