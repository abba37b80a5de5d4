//! The store in memory passes the suite of local steps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use saga_core::memory::{MemoryStore, MemoryWorkTx};
use saga_testkit::suite::run_in;

#[derive(Default)]
struct Memory {
    store: MemoryStore,
    data: Arc<Mutex<HashMap<String, i64>>>,
}

#[async_trait]
impl run_in::Harness for Memory {
    type Store = MemoryStore;

    async fn start() -> Option<Self> {
        Some(Memory::default())
    }

    async fn connect(&self) -> MemoryStore {
        self.store.clone()
    }

    async fn write(&self, tx: &mut MemoryWorkTx, name: &str, value: i64) {
        let (data, name) = (self.data.clone(), name.to_owned());
        tx.on_commit(move || {
            data.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value);
        });
    }

    async fn read(&self, name: &str) -> Option<i64> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }
}

saga_testkit::run_in_suite!(Memory);
