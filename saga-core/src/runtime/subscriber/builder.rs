//! Putting a subscriber together, starting and stopping it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tracing::warn;

use super::hearing::{Hear, Hearing, hearing};
use super::listener::{Ears, Listener};
use crate::id::{Destination, NameError, ParticipantName};
use crate::port::{RandomIds, SubscribeOptions, Transport, TransportError};
use crate::runtime::lifecycle::Tasks;

/// Begins a subscriber: what `group` makes of the notifications of a topic.
///
/// A group is a service, by its name. Each group gets every notification that is published from its first start on, also
/// what comes while it does not run; its processes share them. On Kafka it begins with all that the topic still has.
/// A group whose service is gone for good has to be ended by an operator (`docs/wire.md` says how).
///
/// # Example: a service that sends a mail for each order that was placed
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use saga_core::memory::{MemoryStore, MemoryTransport};
/// # use saga_core::message::{Fault, NotificationMessage};
/// # use saga_core::runtime::{Hear, Orchestrator, subscriber};
/// # use saga_core::{Notification, Saga, saga};
/// # use serde::{Deserialize, Serialize};
/// # use tokio::sync::mpsc;
/// # #[derive(Serialize, Deserialize)]
/// # struct PlaceOrder { order: u64 }
/// # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
/// # impl Notification<PlaceOrder> for OrderPlaced {
/// #     const TYPE: &'static str = "orders.placed.v1";
/// #     const TOPICS: &'static [&'static str] = &["orders"];
/// #     fn of(order: &PlaceOrder) -> Self { OrderPlaced { order: order.order } }
/// # }
/// # struct Outbox(mpsc::UnboundedSender<u64>);
/// # impl Outbox {
/// #     async fn mail_once(&self, _: String, order: u64) -> Result<(), std::io::Error> { drop(self.0.send(order)); Ok(()) }
/// # }
/// #[derive(Serialize, Deserialize)]
/// struct OrderPlaced { order: u64 }
///
/// struct Mailing { outbox: Outbox }
///
/// impl Hear<OrderPlaced> for Mailing {
///     async fn hear(&self, told: OrderPlaced, message: &NotificationMessage) -> Result<(), Fault> {
///         // It may be told twice: whatever is written is written under the message's id.
///         Ok(self.outbox.mail_once(message.id().to_string(), told.order).await?)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = MemoryTransport::default();
/// # let (sent, mut mails) = mpsc::unbounded_channel();
/// # let outbox = Outbox(sent);
/// # let broker = Arc::new(transport.connect());
/// let mailing = subscriber(broker, "orders", "mailing", Mailing { outbox })
///     .hears::<OrderPlaced>("orders.placed.v1")
///     .start()
///     .await?;
/// # let placed = saga(1).notify::<OrderPlaced>().build()?;
/// # let store = Arc::new(MemoryStore::default());
/// # let orders = Orchestrator::builder(store, Arc::new(transport), "replies").register(&placed).start().await?;
/// # orders.start(PlaceOrder { order: 7 }).await?;
/// # assert_eq!(mails.recv().await, Some(7));
/// # mailing.stop(Duration::from_secs(1)).await;
/// # Ok(())
/// # }
/// ```
pub fn subscriber<H: Send + Sync + 'static>(
    transport: Arc<dyn Transport>,
    topic: impl Into<String>,
    group: impl Into<String>,
    handlers: H,
) -> SubscriberBuilder<H> {
    SubscriberBuilder {
        transport,
        topic: topic.into(),
        group: group.into(),
        handlers: Arc::new(handlers),
        hearings: HashMap::new(),
        at_once: AT_ONCE,
        handler_timeout: HANDLER_TIMEOUT,
    }
}

/// A subscriber that is being put together.
#[must_use = "a subscriber does nothing until it is started"]
pub struct SubscriberBuilder<H> {
    transport: Arc<dyn Transport>,
    topic: String,
    group: String,
    handlers: Arc<H>,
    hearings: HashMap<&'static str, Hearing>,
    at_once: usize,
    handler_timeout: Duration,
}

/// A subscriber could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriberError {
    /// The topic or the group has a name that some broker cannot carry.
    #[error("the name of a topic or group: {0}")]
    BadName(#[from] NameError),
    /// The broker is away or refused, for example because an exchange of another kind has the topic's name.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl<H: Send + Sync + 'static> SubscriberBuilder<H> {
    /// Has notifications of the type `notification_type` heard, as [`Notification::TYPE`](crate::Notification::TYPE) of
    /// the saga that tells names it. Those of types that nobody hears are acked and passed over, so that a saga may tell
    /// something new.
    pub fn hears<N: DeserializeOwned + Send + 'static>(mut self, notification_type: &'static str) -> Self
    where
        H: Hear<N>,
    {
        self.hearings.insert(notification_type, hearing::<N, H>(&self.handlers));
        self
    }

    /// How many notifications are heard at the same time, from 1 to 1024; 16 unless said otherwise. With 1 they are heard
    /// one after the other, and one that fails holds back the others.
    pub fn at_once(self, at_once: usize) -> Self {
        SubscriberBuilder { at_once: at_once.clamp(1, AT_ONCE_MAX), ..self }
    }

    /// How long a handler may take; 10 seconds unless said otherwise. After that it is dropped, and told again.
    pub fn handler_timeout(self, timeout: Duration) -> Self {
        SubscriberBuilder { handler_timeout: timeout, ..self }
    }

    /// Starts the subscriber: declares the topic, makes the group where it is new, and begins to hear.
    ///
    /// # Errors
    ///
    /// [`SubscriberError`] says what stands in the way. A broker that goes away later is waited for.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: starting again is harmless. The group may have been made.
    pub async fn start(self) -> Result<Subscribing, SubscriberError> {
        let source = Destination::topic(&self.topic)?;
        let group = ParticipantName::new(&self.group)?.as_str().to_owned();
        if !self.transport.capabilities().topics {
            let transport = self.transport.name();
            warn!(topic = %source, transport, "a transport without topics: all groups share the notifications");
        }
        self.transport.declare(std::slice::from_ref(&source)).await?;
        let options = SubscribeOptions { source, group, in_flight_max: self.at_once };
        let subscription = self.transport.subscribe(options.clone()).await?;
        let mut tasks = Tasks::new(&RandomIds);
        let ears = Ears {
            hearings: self.hearings,
            handler_timeout: self.handler_timeout,
            stopping: tasks.stopping(),
        };
        let listener =
            Listener { transport: self.transport, options, ears: Arc::new(ears), stopping: tasks.stopping() };
        tasks.spawn(listener.run(subscription));
        Ok(Subscribing { tasks: Mutex::new(tasks) })
    }
}

/// A subscriber that runs.
///
/// Dropping it stops it at once, which is safe: what was not acked comes again. [`Subscribing::stop`] drains first.
pub struct Subscribing {
    tasks: Mutex<Tasks>,
}

impl Subscribing {
    /// Stops: takes nothing new, and lets handlers finish, at most for `grace`. What failed and waits to be told again is
    /// given back.
    ///
    /// Stopping twice is harmless. The group stays, and keeps what comes.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the subscriber goes on draining until it is dropped itself.
    pub async fn stop(&self, grace: Duration) {
        self.tasks.lock().await.stop(grace).await;
    }
}

/// Enough to keep a service's database busy, and few enough that a service which fails is not flooded.
const AT_ONCE: usize = 16;

/// Each is a delivery that the broker has not got back, and a task.
const AT_ONCE_MAX: usize = 1024;

/// As for a participant's handlers.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);
