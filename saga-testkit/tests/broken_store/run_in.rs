//! Transactions of local steps, of which one thing is spoiled.

use async_trait::async_trait;
use saga_core::memory::MemoryWorkTx;
use saga_core::port::{Commit, CommitError, RunIn, StoreError};
use saga_testkit::suite::run_in;

use crate::broken::{Broken, BrokenStore, Flaw};

/// A transaction of a local step's.
pub(crate) struct BrokenWorkTx {
    written: Vec<(String, i64)>,
    marked: usize,
    store: BrokenStore,
}

impl BrokenWorkTx {
    fn commit(&mut self) {
        self.store.written.lock().unwrap().extend(self.written.drain(..));
    }
}

impl Drop for BrokenWorkTx {
    fn drop(&mut self) {
        if self.store.flaw == Flaw::CommitsWhatIsDropped {
            self.commit();
        }
    }
}

#[async_trait]
impl RunIn for BrokenStore {
    type Tx = BrokenWorkTx;

    async fn begin_work(&self) -> Result<BrokenWorkTx, StoreError> {
        Ok(BrokenWorkTx { written: Vec::new(), marked: 0, store: self.clone() })
    }

    async fn savepoint(&self, tx: &mut BrokenWorkTx) -> Result<(), StoreError> {
        tx.marked = tx.written.len();
        Ok(())
    }

    async fn rollback(&self, tx: &mut BrokenWorkTx) -> Result<(), StoreError> {
        match self.flaw {
            Flaw::NeverRollsBack => {}
            Flaw::RollsAllBack => tx.written.clear(),
            _ => tx.written.truncate(tx.marked),
        }
        Ok(())
    }

    async fn finish(&self, mut tx: BrokenWorkTx, moves: &[Commit]) -> Result<(), CommitError> {
        let parts = if self.flaw == Flaw::MovesWhomItCan { 1 } else { moves.len() };
        let mut finished = Ok(());
        for part in moves.chunks(parts) {
            finished = finished.and(self.inner.finish(MemoryWorkTx::default(), part).await);
        }
        if self.flaw == Flaw::KeepsWorkOfLosers || (finished.is_ok() && self.flaw != Flaw::NeverCommits) {
            tx.commit();
        }
        finished
    }
}

#[async_trait]
impl run_in::Harness for Broken {
    type Store = BrokenStore;

    async fn start() -> Option<Self> {
        None
    }

    async fn connect(&self) -> BrokenStore {
        self.0.clone()
    }

    async fn write(&self, tx: &mut BrokenWorkTx, name: &str, value: i64) {
        tx.written.push((name.to_owned(), value));
        if self.0.flaw == Flaw::WritesAtOnce {
            tx.commit();
        }
    }

    async fn read(&self, name: &str) -> Option<i64> {
        self.0.written.lock().unwrap().get(name).copied()
    }
}
