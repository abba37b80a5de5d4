//! What every store must do, with its timers, its held replies and its history.

mod commit;
mod harness;
mod held;
mod history;
mod race;
mod start;
mod timers;

pub use commit::*;
pub use harness::Harness;
pub use held::*;
pub use history::*;
pub use race::*;
pub use start::*;
pub use timers::*;

/// One test for each scenario of the suites [`store`](crate::suite::store) and [`outbox`](crate::suite::outbox), for
/// a [`Harness`](crate::suite::store::Harness).
#[macro_export]
macro_rules! store_suite {
    ($harness:ty) => {
        $crate::outbox_suite!($crate::suite::outbox::OfStore<$harness>);
        $crate::__scenarios!(
            store,
            $harness,
            [
                a_saga_is_loaded_as_it_was_stored
                several_transitions_are_stored_at_once
                a_batch_stored_twice_is_stored_once
                five_hundred_sagas_are_stored_at_once
                bad_data_is_refused_alone
                a_lost_race_writes_nothing
                a_lost_race_harms_no_other_of_its_batch
                of_many_that_move_a_saga_one_wins
                batches_that_cross_do_not_hinder_each_other
                one_key_starts_one_saga
                one_key_twice_in_a_batch_starts_one_saga
                of_many_that_start_one_key_one_wins
                a_start_needs_its_definition_registered
                a_definition_does_not_change_under_its_sagas
                a_timer_is_due_when_its_time_has_come
                a_step_has_one_timer
                an_upgraded_saga_takes_its_timers_with_it
                an_upgrade_to_what_is_not_registered_is_refused
                a_timer_is_left_to_who_took_it
                a_timer_that_nobody_took_is_put_off_once
                timers_of_unknown_definitions_are_left_alone
                workers_share_the_timers_that_are_due
                held_replies_stay_until_they_are_dropped
                held_replies_are_read_by_those_who_know_their_definition
                lists_are_newest_first_and_paged
                lists_show_what_was_asked_for
                lists_show_sagas_by_their_age
                a_saga_is_shown_with_its_journal
                a_saga_shows_its_children
                health_leaves_out_who_waits_for_its_parent
                health_counts_what_is_there
                the_workload_is_counted
            ]
        );
    };
}
