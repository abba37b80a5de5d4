//! The database's time, without asking the database for every command.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Timestamp;
use crate::port::{Fence, StoreError};

/// Reads the database's clock now and then, and adds what has passed since. Good enough for dates whose margin is
/// days, and used for nothing else.
#[derive(Default)]
pub(super) struct DatabaseClock(Mutex<Option<(Timestamp, Instant)>>);

impl DatabaseClock {
    pub(super) async fn now(&self, fence: &impl Fence) -> Result<Timestamp, StoreError> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, at)) = known
            && at.elapsed() < READ_AGAIN
        {
            return Ok(read.plus(at.elapsed()));
        }
        let (read, at) = (fence.now().await?, Instant::now());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((read, at));
        Ok(read)
    }
}

/// Two clocks drift apart by milliseconds in this time.
const READ_AGAIN: Duration = Duration::from_secs(60);
