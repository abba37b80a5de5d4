//! What feeds the batch loop: replies, timers, held replies, and messages that no broker takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use super::arrival::{Arrival, EventArrival, Source};
use super::fold;
use crate::definition::DefinitionRef;
use crate::id::{Destination, SagaId};
use crate::machine::Event;
use crate::message::{CommandMessage, EndNotice, Envelope, Incoming, ReplyMessage};
use crate::port::{
    Delivery, HeldReply, Store, SubscribeOptions, Subscription, TimerDue, Token, Transport, TransportError,
};
use crate::runtime::contact::{Contact, Hold};
use crate::runtime::lifecycle::{Stopping, Tasks};
use crate::runtime::relay::Undeliverable;
use crate::runtime::settling::Settling;

/// Feeds the batch loop until the orchestrator stops.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) store: Arc<dyn Store>,
    pub(super) known: Vec<DefinitionRef>,
    /// Weak, so that the batch loop ends when the orchestrator and all feeds are done.
    pub(super) inbox: mpsc::WeakSender<Arrival>,
    pub(super) contact: Contact,
    /// How late a timer may be before it is put off, and how long timers wait at most after an outage.
    pub(super) grace: Duration,
    pub(super) stopping: Stopping,
}

impl Feed {
    /// Starts everything that feeds the batch loop. `read` is where its messages come from.
    pub(super) fn start(
        self,
        transport: &Arc<dyn Transport>,
        read: BTreeSet<Destination>,
        set_aside: mpsc::Receiver<Undeliverable>,
        tasks: &mut Tasks,
    ) {
        for source in read {
            tasks.spawn(self.clone().messages(transport.clone(), source));
        }
        tasks.spawn(self.clone().timers());
        tasks.spawn(self.clone().held());
        tasks.spawn(self.undeliverable(set_aside));
    }

    /// Takes messages from the broker, over as many connections as it takes: replies, and what other sagas ask of those
    /// that are run for them.
    async fn messages(mut self, transport: Arc<dyn Transport>, source: Destination) {
        let group = source.as_str().to_owned();
        let options = SubscribeOptions { source, group, in_flight_max: IN_FLIGHT_MAX };
        let mut missing = Some(self.contact.missing());
        while !self.stopping.is_stopping() {
            let subscribing = || transport.subscribe(options.clone());
            let what = "subscribe to an orchestrator's messages";
            let Some(subscription) = self.stopping.until_done_or_dropped(what, subscribing).await else {
                return;
            };
            drop(missing.take());
            if let Err(error) = self.read(subscription).await {
                warn!(%error, "an orchestrator's subscription ended, subscribing again");
                missing = Some(self.contact.missing());
                self.stopping.before_again().await;
            }
        }
    }

    async fn read(&mut self, mut subscription: Box<dyn Subscription>) -> Result<(), TransportError> {
        let (settling, carried_out) = Settling::over(subscription.settler());
        let settler = tokio::spawn(carried_out);
        let result = loop {
            let received = tokio::select! {
                biased;
                () = self.stopping.stopped() => break Ok(()),
                received = subscription.receive(BATCH_MAX) => received,
            };
            match received {
                Ok(deliveries) => self.take(deliveries, &settling).await,
                Err(error) => break Err(error),
            }
        };
        drop(settling);
        if result.is_ok() {
            // Stopping: the subscription stays until the last reply that it brought is settled.
            let _ = settler.await;
        }
        result
    }

    async fn take(&self, deliveries: Vec<Delivery>, settling: &Settling) {
        let mut arrivals = Vec::with_capacity(deliveries.len());
        for Delivery { envelope, token, .. } in deliveries {
            if EndNotice::is_one(&envelope) {
                self.note_ended(&envelope, token, settling).await;
                continue;
            }
            match readable(&envelope) {
                Ok((saga, event)) => {
                    planted!(ReplyAckedEarly: settling.ack(token).await);
                    let (envelope, settling) = (Box::new(envelope), settling.clone());
                    let source = Source::Delivery { envelope, token, settling };
                    arrivals.push(EventArrival { saga, event, source });
                }
                Err(error) => {
                    warn!(message = %envelope.id, %error, "a message is dead-lettered, because no orchestrator takes such");
                    settling.dead_letter(token, error.to_string()).await;
                }
            }
        }
        self.pass_on(arrivals).await;
    }

