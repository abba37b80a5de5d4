//! Retries, backoff and deadlines as data. `delay` is pure: the jitter comes from a seed, not from a dice.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant on Postgres's clock, in microseconds since 1970.
///
/// Only ever compared with other instants of the same clock, and never with an application's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this instant, or zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// The instant `after` later.
    pub fn plus(self, after: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// How a step is retried: how long to wait for an answer, how often to ask again, and when to give up.
///
/// What giving up means depends on the step: a compensatable one is compensated, one with nothing to
/// undo is closed, a pivot goes on (or is closed, see [`Retry::close_when_spent`]), a retriable one goes on
/// for ever. An undo that gives up parks its saga.
///
/// # Example: three attempts of two seconds each, at most ten seconds in all
///
/// ```
/// use std::time::Duration;
/// use saga_core::policy::Retry;
///
/// let retry = Retry::default()
///     .attempts(3)
///     .timeout(Duration::from_secs(2))
///     .deadline(Duration::from_secs(10));
/// # let _ = retry;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retry {
    pub(crate) attempts: u32,
    pub(crate) timeout: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) deadline: Option<Duration>,
    pub(crate) close_when_spent: bool,
}

impl Default for Retry {
    /// Five attempts, each waiting ten seconds for its answer, with [`Backoff::default`] in between.
    fn default() -> Self {
        Retry {
            attempts: 5,
            timeout: Duration::from_secs(10),
            backoff: Backoff::default(),
            deadline: None,
            close_when_spent: false,
        }
    }
}

impl Retry {
    /// What an undo gets unless its step says otherwise: twenty attempts, then the saga parks.
    ///
    /// More than a command gets, because giving up here needs a human.
    pub fn for_undo() -> Self {
        Retry { attempts: 20, ..Retry::default() }
    }

    /// How often the command is sent at most, the first time included. At least 1.
    pub fn attempts(self, attempts: u32) -> Self {
        Retry { attempts, ..self }
    }

    /// How long each attempt waits for its answer. An attempt without an answer is *unknown*, not failed.
    pub fn timeout(self, timeout: Duration) -> Self {
        Retry { timeout, ..self }
    }

    /// The pauses before a command is sent again.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Retry { backoff, ..self }
    }

    /// How long all attempts may take together, counted from the first one. None by default.
    pub fn deadline(self, deadline: Duration) -> Self {
        Retry { deadline: Some(deadline), ..self }
    }

    /// For a pivot: once the attempts are spent, ask the participant to make a "no" final, and compensate if it
    /// was one. By default a pivot is asked for ever and shown in health, because only a human may decide.
    pub fn close_when_spent(self) -> Self {
        Retry { close_when_spent: true, ..self }
    }

    /// Names the first option that makes no sense, for the definition's builder.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        if self.attempts == 0 {
            Some("zero attempts; at least 1 is needed")
        } else if self.timeout < TIMEOUT_MIN {
            Some("a timeout under 1 millisecond; no answer could arrive in time")
        } else if self.timeout > DURATION_MAX {
            Some("a timeout over 365 days")
        } else if self.backoff.first < TIMEOUT_MIN {
            Some(
                "a backoff under 1 millisecond; a command that fails at once would be sent again without a pause",
            )
        } else if self.backoff.max > DURATION_MAX {
            Some("a backoff over 365 days")
        } else if self.backoff.max < self.backoff.first {
            Some("a backoff whose longest pause is shorter than its first")
        } else {
            self.deadline.and_then(deadline_mistake)
        }
    }
}

/// What is wrong with a deadline, if it makes no sense.
pub(crate) fn deadline_mistake(deadline: Duration) -> Option<&'static str> {
    if deadline.is_zero() {
        Some("a deadline of zero")
    } else if deadline > DURATION_MAX {
        Some("a deadline over 365 days")
    } else {
        None
    }
}

/// Growing pauses: the first one, doubled each time up to the longest, each shortened by up to a fifth at random.
///
/// The jitter follows "Exponential Backoff And Jitter" (Brooker, 2015): callers that failed together
/// should not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

impl Default for Backoff {
    /// From 200 milliseconds up to 30 seconds.
    fn default() -> Self {
        Backoff::new(Duration::from_millis(200), Duration::from_secs(30))
    }
}

impl Backoff {
    /// Pauses that start at `first` and double up to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Backoff { first, max }
    }

    /// The pause after attempt number `attempt` (from 1), between four fifths of its full length and all of it.
    ///
    /// The same `attempt` and `seed` always give the same pause.
    pub fn delay(&self, attempt: u32, seed: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(DOUBLINGS_MAX);
        let full = self.first.saturating_mul(1 << doublings).min(self.max);
        let fraction = f64::from(u32::try_from(scramble(seed ^ u64::from(attempt)) >> 32).unwrap_or(0));
        full.mul_f64(1.0 - JITTER * fraction / f64::from(u32::MAX))
    }
}

/// Spreads a seed over all its bits (the finaliser of SplitMix64, Steele et al. 2014).
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The part of a pause that is left to chance: enough to spread a crowd, little enough to be predictable.
const JITTER: f64 = 0.2;

/// Keeps `1 << doublings` inside a `u32`; by then every pause has reached its longest.
const DOUBLINGS_MAX: u32 = 30;

/// Below this, the timer fires before any network could answer.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// Longer waits are better modelled as something other than a retry, and this keeps timestamps in range.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_lose_at_most_a_fifth() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for (attempt, full) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000)] {
            for seed in 0..200 {
                let pause = backoff.delay(attempt, seed);
                assert!(pause <= Duration::from_millis(full), "attempt {attempt}: {pause:?}");
                assert!(pause >= Duration::from_millis(full * 4 / 5), "attempt {attempt}: {pause:?}");
            }
        }
    }

    #[test]
    fn pauses_of_different_sagas_differ_and_of_one_saga_do_not() {
        let backoff = Backoff::default();
        let distinct: std::collections::HashSet<_> = (0..100).map(|seed| backoff.delay(3, seed)).collect();
        assert!(distinct.len() > 90);
        assert_eq!(backoff.delay(3, 1), backoff.delay(3, 1));
    }

    #[test]
    fn options_that_make_no_sense_are_named() {
        let retry = Retry::default();
        assert_eq!(retry.mistake(), None);
        assert!(retry.attempts(0).mistake().unwrap().contains("attempts"));
        assert!(retry.timeout(Duration::ZERO).mistake().unwrap().contains("timeout"));
        assert!(retry.deadline(Duration::ZERO).mistake().unwrap().contains("deadline"));
        let upside_down = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
        assert!(retry.backoff(upside_down).mistake().unwrap().contains("backoff"));
        let hot = Backoff::new(Duration::ZERO, Duration::from_secs(1));
        assert!(retry.backoff(hot).mistake().unwrap().contains("without a pause"));
        let endless = Backoff::new(Duration::from_secs(1), Duration::MAX);
        assert!(retry.backoff(endless).mistake().unwrap().contains("365 days"));
    }
}
