//! The supervisor: one connection, watched, dropped at any error and made anew, for ever.
//!
//! The client library's own recovery is not used: under load it can wait for ever on a socket that is gone.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use lapin::Event;
use saga_core::port::TransportError;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::error::transport_error;
use super::line::Line;
use super::{RabbitMqConfig, metric};

/// The connection of one role, whichever is the present one.
pub(super) struct Link {
    state: Arc<watch::Sender<State>>,
    supervisor: AbortHandle,
}

#[derive(Clone)]
enum State {
    Away(TransportError),
    Up(Arc<Line>),
    Closed,
}

impl State {
    /// Whether waiting would not change it. A connection that just ended is still up here until its supervisor has
    /// noticed.
    fn is_settled(&self) -> bool {
        match self {
            State::Up(line) => line.is_alive(),
            State::Away(why) => !why.is_temporary(),
            State::Closed => true,
        }
    }
}

impl Link {
    /// Starts the supervisor. It ends when the link is closed or dropped.
    pub(super) fn start(config: Arc<RabbitMqConfig>, role: &'static str) -> Arc<Self> {
        let away = State::Away(TransportError::Temporary("not connected yet".into()));
        let state = Arc::new(watch::Sender::new(away));
        let supervisor = tokio::spawn(supervise(config, role, state.clone())).abort_handle();
        Arc::new(Link { state, supervisor })
    }

    /// The present connection. Waits for one until `until`.
    ///
    /// # Errors
    ///
    /// Why there is none: at once if it cannot come right by itself, else when the time is over.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn line(&self, until: Instant) -> Result<Arc<Line>, TransportError> {
        let mut states = self.state.subscribe();
        let _ = timeout_at(until, states.wait_for(State::is_settled)).await;
        match states.borrow().clone() {
            State::Up(line) if line.is_alive() => Ok(line),
            State::Up(_) => Err(TransportError::Temporary("the connection was just lost".into())),
            State::Away(why) => Err(why),
            State::Closed => Err(TransportError::Permanent("the transport was closed".into())),
        }
    }

    /// Ends the supervisor and says goodbye to the broker, which flushes what was written.
    pub(super) async fn close(&self, within: Duration) {
        self.supervisor.abort();
        if let State::Up(line) = self.state.send_replace(State::Closed) {
            line.close(within).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

async fn supervise(config: Arc<RabbitMqConfig>, role: &'static str, state: Arc<watch::Sender<State>>) {
    // Services that lost the same broker must not come back in step.
    let seed = RandomState::new().hash_one(role);
    let mut failures = 0;
    loop {
        let within = (HANDSHAKE_FIRST * 2_u32.saturating_pow(failures)).min(config.deadline);
        let why = match Line::dial(&config, role, within).await {
            Ok((line, events)) => {
                failures = 0;
                hold(&line, events, role, &state).await
            }
            Err(error) => transport_error(&error),
        };
        failures += 1;
        metric::reconnected(role);
        tracing::warn!(role, failures, %why, "no connection to RabbitMQ, trying again");
        turn(&state, State::Away(why));
        sleep(config.backoff.delay(failures, seed)).await;
    }
}

/// Offers a fresh connection to all who wait for one, until it ends.
async fn hold(
    line: &Arc<Line>,
    events: BoxStream<'static, Event>,
    role: &'static str,
    state: &watch::Sender<State>,
) -> TransportError {
    tracing::info!(role, "connected to RabbitMQ");
    turn(state, State::Up(line.clone()));
    let why = line.watch(events).await;
    line.doom();
    why
}

/// Moves to `next`, except that nothing leads back from closed.
fn turn(state: &watch::Sender<State>, next: State) {
    state.send_if_modified(|state| {
        let open = !matches!(state, State::Closed);
        if open {
            *state = next;
        }
        open
    });
}

/// A pause that grows with each error that may pass, within a time that does not.
pub(super) struct Patience<'a> {
    config: &'a RabbitMqConfig,
    until: Instant,
    seed: u64,
    failures: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(config: &'a RabbitMqConfig, until: Instant) -> Self {
        let seed = RandomState::new().hash_one(());
        Patience { config, until, seed, failures: 0 }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    ///
    /// The error itself, if it will not pass or the time is over.
    pub(super) async fn after(&mut self, error: TransportError) -> Result<(), TransportError> {
        self.failures += 1;
        let next = Instant::now() + self.config.backoff.delay(self.failures, self.seed);
        if !error.is_temporary() || next >= self.until {
            return Err(error);
        }
        sleep_until(next).await;
        Ok(())
    }
}

/// A handshake takes a few round trips, and one that breaks may never end (see [`Line::ask`]). A broker that needs
/// longer gets twice the time with each attempt.
const HANDSHAKE_FIRST: Duration = Duration::from_secs(1);
