//! Stories of an order saga, and a failure of every assertion that a story can make.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::catch_unwind;

use saga_core::message::Fault;
use saga_core::policy::Retry;
use saga_core::{
    Command, Compensate, Definition, NothingToUndo, Outcome, Participant, Retriable, Saga, Step, Undoes, saga,
};
use saga_testkit::story::{Story, given};
use serde::{Deserialize, Serialize};

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

/// What the story that fails says.
fn failure(story: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(story).unwrap_err();
    panic.downcast::<String>().map_or_else(|_| "no text".into(), |text| *text)
}

#[test]
fn a_failure_shows_the_story_so_far_and_what_came_instead() {
    let said = failure(|| drop(capturing().expect::<ShipOrder>()));
    let expected = "\
expected do ship, but this was sent and is not told yet: do capture {\"amount\":30}

the story so far:
   1. place-order version 1 starts
       sends do check {}
   2. do check is answered with done null: check done, next step sent
       sends do reserve {\"items\":3}
       sends do authorize {\"amount\":30}
   3. do reserve is answered with done 7: reserve done
   4. do authorize is answered with done null: authorize done, next step sent
       sends do capture {\"amount\":30}

the saga is Running, awaits do capture (attempt 1)";
    assert_eq!(said, expected);
}

#[test]
fn every_assertion_can_fail() {
    let failures = [
        (failure(|| drop(order().expect::<ReserveStock>())), "expected do reserve, but"),
        (failure(|| drop(reserving().expect_undo::<ReserveStock>())), "expected undo reserve, but"),
        (failure(|| drop(order().expect_close::<CheckFraud>())), "expected close check, but"),
        (failure(|| drop(order().back_to::<CheckFraud>())), "no unanswered command of check was told"),
        (
            failure(|| drop(reserving().expect::<ReserveStock>().equal_to(ReserveStock { items: 4 }))),
            "expected ReserveStock { items: 4 }, but ReserveStock { items: 3 } was sent",
        ),
        (failure(|| order().expect_completed()), "expected the saga to be Completed, but it is Running"),
        (failure(|| order().expect_compensated()), "expected the saga to be Compensated, but it is Running"),
        (
            failure(|| drop(order().expect_parked("a bug"))),
            "expected the saga to be Parked, but it is Running",
        ),
        (
            failure(|| {
                drop(shipping().expect::<ShipOrder>().refuse("no truck".into()).expect_parked("a bug"))
            }),
            "expected it to be parked for \"a bug\", but it is for",
        ),
        (
            failure(|| drop(order().expect_skipped::<AuthorizePayment>())),
            "expected that authorize was skipped, but it was not come to",
        ),
        (
            failure(|| drop(reserving().expect_skipped::<AuthorizePayment>())),
            "expected that authorize was skipped, but it was not",
        ),
        (failure(|| drop(order().expect_cancel_refused())), "expected that it is too late to cancel"),
        (failure(|| drop(shipping().cancel("too late"))), "this was refused: the pivot capture is under way"),
        (failure(|| drop(shipping().compensate("too late"))), "this was refused: the pivot capture is"),
        (failure(|| drop(order().cancel("once").cancel("twice"))), "this was ignored: under_way"),
        (
            failure(|| drop(shipping().resolve_not_done::<ShipOrder>("wrong"))),
            "this was refused: step ship stands after the pivot",
        ),
        (
            failure(|| drop(order().resolve_undone::<ReserveStock>("wrong"))),
            "this was refused: step reserve is",
        ),
        (
            failure(|| drop(order().resolve_done::<AuthorizePayment>(&(), "wrong"))),
            "this was refused: step authorize is not awaited",
        ),
        (failure(|| drop(shipping().expect::<ShipOrder>().never_answer())), "do ship is never given up"),
    ];
    for (said, expected) in failures {
        assert!(said.starts_with(expected), "{said}");
        assert!(said.contains("the story so far:\n   1. place-order version 1 starts"), "{said}");
    }
}

#[test]
fn what_a_story_looks_at_can_fail() {
    let looks: [fn(); 3] = [
        || drop(reserving().expect::<ReserveStock>().that(|command| assert_eq!(command.items, 4))),
        || drop(order().expect_data(|order| assert_eq!(order.items, 4))),
        || {
            let undo =
                order().expect::<CheckFraud>().answer_later().cancel("why not").expect_undo::<ReserveStock>();
            drop(undo.that(|_| ()));
        },
    ];
    for look in looks {
        assert!(catch_unwind(look).is_err());
    }
}

#[test]
fn a_story_that_leaves_something_untold_fails() {
    let untold = failure(|| {
        reserving()
            .expect::<AuthorizePayment>()
            .refuse("no funds".into())
            .expect_undo::<ReserveStock>()
            .undone()
            .expect_compensated();
    });
    assert!(
        untold.starts_with("the saga is Compensated, but this was sent and is not told yet: do reserve"),
        "{untold}"
    );
}

#[test]
fn a_timer_that_no_longer_runs_fails_the_story() {
    let said = failure(|| {
        let story = reserving().expect::<AuthorizePayment>().answer_later().cancel("why not");
        drop(story.back_to::<AuthorizePayment>().time_out());
    });
    assert!(said.starts_with("do authorize is not awaited any more"), "{said}");
}

#[test]
fn a_saga_that_cannot_start_has_no_story() {
    let said = failure(|| {
        let data = PlaceOrder { items: 100, amount: 30, reservation: None };
        drop(given(&place_order(), data));
    });
    assert!(
        said.starts_with("place-order version 1 cannot start: `command` of \"check\" panicked"),
        "{said}"
    );
}
