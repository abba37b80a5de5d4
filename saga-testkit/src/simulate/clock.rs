//! The clock of one database: it differs from the others, and it jumps.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use saga_core::memory::TokioClock;
use saga_core::policy::Timestamp;
use saga_core::port::Clock;

pub(super) struct JumpingClock {
    steady: TokioClock,
    ahead_micros: AtomicI64,
}

impl JumpingClock {
    pub(super) fn ahead_by(ahead: Duration) -> Self {
        let steady = TokioClock::starting_at(Timestamp::from_micros(BEGINNING_MICROS));
        JumpingClock { steady, ahead_micros: AtomicI64::new(ahead.as_micros() as i64) }
    }

    pub(super) fn jump(&self, micros: i64) {
        self.ahead_micros.fetch_add(micros, Relaxed);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.steady.now().as_micros() + self.ahead_micros.load(Relaxed))
    }
}

/// Any instant would do: 2026-01-01.
const BEGINNING_MICROS: i64 = 1_767_225_600_000_000;
