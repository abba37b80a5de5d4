//! Logs to standard error, and metrics to be fetched.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Installs both for the whole process. Needs a tokio runtime.
///
/// # Errors
///
/// [`BuildError`] if another recorder of metrics is installed.
pub fn install(level: Level) -> Result<PrometheusHandle, BuildError> {
    // What lapin has to say about a lost connection, the transport says in better words.
    let targets = Targets::new().with_default(level).with_target("lapin", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(targets)).init();
    let metrics = PrometheusBuilder::new().install_recorder()?;
    tokio::spawn(keep_small(metrics.clone()));
    Ok(metrics)
}

/// Folds what histograms have gathered, also while nobody fetches them.
async fn keep_small(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

/// Some thousands of samples at the busiest.
const UPKEEP: Duration = Duration::from_secs(5);
