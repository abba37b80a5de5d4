//! The fence in memory passes the suites of fences, outboxes, forgetting and watching.

use std::collections::HashMap;

use async_trait::async_trait;
use saga_core::memory::{MemoryFence, MemoryTx};
use saga_testkit::suite::fence;

type Data = HashMap<String, i64>;

struct Memory(MemoryFence<Data>);

#[async_trait]
impl fence::Harness for Memory {
    type Fence = MemoryFence<Data>;

    async fn start() -> Option<Self> {
        Some(Memory(MemoryFence::default()))
    }

    async fn connect(&self) -> MemoryFence<Data> {
        self.0.clone()
    }

    async fn write(&self, tx: &mut MemoryTx<Data>, name: &str, value: i64) {
        tx.data_mut().insert(name.to_owned(), value);
    }

    async fn read(&self, name: &str) -> Option<i64> {
        self.0.data().await.get(name).copied()
    }
}

saga_testkit::fence_suite!(Memory);
saga_testkit::forget_suite!(Memory);
saga_testkit::watch_suite!(Memory);
