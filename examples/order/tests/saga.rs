//! The order saga, told as stories: no service, no broker, no database.

use order::contract::{
    AuthorizePayment, Authorized, CapturePayment, Declined, Item, OrderId, OutOfStock, ReleaseStock,
    ReserveStock, ShipItem, VoidPayment,
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

/// With goods and money set aside.
fn set_aside(placed: Story<PlaceOrder>) -> Story<PlaceOrder> {
    placed.expect::<ReserveStock>().reply(()).expect::<AuthorizePayment>().reply(Authorized { hold: HOLD })
}

/// An order for much money, with goods and money set aside.
fn undecided() -> Story<PlaceOrder> {
    set_aside(placed_for(500_000)).expect_wait::<Decision>()
}

fn decision(approved: bool) -> Decision {
    Decision { approved, by: "grace".into() }
}

fn expect_taken_back(story: Story<PlaceOrder>) {
    story
        .expect_undo::<ReserveStock>()
        .equal_to(ReleaseStock { order: ORDER })
        .undone()
        .expect_undo::<AuthorizePayment>()
        .equal_to(VoidPayment { order: ORDER })
        .undone()
        .expect_compensated();
}

fn items() -> Vec<Item> {
    vec![Item { name: "pen".into(), quantity: 2 }, Item { name: "lamp".into(), quantity: 1 }]
}

fn expect_shipped(story: Story<PlaceOrder>) {
    let ship = |item: &str| ShipItem { order: ORDER, item: item.into() };
    story
        .expect_item::<ShipItem>("pen")
        .equal_to(ship("pen"))
        .reply(())
        .expect_item::<ShipItem>("lamp")
        .equal_to(ship("lamp"))
        .reply(())
        .expect_completed();
}

#[test]
fn an_order_that_everybody_agrees_to_completes() {
    let set_aside = placed()
        .expect::<ReserveStock>()
        .equal_to(ReserveStock { order: ORDER, items: items() })
        .reply(())
        .expect::<AuthorizePayment>()
        .equal_to(AuthorizePayment { order: ORDER, customer: "ada".into(), amount: 1999 })
        .reply(Authorized { hold: HOLD });
    let captured = CapturePayment { order: ORDER, hold: HOLD };
    expect_shipped(set_aside.expect::<CapturePayment>().equal_to(captured).reply(()));
}

#[test]
fn an_order_for_much_money_goes_on_when_a_manager_approves_it() {
    let approved = undecided()
        .signal(decision(true))
        .signal_again(decision(true))
        .expect_signal_refused(decision(false));
    expect_shipped(approved.expect::<CapturePayment>().reply(()));
}

#[test]
fn an_order_for_much_money_is_taken_back_when_a_manager_rejects_it_or_says_nothing_for_a_day() {
    expect_taken_back(undecided().signal(decision(false)));
    expect_taken_back(undecided().pass_deadline::<Decision>());
}

#[test]
fn an_order_for_less_waits_for_nobody() {
    expect_shipped(set_aside(placed_for(499_999)).expect::<CapturePayment>().reply(()));
}

#[test]
fn an_order_for_goods_that_are_not_there_gives_the_money_back_before_the_payment_service_has_answered() {
    placed()
        .expect::<AuthorizePayment>()
        .answer_later()
        .expect::<ReserveStock>()
        .refuse(OutOfStock { items: vec!["pen".into()] })
        .back_to::<AuthorizePayment>()
        .reply(Authorized { hold: HOLD })
        .expect_undo::<AuthorizePayment>()
        .undone()
        .expect_compensated();
}

#[test]
fn an_order_that_the_customer_cannot_pay_gives_the_goods_back() {
    placed()
        .expect::<ReserveStock>()
        .reply(())
        .expect::<AuthorizePayment>()
        .refuse(Declined::NotEnoughMoney)
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
}

#[test]
fn an_order_whose_money_cannot_be_taken_gives_back_money_and_goods() {
    expect_taken_back(set_aside(placed()).expect::<CapturePayment>().refuse(Declined::AccountFrozen));
}

#[test]
fn a_payment_service_that_never_answers_has_its_hold_voided_all_the_same() {
    let reserved = placed().expect::<ReserveStock>().reply(());
    expect_taken_back(reserved.expect::<AuthorizePayment>().never_answer());
}

#[test]
fn a_capture_that_never_answers_is_asked_for_until_it_does() {
    let asked_twice = set_aside(placed()).expect::<CapturePayment>().time_out().expect::<CapturePayment>();
    expect_shipped(asked_twice.reply(()));
}

#[test]
fn an_order_that_needs_a_human_is_released_by_one() {
    let parked = placed()
        .expect::<AuthorizePayment>()
        .answer_later()
        .expect::<ReserveStock>()
        .fault(Fault::permanent("the scale is broken"))
        .expect_parked("the scale is broken");
    expect_taken_back(parked.compensate("it cannot be mended today"));
}

#[test]
fn what_sagas_under_way_would_feel_is_noted_in_the_lock_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/sagas.lock");
    saga_testkit::lock::assert_locked(path, &[place_order().expect("the definition").plan()]);
}
