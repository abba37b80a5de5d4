//! What every outbox must do: the orchestrator's and the participant's.

mod harness;
mod scenarios;

pub use harness::{Harness, OfFence, OfStore};
pub use scenarios::*;

/// One test for each scenario of the suite [`outbox`](crate::suite::outbox), in a module `outbox`.
#[macro_export]
macro_rules! outbox_suite {
    ($harness:ty) => {
        mod outbox {
            #[allow(unused_imports, reason = "the harness may be named from anywhere")]
            use super::*;

            $crate::__scenarios!(
                outbox,
                $harness,
                [
                    a_row_is_claimed_as_it_was_inserted
                    a_claim_lasts_as_long_as_its_lease
                    relays_share_the_rows
                    a_row_is_deleted_by_its_own_id
                    a_postponed_row_is_due_later
                    a_row_that_is_set_aside_is_dead
                    the_backlog_counts_and_ages
                ]
            );
        }
    };
}
