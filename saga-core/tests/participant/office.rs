//! A participant that files papers in its own database and makes telephone calls, and this test that asks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use saga_core::id::{CommandType, Destination, Direction, MessageId, SagaId, StepName};
use saga_core::memory::{MemoryTransport, MemoryTx};
use saga_core::message::{Answer, CommandMessage, Fault, Payload, ReplyMessage, TraceParent};
use saga_core::policy::Timestamp;
use saga_core::port::{Settlement, SubscribeOptions, Transport};
use saga_core::runtime::{
    External, Handle, Handled, ParticipantBuilder, Participating, Reply, participant, service,
};
use saga_core::{Command, Outcome, Participant, Undoes};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::A_WHILE;
use crate::counting::CountingFence;

pub(crate) type Builder = ParticipantBuilder<CountingFence>;

pub(crate) struct Office {
    transport: MemoryTransport,
    pub(crate) fence: Arc<CountingFence>,
    pub(crate) line: Arc<Line>,
    sent: AtomicU64,
}

impl Participant for Office {
    const NAME: &'static str = "office";
}

macro_rules! command {
    ($($command:ident $type:literal)+) => {$(
        #[derive(Serialize, Deserialize)]
        pub(crate) struct $command;
        impl Command for $command {
            const TYPE: &'static str = $type;
            type Participant = Office;
            type Reply = ();
            type Refusal = ();
        }
    )+};
}
command!(File "file" Phone "phone" HangUp "hang-up");
impl Undoes<Phone> for HangUp {}

impl Office {
    /// An office that has a letter box, and nobody who empties it.
    pub(crate) async fn closed() -> Self {
        let transport = MemoryTransport::default();
        transport.declare(&[Destination::new("office").unwrap(), replies()]).await.unwrap();
        Office { transport, fence: Arc::default(), line: Arc::default(), sent: AtomicU64::new(0) }
    }

    pub(crate) async fn open(&self, with: impl FnOnce(Builder) -> Builder) -> Participating<CountingFence> {
        let handlers = service::<Office, _, _>(Clerk(self.line.clone()))
            .handle::<File>()
            .external::<Phone>()
            .external_undo::<Phone, HangUp>();
        let builder = participant(handlers, self.fence.clone(), Arc::new(self.transport.connect()));
        with(builder).start().await.unwrap()
    }

    /// Sends commands, each of a saga of its own.
    pub(crate) async fn send<C: Command>(&self, count: u64) {
        for _ in 0..count {
            let saga = SagaId::from_uuid(uuid::Uuid::from_u64_pair(0, self.sent.fetch_add(1, SeqCst)));
            let step = StepName::new("step").unwrap();
            let command = CommandMessage {
                saga,
                trace: TraceParent::of_message(saga, MessageId::command(saga, &step, Direction::Do)),
                step,
                direction: Direction::Do,
                attempt: 1,
                command_type: CommandType::new(C::TYPE).unwrap(),
                reply_to: replies(),
                not_after: Timestamp::from_micros(i64::MAX),
                body: Payload::encode(&()).unwrap(),
            };
            let envelope = command.encode(Destination::new("office").unwrap());
            self.transport.publish(&[envelope]).await.remove(0).unwrap();
        }
    }

    /// So many answers, and whatever else comes in a while.
    pub(crate) async fn answers(&self, count: usize) -> Vec<Answer> {
        let options = SubscribeOptions { source: replies(), group: "test".into(), in_flight_max: 100 };
        let mut subscription = self.transport.subscribe(options).await.unwrap();
        let mut answers = Vec::new();
        while let Ok(received) = timeout(A_WHILE, subscription.receive(100)).await {
            for delivery in received.unwrap() {
                answers.push(ReplyMessage::decode(&delivery.envelope).unwrap().answer);
                subscription.settler().settle(&[(delivery.token, Settlement::Ack)]).await;
            }
        }
        assert_eq!(answers.len(), count, "{answers:?}");
        answers
    }
}

fn replies() -> Destination {
    Destination::new("office.replies").unwrap()
}

/// The telephone: a call lasts until somebody picks up.
pub(crate) struct Line {
    calling: AtomicUsize,
    calling_max: AtomicUsize,
    picked_up: Semaphore,
}

impl Default for Line {
    fn default() -> Self {
        Line { calling: AtomicUsize::new(0), calling_max: AtomicUsize::new(0), picked_up: Semaphore::new(0) }
    }
}

impl Line {
    pub(crate) fn calling(&self) -> usize {
        self.calling.load(SeqCst)
    }

    pub(crate) fn calling_max(&self) -> usize {
        self.calling_max.load(SeqCst)
    }

    /// From now on all calls are answered.
    pub(crate) fn pick_up(&self) {
        self.picked_up.close();
    }
}

struct Clerk(Arc<Line>);

impl Handle<File, MemoryTx<u32>> for Clerk {
    async fn handle(&self, _: File, _: &mut MemoryTx<u32>) -> Handled<File> {
        sleep(Duration::from_millis(5)).await;
        Ok(Reply::Done(()))
    }
}

impl External<Phone> for Clerk {
    async fn call(&self, _: Phone, _: MessageId) -> Handled<Phone> {
        self.0.calling_max.fetch_max(self.0.calling.fetch_add(1, SeqCst) + 1, SeqCst);
        // It is closed rather than given a permit.
        let _ = self.0.picked_up.acquire().await;
        self.0.calling.fetch_sub(1, SeqCst);
        Ok(Reply::Done(()))
    }

    async fn undo(&self, _: MessageId, _: Outcome<()>) -> Result<(), Fault> {
        Ok(())
    }
}
