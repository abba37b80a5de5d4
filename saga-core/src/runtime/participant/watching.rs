//! Looks after calls that nobody may come back with: their undo is run again and again, until none can land any more.
//!
//! Those who made such a call, and every later delivery of its command, take it back as well, and sooner. This is for
//! when none of them is left.

use std::time::Duration;

use futures_util::future::join_all;
use metrics::counter;
use tracing::{error, info_span, warn};

use super::worker::Worker;
use crate::fence::{FenceKey, Recorded, next_look};
use crate::id::{Direction, MessageId};
use crate::message::Fault;
use crate::port::{Fence, Look, Outbox, Watch};

/// What looks after calls, one in each process of a participant.
pub(super) struct Watching<F: Fence> {
    pub(super) worker: Worker<F>,
    pub(super) calls_land_within: Duration,
    /// How many undos are run at once.
    pub(super) at_once: usize,
}

impl<F: Watch + Outbox> Watching<F>
where
    F::Tx: 'static,
{
    /// Works until the participant stops.
    pub(super) async fn run(mut self) {
        loop {
            let idle = self.worker.handler_timeout.clamp(IDLE_MIN, IDLE_MAX);
            let pause = if self.look().await > 0 { Duration::ZERO } else { idle };
            if self.worker.stopping.pause(pause).await {
                return;
            }
        }
    }

    /// Looks at what is due, and returns how much that was.
    async fn look(&self) -> usize {
        let (fence, name) = (&self.worker.fence, &self.worker.name);
        let lease = settled_after(self.worker.handler_timeout);
        let claimed = match fence.claim_looks(name, self.at_once.min(LOOKS_AT_ONCE_MAX), lease).await {
            Ok(claimed) => claimed,
            Err(error) => {
                warn!(%error, "failed to look after late calls, trying again later");
                return 0;
            }
        };
        let looked = join_all(claimed.iter().map(|look| self.look_at(look))).await;
        let looked: Vec<_> = looked.into_iter().flatten().collect();
        if !looked.is_empty()
            && let Err(error) = fence.looked(&looked).await
        {
            warn!(%error, "looks at late calls could not be noted, and are taken again");
        }
        claimed.len()
    }

    /// Runs the undo of one call, and returns when it is to be run again; nothing if that is left to the lease.
    async fn look_at(&self, look: &Look) -> Option<(FenceKey, Option<Duration>)> {
        let FenceKey { saga, step, .. } = &look.key;
        if self.is_poison(look) {
            let times = self.worker.runs_max;
            error!(%saga, %step, times, "a late call is no longer undone: that took the whole process down");
            counter!("saga_late_undos_failed_total").increment(1);
            return None;
        }
        let again = match self.undo(look).await {
            // A database's clock that was put back makes a row look young.
            Ok(()) => next_look(look.watched_for, self.calls_land_within)
                .map(|pause| pause.max(settled_after(self.worker.handler_timeout))),
            Err(fault) => {
                error!(%saga, %step, %fault, "a late call could not be undone, and its effect may stand");
                counter!("saga_late_undos_failed_total").increment(1);
                let soonest = settled_after(self.worker.handler_timeout);
                Some(look.watched_for.clamp(soonest, FAILED_PAUSE_MAX))
            }
        };
        Some((look.key.clone(), again))
    }

    /// Whether a look has taken the process down so often that it is left alone, but for a try now and then: its handler
    /// may be mended, or have been unlucky.
    fn is_poison(&self, look: &Look) -> bool {
        let beyond = look.claims.saturating_sub(self.worker.runs_max);
        !beyond.is_multiple_of(POISON_TRIED_ONE_IN)
    }

    async fn undo(&self, look: &Look) -> Result<(), Fault> {
        let Look { key: FenceKey { saga, step, .. }, command, .. } = look;
        let handler = self.worker.handlers.calling(command.as_str());
        let handler =
            handler.ok_or_else(|| Fault::permanent(format!("there is no external handler for {command}")))?;
        counter!("saga_late_calls_looked_after_total").increment(1);
        let call = MessageId::command(*saga, step, Direction::Do);
        let span = info_span!("saga.look", %saga, %step, %command);
        self.worker.bounded(span, handler.undo(call, &Recorded::Unknown)).await?
    }
}

/// How long after a handler was begun it has ended for sure, even where the clock of a process goes slow.
pub(super) fn settled_after(handler_timeout: Duration) -> Duration {
    handler_timeout.saturating_mul(3).clamp(SETTLED_MIN, FAILED_PAUSE_MAX)
}

/// Enough to keep up with a gateway that was away for a day, and few beside the calls of commands.
const LOOKS_AT_ONCE_MAX: usize = 16;

/// With a handler's usual time that is once an hour.
const POISON_TRIED_ONE_IN: u32 = 120;

/// How often rows are looked for that are due, whatever time handlers have: neither hot nor never.
const IDLE_MIN: Duration = Duration::from_millis(100);
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Where handlers have hardly any time.
const SETTLED_MIN: Duration = Duration::from_millis(500);

/// So that a gateway which was away is heard of soon after it is back.
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
