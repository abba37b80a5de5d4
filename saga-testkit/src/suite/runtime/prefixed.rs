//! Gives each scenario destinations of its own on a broker that many tests share.

use std::sync::Arc;

use async_trait::async_trait;
use saga_core::id::Destination;
use saga_core::message::Envelope;
use saga_core::port::{
    Capabilities, PublishError, SubscribeOptions, Subscription, Transport, TransportError,
};

/// A transport whose destinations all begin with a prefix.
pub(super) struct Prefixed {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) prefix: Destination,
}

impl Prefixed {
    pub(super) fn name(&self, destination: &Destination) -> Destination {
        Destination::new(format!("{}.{destination}", self.prefix)).expect("two proper names make one")
    }
}

#[async_trait]
impl Transport for Prefixed {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        let named: Vec<Destination> = destinations.iter().map(|destination| self.name(destination)).collect();
        self.inner.declare(&named).await
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let named = |envelope: &Envelope| Envelope {
            destination: self.name(&envelope.destination),
            ..envelope.clone()
        };
        self.inner.publish(&batch.iter().map(named).collect::<Vec<_>>()).await
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        let source = self.name(&options.source);
        self.inner.subscribe(SubscribeOptions { group: source.to_string(), source, ..options }).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
