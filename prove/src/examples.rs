//! The sagas of the examples, from their own files: the examples themselves bring drivers of brokers and databases,
//! which nothing here needs.

use uuid::Uuid;

use self::contract::{Item, OrderId};

#[expect(unreachable_pub, reason = "the file belongs to a library")]
#[path = "../../examples/order/src/contract.rs"]
pub(crate) mod contract;

#[expect(dead_code, unreachable_pub, reason = "the file belongs to a library")]
#[path = "../../examples/order/src/saga.rs"]
pub(crate) mod order;

#[path = "../../examples/quickstart/src/order.rs"]
pub(crate) mod quickstart;

/// An order of so many different items.
pub(crate) fn order_of(amount: i64, items: usize) -> order::PlaceOrder {
    let items = (1..=items).map(|item| Item { name: item.to_string(), quantity: 1 });
    order::PlaceOrder {
        order: OrderId(Uuid::from_u128(1)),
        customer: "alice".into(),
        amount,
        items: items.collect(),
        hold: None,
    }
}
