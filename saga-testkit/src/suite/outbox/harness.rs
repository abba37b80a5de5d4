//! An outbox, and the way into it: a store's commit or a fence's.

use std::time::Duration;

use async_trait::async_trait;
use saga_core::fence::FenceState;
use saga_core::port::{Commit, Fence, FenceWrite, Outbox, OutboxRow, Store};

use crate::suite::samples::{definition, fence_key, start};
use crate::suite::{fence, store};

/// Reaches one outbox. Each scenario starts a harness of its own, with an empty outbox.
#[async_trait]
pub trait Harness: Send + Sync + Sized + 'static {
    /// The outbox.
    type Outbox: Outbox;

    /// Makes an empty outbox. `None` if there is no server to test against.
    async fn start() -> Option<Self>;

    /// A fresh client of the outbox, as another process would be.
    async fn connect(&self) -> Self::Outbox;

    /// Commits rows; those that are claimed are left alone for `lease`.
    async fn insert(&self, rows: &[OutboxRow], lease: Duration);

    /// Cleans up after a scenario that has passed.
    async fn finish(self) {}
}

/// The outbox of the orchestrator's store.
pub struct OfStore<H>(pub H);

#[async_trait]
impl<H: store::Harness> Harness for OfStore<H> {
    type Outbox = H::Store;

    async fn start() -> Option<Self> {
        H::start().await.map(OfStore)
    }

    async fn connect(&self) -> H::Store {
        self.0.connect().await
    }

    async fn insert(&self, rows: &[OutboxRow], lease: Duration) {
        let store = self.0.connect().await;
        let definition = definition("place-order", 1);
        store.register(std::slice::from_ref(&definition)).await.expect("registering a definition");
        let commit = Commit { outbox: rows.to_vec(), ..start(&definition) };
        store.commit(&[commit], lease).await.remove(0).expect("committing rows");
    }

    async fn finish(self) {
        self.0.finish().await;
    }
}

/// The outbox of a participant's fence.
pub struct OfFence<H>(pub H);

#[async_trait]
impl<H: fence::Harness> Harness for OfFence<H> {
    type Outbox = H::Fence;

    async fn start() -> Option<Self> {
        H::start().await.map(OfFence)
    }

    async fn connect(&self) -> H::Fence {
        self.0.connect().await
    }

    async fn insert(&self, rows: &[OutboxRow], lease: Duration) {
        let fence = self.0.connect().await;
        for row in rows {
            let key = fence_key("step");
            let (tx, _) = fence.begin(std::slice::from_ref(&key)).await.expect("beginning");
            let write = FenceWrite { key, state: Some(FenceState::Closed), reply: Some(row.clone()) };
            fence.commit(tx, &[write], lease).await.expect("committing rows");
        }
    }

    async fn finish(self) {
        self.0.finish().await;
    }
}
