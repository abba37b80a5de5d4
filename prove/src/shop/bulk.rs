//! The saga of a large order: each parcel of it is delivered by a saga of its own.

use std::time::Duration;

use saga_core::policy::Retry;
use saga_core::{
    Compensate, CompensateEach, Definition, DefinitionError, Each, Outcome, Participant, Pause,
    RetriableEach, Run, Saga, Signal, Step, SubSaga, saga,
};
use serde::{Deserialize, Serialize};

use super::contract::{
    AuthorizePayment, CapturePayment, PackParcel, PayCourier, PrintLabel, RefundCourier, SendInvoice,
    UnpackParcel, VoidLabel, VoidPayment,
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
        .for_each::<PrintLabel>()
        .for_each::<Run<Delivery>>()
        .pivot::<CapturePayment>()
        .then_for_each::<SendInvoice>()
        .build()
}

/// The saga of each parcel: it starts later.
pub(crate) fn delivery() -> Result<Definition<Delivery>, DefinitionError> {
    saga(1).pause::<UntilPickup>().step::<PackParcel>().step::<PayCourier>().build()
}

/// Given up so soon that many a call lands after its undo.
fn impatient() -> Retry {
    quick().attempts(1).timeout(Duration::from_millis(200))
}

/// The time until the courier comes.
struct UntilPickup;
impl Pause<Delivery> for UntilPickup {
    const NAME: &'static str = "until-pickup";

    fn length(saga: &Delivery) -> Duration {
        Duration::from_millis(50) * (saga.amount % 3)
    }
}

/// Given up after two attempts or three, as their pauses fall.
fn hasty() -> Retry {
    quick().deadline(Duration::from_millis(950))
}

impl PlaceBulkOrder {
    fn parcels(&self) -> Vec<String> {
        (0..self.parcels).map(|parcel| parcel.to_string()).collect()
    }

    /// What a parcel goes by in the books of the services.
    fn parcel(&self, item: &str) -> u64 {
        self.order.wrapping_add(item.parse().unwrap_or(0))
    }
}

macro_rules! each_parcel {
    ($(|$order:ident, $amount:ident| -> $command:ty { $written:expr })+) => {
        $(
            impl Each<PlaceBulkOrder> for $command {
                const AT_ONCE: usize = 2;

                fn items(saga: &PlaceBulkOrder) -> Vec<String> {
                    saga.parcels()
                }

                fn command(saga: &PlaceBulkOrder, item: &str) -> Self {
                    let ($order, $amount) = (saga.parcel(item), saga.amount);
                    $written
                }

                fn retry() -> Retry {
                    quick()
                }
            }
        )+
    };
}

each_parcel! {
    |order, amount| -> PrintLabel { PrintLabel { order, amount } }
    |order, amount| -> Run<Delivery> { Run(Delivery { order, amount }) }
    |order, amount| -> SendInvoice { SendInvoice { order, amount } }
}

impl CompensateEach<PlaceBulkOrder> for PrintLabel {
    type Undo = VoidLabel;

    fn undo(saga: &PlaceBulkOrder, item: &str, _did: Outcome<u32>) -> VoidLabel {
        VoidLabel { order: saga.parcel(item), amount: saga.amount }
    }

    fn undo_retry() -> Retry {
        quick().attempts(6)
    }
}

impl RetriableEach<PlaceBulkOrder> for SendInvoice {}

steps! {
    PlaceBulkOrder:
    AuthorizePayment hasty();
    CapturePayment quick().close_when_spent();
}

undos! {
    PlaceBulkOrder:
    AuthorizePayment by VoidPayment;
}

steps! {
    Delivery:
    PackParcel quick();
    PayCourier impatient();
}

undos! {
    Delivery:
    PackParcel by UnpackParcel;
    PayCourier by RefundCourier;
}
