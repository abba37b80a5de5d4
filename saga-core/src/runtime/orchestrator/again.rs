//! What the batch loop tries again.

use std::time::Duration;

use tokio::time::Instant;

use super::arrival::Arrival;

/// What is to be tried again, when, and how often in a row some of it failed. It waits apart, so that it holds up nothing
/// else: a saga that lost its race, or a start whose business key a transaction holds. If it is as much as a batch, the
/// store is away, and nothing new is taken.
pub(super) struct Again {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) due: Instant,
    failures: u32,
}

impl Default for Again {
    fn default() -> Self {
        Again { arrivals: Vec::new(), due: Instant::now(), failures: 0 }
    }
}

impl Again {
    /// Adds what came back from a batch. One that was a further try counts, whether it succeeded or failed.
    pub(super) fn add(
        &mut self,
        failed: Vec<Arrival>,
        tried_again: bool,
        delay: impl FnOnce(u32) -> Duration,
    ) {
        let is_first = self.arrivals.is_empty();
        if tried_again && failed.is_empty() {
            self.failures = 0;
        }
        if !failed.is_empty() && is_first {
            self.failures = self.failures.saturating_add(1);
            self.due = Instant::now() + delay(self.failures);
        }
        self.arrivals.extend(failed.into_iter().filter(Arrival::is_wanted));
    }
}
