//! Outbox rows: claimed, sent, and deleted only then.

use saga_core::port::{OutboxRow, RowId};

use super::message::Said;
use super::{Row, Witness};
use crate::simulate::counters::{Counters, Seen};

impl Witness {
    pub(super) fn inserted(&mut self, process: &str, row: &OutboxRow) {
        let said = Said::of(&row.envelope);
        self.committed.insert(said.clone());
        self.rows.insert(row.id, Row { said, claimed_by: process.to_owned() });
    }

    pub(in crate::simulate) fn claimed(
        &mut self,
        process: &str,
        rows: &[OutboxRow],
        counters: &mut Counters,
    ) {
        for row in rows {
            let before = self.rows.range(..row.id).next_back();
            if before.is_some_and(|(_, before)| before.claimed_by != process) {
                counters.count(Seen::RowsShared);
            }
            if let Some(row) = self.rows.get_mut(&row.id) {
                process.clone_into(&mut row.claimed_by);
            }
        }
    }

    /// S8: a row goes only after the broker has taken its message.
    pub(in crate::simulate) fn deleted(&mut self, rows: &[RowId]) {
        for id in rows {
            if let Some(Row { said, .. }) = self.rows.get(id)
                && !self.taken.contains_key(said)
            {
                self.violation(format!("S8: the row of {said} is deleted, and no broker has taken it"));
            }
            self.rows.remove(id);
        }
    }

    pub(in crate::simulate) fn set_aside(&mut self, rows: &[(RowId, String)]) {
        for (id, _) in rows {
            if let Some(Row { said, .. }) = self.rows.remove(id) {
                self.given_up(&said);
            }
        }
    }

    /// S8: what became of every message once all is quiet.
    pub(in crate::simulate) fn nothing_lost(&mut self) {
        let unsent: Vec<Said> = self.rows.values().map(|row| row.said.clone()).collect();
        for said in unsent {
            self.violation(format!("S8: {said} is committed, and was never sent"));
        }
        let unread: Vec<Said> = self
            .taken
            .keys()
            .filter(|said| said.has_reader() && !self.received.contains(*said))
            .cloned()
            .collect();
        for said in unread {
            self.violation(format!("S8: {said} is with the broker, and nobody has read it"));
        }
    }
}
