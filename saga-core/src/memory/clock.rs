//! A clock that tests can pause.

use tokio::time::Instant;

use crate::policy::Timestamp;
use crate::port::{Clock, SystemClock};

/// Starts at some instant and goes on as tokio's time does: it stands still while that is paused.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    began: Instant,
    began_at: Timestamp,
}

impl TokioClock {
    /// A clock that now shows `at`; a fixed one makes a test run the same way each time.
    pub fn starting_at(at: Timestamp) -> Self {
        TokioClock { began: Instant::now(), began_at: at }
    }
}

impl Default for TokioClock {
    /// A clock that shows the machine's time.
    fn default() -> Self {
        TokioClock::starting_at(SystemClock.now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.began_at.plus(self.began.elapsed())
    }
}
