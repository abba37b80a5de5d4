//! The examples of `docs/model.md`, with what they leave out.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod document;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use saga_core::drawing::Drawing;
use saga_core::machine::Instance;
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::runtime::Orchestrator;
use saga_core::{
    Command, Compensate, CompensateEach, DefinitionError, Each, Local, Notification, Outcome, Participant,
    Pause, Retriable, Run, Saga, Signal, Step, SubSaga, Undoes, saga,
};
use saga_testkit::explore::explore;
use saga_testkit::story::{given, given_by_parent};
use serde::{Deserialize, Serialize};

struct Shop;

impl Participant for Shop {
    const NAME: &'static str = "shop";
}

macro_rules! commands {
    ($($command:ident $type:literal $(($field:ident))?)+) => {
        $(
            #[derive(Debug, PartialEq, Serialize, Deserialize)]
            struct $command { $($field: String)? }

            impl Command for $command {
                const TYPE: &'static str = $type;
                type Participant = Shop;
                type Reply = ();
                type Refusal = String;
            }
        )+
    };
}

macro_rules! steps {
    ($($command:ident)+) => {
        $(
            impl Step<PlaceOrder> for $command {
                fn command(_: &PlaceOrder) -> Self {
                    $command {}
                }
            }
        )+
    };
}
commands! {
    ReserveStock "reserve"
    ReleaseStock "release"
    AuthorizePayment "authorize"
    VoidPayment "void"
    CapturePayment "capture"
    ShipOrder "ship"
    SendInvoice "invoice"
}
steps!(ReserveStock AuthorizePayment CapturePayment ShipOrder SendInvoice);

macro_rules! undone {
    ($($command:ident by $undo:ident)+) => {
        $(
            impl Undoes<$command> for $undo {}

            impl Compensate<PlaceOrder> for $command {
                type Undo = $undo;

                fn undo(_: &PlaceOrder, _: Outcome<()>) -> $undo {
                    $undo {}
                }
            }
        )+
    };
}
undone! {
    ReserveStock by ReleaseStock
    AuthorizePayment by VoidPayment
}

impl Retriable<PlaceOrder> for ShipOrder {}
impl Retriable<PlaceOrder> for SendInvoice {}

#[derive(Default, Serialize, Deserialize)]
struct PlaceOrder {
    amount: u32,
    items: Vec<String>,
    approved_by: Option<String>,
}

impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

impl PlaceOrder {
    fn of(amount: u32) -> Self {
        PlaceOrder { amount, ..PlaceOrder::default() }
    }
}

#[test]
fn conditions() -> Result<(), DefinitionError> {
    let definition = saga(1)
        .parallel::<(ReserveStock, AuthorizePayment)>()
        .when_step::<AuthorizePayment>(|order| order.amount > 0)
        .pivot::<CapturePayment>()
        .when(|order| order.amount > 0)
        .then::<ShipOrder>()
        .build()?;

    // Nothing to pay: the money is neither held nor taken.
    given(&definition, PlaceOrder::of(0))
        .expect::<ReserveStock>()
        .reply(())
        .expect_skipped::<AuthorizePayment>()
        .expect_skipped::<CapturePayment>()
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();
    Ok(())
}

#[test]
fn groups() -> Result<(), DefinitionError> {
    let definition = saga(1)
        .parallel::<(ReserveStock, AuthorizePayment)>()
        .pivot::<CapturePayment>()
        .then_parallel::<(ShipOrder, SendInvoice)>()
        .build()?;

    given(&definition, PlaceOrder::of(30))
        .expect::<AuthorizePayment>()
        .reply(())
        .expect::<ReserveStock>()
        .reply(())
        .expect::<CapturePayment>()
        .reply(())
        .expect::<SendInvoice>()
        .reply(())
        .expect::<ShipOrder>()
        .time_out()
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();

    // The shelf is empty, and the money was perhaps held: that is undone before anybody has said so.
    given(&definition, PlaceOrder::of(30))
        .expect::<AuthorizePayment>()
        .answer_later()
        .expect::<ReserveStock>()
        .refuse("sold out".into())
        .expect_undo::<AuthorizePayment>()
        .undone()
        .expect_compensated();
    Ok(())
}

