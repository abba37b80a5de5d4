//! The outbox's table, the same for the orchestrator's store and the participant's fence.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::policy::Timestamp;
use crate::port::{BODY_BYTES_MAX, Backlog, OutboxRow, RowId};

/// Rows that wait for their confirm, and rows that no broker will ever take.
#[derive(Clone, Default)]
pub(super) struct OutboxTable {
    rows: BTreeMap<RowId, Waiting>,
    dead: Vec<(OutboxRow, String)>,
}

#[derive(Clone)]
struct Waiting {
    row: OutboxRow,
    since: Timestamp,
    due: Timestamp,
}

impl OutboxTable {
    /// Says what a table with constraints would refuse about these rows.
    pub(super) fn mistake<'a>(&self, mut rows: impl Iterator<Item = &'a OutboxRow>) -> Option<String> {
        rows.find_map(|row| {
            let bytes = row.envelope.body.len();
            if bytes > BODY_BYTES_MAX {
                Some(format!("a body of {bytes} bytes, {BODY_BYTES_MAX} are allowed"))
            } else if self.rows.contains_key(&row.id) {
                Some(format!("the outbox row {:?} exists already", row.id))
            } else {
                None
            }
        })
    }

    /// Inserts rows that [`mistake`](Self::mistake) found nothing about.
    pub(super) fn insert<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a OutboxRow>,
        lease: Duration,
        now: Timestamp,
    ) {
        self.rows.extend(rows.map(|row| {
            let due = if row.claimed { now.plus(lease) } else { now };
            let waiting = Waiting { row: row.clone(), since: now, due };
            (row.id, waiting)
        }));
    }

    pub(super) fn claim(&mut self, limit: usize, lease: Duration, now: Timestamp) -> Vec<OutboxRow> {
        let due = self.rows.values_mut().filter(|waiting| waiting.due <= now);
        due.take(limit)
            .map(|waiting| {
                waiting.due = now.plus(lease);
                waiting.row.claimed = true;
                waiting.row.clone()
            })
            .collect()
    }

    pub(super) fn delete(&mut self, rows: &[RowId]) {
        for id in rows {
            self.rows.remove(id);
        }
    }

    pub(super) fn postpone(&mut self, rows: &[RowId], after: Duration, now: Timestamp) {
        for id in rows {
            if let Some(waiting) = self.rows.get_mut(id) {
                waiting.due = now.plus(after);
                waiting.row.claimed = false;
            }
        }
    }

    pub(super) fn set_aside(&mut self, rows: &[(RowId, String)]) {
        for (id, why) in rows {
            if let Some(waiting) = self.rows.remove(id) {
                self.dead.push((waiting.row, why.clone()));
            }
        }
    }

    pub(super) fn backlog(&self, now: Timestamp) -> Backlog {
        let oldest = self.rows.values().map(|waiting| waiting.since).min();
        Backlog {
            unsent: self.rows.len() as u64,
            oldest: oldest.map(|since| now.since(since)),
            dead: self.dead.len() as u64,
        }
    }

    /// The rows that were set aside, each with its reason.
    pub(super) fn dead(&self) -> Vec<(OutboxRow, String)> {
        self.dead.clone()
    }
}
