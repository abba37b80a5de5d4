//! A wrapper of any transport that lets several systems share one broker.

use std::sync::Arc;

use async_trait::async_trait;

use crate::id::{Destination, NameError};
use crate::message::Envelope;
use crate::port::{Capabilities, PublishError, SubscribeOptions, Subscription, Transport, TransportError};

/// A transport with `<namespace>.` before the name of every queue, topic and group.
///
/// Services that are to talk to one another need the same namespace: a test run, a developer's machine, a stage.
///
/// # Example: two systems over one broker that do not hear each other
///
/// ```
/// use std::sync::Arc;
/// use saga_core::id::Destination;
/// use saga_core::memory::MemoryTransport;
/// use saga_core::namespace::Namespaced;
/// use saga_core::port::Transport;
///
/// # fn main() -> Result<(), saga_core::id::NameError> {
/// let broker: Arc<dyn Transport> = Arc::new(MemoryTransport::default());
/// let staging = Namespaced::around(broker.clone(), Destination::new("staging")?);
/// let testing = Namespaced::around(broker, Destination::new("testing")?);
/// # let _ = (staging, testing);
/// # Ok(())
/// # }
/// ```
pub struct Namespaced {
    inner: Arc<dyn Transport>,
    namespace: Destination,
}

impl Namespaced {
    /// Puts `namespace` before every name that `inner` is given.
    pub fn around(inner: Arc<dyn Transport>, namespace: Destination) -> Arc<dyn Transport> {
        Arc::new(Namespaced { inner, namespace })
    }

    /// The whole name of a destination. An error says that it is too long.
    fn whole(&self, destination: &Destination) -> Result<Destination, NameError> {
        destination.within(&self.namespace)
    }

    fn moved(&self, envelope: &Envelope) -> Result<Envelope, NameError> {
        Ok(Envelope { destination: self.whole(&envelope.destination)?, ..envelope.clone() })
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
        let whole: Result<Vec<_>, _> =
            destinations.iter().map(|destination| self.whole(destination)).collect();
        self.inner.declare(&whole.map_err(too_long)?).await
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let moved: Result<Vec<_>, _> = batch.iter().map(|envelope| self.moved(envelope)).collect();
        match moved {
            Ok(moved) => self.inner.publish(&moved).await,
            // A name that is too long was never declared, so nobody listens there: unroutable.
            Err(error) => batch.iter().map(|_| Err(PublishError::Temporary(error.to_string()))).collect(),
        }
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        let source = self.whole(&options.source).map_err(too_long)?;
        let group = format!("{}.{}", self.namespace, options.group);
        self.inner.subscribe(SubscribeOptions { source, group, ..options }).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

fn too_long(error: NameError) -> TransportError {
    TransportError::Permanent(error.to_string())
}
