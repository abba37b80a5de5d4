//! The order saga and its participants over the in-memory adapters.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "shared by several test binaries, each using a part"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport, MemoryTx, TokioClock};
use saga_core::message::Fault;
use saga_core::port::{Fence, Transport};
use saga_core::runtime::{Handle, Handled, Orchestrator, Participating, Reply, Undo, participant, service};
use saga_core::{Command, Compensate, Definition, Outcome, Participant, Retriable, Saga, Step, Undoes, saga};
use serde::{Deserialize, Serialize};

pub struct Inventory;
impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

pub struct Payment;
impl Participant for Payment {
    const NAME: &'static str = "payment";
}

macro_rules! command {
    ($name:ident { $($field:ident: $kind:ty),* } to $participant:ty, $type:literal, $reply:ty) => {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub struct $name { $(pub $field: $kind),* }
        impl Command for $name {
            const TYPE: &'static str = $type;
            type Participant = $participant;
            type Reply = $reply;
            type Refusal = String;
        }
    };
}
command!(ReserveStock { order: String, items: u32 } to Inventory, "inventory.reserve.v1", u64);
command!(ReleaseStock { items: u32 } to Inventory, "inventory.release.v1", ());
command!(CapturePayment { amount: u32 } to Payment, "payment.capture.v1", ());
command!(ShipOrder { reservation: u64 } to Inventory, "inventory.ship.v1", ());
impl Undoes<ReserveStock> for ReleaseStock {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaceOrder {
    pub name: String,
    pub items: u32,
    pub amount: u32,
    pub reservation: Option<u64>,
}

impl PlaceOrder {
    pub fn of(items: u32, amount: u32) -> Self {
        PlaceOrder::named("order", items, amount)
    }

    pub fn named(name: &str, items: u32, amount: u32) -> Self {
        PlaceOrder { name: name.into(), items, amount, reservation: None }
    }
}

impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

impl Step<PlaceOrder> for ReserveStock {
    fn command(order: &PlaceOrder) -> Self {
        ReserveStock { order: order.name.clone(), items: order.items }
    }

    fn on_reply(order: &mut PlaceOrder, reservation: u64) {
        order.reservation = Some(reservation);
    }
}

impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;

    fn undo(order: &PlaceOrder, _: Outcome<u64>) -> ReleaseStock {
        ReleaseStock { items: order.items }
    }
}

impl Step<PlaceOrder> for CapturePayment {
    fn command(order: &PlaceOrder) -> Self {
        assert_ne!(order.name, "bad-command", "this saga cannot pay");
        CapturePayment { amount: order.amount }
    }
}

impl Step<PlaceOrder> for ShipOrder {
    fn command(order: &PlaceOrder) -> Self {
        ShipOrder { reservation: order.reservation.expect("reserved before the pivot") }
    }
}
impl Retriable<PlaceOrder> for ShipOrder {}

pub fn place_order() -> Definition<PlaceOrder> {
    saga(1).step::<ReserveStock>().pivot::<CapturePayment>().then::<ShipOrder>().build().unwrap()
}

#[derive(Default)]
pub struct Stock {
    failing: AtomicU32,
}

impl Stock {
    pub fn fail_releases(&self, times: u32) {
        self.failing.store(times, Ordering::SeqCst);
    }
}

/// The handlers, shared with the test that makes them fail.
pub struct Shared(pub Arc<Stock>);

impl Handle<ReserveStock, MemoryTx<u32>> for Shared {
    async fn handle(&self, command: ReserveStock, tx: &mut MemoryTx<u32>) -> Handled<ReserveStock> {
        match command.order.as_str() {
            "hangs" => std::future::pending().await,
            "panics" => panic!("this handler panics"),
            _ => {}
        }
        if *tx.data() < command.items {
            return Ok(Reply::Refused("out of stock".into()));
        }
        *tx.data_mut() -= command.items;
        Ok(Reply::Done(7))
    }
}

