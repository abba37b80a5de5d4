//! How it is shown that a scenario finds a flaw.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use saga_testkit::suite::Skipped;

/// One test for each scenario that must find a flaw, with words that it says. `$harness` makes a harness of a flaw.
macro_rules! found {
    ($suite:path, $harness:path; $($flaw:ident { $($scenario:ident: $words:literal,)* })*) => {
        $(
            #[expect(non_snake_case, reason = "the test is called after the flaw")]
            mod $flaw {
                use $suite as suite;
                $(
                    #[tokio::test(start_paused = true)]
                    async fn $scenario() {
                        let harness = $harness(crate::broken::Flaw::$flaw);
                        crate::common::assert_fails(suite::$scenario(&harness), $words).await;
                    }
                )*
            }
        )*
    };
}

/// The scenario must panic, and say these `words`.
pub(crate) async fn assert_fails(scenario: impl Future<Output = Result<(), Skipped>>, words: &str) {
    let panic = AssertUnwindSafe(scenario).catch_unwind().await.expect_err("the scenario finds the flaw");
    let said = panic.downcast::<String>().map(|said| *said);
    let said = said.or_else(|panic| panic.downcast::<&str>().map(|said| said.to_string())).expect("words");
    assert!(said.contains(words), "the scenario fails at another step: {said}");
}
