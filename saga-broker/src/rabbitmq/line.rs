//! The line: one connection, from its handshake to its end.

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
use tokio::time::{Instant, interval, timeout, timeout_at};

use super::{RabbitMqConfig, metric};

/// One connection. Once anything went wrong with it, it is cut at its socket, which fails whatever still waits on it.
pub(super) struct Line {
    connection: Connection,
    cord: Cord,
    doomed: watch::Sender<bool>,
    blocked: watch::Sender<bool>,
}

impl Line {
    pub(super) async fn dial(
        config: &RabbitMqConfig,
        role: &str,
        within: Duration,
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
        let connection = timeout(within, dialling).await.unwrap_or_else(|_| Err(late("the handshake")))?;
        let events = connection.events_listener().boxed();
        let (doomed, blocked) = (watch::Sender::new(false), watch::Sender::new(false));
        Ok((Arc::new(Line { connection, cord, doomed, blocked }), events))
    }

    /// Waits for the connection's end, and keeps track of whether the broker takes messages.
    ///
    /// Events are hints, the state is the truth, and it is looked at again every second.
    pub(super) async fn watch(&self, mut events: BoxStream<'static, Event>) -> TransportError {
        let mut why = "the connection ended".to_owned();
        let mut look = interval(LOOK_EVERY);
        while self.connection.status().connected() {
            tokio::select! {
                Some(event) = events.next() => match event {
                    Event::Error(error) => why = error.to_string(),
                    Event::ConnectionBlocked(reason) => self.block(Some(&reason)),
                    Event::ConnectionUnblocked => self.block(None),
                    _ => {}
                },
                () = self.until_doomed() => {
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
    ///
    /// The wait ends with the connection, too: a question that is asked while the connection breaks may be
    /// forgotten by the client library, and never be answered.
    pub(super) async fn ask<T>(
        &self,
        until: Instant,
        what: &'static str,
        asking: impl Future<Output = lapin::Result<T>>,
    ) -> lapin::Result<T> {
        tokio::select! {
            biased;
            answer = timeout_at(until, asking) => answer.unwrap_or_else(|_| {
                tracing::warn!(what, "RabbitMQ did not answer in time, dropping the connection");
                self.doom();
                Err(late(what))
            }),
            () = self.until_doomed() => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        }
    }

    async fn until_doomed(&self) {
        let _ = self.doomed.subscribe().wait_for(|doomed| *doomed).await;
    }

    pub(super) async fn close(&self, within: Duration) {
        let goodbye = self.connection.close(GOODBYE, "closed".into());
        let _ = timeout(within, goodbye).await;
        self.doom();
    }

    pub(super) fn is_alive(&self) -> bool {
        !*self.doomed.borrow() && self.connection.status().connected()
    }

    /// Ends the connection at once, and whatever waits on it.
    pub(super) fn doom(&self) {
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

/// AMQP's code for a normal end.
const GOODBYE: u16 = 200;

/// Every end of a connection should come as an event; this finds the one that did not.
const LOOK_EVERY: Duration = Duration::from_secs(1);
