//! Stories of an order saga, and a failure of every assertion that a story can make.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use saga_core::message::Fault;
use saga_core::policy::Retry;
use saga_core::{
    Command, Compensate, Definition, NothingToUndo, Outcome, Participant, Retriable, Saga, Step, Undoes, saga,
};
use saga_testkit::story::{Story, given};
use serde::{Deserialize, Serialize};

mod failures;

struct Inventory;

impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

struct Payment;

impl Participant for Payment {
    const NAME: &'static str = "payment";
}

macro_rules! command {
    ($name:ident { $($field:ident: $kind:ty),* }, $participant:ty, $type:literal, $reply:ty) => {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct $name {
            $($field: $kind),*
        }

        impl Command for $name {
            const TYPE: &'static str = $type;
            type Participant = $participant;
            type Reply = $reply;
            type Refusal = String;
        }
    };
}
command!(CheckFraud {}, Payment, "check", ());
command!(ReserveStock { items: u32 }, Inventory, "reserve", u64);
command!(ReleaseStock { reservation: Option<u64> }, Inventory, "release", ());
command!(AuthorizePayment { amount: u32 }, Payment, "authorize", ());
command!(VoidPayment {}, Payment, "void", ());
command!(CapturePayment { amount: u32 }, Payment, "capture", ());
command!(ShipOrder { reservation: Option<u64> }, Inventory, "ship", ());
impl Undoes<ReserveStock> for ReleaseStock {}
impl Undoes<AuthorizePayment> for VoidPayment {}

#[derive(Serialize, Deserialize)]
struct PlaceOrder {
    items: u32,
    amount: u32,
    reservation: Option<u64>,
}

impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

impl Step<PlaceOrder> for CheckFraud {
    fn command(order: &PlaceOrder) -> Self {
        assert!(order.items < 100, "nobody orders that much");
        CheckFraud {}
    }
}

impl NothingToUndo<PlaceOrder> for CheckFraud {}

impl Step<PlaceOrder> for ReserveStock {
    fn command(order: &PlaceOrder) -> Self {
        ReserveStock { items: order.items }
    }

    fn on_reply(order: &mut PlaceOrder, reservation: u64) {
        order.reservation = Some(reservation);
    }
}

impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;

    fn undo(_: &PlaceOrder, did: Outcome<u64>) -> ReleaseStock {
        match did {
            Outcome::Done(reservation) => ReleaseStock { reservation: Some(reservation) },
            Outcome::Unknown => ReleaseStock { reservation: None },
        }
    }

    fn undo_retry() -> Retry {
        Retry::default().attempts(2)
    }
}

impl Step<PlaceOrder> for AuthorizePayment {
    fn command(order: &PlaceOrder) -> Self {
        AuthorizePayment { amount: order.amount }
    }
}

impl Compensate<PlaceOrder> for AuthorizePayment {
    type Undo = VoidPayment;

    fn undo(_: &PlaceOrder, _: Outcome<()>) -> VoidPayment {
        VoidPayment {}
    }
}

impl Step<PlaceOrder> for CapturePayment {
    fn command(order: &PlaceOrder) -> Self {
        CapturePayment { amount: order.amount }
    }

    fn retry() -> Retry {
        Retry::default().attempts(2).close_when_spent()
    }
}

impl Step<PlaceOrder> for ShipOrder {
    fn command(order: &PlaceOrder) -> Self {
        ShipOrder { reservation: order.reservation }
    }
}

impl Retriable<PlaceOrder> for ShipOrder {}

fn place_order() -> Definition<PlaceOrder> {
    saga(1)
        .check::<CheckFraud>()
        .parallel::<(ReserveStock, AuthorizePayment)>()
        .when_step::<AuthorizePayment>(|order| order.amount > 0)
        .pivot::<CapturePayment>()
        .then::<ShipOrder>()
        .build()
        .unwrap()
}

fn order() -> Story<PlaceOrder> {
    given(&place_order(), PlaceOrder { items: 3, amount: 30, reservation: None })
}

fn reserving() -> Story<PlaceOrder> {
    order().expect::<CheckFraud>().reply(())
}

fn capturing() -> Story<PlaceOrder> {
    reserving().expect::<ReserveStock>().reply(7).expect::<AuthorizePayment>().reply(())
}

fn shipping() -> Story<PlaceOrder> {
    capturing().expect::<CapturePayment>().reply(())
}

