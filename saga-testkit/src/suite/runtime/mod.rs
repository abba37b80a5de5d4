//! What the runtimes must do over every transport: run sagas, and let no bad message harm another one.
//!
//! The scenarios run the real orchestrator and participants over the transport of a
//! [`transport::Harness`](crate::suite::transport::Harness), with the store and the fences in memory.

mod order;
mod scenarios;

pub use super::transport::Harness;
pub use scenarios::*;

/// One test for each scenario of the suite [`runtime`](crate::suite::runtime), for a
/// [`Harness`](crate::suite::transport::Harness) of a transport.
#[macro_export]
macro_rules! runtime_suite {
    ($harness:ty) => {
        $crate::__scenarios!(
            runtime,
            $harness,
            [
                sagas_end_as_their_participants_say
                two_orchestrators_share_the_work
                a_message_that_cannot_be_read_is_dead_lettered_with_its_reason
                a_message_of_a_newer_version_is_dead_lettered_with_its_reason
                a_reply_for_an_unknown_saga_is_dead_lettered_with_its_reason
                a_command_that_nobody_handles_parks_its_saga_alone
                a_command_that_is_too_large_parks_its_saga_alone
                each_subscriber_hears_what_sagas_tell
            ]
        );
    };
}
