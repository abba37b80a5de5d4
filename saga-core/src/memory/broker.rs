//! The broker behind the transport in memory: queues, and the connections that messages are out on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::id::Destination;
use crate::message::Envelope;
use crate::port::{
    BODY_BYTES_MAX, DEAD_REASON, Delivery, PublishError, SettleError, Settlement, SubscribeOptions, Token,
    TransportError,
};

/// Queues that any number of clients share.
#[derive(Default)]
pub(super) struct Broker {
    queues: Mutex<Queues>,
    changed: Notify,
}

#[derive(Default)]
struct Queues {
    /// Whether the broker is away.
    away: bool,
    /// The clients that are open.
    clients: HashSet<u64>,
    /// The groups of each topic that was declared.
    topics: HashMap<Destination, BTreeSet<String>>,
    ready: HashMap<Queue, BTreeMap<u64, Message>>,
    connections: HashMap<u64, Connection>,
    /// Numbers messages and connections, in the order of their coming.
    last_number: u64,
}

/// What is read: a destination that is a queue, or what one group has of a topic.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Queue {
    source: Destination,
    group: Option<String>,
}

struct Message {
    envelope: Envelope,
    redelivered: bool,
}

/// One subscription's connection, and the messages that are out on it.
struct Connection {
    client: u64,
    queue: Queue,
    in_flight_max: usize,
    unsettled: BTreeMap<u64, Message>,
}

impl Broker {
    /// Opens a client, and gives it a number.
    pub(super) fn open(&self) -> u64 {
        let mut queues = self.lock();
        let client = queues.next_number();
        queues.clients.insert(client);
        client
    }

    /// Closes a client: it publishes no more, and its connections are gone.
    pub(super) fn close(&self, client: u64) {
        self.lock().clients.remove(&client);
        self.disconnect_if(|_, connection| connection.client == client);
    }

    pub(super) fn declare(&self, destinations: &[Destination]) {
        let mut queues = self.lock();
        for destination in destinations {
            queues.declare(destination);
        }
    }

    pub(super) fn publish(&self, client: u64, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let mut queues = self.lock();
        let results = batch.iter().map(|envelope| queues.accept(client, envelope)).collect();
        self.changed.notify_waiters();
        results
    }

    pub(super) fn connect(&self, client: u64, options: &SubscribeOptions) -> Result<u64, TransportError> {
        self.lock().connect(client, options)
    }

    /// Takes up to `max` messages out on a connection; an error says that it was lost.
    pub(super) fn take(&self, connection: u64, max: usize) -> Result<Vec<Delivery>, TransportError> {
        self.lock().take(connection, max)
    }

