//! The hot way: rows go from the committed transaction to the broker without being read from the table.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::sender::Sender;
use super::{BATCH_MAX, BATCHES_IN_FLIGHT_MAX};
use crate::port::OutboxRow;
use crate::runtime::lifecycle::Stopping;

/// Rows that were inserted as claimed and are committed, with the room they take in memory.
pub(super) struct HotRows {
    rows: Vec<OutboxRow>,
    _room: Room,
}

/// Room in the relay's memory. Rows for which there is none are inserted unclaimed, and the sweeper sends them.
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

/// What a runtime hands its committed rows to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RelayHandle {
    rows: mpsc::Sender<HotRows>,
    room: Arc<Semaphore>,
    wake: Arc<Notify>,
}

/// A handle, what arrives from it, and the signal that wakes the sweeper.
pub(super) fn channel() -> (RelayHandle, mpsc::Receiver<HotRows>, Arc<Notify>) {
    // Each message takes at least one row's room, so the channel never holds more than `ROWS_MAX` of them.
    let (rows, receiver) = mpsc::channel(ROWS_MAX);
    let wake = Arc::new(Notify::new());
    (RelayHandle { rows, room: Arc::new(Semaphore::new(ROWS_MAX)), wake: wake.clone() }, receiver, wake)
}

impl RelayHandle {
    /// Room for `rows` more rows, or `None` if memory holds too many already.
    pub(crate) fn room(&self, rows: usize) -> Option<Room> {
        let permit = self.room.clone().try_acquire_many_owned(u32::try_from(rows).ok()?).ok()?;
        Some(Room { _permit: permit })
    }

    /// Sends rows that are committed: those with `room` from memory, the others through the sweeper.
    pub(crate) fn hand_over(&self, rows: Vec<OutboxRow>, room: Option<Room>) {
        if rows.is_empty() {
            return;
        }
        match room {
            // A closed channel says that the relay is stopping; the rows' lease ends and another relay sends them.
            Some(room) => drop(self.rows.try_send(HotRows { rows, _room: room })),
            None => self.wake(),
        }
    }

    /// Has the sweeper look for unclaimed rows now.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Sends what is handed over, batch by batch. When the relay is to stop, sends what was handed over before.
pub(super) async fn send(mut hot: mpsc::Receiver<HotRows>, sender: Sender, mut stopping: Stopping) {
    let lanes = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT_MAX));
    while let Ok(lane) = lanes.clone().acquire_owned().await {
        let Some(batch) = gather(&mut hot, &mut stopping).await else { break };
        let sender = sender.clone();
        tokio::spawn(async move {
            let (rows, room): (Vec<_>, Vec<_>) = batch.into_iter().map(|hot| (hot.rows, hot._room)).unzip();
            sender.send(rows.into_iter().flatten().collect(), "hot").await;
            drop((room, lane));
        });
    }
    // All lanes free again: everything that was handed over is sent or given back.
    let _ = lanes.acquire_many(u32::try_from(BATCHES_IN_FLIGHT_MAX).unwrap_or(u32::MAX)).await;
}

/// Waits for the first rows, and takes what else has arrived; `None` once nothing more will come.
async fn gather(hot: &mut mpsc::Receiver<HotRows>, stopping: &mut Stopping) -> Option<Vec<HotRows>> {
    let first = tokio::select! {
        biased;
        first = hot.recv() => first?,
        () = stopping.stopped() => return None,
    };
    let mut batch = vec![first];
    let mut rows = batch[0].rows.len();
    while rows < BATCH_MAX
        && let Ok(more) = hot.try_recv()
    {
        rows += more.rows.len();
        batch.push(more);
    }
    Some(batch)
}

/// Rows in memory: a few seconds of traffic, and a few tens of megabytes at typical sizes.
const ROWS_MAX: usize = 20_000;
