//! The store in memory passes the suites of stores, outboxes, transactions and retiring.

use async_trait::async_trait;
use saga_core::memory::{MemoryStore, MemoryStoreTx};
use saga_testkit::suite::{start_in, store};

struct Memory(MemoryStore);

#[async_trait]
impl store::Harness for Memory {
    type Store = MemoryStore;

    async fn start() -> Option<Self> {
        Some(Memory(MemoryStore::default()))
    }

    async fn connect(&self) -> MemoryStore {
        self.0.clone()
    }
}

#[async_trait]
impl start_in::Harness for Memory {
    type Store = MemoryStore;
    type Transaction = MemoryStoreTx;

    async fn start() -> Option<Self> {
        Some(Memory(MemoryStore::default()))
    }

    async fn connect(&self) -> MemoryStore {
        self.0.clone()
    }

    async fn begin(&self) -> MemoryStoreTx {
        self.0.begin().await
    }

    fn tx(transaction: &mut MemoryStoreTx) -> &mut MemoryStoreTx {
        transaction
    }

    async fn commit(&self, transaction: MemoryStoreTx) {
        transaction.commit();
    }
}

saga_testkit::store_suite!(Memory);
saga_testkit::start_in_suite!(Memory);
saga_testkit::retire_suite!(Memory);
