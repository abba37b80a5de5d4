//! The saga: charge the card, then ship. What cannot be shipped is paid back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use saga_core::policy::{Backoff, Retry};
use saga_core::port::{Forget, History, Outbox, Store, Transport, Watch};
use saga_core::runtime::{
    Handle, Handled, Orchestrator, Participating, Reply, SagaOutcome, participant, service,
};
use saga_core::{
    Command, Compensate, Definition, DefinitionError, Outcome, Participant, Saga, Step, Undoes, saga,
};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::server::Gateway;

/// The service that calls the gateway.
pub struct Payment;
impl Participant for Payment {
    const NAME: &'static str = "payment";
}

/// The service that ships.
pub struct Warehouse;
impl Participant for Warehouse {
    const NAME: &'static str = "warehouse";
}

/// Charges a card.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChargeCard {
    /// How much.
    pub cents: u64,
}
impl Command for ChargeCard {
    const TYPE: &'static str = "payment.charge.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = String;
}

/// Takes a charge back.
#[derive(Debug, Serialize, Deserialize)]
pub struct VoidCharge;
impl Command for VoidCharge {
    const TYPE: &'static str = "payment.void.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<ChargeCard> for VoidCharge {}

/// Ships the goods of an order.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShipOrder {
    /// The order's number.
    pub order: u64,
}
impl Command for ShipOrder {
    const TYPE: &'static str = "warehouse.ship.v1";
    type Participant = Warehouse;
    type Reply = ();
    type Refusal = String;
}

/// An order under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlaceOrder {
    order: u64,
    cents: u64,
}
impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

impl Step<PlaceOrder> for ChargeCard {
    fn command(order: &PlaceOrder) -> Self {
        ChargeCard { cents: order.cents }
    }

    fn retry() -> Retry {
        let pauses = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));
        Retry::default().attempts(100).timeout(Duration::from_secs(5)).backoff(pauses)
    }
}
impl Compensate<PlaceOrder> for ChargeCard {
    type Undo = VoidCharge;

    fn undo(_: &PlaceOrder, _: Outcome<()>) -> VoidCharge {
        VoidCharge
    }
}

impl Step<PlaceOrder> for ShipOrder {
    fn command(order: &PlaceOrder) -> Self {
        ShipOrder { order: order.order }
    }
}

/// The saga's definition.
///
/// # Errors
///
/// None, as the tests show.
pub fn place_order() -> Result<Definition<PlaceOrder>, DefinitionError> {
    saga(1).step::<ChargeCard>().pivot::<ShipOrder>().build()
}

struct Shelves;

impl<Tx: Send> Handle<ShipOrder, Tx> for Shelves {
    async fn handle(&self, command: ShipOrder, _: &mut Tx) -> Handled<ShipOrder> {
        Ok(if command.order.is_multiple_of(3) {
            Reply::Refused("out of stock".into())
        } else {
            Reply::Done(())
        })
    }
}

/// The saga's orchestrator and its services, over whatever database and broker.
pub struct Shop<S, F> {
    orchestrator: Orchestrator<S>,
    _services: [Participating<F>; 2],
}

impl<S: Store + Outbox + History, F: Forget + Watch + Outbox> Shop<S, F>
where
    F::Tx: 'static,
{
    /// Starts everything. The payment service calls the gateway at `gateway`.
    ///
    /// # Errors
    ///
    /// Whatever stands in the way of a start.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn start(
        store: Arc<S>,
        fences: [Arc<F>; 2],
        transport: Arc<dyn Transport>,
        gateway: SocketAddr,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let charging = service::<Payment, _, _>(Client(gateway));
        let charging = charging.external::<ChargeCard>().external_undo::<ChargeCard, VoidCharge>();
        let shipping = service::<Warehouse, _, _>(Shelves).handle::<ShipOrder>();
        let [payment, warehouse] = fences;
        let payment = participant(charging, payment, transport.clone()).handler_timeout(PATIENCE);
        let services =
            [payment.start().await?, participant(shipping, warehouse, transport.clone()).start().await?];
        let orchestrator = Orchestrator::builder(store, transport, "orders.replies");
        let orchestrator = orchestrator.register(&place_order()?).start().await?;
        Ok(Shop { orchestrator, _services: services })
    }

    /// Places so many orders at once, and returns how many were paid and shipped.
    ///
    /// # Errors
    ///
    /// If an order could not be placed, or is parked.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the orders go on.
    pub async fn place(&self, orders: u64) -> Result<usize, Box<dyn std::error::Error>> {
        let mut placed = Vec::new();
        for order in 1..=orders {
            // Every seventh is over the limit of the card.
            let cents = if order.is_multiple_of(7) { 20_000 + order } else { 100 + order };
            placed.push(self.orchestrator.start(PlaceOrder { order, cents }).await?);
        }
        let mut shipped = 0;
        for order in placed {
            match order.outcome().await? {
                SagaOutcome::Completed(_) => shipped += 1,
                SagaOutcome::Compensated { .. } => {}
                SagaOutcome::Parked { reason } => return Err(reason.into()),
            }
        }
        Ok(shipped)
    }
}

/// What the gateway's books say once every order has ended.
#[derive(Debug)]
pub struct Balance {
    /// How many charges stand.
    pub standing: usize,
    /// How many charges were asked for again.
    pub asked_again: usize,
    /// How many were voided.
    pub voided: usize,
}

impl Balance {
    /// Reads the gateway's books.
    pub fn of(gateway: &Gateway) -> Self {
        let accounts = gateway.accounts();
        let count =
            |is: fn(&crate::server::Account) -> bool| accounts.values().filter(|account| is(account)).count();
        Balance {
            standing: count(|account| account.cents > 0),
            asked_again: count(|account| account.requests > 1),
            voided: count(|account| account.voided),
        }
    }
}

/// How long the payment service waits for the gateway.
const PATIENCE: Duration = Duration::from_secs(1);
