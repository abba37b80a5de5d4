//! How a scenario is run, and how it says that it was not.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

/// A scenario does not apply, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped(Cow<'static, str>);

impl Skipped {
    /// A scenario is skipped because of `why`.
    pub fn because(why: impl Into<Cow<'static, str>>) -> Self {
        Skipped(why.into())
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Skips a scenario unless `holds`.
///
/// # Errors
///
/// [`Skipped`] because of `why`.
pub fn require(holds: bool, why: &'static str) -> Result<(), Skipped> {
    if holds { Ok(()) } else { Err(Skipped::because(why)) }
}

/// The address of a server that tests need, from the environment variable `variable`.
///
/// Without it the test says loudly that it was skipped.
///
/// # Panics
///
/// If the variable is not set and `SAGA_REQUIRE_SERVERS` is `1`, as it is where nothing may be skipped.
pub fn server(variable: &str) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let address = set(variable);
    if address.is_none() {
        let required = set("SAGA_REQUIRE_SERVERS").as_deref() == Some("1");
        assert!(!required, "set {variable}: SAGA_REQUIRE_SERVERS says that no test may be skipped");
        loudly(&format!("skipped: set {variable}"));
    }
    address
}

/// Runs one scenario on a runtime of its own. `None` says that the harness has no server, and has said so.
///
/// # Panics
///
/// If the scenario does, or if it has not ended after five minutes.
pub fn run(name: &str, scenario: impl Future<Output = Option<Result<(), Skipped>>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let ended = runtime.block_on(async { tokio::time::timeout(SCENARIO_LIMIT, scenario).await });
    runtime.shutdown_background();
    match ended {
        Ok(Some(Err(skipped))) => loudly(&format!("skipped: {name}: {skipped}")),
        Ok(Some(Ok(())) | None) => {}
        Err(_) => panic!("{name} hangs: it has not ended after {SCENARIO_LIMIT:?}"),
    }
}

/// Says something past the capture of a test's output, which would hide it from whoever must know.
fn loudly(what: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Several times what the longest scenario takes on a slow machine.
const SCENARIO_LIMIT: Duration = Duration::from_secs(300);
