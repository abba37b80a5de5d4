//! Sagas are recorded, redacted, and replayed by their definition and by changed ones.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use common::{Bench, CapturePayment, PlaceOrder, ReserveStock, ShipOrder, place_order};
use saga_core::id::{SagaId, StepName};
use saga_core::machine::{Event, Resolution, Status};
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::port::{BODY_BYTES_MAX, SagaDetails};
use saga_core::replay::{Outcome, Recording, RecordingError};
use saga_core::runtime::Orchestrator;
use saga_core::{Definition, Notification, Saga, Signal, saga};
use serde::{Deserialize, Serialize};

/// Starts an order, waits until it has ended or is parked, and shows it.
async fn run(bench: &Bench, order: PlaceOrder) -> SagaDetails {
    let handle = bench.orchestrator.start(order).await.unwrap();
    handle.outcome().await.unwrap();
    show(bench, handle.id()).await
}

async fn show(bench: &Bench, saga: SagaId) -> SagaDetails {
    bench.orchestrator.show(saga).await.unwrap().unwrap()
}

async fn completed() -> SagaDetails {
    run(&Bench::start().await, PlaceOrder::named("for Ada", 2, 600)).await
}

fn recorded(saga: &SagaDetails) -> Recording {
    Recording::of(place_order().plan(), saga).unwrap()
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_a_saga_its_recording_replays_and_is_the_same_as_a_file() {
    let bench = Bench::start().await;
    let parked = run(&bench, PlaceOrder::named("bad-command", 1, 10)).await;
    bench.orchestrator.compensate(parked.stored.id, "it cannot be paid").await.unwrap();
    bench.orchestrator.handle::<PlaceOrder>(parked.stored.id).outcome().await.unwrap();
    let sagas = [
        (run(&bench, PlaceOrder::of(2, 600)).await, Status::Completed),
        (run(&bench, PlaceOrder::of(2, 600)).await, Status::Compensated),
        (run(&bench, PlaceOrder::of(200, 1)).await, Status::Compensated),
        (run(&bench, PlaceOrder::named("hangs", 1, 1)).await, Status::Compensated),
        (show(&bench, parked.stored.id).await, Status::Compensated),
        (parked, Status::Parked),
    ];
    for (saga, status) in sagas {
        let recording = recorded(&saga);
        assert_eq!(recording.end.status, status);
        recording.replay(place_order().plan()).unwrap();
        let file = serde_json::to_string_pretty(&recording).unwrap();
        assert_eq!(serde_json::from_str::<Recording>(&file).unwrap(), recording);
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_was_doctored_is_not_recorded() {
    let saga = completed().await;
    let doctored = |doctor: fn(&mut SagaDetails)| {
        let mut saga = saga.clone();
        doctor(&mut saga);
        Recording::of(place_order().plan(), &saga).unwrap_err().to_string()
    };
    let gap = doctored(|saga| drop(saga.journal.remove(1)));
    assert!(gap.contains("has the lines [1, 3, 4]"), "{gap}");
    let unreadable = doctored(|saga| saga.journal[2].entry.event = "{}".into());
    assert!(unreadable.starts_with("line 3 of the journal cannot be read"), "{unreadable}");
    let decided = doctored(|saga| saga.journal[3].entry.decision = "compensated".into());
    assert!(decided.contains("at line 4") && decided.contains("was:   compensated"), "{decided}");
    let data = doctored(|saga| saga.stored.data = saga.stored.data.to_ascii_uppercase().into());
    assert!(data.contains("is:    the same, and then completed"), "{data}");
    let status = doctored(|saga| saga.stored.status = Status::Running);
    assert!(status.contains("is:    the same, and then completed"), "{status}");
    let state = doctored(|saga| saga.stored.state = r#"{"v":4711}"#.into());
    assert!(state.contains("format 4711"), "{state}");
}

#[tokio::test(start_paused = true)]
async fn a_redacted_recording_replays_and_says_nothing_of_the_customer() {
    let saga = completed().await;
    let redacted = recorded(&saga).redacted(place_order().plan(), &[]).unwrap();
    redacted.replay(place_order().plan()).unwrap();
    let file = serde_json::to_string(&redacted).unwrap();
    // Whole words: ids and times have any digits.
    let says = |said: &str| file.split(|c: char| !c.is_alphanumeric()).any(|word| word == said);
    assert!(!says("Ada") && !says("600"), "{file}");
    assert!(file.contains(r#"\"name\":\"aaa Aaa\""#) && file.contains(r#"\"amount\":111"#), "{file}");

    let bench = Bench::start().await;
    let saga = run(&bench, PlaceOrder::named("bad-command", 1, 10)).await.stored.id;
    bench.orchestrator.compensate(saga, "Ada called").await.unwrap();
    bench.orchestrator.handle::<PlaceOrder>(saga).outcome().await.unwrap();
    let recording = recorded(&show(&bench, saga).await);
    // The panic depends on the name.
    let hidden = recording.redacted(place_order().plan(), &[]).unwrap_err();
    assert!(matches!(hidden, RecordingError::Hidden(_)), "{hidden}");
    let file = serde_json::to_string(&recording.redacted(place_order().plan(), &["name"]).unwrap()).unwrap();
    assert!(!file.contains("Ada called") && file.contains("Aaa aaaaaa"), "{file}");
    let kept = recording.redacted(place_order().plan(), &["name", "reason"]).unwrap();
    assert!(serde_json::to_string(&kept).unwrap().contains("Ada called"));
}

/// What becomes of a recorded order in a changed definition: the line, and the words.
async fn difference(changed: &Definition<PlaceOrder>) -> (usize, Outcome, String) {
    let difference = recorded(&completed().await).replay(changed.plan()).unwrap_err();
    let words = difference.to_string();
    (difference.line, difference.outcome, words)
}

#[tokio::test(start_paused = true)]
async fn a_changed_definition_is_told_where_its_sagas_would_go_another_way() {
    let last = saga(2).step::<ReserveStock>().pivot::<CapturePayment>().build().unwrap();
    let (line, outcome, words) = difference(&last).await;
    assert_eq!((line, outcome), (3, Outcome::Decided("completed".into())));
    assert!(words.contains("of place-order version 1, replayed by place-order version 2"), "{words}");
    assert!(words.contains("was:   payment.capture.v1 done, next step sent"), "{words}");
    assert!(words.contains("give the definition a new version"), "{words}");

    let skipped = saga(2)
        .step::<ReserveStock>()
        .when(|order: &PlaceOrder| order.items > 2)
        .pivot::<CapturePayment>()
        .then::<ShipOrder>()
        .build()
        .unwrap();
    let (line, outcome, words) = difference(&skipped).await;
    assert!(line == 1 && matches!(outcome, Outcome::Sent(_)), "{words}");
    assert!(words.contains("\n  - do inventory.reserve.v1: inventory.reserve.v1 to inventory,"), "{words}");
    assert!(words.contains("\n  + do payment.capture.v1: payment.capture.v1 to payment,"), "{words}");

    let (line, outcome, words) = difference(&saga(2).pivot::<CapturePayment>().build().unwrap()).await;
    assert!(line == 1 && matches!(outcome, Outcome::Sent(_)), "{words}");
}

#[tokio::test(start_paused = true)]
async fn hiding_what_decides_is_an_error_that_says_so() {
    let cheap = saga(1)
        .step::<ReserveStock>()
        .pivot::<CapturePayment>()
        .when(|order: &PlaceOrder| order.amount >= 500)
        .then::<ShipOrder>()
        .build()
        .unwrap();
    let (store, transport) = (MemoryStore::default(), MemoryTransport::default());
    let orchestrator = Orchestrator::builder(Arc::new(store), Arc::new(transport), "orders.replies");
    let orchestrator = orchestrator.register(&cheap).start().await.unwrap();
    let order = orchestrator.start(PlaceOrder::of(1, 600)).await.unwrap();
    let reserve = StepName::new("inventory.reserve.v1").unwrap();
    let done = Resolution::Done(saga_core::message::Payload::encode(&7).unwrap());
    orchestrator.resolve(order.id(), reserve, done, "seen").await.unwrap();
    let recording =
        Recording::of(cheap.plan(), &orchestrator.show(order.id()).await.unwrap().unwrap()).unwrap();
    let error = recording.redacted(cheap.plan(), &[]).unwrap_err().to_string();
    assert!(error.starts_with("what is hidden decides, so keep the fields"), "{error}");
    recording.redacted(cheap.plan(), &["amount"]).unwrap().replay(cheap.plan()).unwrap();
}

#[derive(Serialize, Deserialize)]
struct Errand;

impl Saga for Errand {
    const NAME: &'static str = "errand";
}

#[derive(Serialize, Deserialize)]
struct Go;

impl Signal<Errand> for Go {
    const NAME: &'static str = "go";

    fn deadline() -> std::time::Duration {
        std::time::Duration::from_secs(60)
    }
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
async fn a_saga_that_was_parked_untouched_because_it_could_not_be_stored_is_recorded_so() {
    let definition = saga(1).wait::<Go>().notify::<Shout>().build().unwrap();
    let (store, transport) = (Arc::new(MemoryStore::default()), Arc::new(MemoryTransport::default()));
    let builder = Orchestrator::builder(store, transport, "errands.replies");
    let orchestrator = builder.register(&definition).start().await.unwrap();
    let errand = orchestrator.start(Errand).await.unwrap();
    errand.signal(Go).await.unwrap_err();
    errand.outcome().await.unwrap();
    let recording =
        Recording::of(definition.plan(), &orchestrator.show(errand.id()).await.unwrap().unwrap()).unwrap();
    let line = &recording.journal[1];
    assert!(line.untouched && matches!(line.event, Event::Signalled { .. }), "{line:?}");
    recording.replay(definition.plan()).unwrap();
    recording.redacted(definition.plan(), &[]).unwrap().replay(definition.plan()).unwrap();
}
