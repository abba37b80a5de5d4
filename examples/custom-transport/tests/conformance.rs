//! The conformance suite over files. This is all that a transport of your own needs, too.

use std::sync::Arc;

use async_trait::async_trait;
use custom_transport::Directory;
use saga_core::port::Transport;
use saga_testkit::suite;

struct Files(tempfile::TempDir);

#[async_trait]
impl suite::transport::Harness for Files {
    async fn start() -> Option<Self> {
        Some(Files(tempfile::tempdir().expect("a temporary directory can be made")))
    }

    async fn connect(&self) -> Arc<dyn Transport> {
        Arc::new(Directory::at(self.0.path()))
    }
}

saga_testkit::transport_suite!(Files);
