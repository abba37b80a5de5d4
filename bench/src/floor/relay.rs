//! Publishes what is committed, beside the loop that commits.

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::broker::Publisher;
use super::message::Outgoing;

/// Hands batches to the publishers in turn, and collects the outbox rows that the broker has confirmed.
pub(super) struct Relay {
    lanes: Vec<mpsc::Sender<Vec<Outgoing>>>,
    turn: usize,
    confirmed: mpsc::Receiver<Vec<Uuid>>,
    tasks: JoinSet<Result<()>>,
    published: u64,
    unconfirmed: usize,
}

impl Relay {
    /// Gives each publisher a task of its own.
    pub(super) fn start<P: Publisher>(publishers: Vec<P>) -> Relay {
        // While the loop waits to hand over a batch it takes no confirmations, so there is room here for
        // all that the lanes can hold: each has one batch waiting and one under way.
        let (confirm, confirmed) = mpsc::channel(publishers.len() * 2 + 1);
        let mut tasks = JoinSet::new();
        let start_lane = |publisher| {
            let (lane, batches) = mpsc::channel(1);
            tasks.spawn(publish_all(publisher, batches, confirm.clone()));
            lane
        };
        let lanes = publishers.into_iter().map(start_lane).collect();
        Relay { lanes, turn: 0, confirmed, tasks, published: 0, unconfirmed: 0 }
    }

    /// Hands over a batch whose rows are committed.
    pub(super) async fn publish(&mut self, batch: Vec<Outgoing>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.published += batch.len() as u64;
        self.unconfirmed += batch.len();
        self.turn = (self.turn + 1) % self.lanes.len();
        match self.lanes[self.turn].send(batch).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failed().await),
        }
    }

    /// The outbox rows confirmed since the last call.
    pub(super) fn confirmed(&mut self) -> Vec<Uuid> {
        let mut rows = Vec::new();
        while let Ok(batch) = self.confirmed.try_recv() {
            rows.extend(batch);
        }
        self.unconfirmed -= rows.len();
        rows
    }

    /// Whether there are rows that [`confirmed`](Relay::confirmed) will give sooner or later.
    pub(super) fn owes_rows(&self) -> bool {
        self.unconfirmed > 0
    }

    /// Waits until all is confirmed, and returns the rows that [`confirmed`](Relay::confirmed) did not.
    pub(super) async fn drain(&mut self) -> Result<Vec<Uuid>> {
        let mut rows = self.confirmed();
        while self.unconfirmed > 0 {
            tokio::select! {
                error = failure(&mut self.tasks) => return Err(error),
                batch = self.confirmed.recv() => {
                    let batch = batch.context("the publishers ended")?;
                    self.unconfirmed -= batch.len();
                    rows.extend(batch);
                }
            }
        }
        Ok(rows)
    }

    /// Waits until a publisher fails, and says why. Cancel safe.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        failure(&mut self.tasks).await
    }

    /// How many messages were handed over.
    pub(super) fn published(&self) -> u64 {
        self.published
    }
}

async fn failure(tasks: &mut JoinSet<Result<()>>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Ok(Err(error))) => error,
        Some(Err(panic)) => panic.into(),
        Some(Ok(Ok(()))) | None => anyhow!("a publisher ended"),
    }
}

async fn publish_all(
    mut publisher: impl Publisher,
    mut batches: mpsc::Receiver<Vec<Outgoing>>,
    confirmed: mpsc::Sender<Vec<Uuid>>,
) -> Result<()> {
    while let Some(batch) = batches.recv().await {
        publisher.publish(&batch).await.context("cannot publish")?;
        let rows = batch.iter().map(|message| message.row).collect();
        if confirmed.send(rows).await.is_err() {
            break;
        }
    }
    Ok(())
}
