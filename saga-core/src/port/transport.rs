//! The transport: brokers and bytes, and nothing of sagas.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::id::Destination;
use crate::message::Envelope;

/// What a transport can do, as data. The framework is correct without any of it; suites skip what is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// A confirmed message survives a restart of the broker.
    pub durable: bool,
    /// Within what messages keep their order as long as nothing is redelivered.
    pub lanes: Lanes,
    /// What comes again when a consumer dies.
    pub redelivery: Redelivery,
    /// Publishing to a destination that nobody declared is reported as [`PublishError::Temporary`].
    pub reports_unroutable: bool,
    /// Each group gets every message of a topic. Without it all readers of a topic share its messages, whatever their
    /// group, as those of a queue do.
    pub topics: bool,
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
}

impl Capabilities {
    /// The least a transport may offer: nothing durable, no order, each message redelivered on its own.
    pub const fn least(body_bytes_max: usize) -> Self {
        Capabilities {
            durable: false,
            lanes: Lanes::None,
            redelivery: Redelivery::Individual,
            reports_unroutable: false,
            topics: false,
            body_bytes_max,
        }
    }

    /// The same, durable.
    pub const fn durable(self) -> Self {
        Capabilities { durable: true, ..self }
    }

    /// The same with ordered lanes.
    pub const fn lanes(self, lanes: Lanes) -> Self {
        Capabilities { lanes, ..self }
    }

    /// The same with another kind of redelivery.
    pub const fn redelivery(self, redelivery: Redelivery) -> Self {
        Capabilities { redelivery, ..self }
    }

    /// The same, reporting destinations that nobody declared.
    pub const fn reports_unroutable(self) -> Self {
        Capabilities { reports_unroutable: true, ..self }
    }

    /// The same, giving every message of a topic to each group.
    pub const fn topics(self) -> Self {
        Capabilities { topics: true, ..self }
    }
}

/// Within what messages keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// No order at all.
    None,
    /// Messages with the same key keep their order.
    PerKey,
    /// All messages of a destination keep their order.
    PerDestination,
}

/// What comes again when a consumer dies before it settled everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// Exactly the messages that were not settled.
    Individual,
    /// Everything from the first unsettled message of a lane on, settled or not.
    Cursor,
}

/// A message was not accepted, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Certainly not accepted, because the broker says no to this message; trying again may help.
    #[error("not accepted for now: {0}")]
    Temporary(String),
    /// Certainly not accepted, because the broker is out of reach, or takes nothing from anybody; trying again may help.
    /// While nothing else comes back, timers wait: what is not sent cannot be answered.
    #[error("the broker is out of reach: {0}")]
    Unreachable(String),
    /// Certainly not accepted, and never will be.
    #[error("never accepted: {0}")]
    Permanent(String),
    /// Nobody knows: the connection was lost before the confirm. Publish again; receivers absorb the second copy.
    #[error("unknown whether accepted: {0}")]
    Unknown(String),
}

/// A transport could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The broker is away or busy; the same call may succeed later.
    #[error("the broker is unavailable: {0}")]
    Temporary(String),
    /// The same call cannot succeed: wrong credentials, a queue of another kind, a name that is not allowed.
    #[error("the broker refused: {0}")]
    Permanent(String),
}

impl TransportError {
    /// Whether the same call may succeed later.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, TransportError::Temporary(_))
    }
}

/// How to subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// What is read.
    pub source: Destination,
    /// Subscriptions of one group share the messages. One service, one name, the same in each of its processes.
    pub group: String,
    /// How many deliveries may be out and unsettled at once. The transport's back-pressure.
    pub in_flight_max: usize,
}

/// Names one delivery of one subscription and one connection.
///
/// Worthless after a reconnect: the generation tells, and settling it gives [`SettleError::Lost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// Which connection or assignment the delivery came over.
    pub generation: u64,
    /// Which delivery of that connection it is.
    pub id: u64,
}

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message as it was published. Headers and body are as the broker gave them, whoever wrote them.
    pub envelope: Envelope,
    /// Whether the message may have been delivered before, as far as the transport can tell. When in doubt, true.
    pub redelivered: bool,
    /// What to settle it with.
    pub token: Token,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done with.
    Ack,
    /// It goes to `<destination>.dead` with this reason in the header [`DEAD_REASON`].
    DeadLetter {
        /// Why, for a human.
        reason: String,
    },
    /// It is given back untouched, for another consumer; for shutting down. It may come again at once.
    Release,
}

/// A delivery could not be settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The connection or assignment it came over is gone; the message will come again.
    #[error("the delivery is lost, the message will come again")]
    Lost,
    /// It could not be settled now; the message will come again unless settling is repeated.
    #[error("the delivery could not be settled: {0}")]
    Failed(String),
}

/// Moves envelopes from one process to another.
///
/// # Contract
///
/// - **At least once**: a message that [`publish`](Transport::publish) confirmed is delivered until it is settled.
///   Copies, delays and any order are allowed.
/// - **`Ok` is a durable confirm** where [`Capabilities::durable`] says so; nothing is confirmed that was not routed.
/// - **Nothing hangs**: every call returns within the transport's deadlines, whatever the network does.
/// - **Reconnecting is the transport's business**: a lost connection shows as errors of the calls under way, and later
///   calls find a fresh one.
/// - **Ids are not unique** within a batch; results are by position.
/// - **A queue's readers share its messages.** Every one of them names the same group.
/// - **A topic's groups get every message each**, where [`Capabilities::topics`] says so, and the readers of one group
///   share them. A group begins with its first `subscribe`: what is published after that returned is kept for it, also
///   while nobody reads. Whether it gets older messages, too, is the transport's business. It ends by an operator's hand.
/// - **A topic without readers takes messages**: whoever tells something need not know whether somebody listens.
/// - **A queue and a topic do not share a name.** There are brokers to which they are the same thing.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// What the transport is called in logs and metrics.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Creates destinations and their dead letters where they do not exist: queues as queues, topics as topics.
    ///
    /// # Errors
    ///
    /// [`TransportError::Permanent`] if one exists and is of another kind.
    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError>;

    /// Publishes a batch and waits for the confirms. One result per envelope, in the same order.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each message may or may not have been published. Publishing again is harmless.
    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>>;

    /// Begins to read a destination that was declared. Of a topic, the group is made if it is new.
    ///
    /// # Errors
    ///
    /// [`TransportError::Temporary`] if the broker does not answer. Success says that it has: timers wait until then, as
    /// no answer could have arrived before.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing is read.
    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError>;

    /// Closes connections. Deliveries that are not settled come again elsewhere.
    async fn close(&self);
}

/// One reader of a destination.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for at least one delivery and returns what is there, at most `max`.
    ///
    /// # Errors
    ///
    /// A temporary error says that the connection was lost; the next call tries a new one.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, no delivery is lost.
    async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, TransportError>;

    /// The handle that settles deliveries, from any task, also while `receive` is awaited.
    fn settler(&self) -> Arc<dyn Settler>;
}

/// Settles deliveries of one subscription.
#[async_trait]
pub trait Settler: Send + Sync {
    /// Settles a batch. One result per delivery, in the same order.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each delivery may or may not be settled; those that are not come again.
    async fn settle(&self, batch: &[(Token, Settlement)]) -> Vec<Result<(), SettleError>>;
}

/// The header that says why a message is among the dead letters.
pub const DEAD_REASON: &str = "saga-dead-reason";

/// How long one publish with its confirm may take before it counts as unknown; a transport's default.
pub const PUBLISH_DEADLINE: Duration = Duration::from_secs(10);
