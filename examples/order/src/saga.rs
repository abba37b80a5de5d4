//! The saga: reserve and authorize at once, wait for a manager if it is much, capture (the point of no return), ship
//! item by item.

use std::sync::OnceLock;
use std::time::Duration;

use saga_core::definition::DefinitionError;
use saga_core::policy::Retry;
use saga_core::{Compensate, Definition, Each, Outcome, RetriableEach, Saga, Signal, Step, saga};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::contract::{
    AuthorizePayment, Authorized, CapturePayment, Item, OrderId, ReleaseStock, ReserveStock, ShipItem,
    VoidPayment,
};

/// What the saga carries from step to step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaceOrder {
    /// The order.
    pub order: OrderId,
    /// Who pays.
    pub customer: String,
    /// How much, in cents.
    pub amount: i64,
    /// What is ordered.
    pub items: Vec<Item>,
    /// What the payment service calls the held money, once it is held.
    pub hold: Option<Uuid>,
}

impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

/// The definition. Its retry options do not belong to its version, so they may be changed at any time.
pub fn place_order() -> Result<Definition<PlaceOrder>, DefinitionError> {
    saga(3)
        .parallel::<(ReserveStock, AuthorizePayment)>()
        .wait::<Decision>()
        .when(|order| order.amount >= DECIDED_FROM)
        .pivot::<CapturePayment>()
        .then_for_each::<ShipItem>()
        .build()
}

impl Step<PlaceOrder> for ReserveStock {
    const NAME: &'static str = "reserve-stock";

    fn command(order: &PlaceOrder) -> Self {
        ReserveStock { order: order.order, items: order.items.clone() }
    }

    fn retry() -> Retry {
        retry()
    }
}

impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;

    fn undo(order: &PlaceOrder, _: Outcome<()>) -> ReleaseStock {
        ReleaseStock { order: order.order }
    }

    fn undo_retry() -> Retry {
        undo_retry()
    }
}

impl Step<PlaceOrder> for AuthorizePayment {
    const NAME: &'static str = "authorize-payment";

    fn command(order: &PlaceOrder) -> Self {
        let PlaceOrder { order, customer, amount, .. } = order.clone();
        AuthorizePayment { order, customer, amount }
    }

    fn on_reply(order: &mut PlaceOrder, Authorized { hold }: Authorized) {
        order.hold = Some(hold);
    }

    fn retry() -> Retry {
        retry()
    }
}

impl Compensate<PlaceOrder> for AuthorizePayment {
    type Undo = VoidPayment;

    fn undo(order: &PlaceOrder, _: Outcome<Authorized>) -> VoidPayment {
        VoidPayment { order: order.order }
    }

    fn undo_retry() -> Retry {
        undo_retry()
    }
}

/// What a manager decides about an order for much money. Silence for a day is a no.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Whether the order may go on.
    pub approved: bool,
    /// Who says so; the journal keeps it.
    pub by: String,
}

impl Signal<PlaceOrder> for Decision {
    const NAME: &'static str = "decision";

    fn deadline() -> Duration {
        Duration::from_secs(24 * 3600)
    }

    fn is_refusal(&self) -> bool {
        !self.approved
    }
}

impl Step<PlaceOrder> for CapturePayment {
    const NAME: &'static str = "capture-payment";

    fn command(order: &PlaceOrder) -> Self {
        CapturePayment { order: order.order, hold: order.hold.expect("authorized before the pivot") }
    }

    fn retry() -> Retry {
        retry()
    }
}

impl Each<PlaceOrder> for ShipItem {
    const NAME: &'static str = "ship-item";

    fn items(order: &PlaceOrder) -> Vec<String> {
        order.items.iter().map(|item| item.name.clone()).collect()
    }

    fn command(order: &PlaceOrder, item: &str) -> Self {
        ShipItem { order: order.order, item: item.to_owned() }
    }

    fn retry() -> Retry {
        retry()
    }
}

impl RetriableEach<PlaceOrder> for ShipItem {}

/// Sets how long a step waits for its answer, for the whole process, before its first saga. Ten seconds otherwise.
pub fn set_step_timeout(timeout: Duration) {
    // Whoever sets it a second time is late: sagas run with the first.
    let _ = STEP_TIMEOUT.set(timeout);
}

fn retry() -> Retry {
    with_timeout(Retry::default())
}

fn undo_retry() -> Retry {
    with_timeout(Retry::for_undo())
}

fn with_timeout(retry: Retry) -> Retry {
    STEP_TIMEOUT.get().map_or(retry, |timeout| retry.timeout(*timeout))
}

/// In cents. Below this, a manager costs more than a mistake.
const DECIDED_FROM: i64 = 500_000;

static STEP_TIMEOUT: OnceLock<Duration> = OnceLock::new();
