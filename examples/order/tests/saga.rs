//! The order saga, told as stories: no service, no broker, no database.

use order::contract::{
    AuthorizePayment, Authorized, CapturePayment, Declined, Item, OrderId, OutOfStock, ReleaseStock,
    ReserveStock, ShipOrder, VoidPayment,
};
use order::saga::{Decision, PlaceOrder, place_order};
use saga_core::message::Fault;
use saga_testkit::story::{Story, given};
use uuid::Uuid;

const ORDER: OrderId = OrderId(Uuid::from_u128(7));
const HOLD: Uuid = Uuid::from_u128(8);

fn placed() -> Story<PlaceOrder> {
    placed_for(1999)
}

fn placed_for(amount: i64) -> Story<PlaceOrder> {
    let order = PlaceOrder { order: ORDER, customer: "ada".into(), amount, items: items(), hold: None };
    given(&place_order().expect("the definition"), order)
}

/// An order for much money, with goods and money set aside.
fn undecided() -> Story<PlaceOrder> {
    let reserved = placed_for(500_000).expect::<ReserveStock>().reply(());
    reserved.expect::<AuthorizePayment>().reply(Authorized { hold: HOLD }).expect_wait::<Decision>()
}

fn decision(approved: bool) -> Decision {
    Decision { approved, by: "grace".into() }
}

fn expect_taken_back(story: Story<PlaceOrder>) {
    story
        .expect_undo::<AuthorizePayment>()
        .undone()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
}

fn items() -> Vec<Item> {
    vec![Item { name: "pen".into(), quantity: 2 }]
}

fn reserved() -> Story<PlaceOrder> {
    placed().expect::<ReserveStock>().equal_to(ReserveStock { order: ORDER, items: items() }).reply(())
}

fn authorized() -> Story<PlaceOrder> {
    let asked = AuthorizePayment { order: ORDER, customer: "ada".into(), amount: 1999 };
    reserved().expect::<AuthorizePayment>().equal_to(asked).reply(Authorized { hold: HOLD })
}

#[test]
fn an_order_that_everybody_agrees_to_completes() {
    authorized()
        .expect::<CapturePayment>()
        .equal_to(CapturePayment { order: ORDER, hold: HOLD })
        .reply(())
        .expect::<ShipOrder>()
        .equal_to(ShipOrder { order: ORDER })
        .reply(())
        .expect_completed();
}

#[test]
fn an_order_for_much_money_goes_on_when_a_manager_approves_it() {
    undecided()
        .signal(decision(true))
        .signal_again(decision(true))
        .expect_signal_refused(decision(false))
        .expect::<CapturePayment>()
        .reply(())
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();
}

#[test]
fn an_order_for_much_money_is_taken_back_when_a_manager_rejects_it_or_says_nothing_for_a_day() {
    expect_taken_back(undecided().signal(decision(false)));
    expect_taken_back(undecided().pass_deadline::<Decision>());
}

#[test]
fn an_order_for_less_waits_for_nobody() {
    let reserved = placed_for(499_999).expect::<ReserveStock>().reply(());
    let authorized = reserved.expect::<AuthorizePayment>().reply(Authorized { hold: HOLD });
    authorized.expect::<CapturePayment>().reply(()).expect::<ShipOrder>().reply(()).expect_completed();
}

#[test]
fn an_order_for_goods_that_are_not_there_leaves_nothing_to_undo() {
    placed().expect::<ReserveStock>().refuse(OutOfStock { items: vec!["pen".into()] }).expect_compensated();
}

#[test]
fn an_order_that_the_customer_cannot_pay_gives_the_goods_back() {
    reserved()
        .expect::<AuthorizePayment>()
        .refuse(Declined::NotEnoughMoney)
        .expect_undo::<ReserveStock>()
        .equal_to(ReleaseStock { order: ORDER })
        .undone()
        .expect_compensated();
}

#[test]
fn an_order_whose_money_cannot_be_taken_gives_back_money_and_goods_in_this_order() {
    authorized()
        .expect::<CapturePayment>()
        .refuse(Declined::AccountFrozen)
        .expect_undo::<AuthorizePayment>()
        .equal_to(VoidPayment { order: ORDER })
        .undone()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
}

#[test]
fn a_payment_service_that_never_answers_has_its_hold_voided_all_the_same() {
    reserved()
        .expect::<AuthorizePayment>()
        .never_answer()
        .expect_undo::<AuthorizePayment>()
        .undone()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
}

#[test]
fn a_capture_that_never_answers_is_asked_for_until_it_does() {
    authorized()
        .expect::<CapturePayment>()
        .time_out()
        .expect::<CapturePayment>()
        .reply(())
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();
}

#[test]
fn an_order_that_needs_a_human_is_released_by_one() {
    placed()
        .expect::<ReserveStock>()
        .fault(Fault::permanent("the scale is broken"))
        .expect_parked("the scale is broken")
        .compensate("it cannot be mended today")
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
}

#[test]
fn what_sagas_under_way_would_feel_is_noted_in_the_lock_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/sagas.lock");
    saga_testkit::lock::assert_locked(path, &[place_order().expect("the definition").plan()]);
}
