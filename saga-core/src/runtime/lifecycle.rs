//! Starting, stopping and supervising tasks. A runtime starts once, may be stopped twice, and drains on stop.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::warn;

use crate::policy::Backoff;
use crate::port::IdSource;

/// The tasks of one runtime. Dropping it aborts them, which is safe at every point; stopping them drains first.
pub(crate) struct Tasks {
    stop: Arc<Signal>,
    running: JoinSet<()>,
    jitter: u64,
}

impl Tasks {
    /// No tasks yet. Their pauses differ from those of other processes by an id of `ids`, so that processes that
    /// failed together do not come back together.
    pub(crate) fn new(ids: &dyn IdSource) -> Self {
        let jitter = ids.uuid().as_u64_pair().1;
        Tasks { stop: Arc::default(), running: JoinSet::new(), jitter }
    }

    /// The signal that tells tasks to stop.
    pub(crate) fn stopping(&self) -> Stopping {
        Stopping { signal: self.stop.clone(), jitter: self.jitter }
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(task);
    }

    /// Tells the tasks to stop and waits until they are done, or aborts them after `grace`.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        self.stop.give();
        let drained =
            tokio::time::timeout(grace, async { while self.running.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            warn!(
                ?grace,
                "stopped before everything was drained; what is left is sent or run again elsewhere"
            );
            self.running.shutdown().await;
        }
    }
}

impl Drop for Tasks {
    /// What the tasks have spawned beside them stops as well.
    fn drop(&mut self) {
        self.stop.give();
    }
}

/// Given once, and for good. Tokio's own `watch` wakes its receivers in an order of chance, which no simulation could
/// repeat.
#[derive(Default)]
struct Signal {
    given: AtomicBool,
    waiting: Notify,
}

impl Signal {
    fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.waiting.notify_waiters();
    }

    fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }
}

/// Tells a task when to stop.
#[derive(Clone)]
pub(crate) struct Stopping {
    signal: Arc<Signal>,
    jitter: u64,
}

impl Stopping {
    /// Returns once the runtime is to stop. Cancel safe.
    pub(crate) async fn stopped(&mut self) {
        // First wait, then look: the signal may be given in between.
        let given = self.signal.waiting.notified();
        if !self.is_stopping() {
            given.await;
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.signal.is_given()
    }

    /// Waits for `pause`, or until the runtime is to stop; tells whether it is to stop.
    pub(crate) async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stopped() => true,
            () = tokio::time::sleep(pause) => false,
        }
    }

    /// How long to wait after so many failures; other processes wait a little more or less.
    pub(crate) fn delay(&self, backoff: Backoff, failures: u32) -> Duration {
        backoff.delay(failures, self.jitter)
    }

    /// Waits before what has just broken off is begun again: some brokers say only then that they will not have us.
    pub(crate) async fn before_again(&mut self) {
        self.pause(self.delay(RECONNECT, 1)).await;
    }

    /// Calls `attempt` until it succeeds, with growing pauses; gives up only when the runtime is to stop.
    pub(crate) async fn until_done<T, E: Display, F>(
        &mut self,
        what: &str,
        mut attempt: impl FnMut() -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, E>>,
    {
        for failures in 1.. {
            match attempt().await {
                Ok(done) => return Some(done),
                Err(error) => warn!(%error, failures, "failed to {what}, trying again"),
            }
            if self.pause(self.delay(RECONNECT, failures)).await {
                break;
            }
        }
        None
    }

    /// The same for what may be dropped at any moment, and is when the runtime is to stop.
    pub(crate) async fn until_done_or_dropped<T, E: Display, F>(
        &mut self,
        what: &str,
        attempt: impl FnMut() -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut stopping = self.clone();
        tokio::select! {
            biased;
            () = stopping.stopped() => None,
            done = self.until_done(what, attempt) => done,
        }
    }
}

/// From a pause that nobody notices up to one that spares a server that is starting.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::port::RandomIds;

    #[tokio::test(start_paused = true)]
    async fn what_may_be_dropped_does_not_keep_the_runtime_from_stopping() {
        let mut tasks = Tasks::new(&RandomIds);
        let mut stopping = tasks.stopping();
        tasks.spawn(async move {
            let unanswered = std::future::pending::<Result<(), String>>;
            assert!(stopping.until_done_or_dropped("subscribe", unanswered).await.is_none());
        });
        let begun = Instant::now();
        tasks.stop(Duration::from_secs(5)).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
