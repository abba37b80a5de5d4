//! When a command is sent again, how often, and what follows: as its saga's retries say, none of them the default.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use saga_core::id::Destination;
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::message::{Answer, CommandMessage, Fault, ReplyMessage};
use saga_core::policy::{Backoff, Retry};
use saga_core::port::{Settlement, SubscribeOptions, Subscription, Transport};
use saga_core::runtime::{Orchestrator, SagaHandle, SagaOutcome};
use saga_core::{
    Command, Compensate, CompensateEach, Definition, Each, Outcome, Participant, Saga, Step, Undoes, saga,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_asked_again_after_the_timeout_and_a_growing_pause() {
    let mut world = World::start(saga(1).step::<Fetch>().build().unwrap()).await;
    world.expect("fetch do 1", 0, 0).await;
    world.expect("fetch do 2", TIMEOUT, 5).await;
    world.expect("fetch do 3", TIMEOUT, 10).await;
    world.expect("fetch do 4", TIMEOUT, LONGEST).await;
    world.expect("fetch undo 1", TIMEOUT, 0).await;
    world.expect("fetch undo 2", UNDO_TIMEOUT, 5).await;
    world.expect("fetch undo 3", UNDO_TIMEOUT, 10).await;
    world.expect_parked(UNDO_TIMEOUT).await;
}

#[tokio::test(start_paused = true)]
async fn who_answers_with_a_fault_is_asked_again_after_the_pause_alone() {
    let mut world = World::start(saga(1).step::<Fetch>().build().unwrap()).await;
    world.expect_and_fail("fetch do 1", 0).await;
    world.expect_and_fail("fetch do 2", 5).await;
    world.expect_and_fail("fetch do 3", 10).await;
    world.expect_and_fail("fetch do 4", LONGEST).await;
    world.expect_and_fail("fetch undo 1", 0).await;
    world.expect_and_fail("fetch undo 2", 5).await;
    world.expect_and_fail("fetch undo 3", 10).await;
    world.expect_parked(0).await;
}

#[tokio::test(start_paused = true)]
async fn an_item_is_tried_and_undone_as_often_as_its_step_says() {
    let mut world = World::start(saga(1).for_each::<Pick>().build().unwrap()).await;
    world.expect("pick#pen do 1", 0, 0).await;
    world.expect("pick#pen do 2", TIMEOUT, 5).await;
    world.expect("pick#pen undo 1", TIMEOUT, 0).await;
    world.expect("pick#pen undo 2", UNDO_TIMEOUT, 5).await;
    world.expect("pick#pen undo 3", UNDO_TIMEOUT, 10).await;
    world.expect_parked(UNDO_TIMEOUT).await;
}

/// In seconds, and none as by default.
const TIMEOUT: u64 = 7;
const UNDO_TIMEOUT: u64 = 3;
const LONGEST: u64 = 15;

/// How late a timer is taken at most.
const LATE: Duration = Duration::from_millis(250);

fn retry(attempts: u32, timeout: u64) -> Retry {
    let backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(LONGEST));
    Retry::default().attempts(attempts).timeout(Duration::from_secs(timeout)).backoff(backoff)
}

struct Shop;
impl Participant for Shop {
    const NAME: &'static str = "shop";
}

#[derive(Debug, Serialize, Deserialize)]
struct Order;
impl Saga for Order {
    const NAME: &'static str = "order";
}

macro_rules! commands {
    ($($command:ident $type:literal undone by $undo:ident $undo_type:literal)+) => {$(
        commands!($command $type);
        commands!($undo $undo_type);
        impl Undoes<$command> for $undo {}
    )+};
    ($command:ident $type:literal) => {
        #[derive(Serialize, Deserialize)]
        struct $command;
        impl Command for $command {
            const TYPE: &'static str = $type;
            type Participant = Shop;
            type Reply = ();
            type Refusal = ();
        }
    };
}
commands!(Fetch "fetch" undone by Return "return" Pick "pick" undone by PutBack "put-back");

impl Step<Order> for Fetch {
    fn command(_: &Order) -> Self {
        Fetch
    }

    fn retry() -> Retry {
        retry(4, TIMEOUT)
    }
}
impl Compensate<Order> for Fetch {
    type Undo = Return;

    fn undo(_: &Order, _: Outcome<()>) -> Return {
        Return
    }

    fn undo_retry() -> Retry {
        retry(3, UNDO_TIMEOUT)
    }
}

impl Each<Order> for Pick {
    fn items(_: &Order) -> Vec<String> {
        vec!["pen".into()]
    }

    fn command(_: &Order, _: &str) -> Self {
        Pick
    }

    fn retry() -> Retry {
        retry(2, TIMEOUT)
    }
}
impl CompensateEach<Order> for Pick {
    type Undo = PutBack;

    fn undo(_: &Order, _: &str, _: Outcome<()>) -> PutBack {
        PutBack
    }

    fn undo_retry() -> Retry {
        retry(3, UNDO_TIMEOUT)
    }
}

/// A saga under way, and a shop that is this test.
struct World {
    transport: MemoryTransport,
    _orchestrator: Orchestrator<MemoryStore>,
    saga: SagaHandle<MemoryStore, Order>,
    commands: Box<dyn Subscription>,
    /// When the last command came, or its answer went.
    last: Instant,
}

impl World {
    async fn start(definition: Definition<Order>) -> Self {
        let transport = MemoryTransport::default();
        let builder = Orchestrator::builder(Arc::default(), Arc::new(transport.connect()), "replies");
        let orchestrator = builder.register(&definition).start().await.unwrap();
        let source = Destination::new("shop").unwrap();
        let options = SubscribeOptions { source, group: "shop".into(), in_flight_max: 1 };
        let commands = transport.subscribe(options).await.unwrap();
        let saga = orchestrator.start(Order).await.unwrap();
        World { transport, _orchestrator: orchestrator, saga, commands, last: Instant::now() }
    }

    /// Expects this attempt so many seconds after what came before: a time, and a pause that may be shorter by a fifth.
    async fn expect(&mut self, attempt: &str, after: u64, pause: u64) -> CommandMessage {
        let delivery = self.commands.receive(1).await.unwrap().remove(0);
        self.commands.settler().settle(&[(delivery.token, Settlement::Ack)]).await;
        let command = CommandMessage::decode(&delivery.envelope).unwrap();
        assert_eq!(format!("{} {} {}", command.step, command.direction, command.attempt), attempt);
        self.assert_passed(after, pause);
        command
    }

    async fn expect_and_fail(&mut self, attempt: &str, pause: u64) {
        let command = self.expect(attempt, 0, pause).await;
        let CommandMessage { saga, step, direction, attempt, trace, .. } = command;
        let answer = Answer::Fault(Fault::temporary("not now"));
        let reply = ReplyMessage { saga, step, direction, attempt, answer, trace };
        let envelope = reply.encode(Destination::new("replies").unwrap());
        self.transport.publish(&[envelope]).await.remove(0).unwrap();
    }

    async fn expect_parked(&mut self, after: u64) {
        let outcome = self.saga.outcome().await.unwrap();
        assert!(matches!(outcome, SagaOutcome::Parked { .. }), "{outcome:?}");
        self.assert_passed(after, 0);
    }

    fn assert_passed(&mut self, after: u64, pause: u64) {
        let (passed, after) = (self.last.elapsed(), Duration::from_secs(after));
        let (least, most) = (after + Duration::from_millis(800 * pause), after + Duration::from_secs(pause));
        assert!((least..=most + LATE).contains(&passed), "{passed:?}, and not {least:?} to {most:?}");
        self.last = Instant::now();
    }
}