impl Undo<ReserveStock, ReleaseStock, MemoryTx<u32>> for Shared {
    async fn undo(&self, command: ReleaseStock, did: u64, tx: &mut MemoryTx<u32>) -> Result<(), Fault> {
        assert_eq!(did, 7);
        *tx.data_mut() += command.items;
        let left = self.0.failing.load(Ordering::SeqCst);
        if left > 0 {
            self.0.failing.store(left - 1, Ordering::SeqCst);
            return Err(Fault::temporary("the warehouse does not answer"));
        }
        Ok(())
    }
}

impl Handle<ShipOrder, MemoryTx<u32>> for Shared {
    async fn handle(&self, _: ShipOrder, _: &mut MemoryTx<u32>) -> Handled<ShipOrder> {
        Ok(Reply::Done(()))
    }
}

pub struct Accounts;

impl Handle<CapturePayment, MemoryTx<u32>> for Accounts {
    async fn handle(&self, command: CapturePayment, tx: &mut MemoryTx<u32>) -> Handled<CapturePayment> {
        *tx.data_mut() = tx.data().wrapping_sub(command.amount);
        if *tx.data() > u32::MAX / 2 {
            return Ok(Reply::Refused("not enough money".into()));
        }
        Ok(Reply::Done(()))
    }
}

/// What inventory and payment begin with.
pub struct Captured {
    pub stock: u32,
    pub money: u32,
    /// How many commands payment may run in one transaction.
    pub group: usize,
}

pub struct Bench {
    captured: Captured,
    pub orchestrator: Orchestrator<MemoryStore>,
    pub stock: Arc<Stock>,
    pub transport: MemoryTransport,
    inventory: Arc<MemoryFence<u32>>,
    payment: Arc<MemoryFence<u32>>,
    participants: Vec<Participating<MemoryFence<u32>>>,
}

impl Bench {
    pub async fn start() -> Self {
        Bench::with(Captured { stock: 100, money: 1000, group: 1 }).await
    }

    pub async fn with(captured: Captured) -> Self {
        let mut bench = Bench::build(captured).await;
        let payment = bench.start_payment().await;
        bench.participants.push(payment);
        bench
    }

    pub async fn without_payment() -> Self {
        Bench::build(Captured { stock: 100, money: 1000, group: 1 }).await
    }

    async fn build(captured: Captured) -> Self {
        let clock = Arc::new(TokioClock::default());
        let transport = MemoryTransport::default();
        let shared: Arc<dyn Transport> = Arc::new(transport.connect());
        let stock = Arc::new(Stock::default());
        let inventory = Arc::new(MemoryFence::new(captured.stock, clock.clone()));
        let payment = Arc::new(MemoryFence::new(captured.money, clock.clone()));
        let handlers = service::<Inventory, _, _>(Shared(stock.clone()))
            .handle::<ReserveStock>()
            .undo::<ReserveStock, ReleaseStock>()
            .handle::<ShipOrder>();
        let running = participant(handlers, inventory.clone(), shared.clone())
            .handler_timeout(Duration::from_secs(1))
            .start()
            .await
            .unwrap();
        let store = Arc::new(MemoryStore::new(clock));
        let orchestrator = Orchestrator::builder(store, shared, "orders.replies")
            .register(&place_order())
            .start()
            .await
            .unwrap();
        Bench { captured, orchestrator, stock, transport, inventory, payment, participants: vec![running] }
    }

    pub async fn start_payment(&self) -> Participating<MemoryFence<u32>> {
        let handlers = service::<Payment, _, _>(Accounts).handle::<CapturePayment>();
        let payment = participant(handlers, self.payment.clone(), Arc::new(self.transport.connect()));
        payment.commands_per_transaction(self.captured.group).start().await.unwrap()
    }

    /// The stock and the money that are left.
    pub async fn left(&self) -> (u32, u32) {
        let (stock, _) = self.inventory.begin(&[]).await.unwrap();
        let (money, _) = self.payment.begin(&[]).await.unwrap();
        (*stock.data(), *money.data())
    }

    /// Nothing is unsent, unfinished or parked.
    pub async fn assert_quiet(&self) {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let health = self.orchestrator.health().await.unwrap();
        assert_eq!((health.outbox.unsent, health.unfinished, health.parked), (0, 0, 0), "{health:?}");
        for participant in &self.participants {
            assert_eq!(participant.health().await.unwrap().unsent, 0);
        }
    }
}
