//! The explorer finds what is wrong with a saga, shows the shortest way to it, and finds nothing where nothing is.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod dirty_read;
#[path = "../document/mod.rs"]
mod document;
mod external;
mod fences;
mod lost_update;
mod saga_of_one;
mod shop;
mod sub_sagas;
mod topologies;
