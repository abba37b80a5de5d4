//! Transactions of callers, of which one thing is spoiled.

use async_trait::async_trait;
use saga_core::memory::MemoryStoreTx;
use saga_core::policy::Timestamp;
use saga_core::port::{Commit, CommitError, Committed, StartIn, StoreError};
use saga_testkit::suite::start_in;

use crate::broken::{Broken, BrokenStore, Flaw};

/// A transaction of a caller's.
pub(crate) struct BrokenStoreTx {
    inner: Option<MemoryStoreTx>,
    flaw: Flaw,
    aborted: bool,
}

impl Drop for BrokenStoreTx {
    fn drop(&mut self) {
        if let Some(tx) = self.inner.take()
            && self.flaw == Flaw::CommitsWhatIsDropped
        {
            tx.commit();
        }
    }
}

#[async_trait]
impl StartIn for BrokenStore {
    type Tx = BrokenStoreTx;

    async fn now_in(&self, tx: &mut BrokenStoreTx) -> Result<Timestamp, StoreError> {
        self.inner.now_in(tx.inner.as_mut().unwrap()).await
    }

    async fn start_in(&self, tx: &mut BrokenStoreTx, start: &Commit) -> Result<Committed, CommitError> {
        if tx.aborted {
            return Err(StoreError::Rejected("the transaction is aborted".into()).into());
        }
        let result = self.inner.start_in(tx.inner.as_mut().unwrap(), start).await;
        tx.aborted = result.is_err() && tx.flaw == Flaw::AbortsOnTakenKeys;
        result
    }
}

#[async_trait]
impl start_in::Harness for Broken {
    type Store = BrokenStore;
    type Transaction = BrokenStoreTx;

    async fn start() -> Option<Self> {
        None
    }

    async fn connect(&self) -> BrokenStore {
        self.0.clone()
    }

    async fn begin(&self) -> BrokenStoreTx {
        BrokenStoreTx { inner: Some(self.0.inner.begin().await), flaw: self.0.flaw, aborted: false }
    }

    fn tx(transaction: &mut BrokenStoreTx) -> &mut BrokenStoreTx {
        transaction
    }

    async fn commit(&self, mut transaction: BrokenStoreTx) {
        if self.0.flaw != Flaw::NeverCommits {
            transaction.inner.take().unwrap().commit();
        }
    }
}
