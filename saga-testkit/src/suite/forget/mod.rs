//! What every fence must do that forgets sagas which have ended.

mod scenarios;

pub use super::fence::Harness;
pub use scenarios::*;

/// One test for each scenario of the suite [`forget`](crate::suite::forget), for a
/// [`Harness`](crate::suite::fence::Harness) with a fence.
#[macro_export]
macro_rules! forget_suite {
    ($harness:ty) => {
        $crate::__scenarios!(
            forget,
            $harness,
            [
                no_row_goes_before_its_notice_and_the_horizon
                a_notice_concerns_the_rows_of_one_participant_that_are_there
                no_more_rows_go_than_was_asked_for
                a_row_that_is_worked_on_is_not_waited_for
                counted_runs_go_with_their_row
            ]
        );
    };
}
