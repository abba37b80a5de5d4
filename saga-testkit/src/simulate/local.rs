//! The orchestrators' own database: what local steps write commits with the transition of their saga.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use saga_core::Local;
use saga_core::memory::{MemoryStore, MemoryWorkTx};
use saga_core::port::{Commit, CommitError, Committed, RunIn, StoreError};
use saga_core::runtime::{OrchestratorBuilder, Service};

use super::counters::Seen;
use super::fault::Fault;
use super::faulty::Faulty;
use super::handlers::Troubles;
use super::participants::Check;
use super::process::Process;
use super::stage::Ports;
use super::world::World;

type MakeService<H, D> =
    Box<dyn Fn(&Troubles, &LocalData<D>) -> Service<Local, H, MemoryWorkTx> + Send + Sync>;
type AtTheEnd<S, D> = Box<dyn Fn(&D, &[S]) -> bool + Send + Sync>;

/// Local steps as a simulation runs them: their handlers, and the data of type `D` that they change.
pub struct SimulatedLocal<S, H, D> {
    data: D,
    service: MakeService<H, D>,
    always: Arc<Vec<Check<D>>>,
    finally: Vec<(String, AtTheEnd<S, D>)>,
}

/// The data that local steps change, as their handlers have it.
pub struct LocalData<D> {
    data: Arc<Mutex<D>>,
    always: Arc<Vec<Check<D>>>,
    world: Arc<World>,
}

impl<S, H, D> SimulatedLocal<S, H, D> {
    /// Local steps over `data`. Put the handlers `around` the troubles, so that they can go wrong.
    pub fn new(
        data: D,
        service: impl Fn(&Troubles, &LocalData<D>) -> Service<Local, H, MemoryWorkTx> + Send + Sync + 'static,
    ) -> Self {
        SimulatedLocal { data, service: Box::new(service), always: Arc::default(), finally: Vec::new() }
    }

    /// Something that must be true whenever a handler's work is committed.
    pub fn always(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&D) -> bool + Send + Sync + 'static,
    ) -> Self {
        super::participants::add(&mut self.always, name, holds);
        self
    }

    /// Something that must be true of the data, and of the sagas that have completed, once every saga has ended.
    pub fn finally(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&D, &[S]) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.finally.push((name.into(), Box::new(holds)));
        self
    }
}

impl<D: Send + 'static> LocalData<D> {
    /// Has the data changed when the transaction is committed, and never if it is not.
    pub fn on_commit(&self, tx: &mut MemoryWorkTx, change: impl FnOnce(&mut D) + Send + 'static) {
        let data = self.clone();
        tx.on_commit(move || {
            change(&mut data.lock());
            let broken = data.always.iter().filter(|check| !(check.holds)(&data.lock()));
            broken.for_each(|check| data.world.violation(format!("S16: local steps: {}", check.name)));
        });
    }
}

impl<D> LocalData<D> {
    fn lock(&self) -> MutexGuard<'_, D> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D> Clone for LocalData<D> {
    fn clone(&self) -> Self {
        LocalData { data: self.data.clone(), always: self.always.clone(), world: self.world.clone() }
    }
}

/// Local steps of which each run makes new ones, with their types erased.
pub(super) trait Premises<S>: Send + Sync {
    fn build(self: Arc<Self>, world: &Arc<World>) -> Box<dyn Desk<S>>;
}

/// The local steps of one run.
pub(super) trait Desk<S>: Send + Sync {
    fn tell(&self, builder: OrchestratorBuilder<Ports>, process: &Arc<Process>)
    -> OrchestratorBuilder<Ports>;
    /// What is not true of the data at the end.
    fn broken(&self, completed: &[S]) -> Vec<String>;
}

struct Built<S, H, D> {
    local: Arc<SimulatedLocal<S, H, D>>,
    data: LocalData<D>,
}

impl<S: 'static, H: Send + Sync + 'static, D: Clone + Send + Sync + 'static> Premises<S>
    for SimulatedLocal<S, H, D>
{
    fn build(self: Arc<Self>, world: &Arc<World>) -> Box<dyn Desk<S>> {
        let data = Arc::new(Mutex::new(self.data.clone()));
        let data = LocalData { data, always: self.always.clone(), world: world.clone() };
        Box::new(Built { local: self, data })
    }
}

impl<S, H: Send + Sync + 'static, D: Clone + Send + Sync + 'static> Desk<S> for Built<S, H, D> {
    fn tell(
        &self,
        builder: OrchestratorBuilder<Ports>,
        process: &Arc<Process>,
    ) -> OrchestratorBuilder<Ports> {
        let shared = [1, SHARED_BY][process.world.roll(2)];
        let service = (self.local.service)(&Troubles(process.clone()), &self.data);
        builder.local(service).local_steps_per_transaction(shared)
    }

    fn broken(&self, completed: &[S]) -> Vec<String> {
        let data = self.data.lock();
        let broken = self.local.finally.iter().filter(|(_, holds)| !holds(&data, completed));
        broken.map(|(name, _)| format!("S4: local steps, at the end: {name}")).collect()
    }
}

#[async_trait]
impl RunIn for Faulty<MemoryStore> {
    type Tx = MemoryWorkTx;

    async fn begin_work(&self) -> Result<MemoryWorkTx, StoreError> {
        self.call("begin local work", self.inner.begin_work()).await
    }

    async fn savepoint(&self, tx: &mut MemoryWorkTx) -> Result<(), StoreError> {
        self.call("mark local work", self.inner.savepoint(tx)).await
    }

    async fn rollback(&self, tx: &mut MemoryWorkTx) -> Result<(), StoreError> {
        self.call("roll local work back", self.inner.rollback(tx)).await
    }

    async fn finish(&self, tx: MemoryWorkTx, moves: &[Commit]) -> Result<(), CommitError> {
        self.process.step().await;
        if self.strikes(Fault::Away) {
            return Err(StoreError::Unavailable("the database is away".into()).into());
        }
        let finished = self.inner.finish(tx, moves).await;
        match &finished {
            Ok(()) => {
                self.process.world.count(Seen::LocalDone);
                self.committed(moves, &moves.iter().map(|_| Ok(Committed::Stored)).collect());
            }
            Err(CommitError::Conflict) => self.process.world.count(Seen::LocalRaceLost),
            Err(error) => self.process.note(format_args!("local work is not stored: {error}")),
        }
        self.process.step().await;
        if self.strikes(Fault::AnswerLost) {
            return Err(StoreError::Ambiguous("the connection is gone".into()).into());
        }
        finished
    }
}

/// More sagas than a run has, so that their steps may all share a transaction.
const SHARED_BY: usize = 32;
