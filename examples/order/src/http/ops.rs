//! What every service answers to machines: whether it is well, and its metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use saga_core::port::{Backlog, StoreError};
use saga_core::runtime::{Orchestrator, Participating};
use saga_postgres::{PgFence, PgStore};
use serde_json::{Value, json};

use super::Problem;

/// `GET /health` and `GET /metrics`.
pub fn router<F>(metrics: PrometheusHandle, health: impl Fn() -> F + Clone + Send + Sync + 'static) -> Router
where
    F: Future<Output = Result<Value, StoreError>> + Send + 'static,
{
    let health = async move || health().await.map(Json).map_err(Problem::from);
    Router::new().route("/health", get(health)).route("/metrics", get(async move || metrics.render()))
}

/// How a participant stands, computed from its tables.
///
/// # Errors
///
/// [`StoreError`] if the database is away.
pub async fn participant(running: Arc<Participating<PgFence>>) -> Result<Value, StoreError> {
    let backlog = running.health().await?;
    Ok(json!({ "status": word(backlog.dead > 0), "outbox": outbox(&backlog) }))
}

/// One word for those who only look at one.
fn word(needs_attention: bool) -> &'static str {
    if needs_attention { "needs attention" } else { "ok" }
}

fn outbox(backlog: &Backlog) -> Value {
    json!({ "unsent": backlog.unsent, "oldest_ms": backlog.oldest.map(millis), "dead": backlog.dead })
}

pub(super) fn millis(duration: Duration) -> u128 {
    duration.as_millis()
}

/// How the order service stands, computed from its tables.
///
/// # Errors
///
/// [`StoreError`] if the database is away.
pub async fn orchestrator(orchestrator: Orchestrator<PgStore>) -> Result<Value, StoreError> {
    let health = orchestrator.health().await?;
    let needs_attention = health.parked > 0 || health.outbox.dead > 0 || !health.unknown.is_empty();
    let unknown = health.unknown.iter().map(|unknown| unknown.definition.to_string());
    Ok(json!({
        "status": word(needs_attention),
        "outbox": outbox(&health.outbox),
        "sagas": { "unfinished": health.unfinished, "parked": health.parked },
        "oldest_waiting_ms": health.oldest_waiting.map(|(_, waited)| millis(waited)),
        "replies_held": health.held,
        "definitions_unknown": unknown.collect::<Vec<_>>(),
    }))
}
