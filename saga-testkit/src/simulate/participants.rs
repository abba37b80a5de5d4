//! Participants of a simulation: a service, its data, and what must be true of the data.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga_core::Participant;
use saga_core::id::ParticipantName;
use saga_core::memory::{MemoryFence, MemoryTransport, MemoryTx};
use saga_core::port::{Outbox, Watch};
use saga_core::runtime::{Participating, Service, participant};

use super::clock::JumpingClock;
use super::faulty::Faulty;
use super::fence::FaultyFence;
use super::handlers::Troubles;
use super::process::Process;

type MakeService<P, H, D> = Box<dyn Fn(&Troubles) -> Service<P, H, MemoryTx<D>> + Send + Sync>;

/// Something that must be true of a service's data, and what it is called.
pub(super) struct Check<D> {
    pub(super) name: String,
    pub(super) holds: Box<dyn Fn(&D) -> bool + Send + Sync>,
}

/// A participant as a simulation runs it: its handlers over a database in memory that holds data of type `D`.
pub struct Simulated<P, H, D> {
    data: D,
    service: MakeService<P, H, D>,
    always: Arc<Vec<Check<D>>>,
    finally: Arc<Vec<Check<D>>>,
}

impl<P: Participant, H: Send + Sync + 'static, D: Clone + Send + Sync + 'static> Simulated<P, H, D> {
    /// A participant that begins with `data`. Put the handlers `around` the troubles, so that they can go wrong.
    pub fn new(
        data: D,
        service: impl Fn(&Troubles) -> Service<P, H, MemoryTx<D>> + Send + Sync + 'static,
    ) -> Self {
        Simulated { data, service: Box::new(service), always: Arc::default(), finally: Arc::default() }
    }

    /// Something that must be true whenever a handler has committed.
    pub fn always(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&D) -> bool + Send + Sync + 'static,
    ) -> Self {
        add(&mut self.always, name, holds);
        self
    }

    /// Something that must be true once every saga has ended.
    pub fn finally(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&D) -> bool + Send + Sync + 'static,
    ) -> Self {
        add(&mut self.finally, name, holds);
        self
    }
}

pub(super) fn add<D>(
    checks: &mut Arc<Vec<Check<D>>>,
    name: impl Into<String>,
    holds: impl Fn(&D) -> bool + Send + Sync + 'static,
) {
    // Shared only once a simulation runs, and by then nothing can be added.
    if let Some(checks) = Arc::get_mut(checks) {
        checks.push(Check { name: name.into(), holds: Box::new(holds) });
    }
}

/// A participant of which each run makes a new one, with its types erased.
pub(super) trait Blueprint: Send + Sync {
    fn build(self: Arc<Self>, clock: Arc<JumpingClock>) -> Arc<dyn Site>;
}

/// A participant's database in one run, and the processes that work on it.
#[async_trait]
pub(super) trait Site: Send + Sync {
    fn name(&self) -> &'static str;
    fn clock(&self) -> &JumpingClock;
    /// Starts a process; `None` if its database or broker was away.
    async fn start(&self, process: &Arc<Process>, transport: MemoryTransport) -> Option<Box<dyn Running>>;
    /// How many replies are not yet with the broker.
    async fn unsent(&self) -> u64;
    /// How many rows are watched, because a call may land behind them.
    async fn watched(&self) -> u64;
    /// What is not true of the data at the end.
    async fn broken(&self) -> Vec<String>;
}

/// A process that runs.
#[async_trait]
pub(super) trait Running: Send + Sync {
    async fn stop(&self);
}

struct Premises<P, H, D> {
    blueprint: Arc<Simulated<P, H, D>>,
    fence: MemoryFence<D>,
    clock: Arc<JumpingClock>,
}

impl<P, H, D> Blueprint for Simulated<P, H, D>
where
    P: Participant,
    H: Send + Sync + 'static,
    D: Clone + Send + Sync + 'static,
{
    fn build(self: Arc<Self>, clock: Arc<JumpingClock>) -> Arc<dyn Site> {
        let fence = MemoryFence::new(self.data.clone(), clock.clone());
        Arc::new(Premises { blueprint: self, fence, clock })
    }
}

#[async_trait]
impl<P, H, D> Site for Premises<P, H, D>
where
    P: Participant,
    H: Send + Sync + 'static,
    D: Clone + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn clock(&self) -> &JumpingClock {
        &self.clock
    }

    async fn start(&self, process: &Arc<Process>, transport: MemoryTransport) -> Option<Box<dyn Running>> {
        let service = (self.blueprint.service)(&Troubles(process.clone()));
        let ports = Faulty::new(self.fence.clone(), process);
        let fence = FaultyFence { ports, clock: self.clock.clone(), always: self.blueprint.always.clone() };
        let transport = Arc::new(Faulty::new(transport, process));
        let started = participant(service, Arc::new(fence), transport)
            .workers(WORKERS)
            .commands_per_transaction(1 + process.world.roll(COMMANDS_MAX))
            .handler_timeout(HANDLER_TIMEOUT)
            .runs_max(RUNS_MAX)
            .ids(process.clone())
            .start()
            .await;
        Some(Box::new(started.ok()?))
    }

    async fn unsent(&self) -> u64 {
        self.fence.backlog().await.map_or(0, |backlog| backlog.unsent)
    }

    async fn watched(&self) -> u64 {
        let name = ParticipantName::new(P::NAME).ok();
        match name {
            Some(name) => self.fence.watched(&name).await.unwrap_or_default(),
            None => 0,
        }
    }

    async fn broken(&self) -> Vec<String> {
        let data = self.fence.data().await;
        let broken = self.blueprint.finally.iter().filter(|check| !(check.holds)(&data));
        broken.map(|check| format!("S16: {}, at the end: {}", P::NAME, check.name)).collect()
    }
}

#[async_trait]
impl<D: Clone + Send + 'static> Running for Participating<FaultyFence<D>> {
    async fn stop(&self) {
        Participating::stop(self, STOP_GRACE).await;
    }
}

/// Two, so that they meet.
const WORKERS: usize = 2;

/// From one command a transaction to a few; more do not come together here.
const COMMANDS_MAX: usize = 4;

/// Short, so that a handler that hangs does not fill the run.
pub(super) const HANDLER_TIMEOUT: Duration = Duration::from_millis(300);

/// Few, so that poison is recognised within a run.
pub(super) const RUNS_MAX: u32 = 2;

/// How long a process may drain when it is stopped and not killed.
pub(super) const STOP_GRACE: Duration = Duration::from_millis(500);
