//! One order, and two at once, in every way that they can go: no item is sold twice, and no money and no item is lost.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use order::contract::{
    AuthorizePayment, Authorized, CapturePayment, Declined, Item, OrderId, OutOfStock, ReleaseStock,
    ReserveStock, ShipItem, VoidPayment,
};
use order::saga::{PlaceOrder, place_order};
use saga_core::runtime::Reply;
use saga_testkit::explore::{Explorer, Faults, explore};
use uuid::Uuid;

/// What inventory and payment keep: one lamp on the shelf, and money for one and a half.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Books {
    free: i64,
    reserved: i64,
    shipped: i64,
    balance: i64,
    held: i64,
    earned: i64,
}

const BOOKS: Books = Books { free: 1, reserved: 0, shipped: 0, balance: 900_000, held: 0, earned: 0 };

/// So much that a manager decides.
const PRICE: i64 = 600_000;

fn orders(count: u128) -> Explorer<PlaceOrder, Books> {
    let explorer = inventory(payment(explore(&place_order().unwrap()).model(BOOKS)))
        .invariant("no item is lost", |scene| {
            scene.model.free + scene.model.reserved + scene.model.shipped == BOOKS.free
        })
        .invariant("no money is lost", |scene| {
            scene.model.balance + scene.model.held + scene.model.earned == BOOKS.balance
        })
        .finally("nothing is reserved or held for ever", |scene| {
            scene.model.reserved == 0 && scene.model.held == 0
        })
        .finally("what is shipped is paid", |scene| scene.model.earned == PRICE * scene.model.shipped);
    (1..=count).fold(explorer, |explorer, number| explorer.saga(&order(number)))
}

fn order(number: u128) -> PlaceOrder {
    PlaceOrder {
        order: OrderId(Uuid::from_u128(number)),
        customer: "alice".into(),
        amount: PRICE,
        items: vec![Item { name: "lamp".into(), quantity: 1 }],
        hold: None,
    }
}

fn inventory(explorer: Explorer<PlaceOrder, Books>) -> Explorer<PlaceOrder, Books> {
    explorer
        .handle::<ReserveStock>(|books, reserve| {
            let quantity: i64 = reserve.items.iter().map(|item| item.quantity).sum();
            if books.free < quantity {
                return Reply::Refused(OutOfStock { items: vec!["lamp".into()] });
            }
            books.free -= quantity;
            books.reserved += quantity;
            Reply::Done(())
        })
        .undo::<ReserveStock, ReleaseStock>(|books, _, ()| {
            books.reserved -= 1;
            books.free += 1;
        })
        .handle::<ShipItem>(|books, _| {
            books.reserved -= 1;
            books.shipped += 1;
            Reply::Done(())
        })
}

fn payment(explorer: Explorer<PlaceOrder, Books>) -> Explorer<PlaceOrder, Books> {
    explorer
        .handle::<AuthorizePayment>(|books, authorize| {
            if books.balance < authorize.amount {
                return Reply::Refused(Declined::NotEnoughMoney);
            }
            books.balance -= authorize.amount;
            books.held += authorize.amount;
            Reply::Done(Authorized { hold: authorize.order.0 })
        })
        .undo::<AuthorizePayment, VoidPayment>(|books, _, _| {
            books.held -= PRICE;
            books.balance += PRICE;
        })
        .handle::<CapturePayment>(|books, _| {
            books.held -= PRICE;
            books.earned += PRICE;
            Reply::Done(())
        })
        .refusal::<CapturePayment>(&Declined::AccountFrozen)
}

#[test]
fn an_order_goes_well_whatever_fails() {
    orders(1).run().assert_ok();
}

/// Silence is left out: with it there are too many states for a test that is run with every change.
#[test]
fn two_orders_of_the_last_lamp_go_well_whoever_comes_first_and_whoever_refuses() {
    let report = orders(2).faults(Faults::REFUSAL).run();
    report.assert_ok();
    assert!(report.states > 1_000, "{report}");
}
