//! The sagas of the examples, from their own files: the examples themselves bring drivers of brokers and databases,
//! which nothing here needs.

#[expect(unreachable_pub, reason = "the file belongs to a library")]
#[path = "../../examples/order/src/contract.rs"]
pub(crate) mod contract;

#[expect(dead_code, unreachable_pub, reason = "the file belongs to a library")]
#[path = "../../examples/order/src/saga.rs"]
pub(crate) mod order;

#[path = "../../examples/quickstart/src/order.rs"]
pub(crate) mod quickstart;
