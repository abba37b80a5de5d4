//! Waiting for what must come, without sleeping longer than it takes.

use std::time::Duration;

use tokio::time::Instant;

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// If there is none after ten seconds; says `what` was waited for.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Many times what a short lease takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps the asking from spinning.
const PAUSE: Duration = Duration::from_millis(5);
