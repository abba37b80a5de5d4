//! What every store must do that ended sagas can leave.

mod scenarios;

pub use super::store::Harness;
pub use scenarios::*;

/// One test for each scenario of the suite [`retire`](crate::suite::retire), for a
/// [`Harness`](crate::suite::store::Harness) whose store is a [`Retire`](saga_core::port::Retire).
#[macro_export]
macro_rules! retire_suite {
    ($harness:ty) => {
        $crate::__scenarios!(
            retire,
            $harness,
            [
                an_archived_saga_is_shown_and_nothing_else
                a_business_key_outlives_its_saga
                only_what_has_ended_for_long_enough_is_retired
                what_ran_as_a_step_stays_until_long_after_the_notice_of_its_parents_end
                the_longest_ended_is_retired_first
                every_participant_is_told_of_its_sagas
                a_definition_without_participants_on_record_keeps_its_sagas
                workers_share_what_is_to_be_retired
            ]
        );
    };
}
