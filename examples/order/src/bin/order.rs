//! The order service: takes orders over HTTP, and runs their sagas.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use order::config::Common;
use order::http::{self, ops};
use order::orders::{self, Orders};
use order::saga::{PlaceOrder, place_order, set_step_timeout};
use order::service::{Fatal, GRACE, run, serve, wait_for_broker, wait_for_database};
use order::telemetry;
use saga_core::runtime::{Orchestrator, SagaLimits};
use saga_postgres::PgStore;

/// Takes orders over HTTP, and runs their sagas
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: Common,
    /// How long a step waits for its answer before it is asked again, in milliseconds
    #[arg(long, env = "STEP_TIMEOUT_MS", default_value_t = 10_000)]
    step_timeout_ms: u64,
    /// How many orders may be under way; while there are so many, the next is answered 503
    #[arg(long, env = "ORDERS_MAX", default_value_t = 10_000)]
    orders_max: u64,
}

fn main() -> ExitCode {
    run(serve_orders(Options::parse()))
}

async fn serve_orders(Options { common, step_timeout_ms, orders_max }: Options) -> Result<(), Fatal> {
    set_step_timeout(Duration::from_millis(step_timeout_ms));
    let metrics = telemetry::install(common.log)?;
    let config = wait_for_database(&common, orders::TABLES).await?;
    let pool = orders::pool(&common.database_url)?;
    let transport = wait_for_broker(&common, REPLIES).await?;
    let store = Arc::new(PgStore::connect(&config).await?);
    let limits = SagaLimits::default().in_flight(orders_max);
    let builder = Orchestrator::builder(store, transport.clone(), REPLIES).register(&place_order()?);
    let orchestrator = builder.limit::<PlaceOrder>(limits).start().await?;
    let health = orchestrator.clone();
    let ops = ops::router(metrics, move || ops::orchestrator(health.clone()));
    let served = serve(&common, http::router(Orders::new(pool, orchestrator.clone()), ops)).await;
    orchestrator.stop(GRACE).await;
    transport.close().await;
    served
}

/// Where the participants' answers come to.
const REPLIES: &str = "order.replies";
