//! Errands and deliveries, an orchestrator of them, and the warehouse's answers.

use std::sync::Arc;
use std::time::Duration;

use saga_core::id::{Destination, Direction, MessageId, SagaId, StepName};
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::message::{Answer, Payload, ReplyMessage, TraceParent};
use saga_core::port::Transport;
use saga_core::runtime::{Busy, Orchestrator, OrchestratorBuilder, SagaLimits, StartError};
use saga_core::{Command, Compensate, Definition, Outcome, Participant, Saga, Signal, Step, Undoes, saga};
use serde::{Deserialize, Serialize};

pub(crate) struct Warehouse;

impl Participant for Warehouse {
    const NAME: &'static str = "warehouse";
}

macro_rules! command {
    ($command:ident, $type:literal) => {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct $command;

        impl Command for $command {
            const TYPE: &'static str = $type;
            type Participant = Warehouse;
            type Reply = ();
            type Refusal = ();
        }
    };
}
command!(Fetch, "fetch");
command!(PutBack, "put-back");
impl Undoes<Fetch> for PutBack {}

/// A saga that asks the warehouse, and one that only waits; both with a number.
macro_rules! sagas {
    ($($saga:ident $name:literal)+) => {
        $(
            #[derive(Clone, Serialize, Deserialize)]
            pub(crate) struct $saga(pub(crate) u32);

            impl Saga for $saga {
                const NAME: &'static str = $name;
            }

            impl Step<$saga> for Fetch {
                fn command(_: &$saga) -> Self {
                    Fetch
                }
            }

            impl Compensate<$saga> for Fetch {
                type Undo = PutBack;

                fn undo(_: &$saga, _: Outcome<()>) -> PutBack {
                    PutBack
                }
            }

            impl Signal<$saga> for Go {
                const NAME: &'static str = "go";

                fn deadline() -> Duration {
                    Duration::from_secs(3600)
                }
            }
        )+
    };
}
sagas!(Errand "errand" Delivery "delivery");

#[derive(Serialize, Deserialize)]
pub(crate) struct Go;

pub(crate) fn waiting<S: Saga>() -> Definition<S>
where
    Go: Signal<S>,
{
    saga(1).wait::<Go>().build().unwrap()
}

pub(crate) fn fetching<S: Saga>() -> Definition<S>
where
    Fetch: Compensate<S>,
{
    saga(1).step::<Fetch>().build().unwrap()
}

pub(crate) fn over(transport: &MemoryTransport) -> OrchestratorBuilder<MemoryStore> {
    Orchestrator::builder(Arc::default(), Arc::new(transport.connect()), "errands.replies")
}

/// An orchestrator of errands that wait, with these limits.
pub(crate) async fn limited(limits: SagaLimits) -> Orchestrator<MemoryStore> {
    let builder = over(&MemoryTransport::default()).register(&waiting::<Errand>()).limit::<Errand>(limits);
    builder.start().await.unwrap()
}

pub(crate) async fn busy(orchestrator: &Orchestrator<MemoryStore>) -> Option<Busy> {
    match orchestrator.start(Errand(0)).await {
        Ok(_) => None,
        Err(StartError::Busy(busy)) => Some(busy),
        Err(other) => panic!("{other}"),
    }
}

/// Until the next count of what is under way.
pub(crate) async fn count() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

pub(crate) async fn answer(transport: &MemoryTransport, saga: SagaId) {
    answer_with(transport, saga, Answer::Done(Payload::encode(&()).unwrap())).await;
}

pub(crate) async fn answer_with(transport: &MemoryTransport, saga: SagaId, answer: Answer) {
    let step = StepName::new("fetch").unwrap();
    let trace = TraceParent::of_message(saga, MessageId::reply(saga, &step, Direction::Do));
    let reply = ReplyMessage { saga, step, direction: Direction::Do, attempt: 1, answer, trace };
    let reply = reply.encode(Destination::new("errands.replies").unwrap());
    transport.publish(&[reply]).await.remove(0).unwrap();
}
