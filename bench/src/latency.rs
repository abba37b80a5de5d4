//! How long sagas took, as the orchestrator's process sees it: from just before the commit that starts a saga to
//! just after the commit that ends it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Collects the latencies of one run.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    latencies: Vec<Duration>,
}

/// The run as a whole.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Pace {
    pub(crate) sagas_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Stopwatch {
    /// Begins the run.
    pub(crate) fn start(sagas: u64) -> Self {
        Stopwatch { began: Instant::now(), latencies: Vec::with_capacity(sagas as usize) }
    }

    /// Notes that a saga that began at `began` has ended.
    pub(crate) fn saga_ended(&mut self, began: Instant) {
        self.latencies.push(began.elapsed());
    }

    /// How many sagas have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// Ends the run.
    pub(crate) fn stop(mut self) -> Pace {
        let seconds = self.began.elapsed().as_secs_f64();
        self.latencies.sort_unstable();
        Pace {
            sagas_per_s: self.latencies.len() as f64 / seconds,
            p50_ms: percentile(&self.latencies, 50),
            p99_ms: percentile(&self.latencies, 99),
        }
    }
}

/// The smallest latency that at least `percent` of the sagas did not exceed (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), 100.0);
        assert_eq!(percentile(&sorted, 99), 198.0);
        assert_eq!(percentile(&sorted[..1], 99), 1.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }
}
