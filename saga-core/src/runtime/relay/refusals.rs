//! Destinations to which the broker says no: their messages wait longer and longer, so that they stand in nobody's way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Destination;

/// What this process knows of them. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<Mutex<BTreeMap<Destination, Refused>>>);

/// How long a destination's messages wait, and until when no refusal makes it longer.
struct Refused {
    wait: Duration,
    until: Instant,
}

impl Refusals {
    /// Whether any destination is known to be refused.
    pub(super) fn are_any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// A message of this destination was taken.
    pub(super) fn taken(&self, destination: &Destination) {
        self.lock().remove(destination);
    }

    /// A message of this destination was refused. Says how long it is to wait: twice as long each time that those have
    /// come again which waited before.
    pub(super) fn refused(&self, destination: &Destination) -> Duration {
        let now = Instant::now();
        let mut refusals = self.lock();
        let first = Refused { wait: WAIT_MIN, until: now + WAIT_MIN };
        let refused = refusals.entry(destination.clone()).or_insert(first);
        if now >= refused.until {
            refused.wait = WAIT_MAX.min(refused.wait * 2);
            refused.until = now + refused.wait;
        }
        refused.wait
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Destination, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a message waits that the broker did not take. Long enough not to run hot, short enough for a service that is
/// just starting.
pub(super) const WAIT_MIN: Duration = Duration::from_millis(500);

/// Tens of thousands of messages that are refused again and again cost little then, and a destination that is made at last
/// has its messages within seconds.
const WAIT_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_doubles_once_it_is_over_and_ends_with_the_first_message_that_is_taken() {
        let (refusals, gone) = (Refusals::default(), Destination::new("gone").unwrap());
        let mut waits = Vec::new();
        for _ in 0..7 {
            let wait = refusals.refused(&gone);
            assert_eq!(refusals.refused(&gone), wait, "others of the same wait");
            waits.push(wait.as_millis());
            tokio::time::advance(wait).await;
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        refusals.taken(&gone);
        assert!(!refusals.are_any());
        assert_eq!(refusals.refused(&gone), WAIT_MIN);
    }
}
