//! The workers of one runtime, seen together: who takes the next jobs, and how many at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::timeout;

/// How many workers are busy, and a bell that each rings when it is done.
#[derive(Default)]
pub(super) struct Crew {
    busy: AtomicUsize,
    free: Notify,
}

impl Crew {
    /// Takes up to `max` jobs for a worker, which is busy from then on. Returns false if nothing more will come.
    ///
    /// A worker that is alone begins at once. While others are in their transactions, jobs gather until one of those
    /// ends, so that they share the next commit; but never for long, for a handler may be slow.
    pub(super) async fn gather<J>(
        &self,
        jobs: &Mutex<mpsc::Receiver<J>>,
        batch: &mut Vec<J>,
        max: usize,
    ) -> bool {
        let mut jobs = jobs.lock().await;
        if jobs.recv_many(batch, max).await == 0 {
            return false;
        }
        // First listen, then look: the bell may ring in between.
        let free = self.free.notified();
        if batch.len() < max && self.busy.load(Ordering::Relaxed) > 0 {
            // That nobody became free in this time is as good a reason to begin.
            let _ = timeout(GATHER_MAX, free).await;
            while batch.len() < max
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
        }
        self.busy.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Says that a worker is no longer busy.
    pub(super) fn done(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
        self.free.notify_waiters();
    }
}

/// About what a transaction takes whose handlers only write rows.
const GATHER_MAX: Duration = Duration::from_millis(4);

#[cfg(test)]
mod tests {
    use super::*;

    struct Shift {
        crew: Crew,
        queue: mpsc::Sender<u32>,
        jobs: Mutex<mpsc::Receiver<u32>>,
    }

    impl Shift {
        fn begin() -> Self {
            let (queue, jobs) = mpsc::channel(10);
            Shift { crew: Crew::default(), queue, jobs: Mutex::new(jobs) }
        }

        fn give(&self, jobs: std::ops::Range<u32>) {
            jobs.for_each(|job| self.queue.try_send(job).unwrap());
        }

        async fn take(&self, max: usize) -> Vec<u32> {
            let mut batch = Vec::new();
            assert!(self.crew.gather(&self.jobs, &mut batch, max).await);
            batch
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_is_alone_begins_at_once() {
        let shift = Shift::begin();
        shift.give(0..1);
        let (batch, ()) = tokio::join!(shift.take(8), async { shift.give(1..2) });
        assert_eq!(batch, [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_gather_until_another_worker_is_done() {
        let shift = Shift::begin();
        shift.give(0..2);
        assert_eq!(shift.take(8).await, [0, 1]);
        shift.give(2..3);
        let busy = async {
            shift.give(3..5);
            shift.crew.done();
        };
        let (batch, ()) = tokio::join!(shift.take(8), busy);
        assert_eq!(batch, [2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_worker_is_not_waited_for() {
        let shift = Shift::begin();
        shift.give(0..1);
        shift.take(8).await;
        shift.give(1..2);
        let began = tokio::time::Instant::now();
        assert_eq!(shift.take(8).await, [1]);
        assert_eq!(began.elapsed(), GATHER_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_does_not_wait() {
        let shift = Shift::begin();
        shift.give(0..5);
        let began = tokio::time::Instant::now();
        assert_eq!((shift.take(2).await, shift.take(2).await), (vec![0, 1], vec![2, 3]));
        assert!(began.elapsed().is_zero());
    }

    #[tokio::test]
    async fn nothing_is_taken_from_a_closed_queue() {
        let Shift { crew, queue, jobs } = Shift::begin();
        drop(queue);
        assert!(!crew.gather(&jobs, &mut Vec::new(), 8).await);
    }
}
