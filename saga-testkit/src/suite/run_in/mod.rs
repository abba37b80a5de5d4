//! What every store must do in whose transactions local steps work.

mod harness;
mod scenarios;

pub use harness::Harness;
pub use scenarios::*;

/// One test for each scenario of the suite [`run_in`](crate::suite::run_in), for a
/// [`Harness`](crate::suite::run_in::Harness).
#[macro_export]
macro_rules! run_in_suite {
    ($harness:ty) => {
        $crate::__scenarios!(
            run_in,
            $harness,
            [
                a_local_step_commits_with_its_sagas_move
                a_local_step_is_gone_if_its_saga_was_moved_meanwhile
                a_local_step_that_is_dropped_leaves_nothing
                a_local_step_whose_move_is_refused_leaves_nothing
                local_steps_of_several_sagas_share_a_commit
                local_steps_that_share_a_commit_fall_together
            ]
        );
    };
}