#[test]
fn all_goes_well() {
    order()
        .expect::<CheckFraud>()
        .reply(())
        .expect::<AuthorizePayment>()
        .equal_to(AuthorizePayment { amount: 30 })
        .reply(())
        .expect::<ReserveStock>()
        .that(|command| assert_eq!(command.items, 3))
        .reply(7)
        .expect_data(|order| assert_eq!(order.reservation, Some(7)))
        .expect::<CapturePayment>()
        .reply(())
        .expect_cancel_refused()
        .expect::<ShipOrder>()
        .equal_to(ShipOrder { reservation: Some(7) })
        .reply(())
        .expect_completed();
}

#[test]
fn a_refusal_undoes_the_sibling_though_it_has_not_answered_and_its_answer_is_too_late() {
    reserving()
        .expect::<ReserveStock>()
        .answer_later()
        .expect::<AuthorizePayment>()
        .refuse("no funds".into())
        .back_to::<ReserveStock>()
        .reply(7)
        .expect_undo::<ReserveStock>()
        .equal_to(ReleaseStock { reservation: None })
        .undone()
        .expect_compensated();
}

#[test]
fn a_step_that_never_answers_is_undone_with_its_sibling() {
    reserving()
        .expect::<AuthorizePayment>()
        .reply(())
        .expect::<ReserveStock>()
        .never_answer()
        .expect_undo::<AuthorizePayment>()
        .that(|undo| assert_eq!(undo, VoidPayment {}))
        .undone()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
}

#[test]
fn a_command_that_times_out_or_fails_is_sent_again() {
    order()
        .expect::<CheckFraud>()
        .time_out()
        .expect::<CheckFraud>()
        .fault(Fault::temporary("the database is away"))
        .expect::<CheckFraud>()
        .refuse("fraud".into())
        .expect_compensated();
}

#[test]
fn a_pivot_that_stays_unknown_is_closed_and_the_answer_decides() {
    let closing = || capturing().expect::<CapturePayment>().never_answer().expect_close::<CapturePayment>();
    closing().reply(()).expect::<ShipOrder>().reply(()).expect_completed();
    let undone = |story: Story<PlaceOrder>| {
        story
            .expect_undo::<ReserveStock>()
            .undone()
            .expect_undo::<AuthorizePayment>()
            .undone()
            .expect_compensated();
    };
    undone(closing().closed());
    undone(closing().refuse("no funds".into()));
}

#[test]
fn a_cancelled_order_gives_back_what_it_has() {
    order()
        .expect::<CheckFraud>()
        .answer_later()
        .cancel("changed my mind")
        .expect_close::<CheckFraud>()
        .closed()
        .expect_compensated();
    reserving()
        .expect::<ReserveStock>()
        .reply(7)
        .expect::<AuthorizePayment>()
        .answer_later()
        .cancel("changed my mind")
        .expect_undo::<ReserveStock>()
        .equal_to(ReleaseStock { reservation: Some(7) })
        .undone()
        .expect_undo::<AuthorizePayment>()
        .undone()
        .expect_compensated();
}

#[test]
fn an_order_that_costs_nothing_needs_no_authorization() {
    given(&place_order(), PlaceOrder { items: 3, amount: 0, reservation: None })
        .expect::<CheckFraud>()
        .reply(())
        .expect_skipped::<AuthorizePayment>()
        .expect::<ReserveStock>()
        .reply(7)
        .expect::<CapturePayment>()
        .refuse("a bug".into())
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
}

#[test]
fn a_parked_order_waits_for_an_operator() {
    let parked = || shipping().expect::<ShipOrder>().refuse("no truck".into()).expect_parked("no truck");
    parked().retry("found one").expect::<ShipOrder>().reply(()).expect_completed();
    parked().resolve_done::<ShipOrder>(&(), "carried it there").expect_completed();
    capturing()
        .expect::<CapturePayment>()
        .fault(Fault::permanent("a bug"))
        .expect_parked("payment could not do capture: a bug")
        .compensate("give it up")
        .expect_close::<CapturePayment>()
        .closed()
        .expect_undo::<ReserveStock>()
        .never_answer()
        .expect_undo::<AuthorizePayment>()
        .answer_later()
        .expect_parked("2 attempts to undo reserve are spent")
        .resolve_undone::<ReserveStock>("released it by hand")
        .expect_undo::<AuthorizePayment>()
        .undone()
        .expect_compensated();
}

#[test]
fn an_operator_who_says_not_done_has_the_step_undone() {
    reserving()
        .expect::<ReserveStock>()
        .fault(Fault::permanent("a bug"))
        .expect::<AuthorizePayment>()
        .answer_later()
        .expect_parked("a bug")
        .resolve_not_done::<ReserveStock>("looked it up")
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_undo::<AuthorizePayment>()
        .undone()
        .expect_compensated();
}