commands! {
    PickItem "pick" (item)
    PutItemBack "put-back" (item)
}
impl Undoes<PickItem> for PutItemBack {}

impl Each<PlaceOrder> for PickItem {
    const AT_ONCE: usize = 2;

    fn items(order: &PlaceOrder) -> Vec<String> {
        order.items.clone()
    }

    fn command(_: &PlaceOrder, item: &str) -> Self {
        PickItem { item: item.to_owned() }
    }
}

impl CompensateEach<PlaceOrder> for PickItem {
    type Undo = PutItemBack;

    fn undo(_: &PlaceOrder, item: &str, _: Outcome<()>) -> PutItemBack {
        PutItemBack { item: item.to_owned() }
    }
}

#[test]
fn items() -> Result<(), DefinitionError> {
    let definition = saga(1).for_each::<PickItem>().pivot::<CapturePayment>().build()?;

    // Two at once: the lamp comes when the pen is there. It is sold out, so the others are put back.
    let order = PlaceOrder { items: vec!["pen".into(), "ink".into(), "lamp".into()], ..PlaceOrder::of(7) };
    given(&definition, order)
        .expect_item::<PickItem>("pen")
        .reply(())
        .expect_item::<PickItem>("ink")
        .reply(())
        .expect_item::<PickItem>("lamp")
        .equal_to(PickItem { item: "lamp".into() })
        .refuse("sold out".into())
        .expect_undo_item::<PickItem>("pen")
        .equal_to(PutItemBack { item: "pen".into() })
        .undone()
        .expect_undo_item::<PickItem>("ink")
        .undone()
        .expect_compensated();
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct OrderPlaced {
    amount: u32,
}

impl Notification<PlaceOrder> for OrderPlaced {
    const TYPE: &'static str = "orders.placed.v1";
    const TOPICS: &'static [&'static str] = &["mailing", "statistics"];

    fn of(order: &PlaceOrder) -> Self {
        OrderPlaced { amount: order.amount }
    }
}

#[test]
fn notifications() -> Result<(), DefinitionError> {
    let definition = saga(1).pivot::<CapturePayment>().notify::<OrderPlaced>().then::<ShipOrder>().build()?;

    given(&definition, PlaceOrder::of(30))
        .expect::<CapturePayment>()
        .reply(())
        .expect_notified::<OrderPlaced>(|told| assert_eq!(told.amount, 30))
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();
    Ok(())
}

#[test]
#[should_panic(expected = "expected do orders.placed.v1, but")]
fn a_story_of_a_notification_can_fail() {
    let definition = saga(1).step::<ReserveStock>().notify::<OrderPlaced>().build().unwrap();
    drop(given(&definition, PlaceOrder::of(0)).expect_notified::<OrderPlaced>(|_| ()));
}

#[test]
#[should_panic(expected = "this was sent and is not told yet: do orders.placed.v1")]
fn a_notification_that_is_not_told_fails_the_story() {
    let definition = saga(1).step::<ReserveStock>().notify::<OrderPlaced>().build().unwrap();
    given(&definition, PlaceOrder::of(0)).expect::<ReserveStock>().reply(()).expect_completed();
}

#[derive(Serialize, Deserialize)]
enum Decision {
    Approved { by: String },
    Rejected,
}

impl Signal<PlaceOrder> for Decision {
    const NAME: &'static str = "decision";

    fn deadline() -> Duration {
        Duration::from_secs(24 * 3600)
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Decision::Rejected)
    }

    fn on_signal(order: &mut PlaceOrder, decision: Decision) {
        if let Decision::Approved { by } = decision {
            order.approved_by = Some(by);
        }
    }
}

