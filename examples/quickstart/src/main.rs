//! The order saga in one process.
//!
//! Run with `cargo run -p quickstart`. It prints the timelines of four sagas; `--help` tells how to run the same over
//! Postgres and a broker.

mod args;
mod backend;
mod books;
mod order;
mod services;
mod timeline;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use saga_core::port::{Forget, History, Outbox, Store, Transport, Watch};
use saga_core::runtime::{Orchestrator, participant, service};

use args::Args;
use books::Books;
use order::{
    CapturePayment, Inventory, Payment, PlaceOrder, ReleaseStock, ReserveStock, ShipOrder, place_order,
};
use services::{Bank, PATIENT, UNLUCKY, Warehouse};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let transport = backend::transport(&args)?;
    match &args.postgres {
        None => {
            let (store, inventory, payment) = backend::in_memory();
            run(store, inventory, payment, transport).await
        }
        Some(url) => backend::run_on_postgres(url, transport).await,
    }
}

/// Starts both services and the orchestrator, runs the sagas, and prints their timelines.
async fn run<S, F>(
    store: Arc<S>,
    inventory: Arc<F>,
    payment: Arc<F>,
    transport: Arc<dyn Transport>,
) -> Result<(), Failure>
where
    S: Store + Outbox + History,
    F: Forget<Tx: Books + 'static> + Watch + Outbox,
{
    let warehouse = service::<Inventory, _, _>(Warehouse::default())
        .handle::<ReserveStock>()
        .undo::<ReserveStock, ReleaseStock>()
        .handle::<ShipOrder>();
    let bank = service::<Payment, _, _>(Bank::default()).handle::<CapturePayment>();
    let inventory = participant(warehouse, inventory, transport.clone()).start().await?;
    let payment = participant(bank, payment, transport.clone()).start().await?;
    let orchestrator = Orchestrator::builder(store, transport.clone(), "orders.replies")
        .register(&place_order()?)
        .start()
        .await?;

    let mut started = Vec::new();
    for (title, customer, amount) in ORDERS {
        let order = PlaceOrder { customer: customer.into(), items: 2, amount };
        started.push((title, orchestrator.start(order).await?));
    }
    for (title, saga) in started {
        saga.outcome().await?;
        if let Some(details) = orchestrator.show(saga.id()).await? {
            timeline::print(title, &details);
        }
    }

    orchestrator.stop(GRACE).await;
    inventory.stop(GRACE).await;
    payment.stop(GRACE).await;
    transport.close().await;
    Ok(())
}

/// The orders: what they show, who places them, and for how much.
const ORDERS: [(&str, &str, i64); 4] = [
    ("An order that completes", "Ada", 120),
    ("An order that payment refuses: the reservation is taken back", "Alan", 1_000_000),
    ("An order that is refused, and whose compensation has to be repeated", UNLUCKY, 1_000_000),
    ("An order whose payment answers late, and is asked again", PATIENT, 80),
];

/// How long to drain at the end.
const GRACE: Duration = Duration::from_secs(5);
