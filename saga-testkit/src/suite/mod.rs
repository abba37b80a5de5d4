//! Conformance suites: one for each port, and every adapter passes the one of its port.
//!
//! An adapter implements the suite's `Harness` and names it in the suite's macro, which expands to one test for each
//! scenario. A scenario panics and says at which step; where the adapter or the harness cannot do what a scenario is
//! about, it says loudly that it was skipped, and why.
//!
//! | port | suite | macro |
//! |---|---|---|
//! | [`Transport`](saga_core::port::Transport) | [`transport`] | [`transport_suite!`](crate::transport_suite) |
//! | [`Store`](saga_core::port::Store) and [`History`](saga_core::port::History) | [`store`] | [`store_suite!`](crate::store_suite) |
//! | [`StartIn`](saga_core::port::StartIn) | [`start_in`] | [`start_in_suite!`](crate::start_in_suite) |
//! | [`RunIn`](saga_core::port::RunIn) | [`run_in`] | [`run_in_suite!`](crate::run_in_suite) |
//! | [`Fence`](saga_core::port::Fence) | [`fence`] | [`fence_suite!`](crate::fence_suite) |
//! | [`Retire`](saga_core::port::Retire) | [`retire`] | [`retire_suite!`](crate::retire_suite) |
//! | [`Forget`](saga_core::port::Forget) | [`forget`] | [`forget_suite!`](crate::forget_suite) |
//! | [`Watch`](saga_core::port::Watch) | [`watch`](mod@watch) | [`watch_suite!`](crate::watch_suite) |
//! | the runtimes over a [`Transport`](saga_core::port::Transport) | [`runtime`] | [`runtime_suite!`](crate::runtime_suite) |
//! | [`Outbox`](saga_core::port::Outbox) | [`outbox`] | a part of [`store_suite!`](crate::store_suite) and [`fence_suite!`](crate::fence_suite) |

mod dice;
mod eventually;
pub mod fence;
pub mod forget;
pub mod outbox;
pub mod retire;
mod run;
pub mod run_in;
pub mod runtime;
mod samples;
pub mod start_in;
pub mod store;
pub mod transport;
pub mod watch;

pub use dice::Dice;
pub use eventually::eventually;
pub use run::{Skipped, require, run, server};

/// One test for each scenario of a suite. What the suites' own macros stand on.
#[doc(hidden)]
#[macro_export]
macro_rules! __scenarios {
    ($suite:ident, $harness:ty, [$($scenario:ident)*]) => {
        $(
            #[test]
            fn $scenario() {
                use $crate::suite::$suite::{Harness, $scenario};
                $crate::suite::run(stringify!($scenario), async {
                    let harness = <$harness as Harness>::start().await?;
                    let ended = $scenario(&harness).await;
                    harness.finish().await;
                    Some(ended)
                });
            }
        )*
    };
}
