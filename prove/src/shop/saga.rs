//! The order saga.

use std::time::Duration;

use saga_core::policy::{Backoff, Retry};
use saga_core::{
    Compensate, Definition, DefinitionError, NothingToUndo, Notification, Outcome, Pause, Retriable, Saga,
    Step, saga,
};
use serde::{Deserialize, Serialize};

use super::contract::{
    AuthorizePayment, BookCourier, CancelCourier, CapturePayment, CheckFraud, NoteOrder, OrderPlaced,
    ReleaseStock, ReserveStock, SendInvoice, ShipOrder, StrikeOrder, VoidPayment, goes_by_courier,
};

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PlaceOrder {
    pub(crate) order: u64,
    pub(crate) amount: u32,
}

impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

impl PlaceOrder {
    const fn goes_by_courier(&self) -> bool {
        goes_by_courier(self.amount)
    }

    /// Whether a fraud would hurt.
    const fn is_dear(&self) -> bool {
        self.amount > 4
    }
}

/// Some time in which the customer may change their mind.
struct CoolingOff;
impl Pause<PlaceOrder> for CoolingOff {
    const NAME: &'static str = "cooling-off";

    fn length(saga: &PlaceOrder) -> Duration {
        Duration::from_millis(100) * (saga.amount % 4)
    }
}

impl Notification<PlaceOrder> for OrderPlaced {
    const TYPE: &'static str = "shop.order-placed.v1";
    const TOPICS: &'static [&'static str] = &["mailing", "statistics"];

    fn of(saga: &PlaceOrder) -> Self {
        OrderPlaced { order: saga.order }
    }
}

/// The saga itself.
pub(crate) fn place_order() -> Result<Definition<PlaceOrder>, DefinitionError> {
    saga(1)
        .step::<ReserveStock>()
        .parallel::<(AuthorizePayment, BookCourier, NoteOrder)>()
        .when_step::<BookCourier>(PlaceOrder::goes_by_courier)
        .pause::<CoolingOff>()
        .check::<CheckFraud>()
        .when(PlaceOrder::is_dear)
        .pivot::<CapturePayment>()
        .then::<ShipOrder>()
        .notify::<OrderPlaced>()
        .deadline(Duration::from_secs(4))
        .build()
}

/// A newer version of it, to which orders may move that are not yet shipped.
pub(crate) fn place_order_with_invoice(
    first: &Definition<PlaceOrder>,
) -> Result<Definition<PlaceOrder>, DefinitionError> {
    saga(2)
        .step::<ReserveStock>()
        .parallel::<(AuthorizePayment, BookCourier, NoteOrder)>()
        .when_step::<BookCourier>(PlaceOrder::goes_by_courier)
        .pause::<CoolingOff>()
        .check::<CheckFraud>()
        .when(PlaceOrder::is_dear)
        .pivot::<CapturePayment>()
        .then_parallel::<(SendInvoice, ShipOrder)>()
        .notify::<OrderPlaced>()
        .deadline(Duration::from_secs(4))
        .upgrade_from(first)
        .build()
}

macro_rules! steps {
    ($saga:ident: $($command:ident $retry:expr;)+) => {
        $(
            impl Step<$saga> for $command {
                fn command(saga: &$saga) -> Self {
                    $command { order: saga.order, amount: saga.amount }
                }

                fn retry() -> Retry {
                    $retry
                }
            }
        )+
    };
}

steps! {
    PlaceOrder:
    ReserveStock quick();
    AuthorizePayment quick();
    BookCourier quick();
    NoteOrder quick();
    CheckFraud quick();
    CapturePayment quick().close_when_spent();
    SendInvoice quick();
    ShipOrder quick();
}

macro_rules! undos {
    ($saga:ident: $($command:ident by $undo:ident;)+) => {
        $(
            impl Compensate<$saga> for $command {
                type Undo = $undo;

                fn undo(saga: &$saga, did: Outcome<u32>) -> $undo {
                    let amount = match did {
                        Outcome::Done(amount) => amount,
                        Outcome::Unknown => saga.amount,
                    };
                    $undo { order: saga.order, amount }
                }

                fn undo_retry() -> Retry {
                    quick().attempts(6)
                }
            }
        )+
    };
}

undos! {
    PlaceOrder:
    ReserveStock by ReleaseStock;
    AuthorizePayment by VoidPayment;
    BookCourier by CancelCourier;
    NoteOrder by StrikeOrder;
}

impl NothingToUndo<PlaceOrder> for CheckFraud {}
impl Retriable<PlaceOrder> for SendInvoice {}
impl Retriable<PlaceOrder> for ShipOrder {}

pub(super) use {steps, undos};

/// Three attempts within two seconds, so that a run sees them spent.
pub(super) fn quick() -> Retry {
    let pause = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));
    Retry::default().attempts(3).timeout(Duration::from_millis(400)).backoff(pause)
}
