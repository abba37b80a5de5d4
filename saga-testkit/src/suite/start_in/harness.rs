//! What an adapter tells the suite about its callers' transactions.

use async_trait::async_trait;
use saga_core::port::{History, Outbox, StartIn};

/// Reaches one store and opens transactions on it. Each scenario starts a harness of its own, with an empty store.
#[async_trait]
pub trait Harness: Send + Sync + Sized + 'static {
    /// The store.
    type Store: StartIn + Outbox + History;
    /// A transaction of the caller's, which is rolled back when it is dropped.
    type Transaction: Send;

    /// Makes an empty store. `None` if there is no server to test against; see [`server`](crate::suite::server).
    async fn start() -> Option<Self>;

    /// A fresh client of the store, as another process would be.
    async fn connect(&self) -> Self::Store;

    /// Opens a transaction.
    async fn begin(&self) -> Self::Transaction;

    /// The transaction as the store takes it.
    fn tx(transaction: &mut Self::Transaction) -> &mut <Self::Store as StartIn>::Tx;

    /// Commits.
    async fn commit(&self, transaction: Self::Transaction);

    /// Cleans up after a scenario that has passed.
    async fn finish(self) {}
}
