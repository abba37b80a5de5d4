//! The sweeper: finds rows that nobody holds in memory. It needs no leader and no ownership to be right.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::warn;

use super::sender::Sender;
use super::{BATCH_MAX, LEASE};
use crate::policy::Backoff;
use crate::port::Outbox;
use crate::runtime::lifecycle::Stopping;

/// Sweeps until the runtime is to stop: when it is woken, and now and then, because polling is the truth.
pub(super) async fn sweep(
    outbox: Arc<dyn Outbox>,
    sender: Sender,
    wake: Arc<Notify>,
    mut stopping: Stopping,
) {
    let mut failures = 0;
    loop {
        let swept = sweep_once(&outbox, &sender).await;
        let failed = matches!(swept, Swept::Failed);
        failures = if failed { failures + 1 } else { 0 };
        // Not hot, however often it is woken. But it is woken: perhaps only one destination is missing.
        if failed && stopping.pause(PAUSE).await {
            return;
        }
        let pause = match swept {
            Swept::Full => Duration::ZERO,
            Swept::Nothing | Swept::Some => PAUSE,
            Swept::Failed => stopping.delay(AFTER_FAILURE, failures),
        };
        tokio::select! {
            biased;
            () = stopping.stopped() => return,
            () = tokio::time::sleep(pause) => {}
            () = wake.notified() => {}
        }
    }
}

/// How a sweep went.
enum Swept {
    Nothing,
    Some,
    /// There is probably more.
    Full,
    /// The database is away, or the broker has answered nothing at all.
    Failed,
}

async fn sweep_once(outbox: &Arc<dyn Outbox>, sender: &Sender) -> Swept {
    let rows = match outbox.claim(BATCH_MAX, LEASE).await {
        Ok(rows) => rows,
        Err(error) => {
            warn!(%error, "failed to look for unsent messages");
            return Swept::Failed;
        }
    };
    let full = rows.len() == BATCH_MAX;
    let rows = sender.not_held(rows);
    if rows.is_empty() {
        return if full { Swept::Full } else { Swept::Nothing };
    }
    let sent = sender.send(rows, "sweeper").await;
    match (sent.confirmed, sent.unanswered) {
        (0, 1..) => Swept::Failed,
        _ if full => Swept::Full,
        _ => Swept::Some,
    }
}

/// How often the table is looked at when nobody wakes the sweeper: an index scan that finds nothing.
const PAUSE: Duration = Duration::from_millis(500);

/// While the broker is away: rows are claimed and given back, so not too often.
const AFTER_FAILURE: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
