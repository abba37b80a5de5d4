//! The relay: moves committed outbox rows to the broker, on the orchestrator's side and the participant's.
//!
//! Rows just written are handed over from memory (the *hot* way). Whatever a crash, a full memory or a broker that
//! said no left behind is found in the table by the *sweeper*. A row is deleted after the broker's confirm, and what
//! is not confirmed counts as not sent. No database transaction is ever open while something is published.

mod hot;
mod sender;
mod sweeper;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::message::Envelope;
use crate::policy::Backoff;
use crate::port::{Outbox, Transport};
use crate::runtime::contact::Contact;
use crate::runtime::lifecycle::Tasks;
pub(crate) use hot::{RelayHandle, Room};
use sender::Sender;

/// A message that no broker will ever take, and why. Its row is set aside.
pub(crate) struct Undeliverable {
    pub(crate) envelope: Envelope,
    pub(crate) reason: String,
}

/// Whom a relay tells what it finds out.
#[derive(Clone, Default)]
pub(crate) struct Listeners {
    /// Hears of messages that no broker takes.
    pub(crate) undeliverable: Option<mpsc::Sender<Undeliverable>>,
    /// Learns whether the broker can be reached.
    pub(crate) contact: Contact,
}

/// Starts a relay.
pub(crate) fn start(
    outbox: Arc<dyn Outbox>,
    transport: Arc<dyn Transport>,
    listeners: Listeners,
    tasks: &mut Tasks,
) -> RelayHandle {
    let (handle, hot, wake) = hot::channel();
    let (sender, confirmed) = Sender::new(outbox.clone(), transport, listeners);
    tasks.spawn(hot::send(hot, sender.clone(), tasks.stopping()));
    tasks.spawn(sweeper::sweep(outbox.clone(), sender, wake, tasks.stopping()));
    tasks.spawn(sender::delete_confirmed(outbox, confirmed));
    handle
}

/// How long a claimed row is left alone by every sweeper. Long enough for a confirm, short enough that the rows of a
/// process that was killed are sent by another within seconds.
pub(crate) const LEASE: Duration = Duration::from_secs(5);

/// Pauses while the database is away.
pub(crate) const AWAY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Rows in one publish: enough to make confirms cheap, little enough to keep the first row's latency low.
const BATCH_MAX: usize = 512;

/// Batches published at the same time: one is on the wire while the next is built. More only take each other's
/// turns at the broker.
const BATCHES_IN_FLIGHT_MAX: usize = 4;
