//! The publisher: batches on channels of their own, confirmed or returned message by message.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use saga_core::id::Destination;
use saga_core::message::Envelope;
use saga_core::port::PublishError;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::connection::Link;
use super::error::{is_out_of_reach, refuses_the_message};
use super::line::Line;
use super::{metric, properties};

/// What can be published: an envelope, or a message on its way to the dead letters.
pub(super) trait Outgoing: Sync {
    fn destination(&self) -> &Destination;
    fn properties(&self) -> BasicProperties;
    fn body(&self) -> &[u8];
}

impl Outgoing for &Envelope {
    fn destination(&self) -> &Destination {
        &self.destination
    }

    fn properties(&self) -> BasicProperties {
        properties::of_envelope(self)
    }

    fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Publishes over one connection with several channels, each of which carries one batch at a time.
///
/// One at a time, because the client library hands a returned message to whichever confirm comes next: only with
/// all confirms of a channel at hand is it certain which messages came back.
pub(super) struct Publisher {
    link: Arc<Link>,
    turns: Semaphore,
    idle: Mutex<Vec<Outlet>>,
}

/// A channel in confirm mode on which nothing is under way.
struct Outlet {
    line: Arc<Line>,
    channel: Channel,
}

/// Why a batch has no confirms.
enum Failure {
    /// It was not sent.
    Unsent(String),
    /// It was not sent, because the broker is out of reach, or takes nothing from anybody.
    Unreachable(String),
    /// It was sent, wholly or in part, and something went wrong before the last confirm.
    Unknown(String),
    /// The broker closed the channel over one of its messages.
    Refused(String),
    /// The broker closed the channel over one of its messages, whose topic nobody has declared or we may not write.
    Unroutable(String),
}

impl Publisher {
    pub(super) fn new(link: Arc<Link>, channels: usize) -> Self {
        let turns = Semaphore::new(channels);
        Publisher { link, turns, idle: Mutex::default() }
    }

    /// Publishes a batch, in parts of bounded size one after the other. One result per message.
    pub(super) async fn publish<M: Outgoing>(
        &self,
        batch: &[M],
        until: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let mut results = Vec::with_capacity(batch.len());
        while results.len() < batch.len() {
            let rest = &batch[results.len()..];
            results.extend(self.part(&rest[..part_length(rest)], until).await);
        }
        results
    }

    async fn part<M: Outgoing>(&self, part: &[M], until: Instant) -> Vec<Result<(), PublishError>> {
        match self.attempt(part, until).await {
            Err(Failure::Refused(_) | Failure::Unroutable(_)) if part.len() > 1 => {
                self.one_by_one(part, until).await
            }
            outcome => verdicts(part, outcome),
        }
    }

    /// Finds the message that closed the channel, so that it fails alone.
    async fn one_by_one<M: Outgoing>(&self, part: &[M], until: Instant) -> Vec<Result<(), PublishError>> {
        let mut results = Vec::with_capacity(part.len());
        for message in part.chunks(1) {
            results.extend(verdicts(message, self.attempt(message, until).await));
        }
        results
    }

    async fn attempt<M: Outgoing>(&self, part: &[M], until: Instant) -> Result<Vec<Confirmation>, Failure> {
        let unsent = |why: &dyn ToString| Failure::Unsent(why.to_string());
        let Ok(Ok(_turn)) = timeout_at(until, self.turns.acquire()).await else {
            return Err(unsent(&"all channels are busy"));
        };
        let line = self.link.line(until).await.map_err(|why| Failure::Unreachable(why.to_string()))?;
        if line.is_blocked() {
            return Err(Failure::Unreachable(
                "the broker takes no messages for want of memory or disk".into(),
            ));
        }
        let outlet = self.outlet(line, until).await.map_err(|why| unsent(&why))?;
        let confirms = outlet.send(part, until).await?;
        // Only a channel whose last confirm has come is used again. Any other, and that of a dropped future, is
        // closed here, because a late confirm or return of it would be taken for one of the next batch.
        self.lock_idle().push(outlet);
        Ok(confirms)
    }

