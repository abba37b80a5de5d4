//! What tests of sagas and of adapters share.
//!
//! Every adapter of a port passes the same suite. `saga-core::memory` is the executable specification.

mod proxy;

pub use proxy::{TcpProxy, Toward};
