//! External handlers over the fence: the participant of production, with a gateway whose calls come back when told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{CommandType, Destination, Direction, MessageId};
use saga_core::memory::MemoryTransport;
use saga_core::message::{Answer, CommandMessage, Fault, Payload, ReplyMessage, TraceParent};
use saga_core::policy::Timestamp;
use saga_core::port::{Forget, SubscribeOptions, Subscription, Transport, Watch};
use saga_core::runtime::{External, Handled, ParticipantBuilder, Participating, Reply, participant, service};
use saga_core::{Command, Outcome, Participant, Undoes};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::Harness;
use super::harness::{begin, commit, row};
use crate::suite::samples::fence_key;
use crate::suite::{Skipped, eventually};

/// The row says `started` while the call is under way, and is free; then it says what has come of it.
pub async fn an_external_call_is_begun_before_it_is_made_and_recorded_after_it<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let mut stage = Stage::start(harness).await;
    stage.send(Direction::Do).await;
    stage.gateway.called().await;
    assert_eq!(stage.row().await, Some(FenceState::Started), "the call is begun on record");
    let (tx, _) = begin(&harness.connect().await, &stage.key).await;
    drop(tx);

    stage.gateway.answers.add_permits(1);
    assert_eq!(stage.answer().await, (Direction::Do, Answer::Done(stage.reply())));
    assert_eq!(stage.row().await, Some(FenceState::Applied(stage.reply())), "its reply is on record");
    stage.send(Direction::Do).await;
    assert_eq!(stage.answer().await, (Direction::Do, Answer::Done(stage.reply())), "from the record");
    assert_eq!(stage.gateway.counts(), (1, 0), "calls and undos");
    Ok(())
}

/// A slow gateway holds back no other command, though there are more calls than workers.
pub async fn a_slow_call_holds_back_no_other_command<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let mut stage = Stage::start(harness).await;
    let first = stage.key.clone();
    for _ in 0..CALLS {
        stage.key = fence_key("charge");
        stage.send(Direction::Do).await;
        stage.gateway.called().await;
    }
    stage.key = first;
    stage.send(Direction::Undo).await;
    assert_eq!(stage.answer().await, (Direction::Undo, Answer::Undone), "an empty compensation");
    assert_eq!(stage.gateway.counts(), (CALLS, 0), "calls and undos");
    Ok(())
}

/// Whoever comes to record an outcome and finds that its row has moved on takes it back.
pub async fn a_call_that_lands_after_its_undo_is_undone_once_more<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let mut stage = Stage::start(harness).await;
    stage.send(Direction::Do).await;
    stage.gateway.called().await;
    stage.send(Direction::Undo).await;
    assert_eq!(stage.answer().await, (Direction::Undo, Answer::Undone));
    assert_eq!(stage.row().await, Some(FenceState::Compensated), "the undo is on record");
    assert_eq!(stage.gateway.counts(), (1, 1), "calls and undos");

    stage.gateway.answers.add_permits(1);
    assert_eq!(stage.answer().await, (Direction::Do, Answer::Closed), "it is taken back");
    assert_eq!(stage.gateway.counts(), (1, 2), "calls and undos");
    stage.send(Direction::Do).await;
    assert_eq!(stage.answer().await, (Direction::Do, Answer::Closed));
    assert_eq!(stage.gateway.counts(), (1, 3), "a later delivery does not know whether it was");
    assert_eq!(stage.row().await, Some(FenceState::Compensated), "the record stays");
    Ok(())
}

/// Where nobody comes back with a call, its undo is run from time to time, until no call can land any more.
pub async fn a_call_that_nobody_comes_back_with_is_looked_after<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let configure = |participant: ParticipantBuilder<_>| {
        participant.handler_timeout(GIVES_UP_AFTER).calls_land_within(8 * GIVES_UP_AFTER)
    };
    let mut stage = Stage::start_with(harness, configure).await;
    stage.send(Direction::Do).await;
    let (_, fault) = stage.answer().await;
    assert!(matches!(fault, Answer::Fault(_)), "the call is given up: {fault:?}");
    stage.send(Direction::Undo).await;
    assert_eq!(stage.answer().await, (Direction::Undo, Answer::Undone));
    assert_eq!(stage.watched().await, 1, "the row is watched");

    eventually("the last look", async || (stage.watched().await == 0).then_some(())).await;
    let (calls, undos) = stage.gateway.counts();
    assert_eq!(calls, 1, "calls");
    assert!(
        undos >= 3,
        "the undo is run when it is asked for, at a look, and at the last one, not {undos} times"
    );
    assert_eq!(stage.row().await, Some(FenceState::Compensated), "the record stays");
    Ok(())
}

