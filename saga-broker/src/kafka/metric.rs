//! What is counted, in one place, so that names and labels stay the same everywhere.

use metrics::counter;

/// Messages whose confirm never came; they are published again.
pub(super) fn unknown(messages: usize) {
    counter!("saga_transport_publish_unknown_total", "transport" => super::transport::NAME)
        .increment(messages as u64);
}

/// A message was not accepted because nobody declared its destination.
pub(super) fn unroutable() {
    counter!("saga_transport_unroutable_total", "transport" => super::transport::NAME).increment(1);
}

/// Deliveries that were settled too late, after their partition was revoked.
pub(super) fn stale(deliveries: usize) {
    counter!("saga_transport_stale_settlements_total", "transport" => super::transport::NAME)
        .increment(deliveries as u64);
}

/// A client reported an error, such as a lost connection; it connects again by itself.
pub(super) fn client_error() {
    counter!("saga_transport_client_errors_total", "transport" => super::transport::NAME).increment(1);
}

/// Partitions were assigned to a reader or taken from it.
pub(super) fn rebalanced(event: &'static str) {
    counter!("saga_transport_rebalances_total", "transport" => super::transport::NAME, "event" => event)
        .increment(1);
}

/// Offsets of partitions were committed, or could not be.
pub(super) fn committed(partitions: usize, outcome: &'static str) {
    counter!("saga_transport_commits_total", "transport" => super::transport::NAME, "outcome" => outcome)
        .increment(partitions as u64);
}
