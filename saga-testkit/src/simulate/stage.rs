//! One run's processes: two orchestrators and two of each participant, each started again when it has died.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use saga_core::Saga;
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::runtime::{Orchestrator, Retention};

use super::Simulation;
use super::clock::JumpingClock;
use super::fault::Fault;
use super::faulty::Faulty;
use super::local::Desk;
use super::participants::{Running, STOP_GRACE, Site};
use super::process::Process;
use super::registered::Registered;
use super::world::World;

pub(super) type Ports = Faulty<MemoryStore>;

/// Everything of one run.
pub(super) struct Stage<S> {
    pub(super) world: Arc<World>,
    pub(super) registered: Registered,
    pub(super) store: MemoryStore,
    pub(super) clock: Arc<JumpingClock>,
    pub(super) broker: MemoryTransport,
    pub(super) sites: Vec<Arc<dyn Site>>,
    pub(super) local: Option<Box<dyn Desk<S>>>,
    pub(super) orchestrators: Vec<Arc<Post<Orchestrator<Ports>>>>,
    /// Processes of participants.
    pub(super) workers: Vec<Arc<Post<Box<dyn Running>>>>,
}

/// A place at which one process runs at a time.
pub(super) struct Post<R>(Mutex<Option<(Arc<Process>, Arc<R>)>>);

impl<R> Post<R> {
    fn empty() -> Arc<Self> {
        Arc::new(Post(Mutex::new(None)))
    }

    /// The process that runs here, if one does.
    pub(super) fn running(&self) -> Option<(Arc<Process>, Arc<R>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does something to the process that runs here, if one does.
    pub(super) fn hit(&self, what: impl FnOnce(&Arc<Process>)) {
        if let Some((process, _)) = self.running() {
            what(&process);
        }
    }

    fn set(&self, running: Option<(Arc<Process>, Arc<R>)>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), running);
        drop(before);
    }
}

impl<S: Saga> Stage<S> {
    pub(super) fn set_up(world: &Arc<World>, simulation: &Simulation<S>) -> Arc<Self> {
        let clock = clock(world);
        let sites =
            simulation.participants.iter().map(|participant| participant.clone().build(self::clock(world)));
        let sites: Vec<_> = sites.collect();
        let stage = Arc::new(Stage {
            world: world.clone(),
            registered: simulation.registered.clone(),
            local: simulation.local.clone().map(|local| local.build(world)),
            store: MemoryStore::new(clock.clone()),
            clock,
            broker: MemoryTransport::default(),
            orchestrators: (0..INSTANCES).map(|_| Post::empty()).collect(),
            workers: (0..INSTANCES * sites.len()).map(|_| Post::empty()).collect(),
            sites,
        });
        for number in 0..INSTANCES {
            tokio::spawn(stage.clone().keep_orchestrator(number));
        }
        for number in 0..stage.workers.len() {
            tokio::spawn(stage.clone().keep_worker(number));
        }
        stage
    }

    async fn keep_orchestrator(self: Arc<Self>, number: usize) {
        let (name, post) = (format!("orchestrator {number}"), &self.orchestrators[number]);
        loop {
            let process = Process::start(&name, &self.world);
            let starting = process.unless_it_dies(self.start_orchestrator(&process)).await;
            if let Some(orchestrator) = starting.flatten() {
                let orchestrator = Arc::new(orchestrator);
                post.set(Some((process.clone(), orchestrator.clone())));
                let stopping = async || orchestrator.stop(STOP_GRACE).await;
                self.run(&process, stopping).await;
                post.set(None);
            }
            self.before_the_next_life().await;
        }
    }

