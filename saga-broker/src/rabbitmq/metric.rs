//! What is counted, in one place, so that names and labels stay the same everywhere.

use metrics::{counter, gauge};

/// A connection was lost or could not be made.
pub(super) fn reconnected(role: &'static str) {
    counter!("saga_transport_reconnects_total", "transport" => super::transport::NAME, "role" => role)
        .increment(1);
}

/// Messages whose confirm never came; they are published again.
pub(super) fn unknown(messages: usize) {
    counter!("saga_transport_publish_unknown_total", "transport" => super::transport::NAME)
        .increment(messages as u64);
}

/// Messages that came back because nobody declared their destination.
pub(super) fn unroutable(messages: usize) {
    counter!("saga_transport_unroutable_total", "transport" => super::transport::NAME)
        .increment(messages as u64);
}

/// A delivery that was settled too late, after its connection was gone.
pub(super) fn stale() {
    counter!("saga_transport_stale_settlements_total", "transport" => super::transport::NAME).increment(1);
}

/// Whether the broker refuses to take messages for want of memory or disk.
pub(super) fn blocked(blocked: bool) {
    gauge!("saga_transport_blocked", "transport" => super::transport::NAME).set(f64::from(u8::from(blocked)));
}