#[test]
fn waiting() -> Result<(), DefinitionError> {
    let definition = saga(1)
        .step::<ReserveStock>()
        .wait::<Decision>()
        .when(|order| order.amount > 1000)
        .pivot::<CapturePayment>()
        .build()?;

    let approved = || Decision::Approved { by: "ada".into() };
    given(&definition, PlaceOrder::of(5000))
        .expect::<ReserveStock>()
        .reply(())
        .expect_wait::<Decision>()
        .signal(approved())
        .signal_again(approved())
        .expect_signal_refused(Decision::Rejected)
        .expect_data(|order| assert_eq!(order.approved_by.as_deref(), Some("ada")))
        .expect::<CapturePayment>()
        .reply(())
        .expect_completed();

    // The decision comes before anybody waits for it, and it is a no.
    given(&definition, PlaceOrder::of(5000))
        .signal(Decision::Rejected)
        .expect::<ReserveStock>()
        .reply(())
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();

    // Nobody decides.
    given(&definition, PlaceOrder::of(5000))
        .expect::<ReserveStock>()
        .reply(())
        .pass_deadline::<Decision>()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn drawing() -> Result<(), Box<dyn Error>> {
    let definition = saga(1)
        .step::<ReserveStock>()
        .wait::<Decision>()
        .when(|order| order.amount > 1000)
        .pivot::<CapturePayment>()
        .build()?;
    assert_pictured(&Drawing::of_definition(definition.plan()).mermaid());

    let transport = Arc::new(MemoryTransport::default());
    let orchestrator = Orchestrator::builder(Arc::new(MemoryStore::default()), transport, "orders.replies")
        .register(&definition)
        .start()
        .await?;
    let order = orchestrator.start(PlaceOrder::of(5000)).await?;
    let shown = orchestrator.show(order.id()).await?.expect("it was started");
    let drawing = Drawing::of_saga(definition.plan(), &Instance::decode(shown.stored)?);
    assert!(drawing.mermaid().contains("reserve<br>shop<br>undo: release<br>asked, attempt 1"));
    assert!(drawing.dot().contains("pivot\\nnot reached"));
    Ok(())
}

/// Asserts that the document has one picture, and that it is this one.
fn assert_pictured(drawn: &str) {
    let document = include_str!("../../docs/model.md");
    let pictures: Vec<_> =
        document.split("```mermaid\n").skip(1).map(|rest| rest.split("```").next()).collect();
    assert_eq!(pictures, [Some(drawn)], "docs/model.md shows another picture:\n{drawn}");
}

struct CoolingOff;

impl Pause<PlaceOrder> for CoolingOff {
    const NAME: &'static str = "cooling-off";

    fn length(order: &PlaceOrder) -> Duration {
        Duration::from_secs(if order.amount > 1000 { 24 * 3600 } else { 600 })
    }
}

#[test]
fn pauses() -> Result<(), DefinitionError> {
    let definition =
        saga(1).step::<ReserveStock>().pause::<CoolingOff>().pivot::<CapturePayment>().build()?;

    given(&definition, PlaceOrder::of(5000))
        .expect::<ReserveStock>()
        .reply(())
        .pass_pause::<CoolingOff>(Duration::from_secs(24 * 3600))
        .expect::<CapturePayment>()
        .reply(())
        .expect_completed();

    // The customer thinks better of it.
    given(&definition, PlaceOrder::of(5000))
        .expect::<ReserveStock>()
        .reply(())
        .cancel("too much money")
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
    Ok(())
}

#[test]
fn versions() -> Result<(), DefinitionError> {
    let first = saga(1).step::<ReserveStock>().pivot::<CapturePayment>().then::<ShipOrder>().build()?;
    let second = saga(2)
        .step::<ReserveStock>()
        .pivot::<CapturePayment>()
        .then::<SendInvoice>()
        .then::<ShipOrder>()
        .upgrade_from(&first)
        .build()?;

    // It has not come to what has changed.
    given(&first, PlaceOrder::of(30))
        .expect::<ReserveStock>()
        .reply(())
        .upgrade(&second)
        .expect::<CapturePayment>()
        .reply(())
        .expect::<SendInvoice>()
        .reply(())
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();

    // It is being shipped already, and nobody could send the invoice before that any more.
    given(&first, PlaceOrder::of(30))
        .expect::<ReserveStock>()
        .reply(())
        .expect::<CapturePayment>()
        .reply(())
        .expect_no_upgrade(&second, "where the saga has been")
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();
    Ok(())
}

#[test]
fn stories_of_upgrades_can_fail() {
    let first = || saga(1).step::<ReserveStock>().pivot::<CapturePayment>().build().unwrap();
    let other = || saga(2).pivot::<CapturePayment>().upgrade_from(&first()).build().unwrap();
    let same =
        || saga(2).step::<ReserveStock>().pivot::<CapturePayment>().upgrade_from(&first()).build().unwrap();
    let begun = || given(&first(), PlaceOrder::of(30)).expect::<ReserveStock>().reply(());
    assert!(failure(|| drop(begun().upgrade(&other()))).contains("the saga stays with its version"));
    assert!(failure(|| drop(begun().upgrade(&first()))).contains("does not say that it takes"));
    assert!(failure(|| drop(begun().expect_no_upgrade(&same(), "where"))).contains("but it can"));
    assert!(failure(|| drop(begun().expect_no_upgrade(&other(), "ended"))).contains("it stays because"));
}

#[test]
fn stories_of_pauses_can_fail() {
    let definition = saga(1).step::<ReserveStock>().pause::<CoolingOff>().build().unwrap();
    let begun = || given(&definition, PlaceOrder::of(0));
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let early = failure(|| drop(begun().pass_pause::<CoolingOff>(minutes(10))));
    assert!(early.starts_with("cooling-off does not pause"), "{early}");
    let pausing = begun().expect::<ReserveStock>().reply(());
    let longer = failure(|| drop(pausing.pass_pause::<CoolingOff>(minutes(11))));
    assert!(
        longer.starts_with("expected that cooling-off pauses for 660s, but it does for 600s"),
        "{longer}"
    );
}

/// What the story that fails says.
fn failure(story: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(story)).unwrap_err();
    panic.downcast::<String>().map_or_else(|_| "no text".into(), |text| *text)
}