    async fn start_orchestrator(&self, process: &Arc<Process>) -> Option<Orchestrator<Ports>> {
        let store = Arc::new(Faulty::new(self.store.clone(), process));
        let transport = Arc::new(Faulty::new(self.broker.connect(), process));
        let is_newest = self.world.is_calm() || self.world.roll(2) == 0;
        let builder = Orchestrator::builder(store, transport, REPLIES);
        let builder = self.registered.tell(builder, is_newest);
        let builder = match &self.local {
            Some(local) => local.tell(builder, process),
            None => builder,
        };
        let builder = builder.retention(Retention::after(RETIRED_AFTER)).ids(process.clone());
        let started = builder.start().await.ok();
        // One that was starting when it became calm is an older build that nobody has replaced.
        started.filter(|_| is_newest || !self.world.is_calm())
    }

    async fn keep_worker(self: Arc<Self>, number: usize) {
        let site = &self.sites[number / INSTANCES];
        let (name, post) = (format!("{} {}", site.name(), number % INSTANCES), &self.workers[number]);
        loop {
            let process = Process::start(&name, &self.world);
            let starting = process.unless_it_dies(site.start(&process, self.broker.connect())).await;
            if let Some(worker) = starting.flatten() {
                let worker = Arc::new(worker);
                post.set(Some((process.clone(), worker.clone())));
                let stopping = async || worker.stop().await;
                self.run(&process, stopping).await;
                post.set(None);
            }
            self.before_the_next_life().await;
        }
    }

    /// Waits until a process has died. Some are stopped in good order instead.
    async fn run(&self, process: &Arc<Process>, stop: impl AsyncFnOnce()) {
        let life = self.world.millis(200..3_000);
        let is_stopped = self.world.strikes(Fault::Crash) || self.world.roll(8) == 0;
        let stopping = async {
            tokio::time::sleep(life).await;
            match is_stopped && !self.world.is_calm() {
                true => {
                    process.note(format_args!("is stopped"));
                    stop().await;
                }
                false => std::future::pending().await,
            }
        };
        process.unless_it_dies(stopping).await;
    }

    /// An orchestrator, if it runs.
    pub(super) fn some_orchestrator(&self) -> Option<(Arc<Process>, Arc<Orchestrator<Ports>>)> {
        self.orchestrators[self.world.roll(self.orchestrators.len())].running()
    }

    async fn before_the_next_life(&self) {
        tokio::time::sleep(self.world.millis(10..700)).await;
    }

    /// Ends all faults: whoever stands still goes on, and the newest build is everywhere.
    pub(super) fn calm_down(&self) {
        self.world.calm_down();
        for post in &self.orchestrators {
            post.hit(|process| process.go_on());
            if self.registered.has_upgrade() {
                post.hit(|process| process.die());
            }
        }
        for post in &self.workers {
            post.hit(|process| process.go_on());
        }
    }

    /// Lets all clocks jump past every horizon, as if nothing had run for weeks.
    pub(super) fn weeks_pass(&self) {
        self.world.note(format_args!("weeks pass"));
        for clock in self.sites.iter().map(|site| site.clock()).chain([&*self.clock]) {
            clock.jump(WEEKS.as_micros() as i64);
        }
    }

    /// Replaces every process of a participant, as for handlers that are better. Only a new process forgets which
    /// commands took the ones before it down.
    pub(super) fn replace_workers(&self) {
        self.world.note(format_args!("the participants are replaced"));
        for post in &self.workers {
            post.hit(|process| process.die());
        }
    }
}

fn clock(world: &Arc<World>) -> Arc<JumpingClock> {
    let ahead = match world.strikes(Fault::Clock) {
        true => world.millis(0..7_200_000),
        false => Duration::ZERO,
    };
    Arc::new(JumpingClock::ahead_by(ahead))
}

/// Longer than a fence row outlives the notice of its saga's end.
const WEEKS: Duration = Duration::from_secs(15 * 24 * 3600);

/// Of each kind of process: enough for two to meet.
const INSTANCES: usize = 2;

/// How long after its end a saga is retired: soon, so that it happens while others are under way.
const RETIRED_AFTER: Duration = Duration::from_secs(1);

/// Where the replies go.
pub(super) const REPLIES: &str = "simulated.replies";
