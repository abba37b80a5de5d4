//! Destinations whose messages the broker does not take: they wait longer and longer, so that they stand in nobody's way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Destination;

/// How long the messages of each destination wait, as far as this process knows. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Postponed(Arc<Mutex<BTreeMap<Destination, Postponement>>>);

/// How long it is, and until when it becomes no longer.
struct Postponement {
    length: Duration,
    until: Instant,
}

impl Postponed {
    /// Whether the messages of any destination wait.
    pub(super) fn are_any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// A message of this destination was taken.
    pub(super) fn taken(&self, destination: &Destination) {
        self.lock().remove(destination);
    }

    /// A message of this destination was not taken. Says how long it is to wait: twice as long each time that those have
    /// come again which waited before.
    pub(super) fn not_taken(&self, destination: &Destination) -> Duration {
        let now = Instant::now();
        let mut postponed = self.lock();
        let first = Postponement { length: POSTPONED_MIN, until: now + POSTPONED_MIN };
        let wait = postponed.entry(destination.clone()).or_insert(first);
        if now >= wait.until {
            wait.length = POSTPONED_MAX.min(wait.length * 2);
            wait.until = now + wait.length;
        }
        wait.length
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Destination, Postponement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a message waits that the broker did not take. Long enough not to run hot, short enough for a service that is
/// just starting.
pub(super) const POSTPONED_MIN: Duration = Duration::from_millis(500);

/// Tens of thousands of messages that are not taken again and again cost little then, and a destination that is made at last
/// has its messages within seconds.
const POSTPONED_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_doubles_once_it_is_over_and_ends_with_the_first_message_that_is_taken() {
        let (postponed, gone) = (Postponed::default(), Destination::new("gone").unwrap());
        let mut lengths = Vec::new();
        for _ in 0..7 {
            let wait = postponed.not_taken(&gone);
            assert_eq!(postponed.not_taken(&gone), wait, "others of the same wait");
            lengths.push(wait.as_millis());
            tokio::time::advance(wait).await;
        }
        assert_eq!(lengths, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        postponed.taken(&gone);
        assert!(!postponed.are_any());
        assert_eq!(postponed.not_taken(&gone), POSTPONED_MIN);
    }
}
