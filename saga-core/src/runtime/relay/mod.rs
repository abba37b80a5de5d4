//! The relay: moves committed outbox rows to the broker, on the orchestrator's side and the participant's.
//!
//! Rows just written are handed over from memory (the *hot* way). Whatever a crash, a full memory or a broker that
//! said no left behind is found in the table by the *sweeper*. A row is deleted after the broker's confirm, and what
//! is not confirmed counts as not sent. No database transaction is ever open while something is published.

mod hot;
mod postponed;
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::definition::{DefinitionRef, Fingerprint};
    use crate::id::{Destination, MessageId, SagaId, SagaName};
    use crate::memory::{MemoryStore, MemoryTransport, TokioClock};
    use crate::message::Headers;
    use crate::policy::Timestamp;
    use crate::port::{
        Change, Commit, JournalEntry, OutboxRow, RandomIds, RowId, Start, Status, Store, SubscribeOptions,
    };

    fn row(number: u128, destination: &Destination) -> OutboxRow {
        let envelope = Envelope {
            id: MessageId::from_uuid(Uuid::from_u128(number)),
            destination: destination.clone(),
            key: SagaId::from_uuid(Uuid::nil()),
            headers: Headers::default(),
            body: Bytes::new(),
        };
        OutboxRow { id: RowId::from_uuid(Uuid::from_u128(number)), envelope, claimed: false }
    }

    /// A store in whose outbox these rows wait.
    async fn store(outbox: Vec<OutboxRow>) -> MemoryStore {
        let store = MemoryStore::new(Arc::new(TokioClock::default()));
        let fingerprint = Fingerprint::from_uuid(Uuid::nil());
        let definition = DefinitionRef { name: SagaName::new("errand").unwrap(), version: 1, fingerprint };
        store.register(std::slice::from_ref(&definition)).await.unwrap();
        let (now, event, decision) = (Timestamp::default(), Bytes::new(), String::new());
        let commit = Commit {
            id: SagaId::from_uuid(Uuid::nil()),
            change: Change::Start(Start { definition, key: None, input: Uuid::nil(), parent: None }),
            status: Status::Running,
            state: Bytes::new(),
            data: Bytes::new(),
            parked: None,
            journal: vec![JournalEntry { version: 1, event, now, decision }],
            outbox,
            timers: Vec::new(),
        };
        store.commit(&[commit], LEASE).await.remove(0).unwrap();
        store
    }

    #[tokio::test(start_paused = true)]
    async fn rows_that_a_broker_does_not_take_keep_no_others_waiting() {
        let (gone, queue) = (Destination::new("gone").unwrap(), Destination::new("queue").unwrap());
        let transport = MemoryTransport::default();
        transport.declare(std::slice::from_ref(&queue)).await.unwrap();
        let stuck = (0..20 * BATCH_MAX as u128).map(|number| row(number, &gone));
        let outbox = store(stuck.chain([row(u128::MAX, &queue)]).collect()).await;
        let mut tasks = Tasks::new(&RandomIds);
        let _relay = start(Arc::new(outbox), Arc::new(transport.connect()), Listeners::default(), &mut tasks);

        let options = SubscribeOptions { source: queue, group: "readers".into(), in_flight_max: 1 };
        let mut reader = transport.subscribe(options).await.unwrap();
        let arrived = tokio::time::timeout(Duration::from_secs(1), reader.receive(1)).await;
        assert_eq!(arrived.expect("it is sent beside the others").unwrap().len(), 1);
    }
}
