//! What every store must do that can start a saga in a transaction of its caller's.

mod harness;
mod scenarios;

pub use harness::Harness;
pub use scenarios::*;

/// One test for each scenario of the suite [`start_in`](crate::suite::start_in), for a
/// [`Harness`](crate::suite::start_in::Harness).
#[macro_export]
macro_rules! start_in_suite {
    ($harness:ty) => {
        $crate::__scenarios!(
            start_in,
            $harness,
            [
                a_start_commits_with_its_callers_transaction
                a_start_is_gone_with_its_callers_transaction
                a_transaction_outlives_a_key_that_is_taken
            ]
        );
    };
}
