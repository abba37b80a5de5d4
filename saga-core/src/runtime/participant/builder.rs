//! Putting a participant together, starting and stopping it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::external::{Caller, Outward};
use super::forgetting::{Forgetting, Horizon};
use super::intake::Intake;
use super::service::{Handlers, Service};
use super::watching::Watching;
use super::worker::Worker;
use crate::id::{Destination, NameError, ParticipantName};
use crate::message::Participant;
use crate::port::{
    Backlog, Fence, Forget, IdSource, Outbox, RandomIds, StoreError, SubscribeOptions, Transport,
    TransportError, Watch,
};
use crate::runtime::lifecycle::Tasks;
use crate::runtime::relay::{self, Listeners};

/// Begins a participant: a service's handlers, the database of its fence, and the transport its commands come over.
pub fn participant<P: Participant, H: Send + Sync + 'static, F: Forget + Watch + Outbox>(
    service: Service<P, H, F::Tx>,
    fence: Arc<F>,
    transport: Arc<dyn Transport>,
) -> ParticipantBuilder<F>
where
    F::Tx: 'static,
{
    ParticipantBuilder {
        name: P::NAME,
        handlers: service.into_handlers(),
        fence,
        transport,
        workers: WORKERS,
        commands_per_transaction: 1,
        calls_at_once: CALLS_AT_ONCE,
        calls_land_within: CALLS_LAND_WITHIN,
        handler_timeout: HANDLER_TIMEOUT,
        runs_max: RUNS_MAX,
        horizon: Horizon::default(),
        ids: Arc::new(RandomIds),
    }
}

/// A participant that is being put together.
#[must_use = "a participant does nothing until it is started"]
pub struct ParticipantBuilder<F: Fence> {
    name: &'static str,
    handlers: Handlers<F::Tx>,
    fence: Arc<F>,
    transport: Arc<dyn Transport>,
    workers: usize,
    commands_per_transaction: usize,
    calls_at_once: usize,
    calls_land_within: Duration,
    handler_timeout: Duration,
    runs_max: u32,
    horizon: Horizon,
    ids: Arc<dyn IdSource>,
}

