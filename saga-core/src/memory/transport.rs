//! The transport in memory: a client of a broker that lives in this process.

use std::sync::Arc;

use async_trait::async_trait;

use super::broker::Broker;
use crate::id::Destination;
use crate::message::Envelope;
use crate::port::{
    BODY_BYTES_MAX, Capabilities, Delivery, Lanes, PublishError, SettleError, Settlement, Settler,
    SubscribeOptions, Subscription, Token, Transport, TransportError,
};

/// A transport between the tasks of one process: queues, whose readers share the messages, and topics, of which each
/// group of readers gets all.
///
/// A message that was not settled comes again, in its old place, when its subscription is dropped, severed or closed.
///
/// # Example: a message goes round
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use saga_core::id::{Destination, MessageId, SagaId};
/// use saga_core::memory::MemoryTransport;
/// use saga_core::message::{Envelope, Headers};
/// use saga_core::port::{SubscribeOptions, Transport};
/// use uuid::Uuid;
///
/// let transport = MemoryTransport::default();
/// let inventory = Destination::new("inventory").unwrap();
/// transport.declare(&[inventory.clone()]).await.unwrap();
///
/// let message = Envelope {
///     id: MessageId::from_uuid(Uuid::from_u128(1)),
///     destination: inventory.clone(),
///     key: SagaId::from_uuid(Uuid::from_u128(2)),
///     headers: Headers::default(),
///     body: "hello".into(),
/// };
/// transport.publish(&[message.clone()]).await.remove(0).unwrap();
///
/// let options = SubscribeOptions { source: inventory, group: "stock".into(), in_flight_max: 10 };
/// let mut subscription = transport.subscribe(options).await.unwrap();
/// assert_eq!(subscription.receive(10).await.unwrap()[0].envelope, message);
/// # });
/// ```
pub struct MemoryTransport(Arc<Client>);

struct Client {
    broker: Arc<Broker>,
    number: u64,
}

impl Default for MemoryTransport {
    /// A first client of a broker of its own.
    fn default() -> Self {
        MemoryTransport::of(Arc::default())
    }
}

impl MemoryTransport {
    fn of(broker: Arc<Broker>) -> Self {
        let number = broker.open();
        MemoryTransport(Arc::new(Client { broker, number }))
    }

    /// Another client of the same broker, as another process would be.
    pub fn connect(&self) -> MemoryTransport {
        MemoryTransport::of(self.0.broker.clone())
    }

    /// Cuts the connections of every client's subscriptions: tokens that are out become
    /// [`Lost`](SettleError::Lost), and their messages come again.
    pub fn sever(&self) {
        self.0.broker.disconnect_all();
    }

    /// Takes the broker away from every client: connections are cut and new ones refused, and nothing is published.
    /// Its queues stay as they are.
    pub fn go_away(&self) {
        self.0.broker.set_away(true);
        self.0.broker.disconnect_all();
    }

    /// Ends what [`go_away`](Self::go_away) began.
    pub fn come_back(&self) {
        self.0.broker.set_away(false);
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least(BODY_BYTES_MAX).lanes(Lanes::PerDestination).reports_unroutable().topics()
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        self.0.broker.declare(destinations);
        Ok(())
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        self.0.broker.publish(self.0.number, batch)
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        Ok(Box::new(MemorySubscription {
            connection: Some(self.0.connect(&options)?),
            client: self.0.clone(),
            options,
        }))
    }

    async fn close(&self) {
        self.0.broker.close(self.0.number);
    }
}

impl Client {
    fn connect(&self, options: &SubscribeOptions) -> Result<u64, TransportError> {
        self.broker.connect(self.number, options)
    }
}

impl Drop for Client {
    /// Comes after the last of its subscriptions.
    fn drop(&mut self) {
        self.broker.close(self.number);
    }
}

struct MemorySubscription {
    client: Arc<Client>,
    options: SubscribeOptions,
    connection: Option<u64>,
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, TransportError> {
        let broker = &self.client.broker;
        let connection = match self.connection {
            Some(connection) => connection,
            None => *self.connection.insert(self.client.connect(&self.options)?),
        };
        loop {
            let changed = broker.changed();
            let taken = broker.take(connection, max).inspect_err(|_| self.connection = None)?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            changed.await;
        }
    }

    fn settler(&self) -> Arc<dyn Settler> {
        Arc::new(MemorySettler(self.client.broker.clone()))
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        if let Some(connection) = self.connection {
            self.client.broker.disconnect(connection);
        }
    }
}

struct MemorySettler(Arc<Broker>);

#[async_trait]
impl Settler for MemorySettler {
    async fn settle(&self, batch: &[(Token, Settlement)]) -> Vec<Result<(), SettleError>> {
        self.0.settle(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use uuid::Uuid;

    use super::super::broker::QUEUE_LENGTH_MAX;
    use super::*;
    use crate::id::{MessageId, SagaId};
    use crate::message::Headers;

    fn envelope(destination: &Destination) -> Envelope {
        Envelope {
            id: MessageId::from_uuid(Uuid::from_u128(1)),
            destination: destination.clone(),
            key: SagaId::from_uuid(Uuid::from_u128(2)),
            headers: Headers::default(),
            body: Default::default(),
        }
    }

    fn options(source: &Destination, in_flight_max: usize) -> SubscribeOptions {
        SubscribeOptions { source: source.clone(), group: "readers".into(), in_flight_max }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_more_for_now_and_takes_more_once_it_was_read() {
        let transport = MemoryTransport::default();
        let queue = Destination::new("queue").unwrap();
        transport.declare(from_ref(&queue)).await.unwrap();
        let full = vec![envelope(&queue); QUEUE_LENGTH_MAX];
        assert!(transport.publish(&full).await.iter().all(Result::is_ok));
        let refused = transport.publish(&full[..1]).await.remove(0);
        assert!(matches!(refused, Err(PublishError::Temporary(_))), "{refused:?}");

        let mut reader = transport.subscribe(options(&queue, 1)).await.unwrap();
        reader.receive(1).await.unwrap();
        transport.publish(&full[..1]).await.remove(0).unwrap();
    }

    #[tokio::test]
    async fn subscriptions_that_could_never_receive_are_refused() {
        let transport = MemoryTransport::default();
        let [queue, nobody] = ["queue", "nobody"].map(|name| Destination::new(name).unwrap());
        transport.declare(from_ref(&queue)).await.unwrap();
        for options in [options(&queue, 0), options(&nobody, 1)] {
            let refused = transport.subscribe(options).await.err().unwrap();
            assert!(!refused.is_temporary(), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_delivery_is_settled_once() {
        let transport = MemoryTransport::default();
        let queue = Destination::new("queue").unwrap();
        transport.declare(from_ref(&queue)).await.unwrap();
        transport.publish(&[envelope(&queue)]).await.remove(0).unwrap();
        let mut reader = transport.subscribe(options(&queue, 1)).await.unwrap();
        let token = reader.receive(1).await.unwrap()[0].token;
        let twice = [(token, Settlement::Ack), (token, Settlement::Release)];
        assert_eq!(reader.settler().settle(&twice).await, [Ok(()), Err(SettleError::Lost)]);
    }
}
