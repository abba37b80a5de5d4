//! The examples of `docs/model.md`, with what they leave out.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../document/mod.rs"]
mod document;

use std::panic::{AssertUnwindSafe, catch_unwind};

use saga_core::{
    Command, Compensate, CompensateEach, DefinitionError, Each, Local, Notification, Outcome, Participant,
    Retriable, Saga, Step, Undoes, saga,
};
use saga_testkit::explore::explore;
use saga_testkit::story::given;
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

mod children;
mod drawing;
mod time;
mod versions;

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
    const TOPICS: &'static [&'static str] = &["orders.placed"];

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

/// What the story that fails says.
fn failure(story: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(story)).unwrap_err();
    panic.downcast::<String>().map_or_else(|_| "no text".into(), |text| *text)
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

#[test]
fn the_document_shows_what_stands_here() {
    let parts = [
        include_str!("main.rs"),
        include_str!("time.rs"),
        include_str!("children.rs"),
        include_str!("drawing.rs"),
        include_str!("versions.rs"),
    ];
    // What other files here need is no part of the example.
    document::assert_shown("model.md", &parts.concat().replace("pub(super) ", ""));
}
