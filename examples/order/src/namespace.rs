//! A transport that puts a name before every destination, so that several systems may share a broker.

use std::sync::Arc;

use async_trait::async_trait;
use saga_core::id::Destination;
use saga_core::message::Envelope;
use saga_core::port::{
    Capabilities, PublishError, SubscribeOptions, Subscription, Transport, TransportError,
};

/// The transport `inner` with `<namespace>.` before every queue or topic. All services must use the same namespace.
pub struct Namespaced {
    inner: Arc<dyn Transport>,
    namespace: String,
}

impl Namespaced {
    /// Wraps a transport; an empty namespace leaves it as it is.
    pub fn around(inner: Arc<dyn Transport>, namespace: &str) -> Arc<dyn Transport> {
        match namespace {
            "" => inner,
            _ => Arc::new(Namespaced { inner, namespace: namespace.into() }),
        }
    }

    fn place(&self, destination: &Destination) -> Result<Destination, TransportError> {
        Destination::new(format!("{}.{destination}", self.namespace))
            .map_err(|error| TransportError::Permanent(error.to_string()))
    }

    fn move_envelope(&self, envelope: &Envelope) -> Result<Envelope, TransportError> {
        Ok(Envelope { destination: self.place(&envelope.destination)?, ..envelope.clone() })
    }
}

#[async_trait]
impl Transport for Namespaced {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        let places: Vec<_> = destinations.iter().map(|known| self.place(known)).collect::<Result<_, _>>()?;
        self.inner.declare(&places).await
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        match batch.iter().map(|envelope| self.move_envelope(envelope)).collect::<Result<Vec<_>, _>>() {
            Ok(moved) => self.inner.publish(&moved).await,
            // Every destination was declared before, under the same name.
            Err(error) => vec![Err(PublishError::Temporary(error.to_string())); batch.len()],
        }
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        let SubscribeOptions { source, group, in_flight_max } = options;
        let group = format!("{}.{group}", self.namespace);
        self.inner.subscribe(SubscribeOptions { source: self.place(&source)?, group, in_flight_max }).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
