//! A place on the broker for one test: names of its own, a proxy to break connections, and a broom.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
use saga_core::id::{Destination, MessageId, SagaId};
use saga_core::message::{Envelope, Headers};
use saga_core::policy::Backoff;
use saga_core::port::{
    Delivery, IdSource, PublishError, RandomIds, Settlement, SubscribeOptions, Subscription, Token, Transport,
};
use saga_testkit::{TcpProxy, suite};
use tokio::sync::watch;

/// Gives the test a place, or ends it where there is no broker.
macro_rules! place {
    () => {
        match crate::common::Place::find().await {
            Some(place) => place,
            None => return,
        }
    };
}
pub(crate) use place;

pub(crate) struct Place {
    uri: AMQPUri,
    pub(crate) proxy: TcpProxy,
    destinations: Mutex<Vec<Destination>>,
}

impl Place {
    pub(crate) async fn find() -> Option<Place> {
        Some(Place::at(&suite::server("SAGA_AMQP_URL")?).await)
    }

    pub(crate) async fn at(url: &str) -> Place {
        let uri: AMQPUri = url.parse().unwrap();
        let address = format!("{}:{}", uri.authority.host, uri.authority.port);
        let proxy = TcpProxy::to(address).await.unwrap();
        Place { uri, proxy, destinations: Mutex::default() }
    }

    /// A name that nobody else has, swept at the end.
    pub(crate) fn unique(&self, what: &str) -> Destination {
        let destination = Destination::new(format!("test.{what}.{}", RandomIds.uuid().simple())).unwrap();
        self.destinations.lock().unwrap().push(destination.clone());
        destination
    }

    /// The settings of a client that goes through the proxy.
    pub(crate) fn config(&self) -> RabbitMqConfig {
        let mut uri = self.uri.clone();
        uri.authority.host = self.proxy.address().ip().to_string();
        uri.authority.port = self.proxy.address().port();
        quick(&uri)
    }

    /// The settings of a client that goes past the proxy.
    pub(crate) fn direct(&self) -> RabbitMqConfig {
        quick(&self.uri)
    }

    /// A client that goes through the proxy, and a destination that it has declared.
    pub(crate) async fn client(&self, what: &str) -> (RabbitMq, Destination) {
        let client = RabbitMq::new(self.config());
        let destination = self.unique(what);
        client.declare(std::slice::from_ref(&destination)).await.unwrap();
        (client, destination)
    }

    /// A channel past the proxy and past the transport.
    pub(crate) async fn raw(&self) -> Raw {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect_uri(self.uri.clone(), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Raw { _connection: connection, channel }
    }

    /// Deletes the queues of this test.
    pub(crate) async fn sweep(self) {
        let raw = self.raw().await;
        for destination in self.destinations.into_inner().unwrap() {
            raw.delete(&destination.dead_letters()).await;
            raw.delete(&destination).await;
        }
    }
}

fn quick(uri: &AMQPUri) -> RabbitMqConfig {
    let backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
    RabbitMqConfig::new(&uri.to_string()).unwrap().backoff(backoff)
}

/// What another program would do to the broker.
pub(crate) struct Raw {
    _connection: Connection,
    pub(crate) channel: Channel,
}

impl Raw {
    pub(crate) async fn publish(&self, queue: &Destination, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions::default();
        let published =
            self.channel.basic_publish("".into(), queue.as_str().into(), options, body, properties);
        published.await.unwrap().await.unwrap();
    }

    /// How many messages are ready in a queue.
    pub(crate) async fn count(&self, queue: &Destination) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
        declared.await.unwrap().message_count()
    }

    /// Waits until a queue holds `count` messages: a broker does not answer an ack or a release.
    pub(crate) async fn until_count(&self, queue: &Destination, count: u32) {
        let counting = async {
            while self.count(queue).await != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, counting).await;
        assert!(waited.is_ok(), "{queue} does not come to hold {count} messages");
    }

    pub(crate) async fn delete(&self, queue: &Destination) {
        self.delete_named(queue.as_str()).await;
    }

    pub(crate) async fn delete_named(&self, queue: &str) {
        let deleted = self.channel.queue_delete(queue.into(), QueueDeleteOptions::default());
        deleted.await.unwrap();
    }
}

