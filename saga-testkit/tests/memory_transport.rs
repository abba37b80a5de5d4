//! The transport in memory passes the suite.

use std::sync::Arc;

use async_trait::async_trait;
use saga_core::memory::MemoryTransport;
use saga_core::port::Transport;
use saga_testkit::suite::{Skipped, transport};

struct Memory(MemoryTransport);

#[async_trait]
impl transport::Harness for Memory {
    async fn start() -> Option<Self> {
        Some(Memory(MemoryTransport::default()))
    }

    async fn connect(&self) -> Arc<dyn Transport> {
        Arc::new(self.0.connect())
    }

    async fn sever(&self) -> Result<(), Skipped> {
        self.0.go_away();
        Ok(())
    }

    async fn mend(&self) {
        self.0.come_back();
    }
}

saga_testkit::transport_suite!(Memory);
saga_testkit::runtime_suite!(Memory);
