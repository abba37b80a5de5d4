//! What a saga can be made of, end to end over the adapters in memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga_core::id::{BusinessKey, Destination, Direction, MessageId, SagaId, StepName};
use saga_core::machine::{Status, TransitionError};
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::message::{Answer, Envelope, NotificationMessage, Payload, ReplyMessage, TraceParent};
use saga_core::policy::Retry;
use saga_core::port::{
    BODY_BYTES_MAX, Capabilities, PublishError, StoreError, SubscribeOptions, Subscription, Transport,
    TransportError,
};
use saga_core::runtime::{OperateError, Orchestrator, OrchestratorError, SagaOutcome};
use saga_core::{
    Command, Definition, NothingToUndo, Notification, Participant, Pause, Saga, Signal, Step, saga,
};
use serde::{Deserialize, Serialize};

struct Nobody;

impl Participant for Nobody {
    const NAME: &'static str = "nobody";
}

#[derive(Serialize, Deserialize)]
struct Ask;

impl Command for Ask {
    const TYPE: &'static str = "ask";
    type Participant = Nobody;
    type Reply = ();
    type Refusal = ();
}

#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    asks: bool,
}

impl Saga for Errand {
    const NAME: &'static str = "errand";
}

impl Step<Errand> for Ask {
    fn command(_: &Errand) -> Self {
        Ask
    }

    fn retry() -> Retry {
        Retry::default().attempts(1)
    }
}

impl NothingToUndo<Errand> for Ask {}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Word(bool);

impl Signal<Errand> for Word {
    const NAME: &'static str = "word";

    fn deadline() -> Duration {
        Duration::from_secs(60)
    }

    fn is_refusal(&self) -> bool {
        !self.0
    }
}

#[derive(Serialize, Deserialize)]
struct Told {
    asks: bool,
}

impl Notification<Errand> for Told {
    const TYPE: &'static str = "errands.told.v1";
    const TOPICS: &'static [&'static str] = &["mailing", "statistics"];

    fn of(errand: &Errand) -> Self {
        Told { asks: errand.asks }
    }
}

struct Rest;

impl Pause<Errand> for Rest {
    const NAME: &'static str = "rest";

    fn length(errand: &Errand) -> Duration {
        Duration::from_secs(if errand.asks { 3600 } else { 0 })
    }
}

fn waiting() -> Definition<Errand> {
    saga(1).wait::<Word>().build().unwrap()
}

fn key() -> BusinessKey {
    BusinessKey::new("errand 7").unwrap()
}

fn asking() -> Definition<Errand> {
    saga(1).check::<Ask>().build().unwrap()
}

/// The reply of somebody who is asked.
fn reply(saga: SagaId) -> Envelope {
    let step = StepName::new("ask").unwrap();
    let answer = Answer::Done(Payload::encode(&()).unwrap());
    let trace = TraceParent::of_message(saga, MessageId::reply(saga, &step, Direction::Do));
    let reply = ReplyMessage { saga, step, direction: Direction::Do, attempt: 1, answer, trace };
    reply.encode(Destination::new("errands.replies").unwrap())
}

/// A broker that will never take a message.
struct TakesNothing(MemoryTransport);