    async fn outlet(&self, line: Arc<Line>, until: Instant) -> lapin::Result<Outlet> {
        let fits = |outlet: &Outlet| Arc::ptr_eq(&outlet.line, &line) && outlet.channel.status().connected();
        let idle = {
            let mut idle = self.lock_idle();
            idle.retain(fits);
            idle.pop()
        };
        if let Some(outlet) = idle {
            return Ok(outlet);
        }
        let channel = line.channel(until).await?;
        let select = channel.confirm_select(ConfirmSelectOptions::default());
        line.ask(until, "confirm.select", select).await?;
        Ok(Outlet { line, channel })
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Outlet>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet {
    async fn send<M: Outgoing>(&self, part: &[M], until: Instant) -> Result<Vec<Confirmation>, Failure> {
        let confirms = try_join_all(part.iter().map(|message| self.send_one(message)));
        tokio::select! {
            confirms = self.line.ask(until, "basic.publish", confirms) => confirms.map_err(|error| failure(&error)),
            () = self.line.until_blocked() => Err(Failure::Unknown("the broker stopped taking messages".into())),
        }
    }

    /// The first poll queues the frames, so a batch is written in order and in one go.
    async fn send_one<M: Outgoing>(&self, message: &M) -> lapin::Result<Confirmation> {
        let destination = message.destination();
        let (exchange, mandatory) = match destination.is_topic() {
            // Nobody need listen to a topic.
            true => (destination.as_str(), false),
            false => ("", true),
        };
        let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
        let (exchange, key) = (exchange.into(), destination.as_str().into());
        let publish =
            self.channel.basic_publish(exchange, key, options, message.body(), message.properties());
        publish.await?.await
    }
}

fn failure(error: &lapin::Error) -> Failure {
    let why = error.to_string();
    if refuses_the_message(error) {
        Failure::Refused(why)
    } else if is_out_of_reach(error) {
        Failure::Unroutable(why)
    } else {
        Failure::Unknown(why)
    }
}

fn part_length<M: Outgoing>(rest: &[M]) -> usize {
    let mut bytes = 0;
    let fitting = rest.iter().take(PART_MESSAGES_MAX).take_while(|message| {
        bytes += message.body().len();
        bytes <= PART_BYTES_MAX
    });
    fitting.count().max(1)
}

fn verdicts<M: Outgoing>(
    part: &[M],
    outcome: Result<Vec<Confirmation>, Failure>,
) -> Vec<Result<(), PublishError>> {
    let all = |error: PublishError| vec![Err(error); part.len()];
    match outcome {
        Ok(confirms) => judge(part, confirms),
        Err(Failure::Unsent(why)) => all(PublishError::Temporary(why)),
        Err(Failure::Unreachable(why)) => all(PublishError::Unreachable(why)),
        Err(Failure::Refused(why)) => all(PublishError::Permanent(why)),
        Err(Failure::Unroutable(why)) => {
            metric::unroutable(part.len());
            all(PublishError::Temporary(format!("unroutable: {why}")))
        }
        Err(Failure::Unknown(why)) => {
            metric::unknown(part.len());
            all(PublishError::Unknown(why))
        }
    }
}

/// Says of each message what became of it, once all confirms are there.
///
/// A returned message is found by its id, never by the confirm that carries it. Messages that share the id of one
/// that came back count as returned, too; they are published once more than needed.
fn judge<M: Outgoing>(part: &[M], confirms: Vec<Confirmation>) -> Vec<Result<(), PublishError>> {
    let acked: Vec<bool> = confirms.iter().map(Confirmation::is_ack).collect();
    let returned = confirms.into_iter().filter_map(Confirmation::take_message);
    let returned: HashSet<_> = returned.map(|message| message.properties.message_id().clone()).collect();
    metric::unroutable(returned.len());
    let judge_one = |(message, acked): (&M, bool)| {
        if !returned.is_empty() && returned.contains(message.properties().message_id()) {
            let queue = message.destination();
            return Err(PublishError::Temporary(format!("unroutable: nobody declared {queue}")));
        }
        if acked { Ok(()) } else { Err(PublishError::Temporary("the broker could not store it".into())) }
    };
    part.iter().zip(acked).map(judge_one).collect()
}

/// A quorum queue writes faster in bulk, but what is under way when a connection is cut has to be sent again.
const PART_MESSAGES_MAX: usize = 512;

/// All frames of a part wait in memory until the socket takes them.
const PART_BYTES_MAX: usize = 4 * 1024 * 1024;
