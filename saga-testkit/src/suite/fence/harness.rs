//! What an adapter tells the suite about its fence, and about the data that a handler writes beside it.

use async_trait::async_trait;
use saga_core::fence::{FenceKey, FenceState};
use saga_core::port::{Fence, FenceWrite, Forget, Outbox, Watch};

use crate::suite::samples::LONG;

/// Reaches one participant's database. Each scenario starts a harness of its own, with an empty one.
#[async_trait]
pub trait Harness: Send + Sync + Sized + 'static {
    /// The fence, with its outbox.
    type Fence: Forget + Watch + Outbox;

    /// Makes an empty database. `None` if there is no server to test against; see [`server`](crate::suite::server).
    async fn start() -> Option<Self>;

    /// A fresh client of the database, as another process would be.
    async fn connect(&self) -> Self::Fence;

    /// Writes a value in a transaction, as a handler does. No name is written twice, unless the first was rolled back.
    async fn write(&self, tx: &mut <Self::Fence as Fence>::Tx, name: &str, value: i64);

    /// Does in a transaction what fails, as a handler's statement may. Nothing, where nothing can.
    async fn fail(&self, _tx: &mut <Self::Fence as Fence>::Tx) {}

    /// The value that was committed under a name.
    async fn read(&self, name: &str) -> Option<i64>;

    /// Cleans up after a scenario that has passed.
    async fn finish(self) {}
}

/// Opens a transaction over one key, and returns what its row says.
pub(super) async fn begin<F: Fence>(fence: &F, key: &FenceKey) -> (F::Tx, Option<FenceState>) {
    let (tx, mut states) = fence.begin(std::slice::from_ref(key)).await.expect("beginning");
    assert_eq!(states.len(), 1, "a transaction has one state for each key");
    (tx, states.remove(0))
}

/// Commits the outcome of one key, without a reply.
pub(super) async fn commit<F: Fence>(fence: &F, tx: F::Tx, key: &FenceKey, state: Option<FenceState>) {
    let write = FenceWrite { key: key.clone(), state, reply: None };
    fence.commit(tx, &[write], LONG).await.expect("committing");
}

/// What the row of a key says, read in a transaction that changes nothing.
pub(super) async fn row<F: Fence>(fence: &F, key: &FenceKey) -> Option<FenceState> {
    let (tx, state) = begin(fence, key).await;
    commit(fence, tx, key, None).await;
    state
}