    /// Ends when something may have arrived after this was called.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn settle(&self, batch: &[(Token, Settlement)]) -> Vec<Result<(), SettleError>> {
        let mut queues = self.lock();
        let results = batch.iter().map(|(token, settlement)| queues.settle(*token, settlement)).collect();
        self.changed.notify_waiters();
        results
    }

    pub(super) fn disconnect(&self, connection: u64) {
        self.disconnect_if(|number, _| number == connection);
    }

    pub(super) fn disconnect_all(&self) {
        self.disconnect_if(|_, _| true);
    }

    /// Refuses whatever clients ask for, or serves them again.
    pub(super) fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    fn disconnect_if(&self, gone: impl Fn(u64, &Connection) -> bool) {
        let mut queues = self.lock();
        let lost: Vec<_> =
            queues.connections.extract_if(|number, connection| gone(*number, connection)).collect();
        for (_, connection) in lost {
            for (number, message) in connection.unsettled {
                queues.give_back(&connection.queue, number, message);
            }
        }
        self.changed.notify_waiters();
    }

    /// A panic under the lock is a bug of this file and leaves whole messages behind, so the lock is not poisoned.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn declare(&mut self, destination: &Destination) {
        self.ready.entry(Queue::of(destination.dead_letters())).or_default();
        match destination.is_topic() {
            true => drop(self.topics.entry(destination.clone()).or_default()),
            false => drop(self.ready.entry(Queue::of(destination.clone())).or_default()),
        }
    }

    fn accept(&mut self, client: u64, envelope: &Envelope) -> Result<(), PublishError> {
        if !self.clients.contains(&client) {
            return Err(PublishError::Unreachable(CLOSED.into()));
        }
        if self.away {
            return Err(PublishError::Unreachable(AWAY.into()));
        }
        let number = self.next_number();
        let bytes = envelope.body.len();
        if bytes > BODY_BYTES_MAX {
            let why = format!("a body of {bytes} bytes, {BODY_BYTES_MAX} are allowed");
            return Err(PublishError::Permanent(why));
        }
        let Some(queues) = self.queues_of(&envelope.destination) else {
            let why = format!("nobody has declared {}", envelope.destination);
            return Err(PublishError::Temporary(why));
        };
        let is_full =
            |queue: &Queue| self.ready.get(queue).is_some_and(|ready| ready.len() >= QUEUE_LENGTH_MAX);
        if queues.iter().any(is_full) {
            return Err(PublishError::Temporary(format!("{} is full", envelope.destination)));
        }
        for queue in queues {
            let message = Message { envelope: envelope.clone(), redelivered: false };
            self.ready.entry(queue).or_default().insert(number, message);
        }
        Ok(())
    }

    /// Where a message for `destination` is put; `None` if nobody has declared it.
    fn queues_of(&self, destination: &Destination) -> Option<Vec<Queue>> {
        if destination.is_topic() {
            let groups = self.topics.get(destination)?;
            return Some(groups.iter().map(|group| Queue::of_group(destination, group)).collect());
        }
        let queue = Queue::of(destination.clone());
        self.ready.contains_key(&queue).then(|| vec![queue])
    }

    fn connect(&mut self, client: u64, options: &SubscribeOptions) -> Result<u64, TransportError> {
        if !self.clients.contains(&client) {
            return Err(TransportError::Permanent(CLOSED.into()));
        }
        if self.away {
            return Err(TransportError::Temporary(AWAY.into()));
        }
        if options.in_flight_max == 0 {
            return Err(TransportError::Permanent("zero deliveries in flight".into()));
        }
        let Some(queue) = self.queue_to_read(options) else {
            let why = format!("nobody has declared {}", options.source);
            return Err(TransportError::Permanent(why));
        };
        let connection =
            Connection { client, queue, in_flight_max: options.in_flight_max, unsettled: BTreeMap::new() };
        let number = self.next_number();
        self.connections.insert(number, connection);
        Ok(number)
    }

    /// What a subscription reads; of a topic, what its group has from now on, if the group is new.
    fn queue_to_read(&mut self, options: &SubscribeOptions) -> Option<Queue> {
        let SubscribeOptions { source, group, .. } = options;
        if source.is_topic() {
            self.topics.get_mut(source)?.insert(group.clone());
            return Some(Queue::of_group(source, group));
        }
        let queue = Queue::of(source.clone());
        self.ready.contains_key(&queue).then_some(queue)
    }

    fn take(&mut self, generation: u64, max: usize) -> Result<Vec<Delivery>, TransportError> {
        let Some(connection) = self.connections.get_mut(&generation) else {
            return Err(TransportError::Temporary("the connection was lost".into()));
        };
        let Some(queue) = self.ready.get_mut(&connection.queue) else {
            return Ok(Vec::new());
        };
        let room = connection.in_flight_max - connection.unsettled.len();
        let taken = std::iter::from_fn(|| queue.pop_first()).take(max.min(room));
        Ok(taken.map(|(id, message)| connection.hand_out(Token { generation, id }, message)).collect())
    }

    fn settle(&mut self, token: Token, settlement: &Settlement) -> Result<(), SettleError> {
        let connection = self.connections.get_mut(&token.generation).ok_or(SettleError::Lost)?;
        let message = connection.unsettled.remove(&token.id).ok_or(SettleError::Lost)?;
        let queue = connection.queue.clone();
        match settlement {
            Settlement::Ack => {}
            Settlement::Release => self.give_back(&queue, token.id, message),
            Settlement::DeadLetter { reason } => self.bury(&queue.source, message, reason),
        }
        Ok(())
    }

    /// Puts a message back to where it stood in its queue.
    fn give_back(&mut self, queue: &Queue, number: u64, message: Message) {
        let again = Message { redelivered: true, ..message };
        self.ready.entry(queue.clone()).or_default().insert(number, again);
    }

    /// The one way into a queue that ignores its limit: a dead letter that is dropped is a message that is lost.
    fn bury(&mut self, source: &Destination, message: Message, reason: &str) {
        let mut envelope = message.envelope;
        envelope.destination = source.dead_letters();
        envelope.headers.insert(DEAD_REASON, reason);
        let number = self.next_number();
        let queue = self.ready.entry(Queue::of(envelope.destination.clone())).or_default();
        queue.insert(number, Message { envelope, redelivered: false });
    }
}

impl Queue {
    fn of(source: Destination) -> Self {
        Queue { source, group: None }
    }

    fn of_group(topic: &Destination, group: &str) -> Self {
        Queue { source: topic.clone(), group: Some(group.to_owned()) }
    }
}

impl Connection {
    fn hand_out(&mut self, token: Token, message: Message) -> Delivery {
        let delivery =
            Delivery { envelope: message.envelope.clone(), redelivered: message.redelivered, token };
        self.unsettled.insert(token.id, message);
        delivery
    }
}

/// How many messages wait in one queue before publishing to it is refused for now: several times what the largest
/// tests leave lying, and small enough to notice a reader that has died.
pub(super) const QUEUE_LENGTH_MAX: usize = 100_000;

/// What a closed client says. For publishing it is temporary: another client can still send the message.
const CLOSED: &str = "this transport was closed";

/// What everyone hears while the broker is away.
const AWAY: &str = "the broker is away";
