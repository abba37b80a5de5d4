//! Limits: who may start a saga, who is refused, and who waits for how long.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use saga_core::id::{BusinessKey, Destination, Direction, MessageId, SagaId, StepName};
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::message::{Answer, Payload, ReplyMessage, TraceParent};
use saga_core::port::Transport;
use saga_core::runtime::{
    Busy, Orchestrator, OrchestratorBuilder, ParticipantLimits, SagaLimits, StartError,
};
use saga_core::{Command, Compensate, Definition, Outcome, Participant, Saga, Signal, Step, Undoes, saga};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

struct Warehouse;

impl Participant for Warehouse {
    const NAME: &'static str = "warehouse";
}

macro_rules! command {
    ($command:ident, $type:literal) => {
        #[derive(Serialize, Deserialize)]
        struct $command;

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
            struct $saga(u32);

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
struct Go;

fn waiting<S: Saga>() -> Definition<S>
where
    Go: Signal<S>,
{
    saga(1).wait::<Go>().build().unwrap()
}

fn fetching<S: Saga>() -> Definition<S>
where
    Fetch: Compensate<S>,
{
    saga(1).step::<Fetch>().build().unwrap()
}

fn over(transport: &MemoryTransport) -> OrchestratorBuilder<MemoryStore> {
    Orchestrator::builder(Arc::default(), Arc::new(transport.connect()), "errands.replies")
}

/// An orchestrator of errands that wait, with these limits.
async fn limited(limits: SagaLimits) -> Orchestrator<MemoryStore> {
    let builder = over(&MemoryTransport::default()).register(&waiting::<Errand>()).limit::<Errand>(limits);
    builder.start().await.unwrap()
}

async fn busy(orchestrator: &Orchestrator<MemoryStore>) -> Option<Busy> {
    match orchestrator.start(Errand(0)).await {
        Ok(_) => None,
        Err(StartError::Busy(busy)) => Some(busy),
        Err(other) => panic!("{other}"),
    }
}

/// Until the next count of what is under way.
async fn count() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn answer(transport: &MemoryTransport, saga: SagaId) {
    let step = StepName::new("fetch").unwrap();
    let answer = Answer::Done(Payload::encode(&()).unwrap());
    let trace = TraceParent::of_message(saga, MessageId::reply(saga, &step, Direction::Do));
    let reply = ReplyMessage { saga, step, direction: Direction::Do, attempt: 1, answer, trace };
    let reply = reply.encode(Destination::new("errands.replies").unwrap());
    transport.publish(&[reply]).await.remove(0).unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_many_starts_at_once_so_many_succeed_as_may_be_under_way() {
    let orchestrator = limited(SagaLimits::default().in_flight(10)).await;
    let started = join_all((0..50).map(|_| busy(&orchestrator))).await;
    assert_eq!(started.iter().filter(|busy| busy.is_none()).count(), 10);
    let refused = started.iter().flatten().next().unwrap().to_string();
    assert_eq!(refused, "10 sagas of errand may be under way, and are");
    count().await;
    assert!(busy(&orchestrator).await.is_some(), "they are under way");
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_has_ended_or_is_parked_makes_room() {
    let orchestrator = limited(SagaLimits::default().in_flight(1)).await;
    let first = orchestrator.start(Errand(0)).await.unwrap();
    count().await;
    assert!(busy(&orchestrator).await.is_some());
    first.signal(Go).await.unwrap();
    count().await;
    assert_eq!(busy(&orchestrator).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_before_the_orchestrator_started_counts() {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let builder = || {
        let builder = Orchestrator::builder(store.clone(), Arc::new(transport.connect()), "errands.replies");
        builder.register(&waiting::<Errand>()).limit::<Errand>(SagaLimits::default().in_flight(1))
    };
    let first = builder().start().await.unwrap();
    first.start(Errand(0)).await.unwrap();
    let second = builder().start().await.unwrap();
    assert!(matches!(busy(&second).await, Some(Busy::Sagas { limit: 1, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_as_long_as_it_may_and_goes_on_when_there_is_room() {
    let orchestrator = limited(SagaLimits::default().in_flight(1).wait(Duration::from_secs(5))).await;
    let first = orchestrator.start(Errand(0)).await.unwrap();
    let begun = Instant::now();
    assert!(busy(&orchestrator).await.is_some());
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    let (second, _) = tokio::join!(orchestrator.start(Errand(2)), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        first.signal(Go).await.unwrap();
    });
    assert!(second.is_ok() && begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_no_longer_waits_takes_no_room() {
    let orchestrator = limited(SagaLimits::default().in_flight(1).wait(Duration::from_secs(60))).await;
    let first = orchestrator.start(Errand(0)).await.unwrap();
    let impatient = tokio::time::timeout(Duration::from_secs(1), orchestrator.start(Errand(1))).await;
    assert!(impatient.is_err());
    first.signal(Go).await.unwrap();
    count().await;
    let begun = Instant::now();
    assert_eq!(busy(&orchestrator).await, None);
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_on_its_way_takes_room_though_its_caller_has_lost_patience() {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let builder = Orchestrator::builder(store.clone(), Arc::new(transport.connect()), "errands.replies");
    let builder = builder.register(&waiting::<Errand>()).limit::<Errand>(SagaLimits::default().in_flight(1));
    let orchestrator = builder.start().await.unwrap();
    // The store is busy for as long as this transaction is open.
    let open = store.begin().await;
    assert!(orchestrator.start(Errand(0)).now_or_never().is_none());
    count().await;
    drop(open);
    // The count that waited sees no saga yet. The next one is far off.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(busy(&orchestrator).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_saga_in_a_callers_transaction_takes_room_until_its_commit_or_for_a_minute() {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let builder = Orchestrator::builder(store.clone(), Arc::new(transport.connect()), "errands.replies");
    let builder = builder.register(&waiting::<Errand>()).limit::<Errand>(SagaLimits::default().in_flight(2));
    let orchestrator = builder.start().await.unwrap();
    let mut rolled_back = store.begin().await;
    drop(orchestrator.start_in(&mut rolled_back, None, Errand(0)).await.unwrap());
    drop(rolled_back);
    let mut committed = store.begin().await;
    let started = orchestrator.start_in(&mut committed, None, Errand(1)).await.unwrap();
    committed.commit();
    started.committed().signal(Go).await.unwrap();
    count().await;
    assert_eq!(busy(&orchestrator).await, None, "the second has ended");
    count().await;
    assert!(busy(&orchestrator).await.is_some(), "nobody knows of the first");
    tokio::time::sleep(Duration::from_secs(60)).await;
    count().await;
    assert_eq!(busy(&orchestrator).await, None, "the first was never there");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_when_the_orchestrator_stops() {
    let orchestrator = limited(SagaLimits::default().in_flight(1).wait(Duration::from_secs(60))).await;
    orchestrator.start(Errand(0)).await.unwrap();
    let (waited, ()) = tokio::join!(orchestrator.start(Errand(1)), orchestrator.stop(Duration::from_secs(1)));
    assert!(matches!(waited, Err(StartError::Stopping)));
}

#[tokio::test(start_paused = true)]
async fn so_many_start_in_a_second() {
    let orchestrator = limited(SagaLimits::default().per_second(5)).await;
    for _ in 0..5 {
        assert_eq!(busy(&orchestrator).await, None);
    }
    assert_eq!(
        busy(&orchestrator).await.unwrap().to_string(),
        "5 sagas of errand may start in a second, and have"
    );
    tokio::time::sleep(Duration::from_millis(401)).await;
    let later = [busy(&orchestrator).await, busy(&orchestrator).await, busy(&orchestrator).await];
    assert_eq!(later.map(|busy| busy.is_none()), [true, true, false]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let rested = join_all((0..10).map(|_| busy(&orchestrator))).await;
    assert_eq!(rested.iter().filter(|busy| busy.is_none()).count(), 5);
    let patient = limited(SagaLimits::default().per_second(5).wait(Duration::from_secs(60))).await;
    let begun = Instant::now();
    let started = join_all((0..25).map(|_| busy(&patient))).await;
    assert!(started.iter().all(Option::is_none));
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_passes_those_who_wait() {
    let orchestrator = limited(SagaLimits::default().per_second(3).wait(Duration::from_secs(60))).await;
    for _ in 0..3 {
        orchestrator.start(Errand(0)).await.unwrap();
    }
    let begun = Instant::now();
    let started = async |after| {
        tokio::time::sleep(Duration::from_millis(after)).await;
        orchestrator.start(Errand(1)).await.unwrap();
        begun.elapsed().as_millis()
    };
    // A third of a second makes room for one, and those who wait are let in every twentieth.
    let (first, second) = tokio::join!(started(0), started(340));
    assert!((334..=350).contains(&first) && (667..=700).contains(&second), "{first} {second}");
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_was_started_before_is_not_refused() {
    let orchestrator = limited(SagaLimits::default().in_flight(1)).await;
    let key = |key| BusinessKey::new(key).unwrap();
    let first = orchestrator.start_as(key("errand 7"), Errand(7)).await.unwrap();
    let again = orchestrator.start_as(key("errand 7"), Errand(7)).await.unwrap();
    assert!(again.is_existing() && again.id() == first.id());
    let changed = orchestrator.start_as(key("errand 7"), Errand(8)).await;
    assert!(matches!(changed, Err(StartError::KeyTaken(_))));
    let other = orchestrator.start_as(key("errand 8"), Errand(8)).await;
    assert!(matches!(other, Err(StartError::Busy(_))));
}

#[tokio::test(start_paused = true)]
async fn a_participant_with_too_much_to_do_holds_back_those_who_would_ask_it_by_priority() {
    let transport = MemoryTransport::default();
    let patient = SagaLimits::default().wait(Duration::from_secs(60));
    let builder = over(&transport).register(&fetching::<Errand>()).register(&fetching::<Delivery>());
    let builder = builder.limit::<Errand>(patient).limit::<Delivery>(patient.priority(1));
    let builder = builder.limit_participant::<Warehouse>(ParticipantLimits::default().in_flight(1));
    let orchestrator = builder.start().await.unwrap();
    let first = orchestrator.start(Errand(0)).await.unwrap().id();
    let begun = Instant::now();
    let (errand, delivery, ()) = tokio::join!(
        async { (orchestrator.start(Errand(1)).await.unwrap().id(), begun.elapsed()).1 },
        async {
            let delivery = orchestrator.start(Delivery(1)).await.unwrap().id();
            let started = begun.elapsed();
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer(&transport, delivery).await;
            started
        },
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer(&transport, first).await;
        }
    );
    assert!(delivery >= Duration::from_secs(1), "the warehouse was free after {delivery:?}");
    assert!(errand >= delivery + Duration::from_secs(1), "{errand:?} and {delivery:?}");
}

#[tokio::test(start_paused = true)]
async fn so_many_that_ask_a_participant_start_in_a_second_and_a_refused_start_takes_no_token() {
    let builder = over(&MemoryTransport::default()).register(&fetching::<Errand>());
    let builder =
        builder.register(&fetching::<Delivery>()).limit::<Delivery>(SagaLimits::default().per_second(3));
    let builder = builder.limit_participant::<Warehouse>(ParticipantLimits::default().per_second(2));
    let orchestrator = builder.start().await.unwrap();
    assert_eq!((busy(&orchestrator).await, busy(&orchestrator).await), (None, None));
    let refused = busy(&orchestrator).await.unwrap().to_string();
    assert_eq!(refused, "2 sagas that ask warehouse may start in a second, and have");
    for _ in 0..5 {
        assert!(orchestrator.start(Delivery(0)).await.is_err());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(orchestrator.start(Delivery(1)).await.is_ok(), "it has three tokens of its own");
    assert!(orchestrator.start(Delivery(2)).await.is_ok());
    assert!(orchestrator.start(Delivery(3)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_does_not_answer_is_spared_until_it_does() {
    let transport = MemoryTransport::default();
    let builder = over(&transport).register(&fetching::<Errand>()).register(&waiting::<Delivery>());
    let limits = ParticipantLimits::default().unanswered(1);
    let orchestrator = builder.limit_participant::<Warehouse>(limits).start().await.unwrap();
    let first = orchestrator.start(Errand(0)).await.unwrap().id();
    assert_eq!(busy(&orchestrator).await, None, "nothing was sent twice yet");
    tokio::time::sleep(Duration::from_secs(12)).await;
    let refused = busy(&orchestrator).await.unwrap().to_string();
    assert_eq!(refused, "warehouse does not answer: 2 commands were sent to it again and again");
    assert!(orchestrator.start(Delivery(0)).await.is_ok(), "it does not ask the warehouse");
    answer(&transport, first).await;
    count().await;
    assert!(busy(&orchestrator).await.is_some(), "the other is not answered");
    let others = orchestrator.list(&Default::default(), 10).await.unwrap();
    for other in others {
        answer(&transport, other.id).await;
    }
    count().await;
    assert_eq!(busy(&orchestrator).await, None);
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_while_the_broker_takes_nothing() {
    let transport = MemoryTransport::default();
    let builder = over(&transport).register(&fetching::<Errand>()).limit_unsent(1);
    let orchestrator = builder.start().await.unwrap();
    transport.go_away();
    assert_eq!(busy(&orchestrator).await, None);
    count().await;
    assert_eq!(
        busy(&orchestrator).await.unwrap().to_string(),
        "1 messages wait for the broker, and 1 are enough"
    );
    transport.come_back();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(busy(&orchestrator).await, None);
}

#[tokio::test]
async fn a_limit_that_makes_no_sense_keeps_the_orchestrator_from_starting() {
    let transport = MemoryTransport::default();
    let builder = || over(&transport).register(&waiting::<Errand>());
    let none = SagaLimits::default().in_flight(0);
    let bad = [
        (builder().limit::<Errand>(none), "a limit of zero keeps every errand from starting"),
        (
            builder().limit::<Delivery>(SagaLimits::default()),
            "a limit is set for delivery, which is not registered",
        ),
        (
            builder().limit_participant::<Warehouse>(ParticipantLimits::default()),
            "a limit is set for warehouse, which no registered saga asks",
        ),
        (builder().limit_unsent(0), "a limit of zero keeps all from starting"),
    ];
    for (builder, expected) in bad {
        assert_eq!(builder.start().await.err().unwrap().to_string(), expected);
    }
}
