//! How a service lives: it waits for what it needs, serves, and drains when it is told to stop.

use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use saga_core::Participant;
use saga_core::id::Destination;
use saga_core::port::{StoreError, Transport, TransportError};
use saga_core::runtime::{Service, participant};
use saga_postgres::{Config, PgFence, Tx};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Common;
use crate::http::ops;
use crate::{broker, database, telemetry};

/// Whatever ends a service.
pub type Fatal = Box<dyn Error + Send + Sync>;

/// Runs a service to its end, and says on standard error why it failed, if it did.
pub fn run(service: impl Future<Output = Result<(), Fatal>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Fatal::from).and_then(|runtime| runtime.block_on(service)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves HTTP until the process is told to stop.
///
/// # Errors
///
/// Those of listening.
pub async fn serve(common: &Common, router: Router) -> Result<(), Fatal> {
    let listener = TcpListener::bind(common.listen).await?;
    info!(address = %listener.local_addr()?, "listening");
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told_to_stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
    };
    axum::serve(listener, router).with_graceful_shutdown(told_to_stop).await?;
    Ok(())
}

/// The whole life of a participant: `tables` makes the tables of its own.
///
/// # Errors
///
/// Whatever keeps it from starting.
pub async fn run_participant<P: Participant, H: Send + Sync + 'static>(
    common: Common,
    handlers: Service<P, H, Tx>,
    tables: &'static str,
    handler_timeout: Duration,
) -> Result<(), Fatal> {
    let metrics = telemetry::install(common.log)?;
    let config = wait_for_database(&common, tables).await?;
    let transport = wait_for_broker(&common, P::NAME).await?;
    let fence = Arc::new(PgFence::connect(&config).await?);
    let running = participant(handlers, fence, transport.clone()).handler_timeout(handler_timeout);
    let running = Arc::new(running.start().await?);
    let health = running.clone();
    let router = ops::router(metrics, move || ops::participant(health.clone()));
    let served = serve(&common, router).await;
    running.stop(GRACE).await;
    transport.close().await;
    served
}

/// The database, up to date, once its server is there.
///
/// # Errors
///
/// [`StoreError`] if it will not be, or takes too long.
pub async fn wait_for_database(common: &Common, tables: &'static str) -> Result<Config, StoreError> {
    wait_for("the database", StoreError::is_temporary, || database::prepare(common, tables)).await
}

/// The transport, once the broker is there and has the destination that this service reads.
///
/// # Errors
///
/// [`TransportError`] if it will not be, or takes too long.
pub async fn wait_for_broker(common: &Common, reads: &str) -> Result<Arc<dyn Transport>, TransportError> {
    let transport = broker::connect(common)?;
    let reads = [Destination::new(reads).map_err(|error| TransportError::Permanent(error.to_string()))?];
    wait_for("the broker", TransportError::is_temporary, || transport.declare(&reads)).await?;
    Ok(transport)
}

async fn wait_for<T, E: Display, F: Future<Output = Result<T, E>>>(
    what: &str,
    is_temporary: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(error) if is_temporary(&error) && Instant::now() < give_up => {
                warn!(%error, "waiting for {what}")
            }
            outcome => return outcome,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A server that takes longer than this to come up needs a look. Whoever supervises the service starts it again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Soon enough after the server is there, seldom enough not to fill the log.
const PAUSE: Duration = Duration::from_millis(500);

/// How long draining may take; below the ten seconds after which containers are killed.
pub const GRACE: Duration = Duration::from_secs(4);
