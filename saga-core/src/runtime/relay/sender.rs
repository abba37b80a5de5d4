//! Publishes rows, and tells the outbox what became of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc;
use tracing::warn;

use super::postponed::{self, Postponed};
use super::{Listeners, Undeliverable};
use crate::id::Destination;
use crate::message::Envelope;
use crate::port::{Outbox, OutboxRow, PublishError, RowId, Transport};

/// Publishes rows. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sender {
    outbox: Arc<dyn Outbox>,
    transport: Arc<dyn Transport>,
    listeners: Listeners,
    confirmed: mpsc::Sender<Vec<RowId>>,
    /// Rows that are being sent or wait for their deletion, so that this process's own sweeper leaves them alone.
    held: Arc<Mutex<HashSet<RowId>>>,
    postponed: Postponed,
}

/// Rows that the broker confirmed, on their way to be deleted.
pub(super) struct Confirmed {
    rows: mpsc::Receiver<Vec<RowId>>,
    held: Arc<Mutex<HashSet<RowId>>>,
}

/// How a batch went.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) confirmed: usize,
    /// Of how many the broker has said nothing.
    pub(super) unanswered: usize,
    /// To how many it has said no for now.
    pub(super) not_taken: usize,
}

impl Sender {
    pub(super) fn new(
        outbox: Arc<dyn Outbox>,
        transport: Arc<dyn Transport>,
        listeners: Listeners,
    ) -> (Self, Confirmed) {
        let (confirmed, rows) = mpsc::channel(CONFIRMED_BATCHES_MAX);
        let held = Arc::new(Mutex::new(HashSet::new()));
        let rows = Confirmed { rows, held: held.clone() };
        (Sender { outbox, transport, listeners, confirmed, held, postponed: Postponed::default() }, rows)
    }

    /// Leaves out rows that this process is sending already.
    pub(super) fn not_held(&self, rows: Vec<OutboxRow>) -> Vec<OutboxRow> {
        let held = lock(&self.held);
        rows.into_iter().filter(|row| !held.contains(&row.id)).collect()
    }

    /// Publishes rows and stores what became of them.
    pub(super) async fn send(&self, rows: Vec<OutboxRow>, way: &'static str) -> Sent {
        let (ids, envelopes): (Vec<RowId>, Vec<Envelope>) =
            rows.into_iter().map(|row| (row.id, row.envelope)).unzip();
        lock(&self.held).extend(&ids);
        planted!(DeletedBeforeConfirm: drop(self.outbox.delete(&ids).await));
        let results = self.transport.publish(&envelopes).await;
        let mut sorted = Sorted::default();
        let are_any_postponed = self.postponed.are_any();
        for ((id, envelope), result) in ids.into_iter().zip(envelopes).zip(results) {
            if are_any_postponed && result.is_ok() {
                self.postponed.taken(&envelope.destination);
            }
            sorted.sort(id, envelope, result);
        }
        let sent = sorted.sent();
        counter!("saga_outbox_sent_total", "way" => way).increment(sent.confirmed as u64);
        self.listeners.contact.published(sent.confirmed, sent.unanswered, sent.not_taken);
        self.store(sorted).await;
        sent
    }

    async fn store(&self, sorted: Sorted) {
        if !sorted.confirmed.is_empty() {
            // Closed only when the relay is torn down; the rows are then sent again, which is harmless.
            let _ = self.confirmed.send(sorted.confirmed).await;
        }
        for (why, rows) in sorted.unanswered {
            self.postpone(&rows, postponed::POSTPONED_MIN, &why).await;
        }
        for ((destination, why), rows) in sorted.not_taken {
            self.postpone(&rows, self.postponed.not_taken(&destination), &why).await;
        }
        if !sorted.dead.is_empty() {
            self.set_aside(sorted.dead).await;
        }
    }

    async fn postpone(&self, rows: &[RowId], wait: Duration, why: &str) {
        warn!(rows = rows.len(), why, ?wait, "messages could not be sent for now");
        if let Err(error) = self.outbox.postpone(rows, wait, why).await {
            warn!(%error, "rows could not be postponed; they are due when their lease ends");
        }
        self.let_go(rows);
    }

