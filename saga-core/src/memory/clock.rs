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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_stands_still_with_tokios_time_and_goes_on_with_it() {
        let clock = TokioClock::starting_at(Timestamp::from_micros(7));
        assert_eq!(clock.now(), Timestamp::from_micros(7));
        tokio::time::advance(Duration::from_micros(5)).await;
        assert_eq!(clock.now(), Timestamp::from_micros(12));
    }
}
