//! Retires sagas that ended long ago, in batches that leave the database room for its real work.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tracing::{info, warn};

use crate::message::COMMAND_VALID;
use crate::port::{Retire, Retiring};
use crate::runtime::lifecycle::Stopping;

/// How long ended sagas stay, and what becomes of them then.
///
/// A saga that is retired leaves the store with its journal, and the participants of its definition are told, so that
/// they can forget their fence rows of it. Its business key stays for ever.
#[derive(Clone, Copy, Debug)]
#[must_use = "give it to `OrchestratorBuilder::retention`"]
pub struct Retention {
    retiring: Retiring,
    pause: Duration,
}

impl Retention {
    /// Keeps a saga for `ended_for` after its end, and then archives it.
    ///
    /// Whoever waits for an outcome, or gets a reply late, should find the saga still there: days, or hours at least.
    pub fn after(ended_for: Duration) -> Self {
        Retention {
            retiring: Retiring { ended_for, archive: true, horizon: horizon(), limit: BATCH },
            pause: PAUSE,
        }
    }

    /// Archives nothing: the saga and its journal are deleted, and only its business key is left.
    pub const fn without_archive(mut self) -> Self {
        self.retiring.archive = false;
        self
    }

    /// How many sagas are retired in one transaction, from 1 to 1,000; 200 unless said otherwise.
    pub fn batch(mut self, sagas: usize) -> Self {
        self.retiring.limit = sagas.clamp(1, BATCH_MAX);
        self
    }

    /// How long to pause after each transaction; 100 milliseconds unless said otherwise.
    pub const fn pause(self, pause: Duration) -> Self {
        Retention { pause, ..self }
    }

    /// How long to wait after everything was retired that could be.
    fn look(&self) -> Duration {
        self.retiring.ended_for.clamp(LOOK_MIN, LOOK_MAX)
    }
}

/// Retires sagas until the orchestrator stops. Several processes share the work, and none waits for another.
pub(super) async fn retire(store: Arc<dyn Retire>, retention: Retention, mut stopping: Stopping) {
    let (mut sagas, mut batches) = (0, 0);
    loop {
        let retired = match store.retire(retention.retiring).await {
            Ok(retired) => retired,
            Err(error) => {
                warn!(%error, "failed to retire sagas, trying again later");
                0
            }
        };
        counter!("saga_retired_total").increment(retired as u64);
        (sagas, batches) = (sagas + retired, batches + 1);
        let is_done = retired < retention.retiring.limit;
        if sagas > 0 && (is_done || batches % BATCHES_TOLD == 0) {
            info!(sagas, batches, is_done, "ended sagas were retired");
        }
        if is_done {
            (sagas, batches) = (0, 0);
        }
        if stopping.pause(if is_done { retention.look() } else { retention.pause }).await {
            return;
        }
    }
}

/// Twice as long as a command is valid, as for a fence row.
fn horizon() -> Duration {
    planted!(ChildRetiredEarly: return Duration::ZERO);
    COMMAND_VALID * 2
}

/// Small, so that what waits behind it waits briefly.
const BATCH: usize = 200;

/// As many as share a notice.
const BATCH_MAX: usize = 1_000;

/// Leaves the database to its real work most of the time; up to 2,000 sagas a second can leave.
const PAUSE: Duration = Duration::from_millis(100);

/// How often the database is asked whether more sagas ended long enough ago, at most and at least.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(60);

/// After how many batches a long round tells how far it is.
const BATCHES_TOLD: usize = 500;
