//! The supervisor: one connection, watched, dropped at any error and made anew, for ever.
//!
//! The client library's own recovery is not used: under load it can wait for ever on a socket that is gone. Here a
//! connection that went wrong in any way is cut at its socket, which fails whatever still waits on it.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_compat::Compat;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event};
use saga_core::port::TransportError;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};

use super::error::transport_error;
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
    pub(super) async fn close(&self, patience: Duration) {
        self.supervisor.abort();
        if let State::Up(line) = self.state.send_replace(State::Closed) {
            line.close(patience).await;
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
        let why = match Line::dial(&config, role).await {
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

/// One connection, from its handshake to its end.
pub(super) struct Line {
    connection: Connection,
    cord: Cord,
    doomed: watch::Sender<bool>,
    blocked: watch::Sender<bool>,
}

impl Line {
    async fn dial(
        config: &RabbitMqConfig,
        role: &str,
    ) -> lapin::Result<(Arc<Line>, BoxStream<'static, Event>)> {
        let cord = Cord::default();
        let socket = cord.0.clone();
        let connect = async move |uri: AMQPUri, _| {
            let stream = TcpStream::connect((uri.authority.host, uri.authority.port)).await?;
            stream.set_nodelay(true)?;
            Cord::tie(&socket, &stream)?;
            Ok(AsyncTcpStream::Plain(Compat::new(stream)))
        };
        let name = format!("{} {role}", config.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime()?;
        let dialling = Connection::connector(config.uri.clone(), runtime, connect, properties);
        let connection =
            timeout(config.deadline, dialling).await.unwrap_or_else(|_| Err(late("the handshake")))?;
        let events = connection.events_listener().boxed();
        let (doomed, blocked) = (watch::Sender::new(false), watch::Sender::new(false));
        Ok((Arc::new(Line { connection, cord, doomed, blocked }), events))
    }

    /// Waits for the connection's end, and keeps track of whether the broker takes messages.
    ///
    /// Events are hints, the state is the truth, and it is looked at again every second.
    async fn watch(&self, mut events: BoxStream<'static, Event>) -> TransportError {
        let mut why = "the connection ended".to_owned();
        let mut doomed = self.doomed.subscribe();
        let mut look = interval(LOOK_EVERY);
        while self.connection.status().connected() {
            tokio::select! {
                Some(event) = events.next() => match event {
                    Event::Error(error) => why = error.to_string(),
                    Event::ConnectionBlocked(reason) => self.block(Some(&reason)),
                    Event::ConnectionUnblocked => self.block(None),
                    _ => {}
                },
                _ = doomed.wait_for(|doomed| *doomed) => {
                    why = "it did not answer in time".to_owned();
                    break;
                }
                _ = look.tick() => {}
            }
        }
        if *self.blocked.borrow() {
            self.block(None);
        }
        TransportError::Temporary(why)
    }

    fn block(&self, reason: Option<&str>) {
        match reason {
            Some(reason) => tracing::warn!(reason, "RabbitMQ takes no messages, publishing pauses"),
            None => tracing::info!("publishing goes on"),
        }
        metric::blocked(reason.is_some());
        self.blocked.send_replace(reason.is_some());
    }

    /// Whether the broker takes no messages, for want of memory or disk.
    pub(super) fn is_blocked(&self) -> bool {
        *self.blocked.borrow()
    }

    /// Waits until the broker says that it takes no messages.
    pub(super) async fn until_blocked(&self) {
        let _ = self.blocked.subscribe().wait_for(|blocked| *blocked).await;
    }

    /// Opens a channel.
    pub(super) async fn channel(&self, until: Instant) -> lapin::Result<Channel> {
        self.ask(until, "channel.open", self.connection.create_channel()).await
    }

    /// Waits for one answer of the broker. If it does not come in time, nobody knows what this connection is
    /// still good for, so it is dropped.
    pub(super) async fn ask<T>(
        &self,
        until: Instant,
        what: &'static str,
        asking: impl Future<Output = lapin::Result<T>>,
    ) -> lapin::Result<T> {
        timeout_at(until, asking).await.unwrap_or_else(|_| {
            tracing::warn!(what, "RabbitMQ did not answer in time, dropping the connection");
            self.doom();
            Err(late(what))
        })
    }

    async fn close(&self, patience: Duration) {
        let goodbye = self.connection.close(GOODBYE, "closed".into());
        let _ = timeout(patience, goodbye).await;
        self.doom();
    }

    fn is_alive(&self) -> bool {
        !*self.doomed.borrow() && self.connection.status().connected()
    }

    /// Ends the connection at once, and whatever waits on it.
    fn doom(&self) {
        self.doomed.send_replace(true);
        self.cord.cut();
    }
}

fn late(what: &str) -> lapin::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer to {what} in time")).into()
}

/// A second handle on the socket, so that a connection can be ended whatever state its client is in.
///
/// Without it a peer that accepts bytes and never answers would keep a thread and a socket of the client library
/// for good, one pair for each attempt.
#[derive(Default)]
struct Cord(Arc<OnceLock<Option<net::TcpStream>>>);

impl Cord {
    fn tie(socket: &OnceLock<Option<net::TcpStream>>, stream: &TcpStream) -> io::Result<()> {
        #[cfg(unix)]
        let handle = std::os::fd::AsFd::as_fd(stream).try_clone_to_owned()?;
        #[cfg(windows)]
        let handle = std::os::windows::io::AsSocket::as_socket(stream).try_clone_to_owned()?;
        let cut_before = |_| io::ErrorKind::ConnectionAborted.into();
        socket.set(Some(handle.into())).map_err(cut_before)
    }

    /// Ends the connection, or keeps one that is still being made from coming up.
    fn cut(&self) {
        if let Some(socket) = self.0.get_or_init(|| None) {
            let _ = socket.shutdown(net::Shutdown::Both);
        }
    }
}

impl Drop for Cord {
    fn drop(&mut self) {
        self.cut();
    }
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
        tokio::time::sleep_until(next).await;
        Ok(())
    }
}

/// AMQP's code for a normal end.
const GOODBYE: u16 = 200;

/// Every end of a connection should come as an event; this finds the one that did not.
const LOOK_EVERY: Duration = Duration::from_secs(1);
