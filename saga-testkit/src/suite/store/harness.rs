//! What an adapter tells the suite about its store.

use async_trait::async_trait;
use saga_core::definition::DefinitionRef;
use saga_core::id::SagaId;
use saga_core::port::{Commit, CommitError, Committed, History, Outbox, Store, Stored};
use std::slice::from_ref;

use crate::suite::samples::{LONG, definition};

/// Reaches one store. Each scenario starts a harness of its own, with an empty store.
#[async_trait]
pub trait Harness: Send + Sync + Sized + 'static {
    /// The store, with its outbox and its history.
    type Store: Store + Outbox + History;

    /// Makes an empty store. `None` if there is no server to test against; see [`server`](crate::suite::server).
    async fn start() -> Option<Self>;

    /// A fresh client of the store, as another process would be.
    async fn connect(&self) -> Self::Store;

    /// Cleans up after a scenario that has passed.
    async fn finish(self) {}
}

/// A client of an empty store, with a definition that is registered.
pub(super) struct Client<S> {
    pub(super) store: S,
    pub(super) definition: DefinitionRef,
}

impl<S: Store + Outbox + History> Client<S> {
    pub(super) async fn new(harness: &impl Harness<Store = S>) -> Self {
        let client = Client { store: harness.connect().await, definition: definition("place-order", 1) };
        client.register(&client.definition).await;
        client
    }

    pub(super) async fn register(&self, definition: &DefinitionRef) {
        let registered = self.store.register(from_ref(definition)).await;
        registered.expect("registering a definition");
    }

    /// Stores commits, and returns what became of each.
    pub(super) async fn commit(&self, batch: &[Commit]) -> Vec<Result<Committed, CommitError>> {
        let results = self.store.commit(batch, LONG).await;
        assert_eq!(results.len(), batch.len(), "a commit has one result for each of its batch");
        results
    }

    /// Stores one commit, which must be stored.
    pub(super) async fn store_one(&self, commit: &Commit) {
        self.store_all(from_ref(commit)).await;
    }

    /// Stores commits, each of which must be stored.
    pub(super) async fn store_all(&self, batch: &[Commit]) {
        for (index, result) in self.commit(batch).await.into_iter().enumerate() {
            let stored = matches!(result, Ok(Committed::Stored));
            assert!(stored, "commit {index} of a batch without a conflict: {result:?}");
        }
    }

    pub(super) async fn load(&self, sagas: &[SagaId]) -> Vec<Stored> {
        self.store.load(sagas).await.expect("loading").sagas
    }

    /// The saga, which must exist.
    pub(super) async fn saga(&self, id: SagaId) -> Stored {
        self.load(&[id]).await.pop().expect("the saga is there")
    }

    /// How many entries the saga's journal has.
    pub(super) async fn journal_length(&self, id: SagaId) -> usize {
        let details = self.store.show(id).await.expect("showing a saga");
        details.expect("the saga is there").journal.len()
    }

    /// How many rows wait in the outbox.
    pub(super) async fn unsent(&self) -> u64 {
        self.store.backlog().await.expect("the backlog").unsent
    }
}
