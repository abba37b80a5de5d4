//! What every fence must do that watches rows behind which a call may land.

mod scenarios;

pub use super::fence::Harness;
pub use scenarios::*;

/// One test for each scenario of the suite [`watch`](crate::suite::watch), for a
/// [`Harness`](crate::suite::fence::Harness) with a fence.
#[macro_export]
macro_rules! watch_suite {
    ($harness:ty) => {
        $crate::__scenarios!(
            watch,
            $harness,
            [
                a_watch_begins_with_its_transaction
                a_look_is_claimed_by_one_until_its_lease_is_over
                looks_that_did_not_end_are_claimed_one_at_a_time_and_behind_the_others
                a_look_that_has_ended_is_due_again_after_its_pause
                no_more_looks_are_claimed_than_was_asked_for
                participants_do_not_look_after_each_other
                a_watched_row_is_not_forgotten
            ]
        );
    };
}
