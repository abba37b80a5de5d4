//! Conformance suites: one for each port, and every adapter passes the one of its port.
//!
//! An adapter implements the suite's `Harness` and names it in the suite's macro, which expands to one test for each
//! scenario. A scenario panics and says at which step; where the adapter or the harness cannot do what a scenario is
//! about, it says loudly that it was skipped, and why.
//!
//! - [`transport`], with [`transport_suite!`](crate::transport_suite)

mod dice;
mod run;
pub mod transport;

pub use dice::Dice;
pub use run::{Skipped, require, run, server};

/// One test for each scenario of a suite. What the suites' own macros stand on.
#[doc(hidden)]
#[macro_export]
macro_rules! __scenarios {
    ($suite:ident, $harness:ty, [$($scenario:ident)*]) => {
        $(
            #[test]
            fn $scenario() {
                $crate::suite::run(stringify!($scenario), async {
                    let harness = <$harness as $crate::suite::$suite::Harness>::start().await?;
                    Some($crate::suite::$suite::$scenario(&harness).await)
                });
            }
        )*
    };
}