/// A participant could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParticipantError {
    /// The participant has a name that some broker cannot carry.
    #[error("the participant's name: {0}")]
    BadName(#[from] NameError),
    /// The database is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker refused, for example because a queue of another kind has the participant's name.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl<F: Forget + Watch + Outbox> ParticipantBuilder<F>
where
    F::Tx: 'static,
{
    /// How many transactions run at the same time, from 1 to 64; 8 unless said otherwise. Each needs a connection.
    pub fn workers(self, workers: usize) -> Self {
        ParticipantBuilder { workers: workers.clamp(1, WORKERS_MAX), ..self }
    }

    /// How many commands may share a transaction, from 1 to 256; 1 unless said otherwise.
    ///
    /// More are faster, because they share a commit. A refusal or a fault harms no other: the group then runs once more,
    /// in parts of at most 32 commands, with a savepoint for each. Handlers of one transaction run one after the other,
    /// and hold their locks until all are done.
    pub fn commands_per_transaction(self, commands: usize) -> Self {
        ParticipantBuilder { commands_per_transaction: commands.clamp(1, COMMANDS_MAX), ..self }
    }

    /// How many external handlers run at the same time, from 1 to 1024; 64 unless said otherwise.
    ///
    /// They hold no worker and no connection. Up to 16 times as many commands wait for them; beyond that a command is
    /// answered with a temporary fault, so that a slow gateway leaves room for the participant's other commands.
    pub fn calls_at_once(self, calls: usize) -> Self {
        ParticipantBuilder { calls_at_once: calls.clamp(1, CALLS_MAX), ..self }
    }

    /// How long after it was begun a call of an external handler may yet land at the other system; a day unless said
    /// otherwise. Where nobody may come back with a call, its undo is run from time to time for so long, and once more at
    /// the end.
    pub fn calls_land_within(self, within: Duration) -> Self {
        ParticipantBuilder { calls_land_within: within, ..self }
    }

    /// How long a handler may take; 10 seconds unless said otherwise. After that its work is rolled back, and it counts
    /// as a temporary fault. A call of an external handler is dropped, and nobody knows whether it lands.
    pub fn handler_timeout(self, timeout: Duration) -> Self {
        ParticipantBuilder { handler_timeout: timeout, ..self }
    }

    /// How often a command may take the whole process down before it is answered with a permanent fault, which parks
    /// its saga; 5 times unless said otherwise.
    pub fn runs_max(self, runs: u32) -> Self {
        ParticipantBuilder { runs_max: runs.max(1), ..self }
    }

    /// How long a fence row stays after the notice that its saga has ended; 14 days unless said otherwise, and never less
    /// than the 7 days that a command is valid. The time between the two is how far the databases' clocks may differ.
    pub fn horizon(self, horizon: Duration) -> Self {
        ParticipantBuilder { horizon: Horizon::of(horizon), ..self }
    }

    /// Takes ids from another source than the machine's randomness; for simulations that repeat.
    pub fn ids(self, ids: Arc<dyn IdSource>) -> Self {
        ParticipantBuilder { ids, ..self }
    }

    /// Starts the participant: declares its destination and begins to take commands.
    ///
    /// # Errors
    ///
    /// [`ParticipantError`] says what stands in the way. A database or broker that goes away later is waited for.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: starting again is harmless.
    pub async fn start(self) -> Result<Participating<F>, ParticipantError> {
        let name = ParticipantName::new(self.name)?;
        let commands = Destination::of(&name);
        self.fence.begin(&[]).await?;
        self.transport.declare(std::slice::from_ref(&commands)).await?;
        Ok(self.spawn(name, commands))
    }

    fn spawn(self, name: ParticipantName, commands: Destination) -> Participating<F> {
        let (mut tasks, mut sending) = (Tasks::new(&*self.ids), Tasks::new(&*self.ids));
        let relay =
            relay::start(self.fence.clone(), self.transport.clone(), Listeners::default(), &mut sending);
        let calls_waiting =
            if self.handlers.has_external() { self.calls_at_once * IN_FLIGHT_PER_CALL } else { 0 };
        let in_flight =
            self.workers * self.commands_per_transaction.max(IN_FLIGHT_PER_WORKER) + calls_waiting;
        let (outward, errands) = Outward::channel(calls_waiting);
        let (healthy, jobs) = mpsc::channel(in_flight);
        let (suspects, alone) = mpsc::channel(in_flight);
        let (notices, noticed) = mpsc::channel(in_flight);
        let forgetting = Forgetting {
            fence: self.fence.clone(),
            name: name.clone(),
            horizon: self.horizon,
            notices: noticed,
            stopping: tasks.stopping(),
        };
        tasks.spawn(forgetting.run());
        let worker = Worker {
            name: name.clone(),
            handlers: Arc::new(self.handlers),
            fence: self.fence.clone(),
            transport: self.transport.clone(),
            relay,
            ids: self.ids,
            commands_per_transaction: self.commands_per_transaction,
            handler_timeout: self.handler_timeout,
            runs_max: self.runs_max,
            suspects: Arc::default(),
            stopping: tasks.stopping(),
            crew: Arc::default(),
            savepoints: true,
            careful: 0,
        };
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..self.workers {
            tasks.spawn(worker.clone().run(jobs.clone()));
        }
        tasks.spawn(worker.clone().run_alone(alone));
        tasks.spawn(Caller::new(worker.clone(), self.calls_at_once).run(errands));
        let (calls_land_within, at_once) = (self.calls_land_within, self.calls_at_once);
        tasks.spawn(Watching { worker: worker.clone(), calls_land_within, at_once }.run());
        let group = name.as_str().to_owned();
        let options = SubscribeOptions { source: commands, group, in_flight_max: in_flight };
        let intake = Intake {
            worker,
            transport: self.transport,
            options,
            healthy,
            suspects,
            outward,
            notices,
            stopping: tasks.stopping(),
        };
        tasks.spawn(intake.run());
        Participating { name, fence: self.fence, intake: Mutex::new(tasks), sending: Mutex::new(sending) }
    }
}

/// A participant that runs.
///
/// Dropping it stops it at once, which is safe: what was not committed comes again. [`Participating::stop`] drains first.
pub struct Participating<F> {
    name: ParticipantName,
    fence: Arc<F>,
    intake: Mutex<Tasks>,
    sending: Mutex<Tasks>,
}

impl<F: Watch> Participating<F> {
    /// How many fence rows are watched, because a call of an external handler may land behind them.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database is away.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn watched(&self) -> Result<u64, StoreError> {
        self.fence.watched(&self.name).await
    }
}

impl<F: Outbox> Participating<F> {
    /// What waits in the participant's outbox, computed from the table.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database is away.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn health(&self) -> Result<Backlog, StoreError> {
        self.fence.backlog().await
    }

    /// Stops: takes no new commands, finishes those it has, and sends their replies; at most for `grace` each.
    ///
    /// Stopping twice is harmless. What is left when `grace` is over comes again, to this service or another.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the participant goes on draining until it is dropped itself.
    pub async fn stop(&self, grace: Duration) {
        self.intake.lock().await.stop(grace).await;
        self.sending.lock().await.stop(grace).await;
    }
}

/// Enough to keep two cores busy while transactions wait for their commit.
const WORKERS: usize = 8;

/// More connections than this slow a Postgres server down rather than speed it up.
const WORKERS_MAX: usize = 64;

/// Beyond this a commit is shared by so many that more gain nothing, and locks are held for longer.
const COMMANDS_MAX: usize = 256;

/// Far below half of RabbitMQ's consumer timeout; longer work is a wait in the saga, not in a handler.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

/// A process that dies once or twice was probably unlucky; five times with the same command is a bug in its handler.
const RUNS_MAX: u32 = 5;

/// A gateway answers in tenths of a second, so this is a few hundred calls a second.
const CALLS_AT_ONCE: usize = 64;

/// Far more than a gateway allows one client, and still few tasks.
const CALLS_MAX: usize = 1024;

/// Far more than any gateway keeps a request waiting that nobody waits for any more, and far less than fence rows are kept.
const CALLS_LAND_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Enough for a burst; each of them is a delivery that the broker has not got back.
const IN_FLIGHT_PER_CALL: usize = 16;

/// Deliveries on their way for each worker, so that it never waits for the broker between two transactions.
const IN_FLIGHT_PER_WORKER: usize = 16;
