//! Counts the messages that a transport has published and the broker has confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use saga_core::id::Destination;
use saga_core::message::Envelope;
use saga_core::port::{
    Capabilities, PublishError, SubscribeOptions, Subscription, Transport, TransportError,
};

/// A transport that counts.
pub(super) struct Counted {
    inner: Arc<dyn Transport>,
    published: AtomicU64,
}

impl Counted {
    pub(super) fn over(inner: Arc<dyn Transport>) -> Arc<Self> {
        Arc::new(Counted { inner, published: AtomicU64::new(0) })
    }

    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Transport for Counted {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        self.inner.declare(destinations).await
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let results = self.inner.publish(batch).await;
        let confirmed = results.iter().filter(|result| result.is_ok()).count();
        self.published.fetch_add(confirmed as u64, Ordering::Relaxed);
        results
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        self.inner.subscribe(options).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