#[async_trait]
impl Transport for TakesNothing {
    fn name(&self) -> &'static str {
        "takes nothing"
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        self.0.declare(destinations).await
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        batch.iter().map(|_| Err(PublishError::Permanent("it is too large".into()))).collect()
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        self.0.subscribe(options).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// An orchestrator without participants.
async fn orchestrator(definition: &Definition<Errand>) -> Orchestrator<MemoryStore> {
    orchestrator_over(MemoryStore::default(), MemoryTransport::default(), definition).await
}

async fn orchestrator_over(
    store: MemoryStore,
    transport: impl Transport,
    definition: &Definition<Errand>,
) -> Orchestrator<MemoryStore> {
    let (store, transport) = (Arc::new(store), Arc::new(transport));
    Orchestrator::builder(store, transport, "errands.replies").register(definition).start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_has_nothing_to_do_completes_at_its_start_and_those_who_wait_are_told() {
    let definition = saga(1).check::<Ask>().when(|errand: &Errand| errand.asks).build().unwrap();
    let orchestrator = orchestrator(&definition).await;
    let begun = tokio::time::Instant::now();
    let errand = orchestrator.start(Errand { asks: false }).await.unwrap();
    assert!(matches!(errand.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody had to look");
}

#[tokio::test(start_paused = true)]
async fn a_saga_is_given_its_signal_by_its_handle_once() {
    let orchestrator = orchestrator(&waiting()).await;
    let errand = orchestrator.start(Errand { asks: false }).await.unwrap();
    assert_eq!(errand.signal(Word(true)).await.unwrap(), Status::Completed);
    assert!(matches!(errand.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    assert_eq!(errand.signal(Word(true)).await.unwrap(), Status::Completed, "given again");
    let other = errand.signal(Word(false)).await.unwrap_err();
    assert!(matches!(other, OperateError::Refused(TransitionError::SignalTaken(_))), "{other}");
    let journal = orchestrator.show(errand.id()).await.unwrap().unwrap().journal;
    assert_eq!(journal.len(), 2, "a start and a signal");
}

#[derive(Serialize, Deserialize)]
struct Shout(String);

impl Notification<Errand> for Shout {
    const TYPE: &'static str = "shout";
    const TOPICS: &'static [&'static str] = &["listeners"];

    fn of(_: &Errand) -> Self {
        Shout("a".repeat(BODY_BYTES_MAX))
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_a_signal_that_cannot_be_stored_is_told() {
    let orchestrator = orchestrator(&saga(1).wait::<Word>().notify::<Shout>().build().unwrap()).await;
    let errand = orchestrator.start(Errand { asks: false }).await.unwrap();
    let error = errand.signal(Word(true)).await.unwrap_err();
    assert!(
        matches!(&error, OperateError::Store(StoreError::Rejected(why)) if why.contains("bytes")),
        "{error}"
    );
    let outcome = errand.outcome().await.unwrap();
    assert!(matches!(&outcome, SagaOutcome::Parked { reason } if reason.contains("bytes")), "{outcome:?}");
    assert_eq!(errand.signal(Word(true)).await.unwrap(), Status::Parked, "now it is kept");
}

#[tokio::test(start_paused = true)]
async fn a_saga_is_found_by_its_business_key() {
    let orchestrator = orchestrator(&waiting()).await;
    assert!(orchestrator.find::<Errand>(&key()).await.unwrap().is_none());
    let started = orchestrator.start_as(key(), Errand { asks: false }).await.unwrap();
    let errand = orchestrator.find::<Errand>(&key()).await.unwrap().unwrap();
    assert_eq!(errand.id(), started.id());
    let view = errand.view().await.unwrap();
    assert_eq!((view.status, view.data.asks, view.parked), (Status::Running, false, None));
    assert_eq!(errand.signal(Word(false)).await.unwrap(), Status::Compensated);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_gets_no_signal_ends_at_its_deadline() {
    let orchestrator = orchestrator(&waiting()).await;
    let begun = tokio::time::Instant::now();
    let errand = orchestrator.start(Errand { asks: false }).await.unwrap();
    assert!(matches!(errand.outcome().await.unwrap(), SagaOutcome::Compensated { .. }));
    assert!(begun.elapsed() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_pauses_goes_on_when_that_is_over_though_nobody_ran_meanwhile() {
    let (store, transport) = (MemoryStore::default(), MemoryTransport::default());
    let definition = saga(1).pause::<Rest>().notify::<Told>().build().unwrap();
    let start = async || orchestrator_over(store.clone(), transport.connect(), &definition).await;
    let before = start().await;
    let begun = tokio::time::Instant::now();
    let errand = before.start(Errand { asks: true }).await.unwrap().id();
    drop(before);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let after = start().await;
    assert!(matches!(after.handle(errand).outcome().await.unwrap(), SagaOutcome::<Errand>::Completed(_)));
    assert!(begun.elapsed() >= Duration::from_secs(3600), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_the_journal_could_not_hold_is_refused() {
    let orchestrator = orchestrator(&waiting()).await;
    let errand = orchestrator.start(Errand { asks: true }).await.unwrap();
    let large = Payload::encode(&"x".repeat(8 * 1024 * 1024)).unwrap();
    let refused = orchestrator.signal(errand.id(), StepName::new("word").unwrap(), large).await.unwrap_err();
    assert!(matches!(refused, OperateError::TooLarge { .. }), "{refused}");
    errand.signal(Word(true)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_subscriber_is_told_by_a_message_with_the_same_id() {
    let transport = MemoryTransport::default();
    let definition = saga(1).notify::<Told>().build().unwrap();
    let orchestrator = orchestrator_over(MemoryStore::default(), transport.connect(), &definition).await;
    let mut subscriptions = Vec::new();
    for (topic, group) in [("mailing", "one"), ("mailing", "another"), ("statistics", "one")] {
        let source = Destination::topic(topic).unwrap();
        let options = SubscribeOptions { source, group: group.into(), in_flight_max: 10 };
        subscriptions.push(transport.subscribe(options).await.unwrap());
    }
    let errand = orchestrator.start(Errand { asks: true }).await.unwrap();
    let mut ids = Vec::new();
    for mut subscription in subscriptions {
        let delivery = subscription.receive(1).await.unwrap().remove(0);
        let told = NotificationMessage::decode(&delivery.envelope).unwrap();
        assert_eq!((told.saga, told.notification_type.as_str()), (errand.id(), "errands.told.v1"));
        assert!(told.body.decode::<Told>().unwrap().asks);
        ids.push(delivery.envelope.id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[derive(Serialize, Deserialize)]
struct Asked;

impl Notification<Errand> for Asked {
    const TYPE: &'static str = "errands.asked.v1";
    const TOPICS: &'static [&'static str] = &[Nobody::NAME];

    fn of(_: &Errand) -> Self {
        Asked
    }
}

#[tokio::test]
async fn a_topic_that_has_the_name_of_a_queue_is_refused() {
    let definition = saga(1).check::<Ask>().notify::<Asked>().build().unwrap();
    let (store, transport) = (Arc::new(MemoryStore::default()), Arc::new(MemoryTransport::default()));
    let refused = Orchestrator::builder(store, transport, "errands.replies").register(&definition);
    let error = refused.start().await.err().unwrap();
    assert!(
        matches!(&error, OrchestratorError::TopicLikeQueue(topic) if topic.as_str() == "nobody"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reply_for_a_definition_that_a_process_does_not_know_is_kept_for_one_that_does() {
    let (store, transport) = (MemoryStore::default(), MemoryTransport::default());
    let start = async |definition: Definition<Errand>| {
        orchestrator_over(store.clone(), transport.connect(), &definition).await
    };
    let former = start(asking()).await;
    let errand = former.start(Errand { asks: true }).await.unwrap().id();
    drop(former);
    let next = start(saga(2).wait::<Word>().build().unwrap()).await;
    transport.publish(&[reply(errand)]).await.remove(0).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(next.health().await.unwrap().held, 1);
    drop(next);
    let former = start(asking()).await;
    let outcome = tokio::time::timeout(Duration::from_secs(1), former.handle(errand).outcome()).await;
    assert!(matches!(outcome.unwrap().unwrap(), SagaOutcome::<Errand>::Completed(_)));
}

/// Longer than another process waits between two looks at the table, and often enough to meet one of them.
#[tokio::test(start_paused = true)]
async fn what_one_process_sends_from_memory_is_not_sent_by_another_as_well() {
    let (store, transport) = (MemoryStore::default(), MemoryTransport::default());
    let one = orchestrator_over(store.clone(), transport.connect(), &asking()).await;
    let _other = orchestrator_over(store, transport.connect(), &asking()).await;
    for _ in 0..20 {
        one.start(Errand { asks: true }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    let source = Destination::new("nobody").unwrap();
    let options = SubscribeOptions { source, group: "nobody".into(), in_flight_max: 100 };
    let commands = transport.subscribe(options).await.unwrap().receive(100).await.unwrap();
    assert_eq!(commands.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_message_no_broker_will_take_is_parked() {
    let transport = TakesNothing(MemoryTransport::default());
    let orchestrator = orchestrator_over(MemoryStore::default(), transport, &asking()).await;
    let errand = orchestrator.start(Errand { asks: true }).await.unwrap();
    let outcome = tokio::time::timeout(Duration::from_secs(5), errand.outcome()).await.unwrap().unwrap();
    assert!(
        matches!(&outcome, SagaOutcome::Parked { reason } if reason.contains("set aside")),
        "{outcome:?}"
    );
    assert_eq!(orchestrator.health().await.unwrap().outbox.unsent, 0);
}

#[tokio::test(start_paused = true)]
async fn decisions_are_made_with_the_time_of_the_store() {
    let orchestrator = orchestrator(&waiting()).await;
    let errand = orchestrator.start(Errand { asks: false }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    errand.signal(Word(true)).await.unwrap();
    for line in orchestrator.show(errand.id()).await.unwrap().unwrap().journal {
        let after = line.at.since(line.entry.now);
        assert!(line.entry.now <= line.at && after < Duration::from_secs(1), "decided {after:?} before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_saga_starts_with_its_callers_transaction_or_not_at_all() {
    let store = MemoryStore::default();
    let orchestrator = orchestrator_over(store.clone(), MemoryTransport::default(), &waiting()).await;
    let mut tx = store.begin().await;
    let given_up = orchestrator.start_in(&mut tx, None, Errand { asks: false }).await.unwrap().id();
    drop(tx);
    assert!(orchestrator.show(given_up).await.unwrap().is_none());
    let mut tx = store.begin().await;
    let started = orchestrator.start_in(&mut tx, Some(key()), Errand { asks: false }).await.unwrap();
    tx.commit();
    let errand = started.committed();
    assert_eq!(errand.signal(Word(true)).await.unwrap(), Status::Completed);
}