/// A message with an id of its own.
pub(crate) fn envelope(destination: &Destination, body: impl Into<Vec<u8>>) -> Envelope {
    Envelope {
        id: MessageId::from_uuid(RandomIds.uuid()),
        destination: destination.clone(),
        key: SagaId::from_uuid(RandomIds.uuid()),
        headers: Headers::from_iter([("saga-step", "réserver-le-stock")]),
        body: body.into().into(),
    }
}

pub(crate) fn envelopes(destination: &Destination, count: usize) -> Vec<Envelope> {
    (0..count).map(|number| envelope(destination, number.to_string())).collect()
}

/// Publishes messages, each of which must be confirmed.
pub(crate) async fn publish(client: &RabbitMq, batch: &[Envelope]) {
    for result in client.publish(batch).await {
        result.unwrap();
    }
}

pub(crate) async fn reader(
    client: &RabbitMq,
    source: &Destination,
    in_flight_max: usize,
) -> Box<dyn Subscription> {
    let options = SubscribeOptions { source: source.clone(), group: "test".into(), in_flight_max };
    client.subscribe(options).await.unwrap()
}

/// Receives until `count` deliveries are there, over as many reconnects as it takes.
pub(crate) async fn receive(reader: &mut dyn Subscription, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    let receiving = async {
        while deliveries.len() < count {
            match reader.receive(count - deliveries.len()).await {
                Ok(more) => deliveries.extend(more),
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, receiving).await;
    assert!(waited.is_ok(), "{} of {count} deliveries came", deliveries.len());
    deliveries
}

/// Publishes until nobody looks at the progress, and returns what was confirmed.
pub(crate) async fn publish_for_ever(
    client: Arc<RabbitMq>,
    here: Destination,
    progress: watch::Sender<usize>,
) -> Vec<MessageId> {
    let mut confirmed = Vec::new();
    while !progress.is_closed() {
        let batch = envelopes(&here, 40);
        let publishing = tokio::time::timeout(DEADLINE_LONG + PATIENCE, client.publish(&batch));
        let results = publishing.await.expect("a publish hangs");
        for (envelope, result) in batch.iter().zip(&results) {
            match result {
                Ok(()) => confirmed.push(envelope.id),
                Err(PublishError::Permanent(why)) => panic!("{why}"),
                Err(_) => {}
            }
        }
        if results.iter().all(Result::is_ok) {
            progress.send_modify(|batches| *batches += 1);
        }
    }
    confirmed
}

/// Reads and acks until all of `missing` have come.
pub(crate) async fn assert_all_arrive(
    client: &RabbitMq,
    here: &Destination,
    mut missing: HashSet<MessageId>,
) {
    let mut reader = reader(client, here, 1000).await;
    while !missing.is_empty() {
        let received = tokio::time::timeout(PATIENCE, reader.receive(1000)).await;
        let Ok(deliveries) = received else {
            panic!("{} confirmed messages are lost", missing.len());
        };
        let deliveries = deliveries.unwrap();
        for delivery in &deliveries {
            missing.remove(&delivery.envelope.id);
        }
        assert!(reader.settler().settle(&acks(&deliveries)).await.iter().all(Result::is_ok));
    }
}

/// Whether nothing comes for a while.
pub(crate) async fn is_silent(reader: &mut dyn Subscription) -> bool {
    tokio::time::timeout(Duration::from_millis(300), reader.receive(1)).await.is_err()
}

pub(crate) fn acks(deliveries: &[Delivery]) -> Vec<(Token, Settlement)> {
    deliveries.iter().map(|delivery| (delivery.token, Settlement::Ack)).collect()
}

/// Rounds of a test that tries its luck: few by default, `more` when `SAGA_LONG` is set.
pub(crate) fn rounds(few: usize, more: usize) -> usize {
    if std::env::var_os("SAGA_LONG").is_some() { more } else { few }
}

/// Far above what any of this takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// For a client of which a fault that costs a deadline is to be told from a busy machine.
pub(crate) const DEADLINE_LONG: Duration = Duration::from_secs(80);
