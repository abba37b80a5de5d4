//! What an adapter tells the suite about the transactions that local steps work in.

use async_trait::async_trait;
use saga_core::port::{History, Outbox, RunIn};

/// Reaches one store, and data beside it. Each scenario starts a harness of its own, with an empty store.
#[async_trait]
pub trait Harness: Send + Sync + Sized + 'static {
    /// The store.
    type Store: RunIn + Outbox + History;

    /// Makes an empty store. `None` if there is no server to test against; see [`server`](crate::suite::server).
    async fn start() -> Option<Self>;

    /// A fresh client of the store, as another process would be.
    async fn connect(&self) -> Self::Store;

    /// Writes a value in a transaction, as a local step does. No name is written twice.
    async fn write(&self, tx: &mut <Self::Store as RunIn>::Tx, name: &str, value: i64);

    /// The value that was committed under a name.
    async fn read(&self, name: &str) -> Option<i64>;

    /// Cleans up after a scenario that has passed.
    async fn finish(self) {}
}
