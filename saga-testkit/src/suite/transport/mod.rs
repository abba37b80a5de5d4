//! What every transport must do.
//!
//! # Example: the suite over a broker behind a proxy
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use saga_core::port::Transport;
//! use saga_testkit::{TcpProxy, suite};
//! # use saga_core::memory::MemoryTransport as MyTransport;
//!
//! struct MyBroker(TcpProxy);
//!
//! #[async_trait]
//! impl suite::transport::Harness for MyBroker {
//!     async fn start() -> Option<Self> {
//!         let address = suite::server("MY_BROKER_ADDRESS")?;
//!         Some(MyBroker(TcpProxy::to(address).await.unwrap()))
//!     }
//!
//!     async fn connect(&self) -> Arc<dyn Transport> {
//!         let address = self.0.address();
//! #       let transport = MyTransport::default();
//! #       /*
//!         let transport = MyTransport::connect(address).await.unwrap();
//! #       */
//! #       let _ = address;
//!         Arc::new(transport)
//!     }
//!
//!     fn proxy(&self) -> Option<&TcpProxy> {
//!         Some(&self.0)
//!     }
//! }
//!
//! saga_testkit::transport_suite!(MyBroker);
//! # fn main() {}
//! ```

mod faults;
mod harness;
mod publish;
mod receive;
mod settle;
mod share;
mod tools;
mod topics;

pub use faults::*;
pub use harness::Harness;
pub use publish::*;
pub use receive::*;
pub use settle::*;
pub use share::*;
pub use topics::*;

/// One test for each scenario of the suite [`transport`](crate::suite::transport), for a
/// [`Harness`](crate::suite::transport::Harness).
#[macro_export]
macro_rules! transport_suite {
    ($harness:ty) => {
        $crate::__scenarios!(
            transport,
            $harness,
            [
                a_confirmed_message_outlives_its_publisher
                a_message_arrives_byte_for_byte
                bodies_up_to_the_limit_arrive_and_larger_ones_never_do
                each_message_of_a_batch_has_its_own_result
                two_messages_of_one_batch_may_share_their_id
                declaring_again_changes_nothing
                what_was_not_settled_comes_again
                receiving_can_be_cancelled
                no_more_than_the_limit_is_out
                messages_of_one_key_keep_their_order
                closing_ends_reads_and_gives_back_what_is_out
                a_released_message_comes_again
                a_dead_letter_keeps_its_message_and_has_its_reason
                ten_thousand_messages_are_settled_in_any_order
                readers_of_one_group_share_the_messages
                readers_of_one_group_share_a_topic
                each_group_gets_every_message
                a_group_keeps_what_comes_while_nobody_reads
                a_topic_without_readers_takes_messages
                a_topic_that_nobody_declared_harms_no_other_message
                many_clients_start_at_once
                a_message_whose_connection_was_cut_comes_again
                nothing_is_lost_while_a_readers_connection_is_cut
                publishing_while_the_broker_is_away_ends_and_recovers
                publishing_into_silence_ends_and_recovers
                nothing_confirmed_is_lost_while_connections_are_cut
                a_restart_keeps_confirmed_messages
            ]
        );
    };
}