/// A call that another process had begun is made again; its outcome is unknown to an undo.
pub async fn a_call_that_somebody_began_is_made_again_or_undone<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let mut stage = Stage::start(harness).await;
    let fence = harness.connect().await;
    for (direction, answer) in
        [(Direction::Do, Answer::Done(stage.reply())), (Direction::Undo, Answer::Undone)]
    {
        stage.key = fence_key("charge");
        let (tx, _) = begin(&fence, &stage.key).await;
        commit(&fence, tx, &stage.key, Some(FenceState::Started)).await;
        stage.gateway.answers.add_permits(1);
        stage.send(direction).await;
        assert_eq!(stage.answer().await, (direction, answer), "the answer to one that was begun");
    }
    assert_eq!(stage.gateway.counts(), (1, 1), "calls and undos");
    Ok(())
}

/// A refusal says that its own call has had no effect, and nothing of another one.
pub async fn a_refusal_of_the_only_call_is_not_undone_and_one_of_several_is<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let mut stage = Stage::start(harness).await;
    stage.gateway.refuses.store(true, Ordering::SeqCst);
    let refused = || Answer::Refused(Payload::encode(&()).expect("nothing has a JSON form"));
    stage.gateway.answers.add_permits(2);
    stage.send(Direction::Do).await;
    assert_eq!(stage.answer().await, (Direction::Do, refused()));
    assert_eq!(stage.gateway.counts(), (1, 0), "calls and undos");
    assert_eq!(stage.watched().await, 0, "nothing can land any more");

    stage.key = fence_key("charge");
    let fence = harness.connect().await;
    let (tx, _) = begin(&fence, &stage.key).await;
    commit(&fence, tx, &stage.key, Some(FenceState::Started)).await;
    stage.send(Direction::Do).await;
    assert_eq!(stage.answer().await, (Direction::Do, refused()));
    assert_eq!(stage.gateway.counts(), (2, 1), "calls and undos");
    assert_eq!(stage.watched().await, 1, "the call that somebody began may land yet");
    Ok(())
}

/// A participant that stops waits for its calls, and records what has come of them.
pub async fn a_participant_that_stops_waits_for_its_calls<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let stage = Stage::start(harness).await;
    stage.send(Direction::Do).await;
    stage.gateway.called().await;
    let mut stopping = Box::pin(stage.participating.stop(PATIENCE));
    assert!(timeout(Duration::from_millis(50), &mut stopping).await.is_err(), "it waits for the call");
    stage.gateway.answers.add_permits(1);
    stopping.await;
    assert_eq!(stage.row().await, Some(FenceState::Applied(stage.reply())), "its reply is on record");
    Ok(())
}

struct Inventory;
impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

#[derive(Serialize, Deserialize)]
struct Charge;
impl Command for Charge {
    const TYPE: &'static str = "suite.charge.v1";
    type Participant = Inventory;
    type Reply = u32;
    type Refusal = ();
}

#[derive(Serialize, Deserialize)]
struct Refund;
impl Command for Refund {
    const TYPE: &'static str = "suite.refund.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<Charge> for Refund {}

/// A gateway whose calls come back as often as they are let.
struct Gateway {
    calls: AtomicUsize,
    undos: AtomicUsize,
    refuses: AtomicBool,
    arrived: Notify,
    answers: Semaphore,
}

impl Gateway {
    async fn called(&self) {
        timeout(PATIENCE, self.arrived.notified()).await.expect("the gateway is called");
    }

