//! Forgets sagas that have ended: notes each end, and deletes fence rows once it is long past.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::id::ParticipantName;
use crate::message::{COMMAND_VALID, EndNotice};
use crate::port::{Forget, Token};
use crate::runtime::lifecycle::Stopping;
use crate::runtime::relay;
use crate::runtime::settling::Settling;

/// A notice that was received and is not yet settled.
pub(super) struct Noticed {
    pub(super) notice: EndNotice,
    pub(super) token: Token,
    pub(super) settling: Settling,
}

/// What forgets, one in each process of a participant.
pub(super) struct Forgetting<F> {
    pub(super) fence: Arc<F>,
    pub(super) name: ParticipantName,
    pub(super) horizon: Horizon,
    pub(super) notices: mpsc::Receiver<Noticed>,
    pub(super) stopping: Stopping,
}

/// How long a fence row stays after the notice of its saga's end.
#[derive(Clone, Copy)]
pub(super) struct Horizon(Duration);

impl Horizon {
    /// Never shorter than a command is valid: a copy that arrives later must still find its row.
    pub(super) fn of(horizon: Duration) -> Self {
        Horizon(horizon.max(COMMAND_VALID))
    }
}

impl Default for Horizon {
    /// Twice as long as a command is valid, so that the two databases' clocks may differ by a week.
    fn default() -> Self {
        Horizon(COMMAND_VALID * 2)
    }
}

impl<F: Forget> Forgetting<F> {
    /// Works until the participant stops, and then gives back what is not noted yet.
    pub(super) async fn run(mut self) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.stopping.stopped() => break,
                () = tokio::time::sleep_until(next) => next = Instant::now() + self.forget().await,
                noticed = self.notices.recv() => match noticed {
                    Some(noticed) => self.note(noticed).await,
                    None => break,
                },
            }
        }
        while let Some(Noticed { token, settling, .. }) = self.notices.recv().await {
            settling.release(token).await;
        }
    }

    /// Notes the end of sagas, and acks the notice after that.
    async fn note(&mut self, Noticed { notice, token, settling }: Noticed) {
        for failures in 1.. {
            match self.fence.note_ended(&self.name, notice.sagas()).await {
                Ok(()) => {
                    counter!("saga_ends_noted_total").increment(notice.sagas().len() as u64);
                    return settling.ack(token).await;
                }
                Err(error) if !error.is_temporary() => {
                    warn!(%error, "a notice of sagas' ends is dead-lettered");
                    return settling.dead_letter(token, error.to_string()).await;
                }
                Err(error) => warn!(%error, "failed to note sagas' ends, trying again"),
            }
            if self.stopping.pause(self.stopping.delay(relay::AWAY, failures)).await {
                return settling.release(token).await;
            }
        }
    }

    /// Deletes a batch of rows. Returns how long to wait for the next.
    async fn forget(&self) -> Duration {
        let forgotten = match self.fence.forget(&self.name, self.horizon.0, BATCH).await {
            Ok(forgotten) => forgotten,
            Err(error) => {
                warn!(%error, "failed to delete fence rows of ended sagas, trying again later");
                0
            }
        };
        if forgotten > 0 {
            counter!("saga_fence_rows_deleted_total").increment(forgotten as u64);
            info!(forgotten, "fence rows of ended sagas were deleted");
        }
        if forgotten < BATCH { LOOK } else { PAUSE }
    }
}

/// A few milliseconds of the database's time.
const BATCH: usize = 1_000;

/// Ten times what a batch takes.
const PAUSE: Duration = Duration::from_millis(100);

/// How often rows are looked for whose time has come: they wait for weeks, so minutes do not matter.
const LOOK: Duration = Duration::from_secs(60);
