//! What every fence must do, with its outbox.

mod copies;
mod external;
mod harness;
mod transaction;

pub use copies::*;
pub use external::*;
pub use harness::Harness;
pub use transaction::*;

/// One test for each scenario of the suites [`fence`](crate::suite::fence) and [`outbox`](crate::suite::outbox), for
/// a [`Harness`](crate::suite::fence::Harness).
#[macro_export]
macro_rules! fence_suite {
    ($harness:ty) => {
        $crate::outbox_suite!($crate::suite::outbox::OfFence<$harness>);
        $crate::__scenarios!(
            fence,
            $harness,
            [
                every_state_comes_back_as_it_was_written
                a_key_without_an_outcome_leaves_no_row
                participants_do_not_share_their_rows
                what_a_handler_writes_commits_with_the_row
                a_dropped_transaction_leaves_nothing
                a_rollback_loses_what_the_handler_wrote_and_keeps_the_row
                several_keys_have_an_outcome_each
                a_reply_is_sent_only_if_its_transaction_commits
                a_reply_that_is_too_large_fails_its_transaction
                a_second_copy_waits_and_sees_what_the_first_recorded
                many_copies_of_a_command_run_it_once
                transactions_over_the_same_keys_do_not_deadlock
                runs_are_counted_until_they_are_forgotten
                the_time_goes_on
                an_external_call_is_begun_before_it_is_made_and_recorded_after_it
                a_slow_call_holds_back_no_other_command
                a_call_that_lands_after_its_undo_is_undone_once_more
                a_call_that_nobody_comes_back_with_is_looked_after
                a_call_that_somebody_began_is_made_again_or_undone
                a_refusal_of_the_only_call_is_not_undone_and_one_of_several_is
                a_participant_that_stops_waits_for_its_calls
            ]
        );
    };
}
