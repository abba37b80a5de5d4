//! A port with its faults: what a process calls instead of the adapter itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga_core::port::{Backlog, Outbox, OutboxRow, RowId, StoreError};

use super::fault::Fault;
use super::planted::Bug;
use super::process::Process;

/// An adapter as one process sees it, with everything that can go wrong on the way.
pub(super) struct Faulty<T> {
    pub(super) inner: T,
    pub(super) process: Arc<Process>,
}

impl<T> Faulty<T> {
    pub(super) fn new(inner: T, process: &Arc<Process>) -> Self {
        Faulty { inner, process: process.clone() }
    }

    /// Calls a database: it may be away, or do its work and lose the answer, and the process may die on either side.
    pub(super) async fn call<R>(
        &self,
        what: &str,
        work: impl Future<Output = Result<R, StoreError>>,
    ) -> Result<R, StoreError> {
        self.process.step().await;
        if self.strikes(Fault::Away) {
            self.process.note(format_args!("{what}: away"));
            return Err(StoreError::Unavailable("the database is away".into()));
        }
        let result = work.await;
        match &result {
            Ok(_) => self.process.world.note_quietly(&self.process.name, what),
            Err(error) => self.process.note(format_args!("{what}: {error}")),
        }
        self.process.step().await;
        if self.strikes(Fault::AnswerLost) {
            self.process.note(format_args!("{what}: answer lost"));
            return Err(StoreError::Ambiguous("the connection is gone".into()));
        }
        result
    }

    pub(super) fn strikes(&self, fault: Fault) -> bool {
        self.process.world.strikes(fault)
    }
}

#[async_trait]
impl<T: Outbox> Outbox for Faulty<T> {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError> {
        let claiming = async {
            let mut rows = self.inner.claim(limit, lease).await?;
            if self.process.world.has(Bug::CursorRelay) {
                self.process.pass_over(&mut rows);
            }
            let process = &self.process;
            if !rows.is_empty() {
                process.note(format_args!("claims {} rows", rows.len()));
            }
            process.world.witness(|witness, counters| witness.claimed(&process.name, &rows, counters));
            Ok(rows)
        };
        self.call("claim rows", claiming).await
    }

    async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError> {
        let deleting = async {
            self.process.world.witness(|witness, _| witness.deleted(rows));
            self.inner.delete(rows).await
        };
        self.call("delete rows", deleting).await
    }

    async fn postpone(&self, rows: &[RowId], after: Duration, why: &str) -> Result<(), StoreError> {
        self.call("postpone rows", self.inner.postpone(rows, after, why)).await
    }

    async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError> {
        let setting_aside = async {
            self.process.world.witness(|witness, _| witness.set_aside(rows));
            self.inner.set_aside(rows).await
        };
        self.call("set rows aside", setting_aside).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.call("look at the backlog", self.inner.backlog()).await
    }
}