#[test]
fn stories_of_signals_can_fail() {
    let definition = saga(1).step::<ReserveStock>().wait::<Decision>().build().unwrap();
    let early = || given(&definition, PlaceOrder::of(0));
    let waiting = || early().expect::<ReserveStock>().reply(());
    let no = || Decision::Rejected;
    let failures = [
        (failure(|| drop(early().expect_wait::<Decision>())), "expected that decision is waited for, but"),
        (failure(|| drop(early().pass_deadline::<Decision>())), "decision does not wait for its signal"),
        (failure(|| drop(early().signal(no()).signal(no()))), "this was ignored: given_before"),
        (failure(|| drop(early().cancel("why not").signal(no()))), "this was refused: the saga is being"),
        (failure(|| drop(early().signal_again(no()))), "expected that it was given before, but"),
        (failure(|| drop(early().expect_signal_refused(no()))), "expected that the signal comes too late"),
        (failure(|| waiting().expect_completed()), "expected the saga to be Completed, but it is Running"),
    ];
    for (said, expected) in failures {
        assert!(said.starts_with(expected), "{said}");
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NoteOrder {
    amount: u32,
}

impl Command for NoteOrder {
    const TYPE: &'static str = "orders.note.v1";
    type Participant = Local;
    type Reply = u64;
    type Refusal = String;
}

impl Step<PlaceOrder> for NoteOrder {
    fn command(order: &PlaceOrder) -> Self {
        NoteOrder { amount: order.amount }
    }
}

impl Compensate<PlaceOrder> for NoteOrder {
    type Undo = EraseNote;

    fn undo(_: &PlaceOrder, did: Outcome<u64>) -> EraseNote {
        EraseNote { note: if let Outcome::Done(note) = did { note } else { 0 } }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct EraseNote {
    note: u64,
}

impl Command for EraseNote {
    const TYPE: &'static str = "orders.erase-note.v1";
    type Participant = Local;
    type Reply = ();
    type Refusal = ();
}

impl Undoes<NoteOrder> for EraseNote {}

#[test]
fn local_steps() -> Result<(), DefinitionError> {
    let definition = saga(1).step::<NoteOrder>().pivot::<CapturePayment>().build()?;

    given(&definition, PlaceOrder::of(30))
        .expect::<NoteOrder>()
        .equal_to(NoteOrder { amount: 30 })
        .reply(7)
        .expect::<CapturePayment>()
        .refuse("no funds".into())
        .expect_undo::<NoteOrder>()
        .equal_to(EraseNote { note: 7 })
        .undone()
        .expect_compensated();
    explore(&definition).run().assert_ok();
    Ok(())
}

/// Where other sagas send what they ask of deliveries.
struct Shipping;

impl Participant for Shipping {
    const NAME: &'static str = "shipping";
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Delivery {
    address: String,
}

impl Saga for Delivery {
    const NAME: &'static str = "delivery";
}

impl SubSaga for Delivery {
    type Orchestrator = Shipping;
}

impl Step<Delivery> for ReserveStock {
    fn command(_: &Delivery) -> Self {
        ReserveStock {}
    }
}

impl Compensate<Delivery> for ReserveStock {
    type Undo = ReleaseStock;

    fn undo(_: &Delivery, _: Outcome<()>) -> ReleaseStock {
        ReleaseStock {}
    }
}

impl Step<PlaceOrder> for Run<Delivery> {
    fn command(order: &PlaceOrder) -> Self {
        Run(Delivery { address: format!("order of {}", order.amount) })
    }
}

#[test]
fn sub_sagas() -> Result<(), DefinitionError> {
    let definition = saga(1).step::<Run<Delivery>>().pivot::<CapturePayment>().build()?;
    let delivery = saga(1).step::<ReserveStock>().build()?;

    // The payment is refused, so the delivery is compensated.
    given(&definition, PlaceOrder::of(30))
        .expect::<Run<Delivery>>()
        .reply(Delivery::default())
        .expect::<CapturePayment>()
        .refuse("no funds".into())
        .expect_undo::<Run<Delivery>>()
        .undone()
        .expect_compensated();

    // The same from the delivery's side: it is through, and taken back.
    given_by_parent(&delivery, Delivery::default())
        .expect::<ReserveStock>()
        .reply(())
        .expect_through()
        .take_back()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();

    // Both together, whatever fails.
    explore(&definition).sub_saga(&delivery).run().assert_ok();
    given_by_parent(&delivery, Delivery::default())
        .expect::<ReserveStock>()
        .reply(())
        .expect_through()
        .release()
        .expect_completed();
    Ok(())
}

#[test]
fn a_saga_that_is_through_stays_with_its_version() -> Result<(), DefinitionError> {
    struct Unpacking;
    impl Pause<Delivery> for Unpacking {
        const NAME: &'static str = "unpacking";

        fn length(_: &Delivery) -> Duration {
            Duration::from_secs(60)
        }
    }
    let first = saga(1).step::<ReserveStock>().build()?;
    let second = saga(2).step::<ReserveStock>().pause::<Unpacking>().upgrade_from(&first).build()?;

    // It would be released with a step that it has never come to.
    given_by_parent(&first, Delivery::default())
        .expect::<ReserveStock>()
        .reply(())
        .expect_through()
        .expect_no_upgrade(&second, "every step is done")
        .release()
        .expect_completed();

    // Before that it may move, and once it is taken back.
    given_by_parent(&first, Delivery::default())
        .upgrade(&second)
        .expect::<ReserveStock>()
        .reply(())
        .pass_pause::<Unpacking>(Duration::from_secs(60))
        .expect_through();
    given_by_parent(&first, Delivery::default())
        .expect::<ReserveStock>()
        .reply(())
        .expect_through()
        .take_back()
        .upgrade(&second)
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
    Ok(())
}

#[test]
fn the_document_shows_what_stands_here() {
    document::assert_shown("model.md", include_str!("model.rs"));
}