    /// Notes that sagas have ended which have run others here as steps, and acks the notice after that.
    async fn note_ended(&self, envelope: &Envelope, token: Token, settling: &Settling) {
        let notice = match EndNotice::decode(envelope) {
            Ok(notice) => notice,
            Err(error) => return settling.dead_letter(token, error.to_string()).await,
        };
        let noting = async || match self.store.note_ended(notice.sagas()).await {
            Err(error) if error.is_temporary() => Err(error),
            noted => Ok(noted),
        };
        match self.stopping.clone().until_done("note the ends of sagas", noting).await {
            Some(Ok(())) => settling.ack(token).await,
            Some(Err(error)) => settling.dead_letter(token, error.to_string()).await,
            None => settling.release(token).await,
        }
    }

    /// Takes timers whose time has come, unless no answer could have come.
    async fn timers(mut self) {
        let mut hold = Hold::new(self.contact.clone(), self.grace);
        loop {
            let (store, known, grace) = (&self.store, &self.known, self.grace);
            // Asked before every try: the store may be away as well, and be back before the broker.
            let due = || {
                let holds = hold.holds(Instant::now());
                async move {
                    if holds {
                        return Ok(Vec::new());
                    }
                    store.due_timers(known, BATCH_MAX, TIMER_LEASE, grace).await
                }
            };
            let Some(due) = self.stopping.clone().until_done("look for due timers", due).await else {
                return;
            };
            counter!("saga_timers_fired_total").increment(due.len() as u64);
            let full = due.len() == BATCH_MAX;
            self.pass_on(due.into_iter().map(timed).collect()).await;
            if self.stopping.pause(if full { Duration::ZERO } else { TIMER_PAUSE }).await {
                return;
            }
        }
    }

    /// Takes replies that another process held, because it did not know their saga's definition.
    async fn held(mut self) {
        loop {
            let known = self.known.clone();
            let held = || self.store.held(&known, BATCH_MAX);
            let Some(held) = self.stopping.clone().until_done("look for held replies", held).await else {
                return;
            };
            self.pass_on(held.into_iter().filter_map(held_reply).collect()).await;
            if self.stopping.pause(HELD_PAUSE).await {
                return;
            }
        }
    }

    /// Parks sagas whose messages no broker takes.
    async fn undeliverable(mut self, mut set_aside: mpsc::Receiver<Undeliverable>) {
        loop {
            let undeliverable = tokio::select! {
                biased;
                () = self.stopping.stopped() => return,
                undeliverable = set_aside.recv() => undeliverable,
            };
            let Some(Undeliverable { envelope, reason }) = undeliverable else { return };
            // This orchestrator's relay sends only its own messages. Nobody waits for what is no command: a
            // notification.
            let Ok(command) = CommandMessage::decode(&envelope) else { continue };
            let reason =
                format!("the {} message of step {} is set aside: {reason}", command.direction, command.step);
            let event = Event::Undeliverable { step: command.step, reason };
            self.pass_on(vec![EventArrival { saga: command.saga, event, source: Source::Timer }]).await;
        }
    }

    /// Waits until the batch loop has room for all of them.
    async fn pass_on(&self, arrivals: Vec<EventArrival>) {
        let Some(inbox) = self.inbox.upgrade() else { return };
        let Ok(room) = inbox.reserve_many(arrivals.len()).await else { return };
        for (place, arrival) in room.zip(arrivals) {
            place.send(Arrival::Event(arrival));
        }
    }
}

/// What a message says has happened, and to which saga, if an orchestrator takes such.
fn readable(envelope: &Envelope) -> Result<(SagaId, Event), String> {
    let too_large = |bytes: usize, max: usize, place| {
        Err(format!("{place} has {bytes} bytes, and {max} are the most that a saga takes"))
    };
    let bytes = envelope.body.len();
    if bytes > EVENT_BYTES_MAX {
        return too_large(bytes, EVENT_BYTES_MAX, "its body");
    }
    let (saga, event) = happened(Incoming::decode(envelope).map_err(|error| error.to_string())?);
    // An escape has six bytes at most.
    let journalled = if bytes > fold::ENTRY_BYTES_MAX / 8 { fold::bytes_of(&event) } else { 0 };
    if journalled > fold::ENTRY_BYTES_MAX {
        return too_large(journalled, fold::ENTRY_BYTES_MAX, "its entry in the journal");
    }
    Ok((saga, event))
}

