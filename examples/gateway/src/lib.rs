//! A payment gateway that answers late, twice or not at all, and a saga that pays through it.
//!
//! No transaction spans a call to somebody else's gateway. So the payment service has an
//! [external handler](saga_core::runtime::External): it calls the gateway with the command's id as idempotency key, and
//! takes back by the same key what has landed after its saga gave up.
//!
//! - [`shop`]: the saga, its contract and its services
//! - [`client`]: the gateway as the payment service sees it
//! - [`server`]: the gateway itself, with its bad manners

pub mod client;
pub mod server;
pub mod shop;
