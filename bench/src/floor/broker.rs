//! What the two loops ask of a broker.

use anyhow::Result;

use super::Job;
use super::message::{Incoming, Outgoing};

/// Which of the two processes is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Orchestrator,
    Participants,
}

impl Side {
    /// The queue that this side reads.
    pub(super) fn reads(self, job: &Job) -> &str {
        match self {
            Side::Orchestrator => &job.replies,
            Side::Participants => &job.commands,
        }
    }

    /// The queue that this side writes.
    pub(super) fn writes(self, job: &Job) -> &str {
        match self {
            Side::Orchestrator => &job.commands,
            Side::Participants => &job.replies,
        }
    }
}

/// A broker: two durable queues, a reader and some publishers for each side.
pub(super) trait Broker {
    type Inbox: Inbox;
    type Publisher: Publisher;

    async fn create_queues(job: &Job) -> Result<()>;
    async fn delete_queues(broker: &str, queues: &[String]) -> Result<()>;
    /// Connects one side. Each publisher has one batch under way at a time.
    async fn connect(job: &Job, side: Side) -> Result<(Self::Inbox, Vec<Self::Publisher>)>;
}

/// The messages that arrive at one side.
pub(super) trait Inbox {
    /// Waits for a message, and takes with it what else has arrived, up to `limit`. Cancel safe.
    async fn receive<M: Incoming>(&mut self, limit: usize) -> Result<Vec<M>>;

    /// Acknowledges all that was received.
    async fn settle(&mut self) -> Result<()>;
}

/// Publishes batches.
pub(super) trait Publisher: Send + 'static {
    /// Publishes all, and returns when the broker has confirmed that each is stored.
    fn publish(&mut self, batch: &[Outgoing]) -> impl Future<Output = Result<()>> + Send;
}