fn happened(incoming: Incoming) -> (SagaId, Event) {
    match incoming {
        Incoming::Reply(ReplyMessage { saga, step, direction, attempt, answer, .. }) => {
            (saga, Event::Replied { step, direction, attempt, answer })
        }
        Incoming::Command(CommandMessage { saga, step, direction, attempt, reply_to, .. }) => {
            (saga.child(&step), Event::Asked { direction, attempt, reply_to })
        }
        Incoming::Release(release) => (release.saga.child(&release.step), Event::Released),
    }
}

fn timed(due: TimerDue) -> EventArrival {
    let TimerDue { saga, step, direction, attempt } = due;
    EventArrival { saga, event: Event::TimerDue { step, direction, attempt }, source: Source::Timer }
}

/// Only messages that decoded were held.
fn held_reply(held: HeldReply) -> Option<EventArrival> {
    let (saga, event) = happened(Incoming::decode(&held.envelope).ok()?);
    Some(EventArrival { saga, event, source: Source::Held(held.id) })
}

/// Replies taken at once. One transaction holds them; beyond this its latency grows faster than its economy.
pub(super) const BATCH_MAX: usize = 500;

/// Replies out and unsettled: two batches at work and two on their way.
const IN_FLIGHT_MAX: usize = 4 * BATCH_MAX;

/// The largest body of an event: half of what an entry of the journal holds. Brokers and other participants may have other
/// limits.
const EVENT_BYTES_MAX: usize = fold::ENTRY_BYTES_MAX / 2;

/// Arrivals that wait for the batch loop. When it is full, the broker and the callers wait.
pub(super) const INBOX_MAX: usize = 4 * BATCH_MAX;

/// Set-aside messages that wait to park their sagas. More are found again by their timers.
pub(super) const UNDELIVERABLE_MAX: usize = 1000;

/// How long a timer that was taken stays with this process. If it dies, another takes the timer then.
const TIMER_LEASE: Duration = Duration::from_secs(5);

/// Unless said otherwise. A timer that is later than this has waited for an orchestrator, since timers are looked for all
/// the time: after an outage, the replies that have piled up are taken before anything is given up for want of an answer.
/// Long enough for a restart, and many times what a batch takes.
pub(super) const TIMER_GRACE: Duration = Duration::from_secs(30);

/// How often timers are looked for; they fire at most this late.
const TIMER_PAUSE: Duration = Duration::from_millis(200);

/// How often held replies are looked for: they wait for a deployment, so seconds do not matter.
const HELD_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::id::{Direction, MessageId, StepName};
    use crate::message::{Answer, Payload, TraceParent};

    /// A reply whose body is as long as this.
    fn reply(bytes: usize) -> Envelope {
        reply_of(format!("{:?}", "x".repeat(bytes - 2)))
    }

    fn reply_of(body: String) -> Envelope {
        let (saga, step) = (SagaId::from_uuid(Uuid::from_u128(7)), StepName::new("reserve").unwrap());
        let payload = Payload::from_bytes(Bytes::from(body)).unwrap();
        let trace = TraceParent::of_message(saga, MessageId::command(saga, &step, Direction::Do));
        let (direction, answer) = (Direction::Do, Answer::Done(payload));
        let reply = ReplyMessage { saga, step, direction, attempt: 1, answer, trace };
        reply.encode(Destination::new("replies").unwrap())
    }

    #[test]
    fn what_the_journal_could_not_hold_is_no_event() {
        let largest = reply(EVENT_BYTES_MAX);
        assert_eq!(largest.body.len(), EVENT_BYTES_MAX);
        assert!(readable(&largest).is_ok());
        let why = readable(&reply(EVENT_BYTES_MAX + 1)).unwrap_err();
        assert!(why.contains("8388609 bytes"), "{why}");
        let escaped = |length| reply_of("\u{1}".repeat(length));
        assert!(readable(&escaped(2_700_000)).is_ok());
        let why = readable(&escaped(2_800_000)).unwrap_err();
        assert!(why.contains("in the journal"), "{why}");
    }
}
