//! The examples of `docs/starting.md`, `docs/flow-control.md` and `docs/retention.md`, with what they leave out.

mod document;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use saga_core::id::BusinessKey;
use saga_core::machine::{Status, TransitionError};
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::port::SagaFilter;
use saga_core::runtime::{
    OperateError, Orchestrator, ParticipantLimits, Retention, SagaLimits, SagaOutcome, StartError,
};
use saga_core::{Command, Definition, DefinitionError, Participant, Saga, Signal, Step, saga};
use serde::{Deserialize, Serialize};

struct Payment;
impl Participant for Payment {
    const NAME: &'static str = "payment";
}

#[derive(Serialize, Deserialize)]
struct CapturePayment;
impl Command for CapturePayment {
    const TYPE: &'static str = "payment.capture.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = String;
}

#[derive(Debug, Serialize, Deserialize)]
struct PlaceOrder {
    amount: u32,
}
impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

#[derive(Serialize, Deserialize)]
struct Approval;
impl Signal<PlaceOrder> for Approval {
    const NAME: &'static str = "approval";

    fn deadline() -> Duration {
        Duration::from_secs(3600)
    }
}

impl Step<PlaceOrder> for CapturePayment {
    fn command(_: &PlaceOrder) -> Self {
        CapturePayment
    }
}

fn place_order() -> Result<Definition<PlaceOrder>, DefinitionError> {
    saga(1).wait::<Approval>().pivot::<CapturePayment>().build()
}

async fn orchestrator(store: &Arc<MemoryStore>) -> Result<Orchestrator<MemoryStore>, Box<dyn Error>> {
    let builder =
        Orchestrator::builder(store.clone(), Arc::new(MemoryTransport::default()), "orders.replies");
    Ok(builder.register(&place_order()?).start().await?)
}

#[tokio::test(start_paused = true)]
async fn a_saga_is_started_once_and_found_again() -> Result<(), Box<dyn Error>> {
    let orchestrator = orchestrator(&Arc::default()).await?;
    let key = BusinessKey::new("order 4711")?;
    let order = orchestrator.start_as(key.clone(), PlaceOrder { amount: 30 }).await?;
    let again = orchestrator.start_as(key.clone(), PlaceOrder { amount: 30 }).await?;
    assert!(again.is_existing() && again.id() == order.id());
    let other = orchestrator.start_as(key.clone(), PlaceOrder { amount: 40 }).await;
    assert!(matches!(other, Err(StartError::KeyTaken(id)) if id == order.id()));

    let found = orchestrator.find::<PlaceOrder>(&key).await?.expect("it was started");
    let view = found.view().await?;
    assert_eq!((view.status, view.data.amount), (Status::Running, 30));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_saga_starts_with_its_callers_transaction() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(MemoryStore::default());
    let orchestrator = orchestrator(&store).await?;
    let mut tx = store.begin().await;
    let order = orchestrator.start_in(&mut tx, None, PlaceOrder { amount: 30 }).await?;
    // What else there is to write.
    tx.commit();
    let order = order.committed();
    assert_eq!(order.view().await?.status, Status::Running);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_list_has_pages() -> Result<(), Box<dyn Error>> {
    let orchestrator = orchestrator(&Arc::default()).await?;
    for amount in 1..=3 {
        orchestrator.start(PlaceOrder { amount }).await?;
    }
    let running = SagaFilter { status: Some(Status::Running), ..SagaFilter::default() };
    let newest = orchestrator.list(&running, 2).await?;
    let older = SagaFilter { after: newest.last().map(|saga| saga.id), ..running };
    let oldest = orchestrator.list(&older, 2).await?;
    assert_eq!((newest.len(), oldest.len()), (2, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_saga_is_cancelled_before_its_pivot_and_not_behind_it() -> Result<(), Box<dyn Error>> {
    let orchestrator = orchestrator(&Arc::default()).await?;
    let order = orchestrator.start(PlaceOrder { amount: 30 }).await?;
    orchestrator.cancel(order.id(), "the customer has changed her mind").await?;
    assert!(matches!(order.outcome().await?, SagaOutcome::Compensated { .. }));

    let order = orchestrator.start(PlaceOrder { amount: 30 }).await?;
    order.signal(Approval).await?;
    let refused = orchestrator.cancel(order.id(), "too late").await;
    assert!(matches!(refused, Err(OperateError::Refused(TransitionError::PastPivot(_)))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn starts_are_limited_and_ended_sagas_leave() -> Result<(), Box<dyn Error>> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let (store, transport) = (Arc::new(MemoryStore::default()), Arc::new(MemoryTransport::default()));
    let limits = SagaLimits::default().in_flight(1000).per_second(50).wait(Duration::from_secs(5));
    let orchestrator = Orchestrator::builder(store.clone(), transport.clone(), "orders.replies")
        .register(&place_order()?)
        .limit::<PlaceOrder>(limits)
        .limit_participant::<Payment>(ParticipantLimits::default().in_flight(500).unanswered(20))
        .limit_unsent(20_000)
        .start()
        .await?;
    let order = orchestrator.start(PlaceOrder { amount: 30 }).await?;
    orchestrator.cancel(order.id(), "enough").await?;
    orchestrator.stop(Duration::from_secs(1)).await;

    let orchestrator = Orchestrator::builder(store.clone(), transport, "orders.replies")
        .register(&place_order()?)
        .retention(Retention::after(30 * DAY)) // or `.without_archive()`
        .start()
        .await?;
    assert_eq!(orchestrator.list(&SagaFilter::default(), 10).await?.len(), 1);
    Ok(())
}

#[test]
fn the_documents_show_what_stands_here() {
    for name in ["starting.md", "flow-control.md", "retention.md"] {
        document::assert_shown(name, include_str!("running.rs"));
    }
}