    async fn set_aside(&self, dead: Vec<(RowId, Envelope, String)>) {
        let rows: Vec<(RowId, String)> = dead.iter().map(|(id, _, reason)| (*id, reason.clone())).collect();
        counter!("saga_outbox_dead_total").increment(rows.len() as u64);
        if let Err(error) = self.outbox.set_aside(&rows).await {
            warn!(%error, "rows could not be set aside; they are tried again when their lease ends");
        }
        self.let_go(&rows.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        for (_, envelope, reason) in dead {
            warn!(message = %envelope.id, destination = %envelope.destination, reason, "a message is set aside");
            if let Some(undeliverable) = &self.listeners.undeliverable {
                // Best effort: if it is lost, the step's timer sends again and comes here once more.
                let _ = undeliverable.try_send(Undeliverable { envelope, reason });
            }
        }
    }

    fn let_go(&self, rows: &[RowId]) {
        let mut held = lock(&self.held);
        rows.iter().for_each(|row| {
            held.remove(row);
        });
    }
}

/// Results of one publish, by what is to be done.
#[derive(Default)]
struct Sorted {
    confirmed: Vec<RowId>,
    /// What the broker has not answered, by why.
    unanswered: BTreeMap<String, Vec<RowId>>,
    /// What the broker has said no to for now, by destination and why.
    not_taken: BTreeMap<(Destination, String), Vec<RowId>>,
    dead: Vec<(RowId, Envelope, String)>,
}

impl Sorted {
    fn sent(&self) -> Sent {
        Sent {
            confirmed: self.confirmed.len(),
            unanswered: self.unanswered.values().map(Vec::len).sum(),
            not_taken: self.not_taken.values().map(Vec::len).sum(),
        }
    }

    fn sort(&mut self, id: RowId, envelope: Envelope, result: Result<(), PublishError>) {
        planted!(UnknownIsSent: if let Err(PublishError::Unknown(_)) = result {
            return self.confirmed.push(id);
        });
        planted!(PoisonRowRetried: if let Err(PublishError::Permanent(why)) = result {
            return self.unanswered.entry(why).or_default().push(id);
        });
        match result {
            Ok(()) => self.confirmed.push(id),
            Err(PublishError::Temporary(why)) => {
                self.not_taken.entry((envelope.destination, why)).or_default().push(id);
            }
            Err(PublishError::Unreachable(why)) => self.unanswered.entry(why).or_default().push(id),
            Err(PublishError::Unknown(why)) => {
                counter!("saga_publish_unknown_total").increment(1);
                self.unanswered.entry(why).or_default().push(id);
            }
            Err(PublishError::Permanent(reason)) => self.dead.push((id, envelope, reason)),
        }
    }
}

/// Deletes confirmed rows: what has gathered during a short pause, in one commit. Ends when every sender is dropped.
pub(super) async fn delete_confirmed(outbox: Arc<dyn Outbox>, mut confirmed: Confirmed) {
    let mut batches = Vec::new();
    while confirmed.rows.recv_many(&mut batches, CONFIRMED_BATCHES_MAX).await > 0 {
        tokio::time::sleep(DELETE_PAUSE).await;
        while batches.len() < CONFIRMED_BATCHES_MAX
            && let Ok(more) = confirmed.rows.try_recv()
        {
            batches.push(more);
        }
        let rows: Vec<RowId> = batches.drain(..).flatten().collect();
        if let Err(error) = outbox.delete(&rows).await {
            warn!(%error, "confirmed rows could not be deleted; they are sent again when their lease ends");
        }
        let mut held = lock(&confirmed.held);
        rows.iter().for_each(|row| {
            held.remove(row);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gathers confirmed rows into one commit. Far below the lease, so that no sweeper sends them meanwhile.
const DELETE_PAUSE: Duration = Duration::from_millis(100);

/// Batches that wait for their deletion: some tens of thousands of rows. Beyond that, sending waits.
const CONFIRMED_BATCHES_MAX: usize = 64;