    fn counts(&self) -> (usize, usize) {
        (self.calls.load(Ordering::SeqCst), self.undos.load(Ordering::SeqCst))
    }
}

/// The handlers, shared with the scenario.
struct Shared(Arc<Gateway>);

impl External<Charge> for Shared {
    async fn call(&self, _: Charge, _: MessageId) -> Handled<Charge> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        self.0.arrived.notify_one();
        self.0.answers.acquire().await?.forget();
        Ok(if self.0.refuses.load(Ordering::SeqCst) { Reply::Refused(()) } else { Reply::Done(7) })
    }

    async fn undo(&self, _: MessageId, _: Outcome<u32>) -> Result<(), Fault> {
        self.0.undos.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A participant over the harness's fence, and whoever sends it commands and hears its replies.
struct Stage<F> {
    fence: Arc<F>,
    transport: MemoryTransport,
    replies: Box<dyn Subscription>,
    gateway: Arc<Gateway>,
    participating: Participating<F>,
    key: FenceKey,
}

impl<F: Forget + Watch + saga_core::port::Outbox> Stage<F>
where
    F::Tx: 'static,
{
    async fn start<H: Harness<Fence = F>>(harness: &H) -> Self {
        Stage::start_with(harness, |participant| participant.handler_timeout(PATIENCE)).await
    }

    async fn start_with<H: Harness<Fence = F>>(
        harness: &H,
        configure: impl FnOnce(ParticipantBuilder<F>) -> ParticipantBuilder<F>,
    ) -> Self {
        let (calls, undos) = (AtomicUsize::default(), AtomicUsize::default());
        let (refuses, arrived) = (AtomicBool::default(), Notify::new());
        let gateway = Gateway { calls, undos, refuses, arrived, answers: Semaphore::new(0) };
        let gateway = Arc::new(gateway);
        let handlers = service::<Inventory, _, _>(Shared(gateway.clone()));
        let handlers = handlers.external::<Charge>().external_undo::<Charge, Refund>();
        let transport = MemoryTransport::default();
        let fence = Arc::new(harness.connect().await);
        let participating = participant(handlers, fence.clone(), Arc::new(transport.connect())).workers(2);
        let participating = configure(participating).start().await.expect("the participant starts");
        let options = SubscribeOptions { source: replies(), group: "suite".into(), in_flight_max: 10 };
        transport.declare(&[replies()]).await.expect("declaring");
        let replies = transport.subscribe(options).await.expect("subscribing");
        Stage { fence, transport, replies, gateway, participating, key: fence_key("charge") }
    }

    async fn send(&self, direction: Direction) {
        let command_type = match direction {
            Direction::Do | Direction::Close => Charge::TYPE,
            Direction::Undo => Refund::TYPE,
        };
        let command = CommandMessage {
            saga: self.key.saga,
            step: self.key.step.clone(),
            direction,
            attempt: 1,
            command_type: CommandType::new(command_type).expect("a proper name"),
            reply_to: replies(),
            not_after: Timestamp::from_micros(i64::MAX),
            trace: TraceParent::of_message(self.key.saga, MessageId::from_uuid(self.key.saga.as_uuid())),
            body: Payload::encode(&()).expect("nothing has a JSON form"),
        };
        let destination = Destination::of(&self.key.participant);
        for published in self.transport.publish(&[command.encode(destination)]).await {
            published.expect("publishing");
        }
    }

    /// The next reply: to what, and what it says.
    async fn answer(&mut self) -> (Direction, Answer) {
        let received = timeout(PATIENCE, self.replies.receive(1)).await.expect("a reply comes");
        let delivery = received.expect("receiving").remove(0);
        let reply = ReplyMessage::decode(&delivery.envelope).expect("a proper reply");
        (reply.direction, reply.answer)
    }

    fn reply(&self) -> Payload {
        Payload::encode(&7).expect("a number has a JSON form")
    }

    async fn watched(&self) -> u64 {
        self.participating.watched().await.expect("counting")
    }

    async fn row(&self) -> Option<FenceState> {
        row(&*self.fence, &self.key).await
    }
}

fn replies() -> Destination {
    Destination::new("suite.replies").expect("a proper name")
}

/// The first look comes after three times as long.
const GIVES_UP_AFTER: Duration = Duration::from_millis(200);

/// More than there are workers.
const CALLS: usize = 5;

/// Far longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
