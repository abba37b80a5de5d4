//! Local steps: work in the orchestrator's own database, in the transaction that stores the saga's transition.
//!
//! What a saga awaits is read off the saga itself, which is the fence here: effect and transition are one commit, so a
//! step that is awaited was not done, and one that is not awaited needs no work. Whoever commits a transition says
//! which saga it was; if that is lost, or the process dies, the step's timer has the saga moved, and so looked at, again.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use metrics::counter;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::warn;

use super::arrival::{Arrival, EventArrival, Source};
use super::fold::{self, Folding};
use super::outcome::Waiting;
use super::registry::Registry;
use crate::definition::{At, Plan, ScriptError, StepPlan};
use crate::id::{Destination, Direction, SagaId, StepName};
use crate::machine::{Event, Instance, State, StepState, Waiting as Awaiting};
use crate::message::{Answer, Fault, Payload};
use crate::policy::Backoff;
use crate::port::{Commit, CommitError, IdSource, RunIn, Store};
use crate::runtime::lifecycle::Stopping;
use crate::runtime::participant::{Answered, Handlers};
use crate::runtime::relay::RelayHandle;

/// The code of all local steps, over whatever store.
#[async_trait]
pub(super) trait LocalSteps: Send + Sync {
    /// Whether there is a handler for a command of this type.
    fn knows(&self, command_type: &str, direction: Direction) -> bool;

    /// Runs a handler. If it did its work, `decide` makes a commit of that, which is stored with it; otherwise, and if
    /// there is nothing to commit, nothing is stored. Returns the answer that was not.
    async fn run(&self, task: &Task, decide: &mut Decide<'_>) -> Result<Option<Answer>, CommitError>;
}

/// Makes a commit of an answer.
pub(super) type Decide<'a> = dyn FnMut(&Answer) -> Option<Commit> + Send + 'a;

/// What a local step is asked to do.
pub(super) struct Task {
    pub(super) step: StepName,
    direction: Direction,
    attempt: u32,
    command_type: String,
    body: Payload,
    /// The reply of the work that is to be undone.
    did: Option<Payload>,
}

/// The handlers of a service that works in the transactions of a store.
pub(super) struct Handling<S: RunIn> {
    pub(super) store: Arc<S>,
    pub(super) handlers: Handlers<S::Tx>,
}

#[async_trait]
impl<S: RunIn> LocalSteps for Handling<S> {
    fn knows(&self, command_type: &str, direction: Direction) -> bool {
        match direction {
            Direction::Do => self.handlers.work.contains_key(command_type),
            Direction::Undo => self.handlers.undos.contains_key(command_type),
            Direction::Close => true,
        }
    }

    async fn run(&self, task: &Task, decide: &mut Decide<'_>) -> Result<Option<Answer>, CommitError> {
        let mut tx = self.store.begin_work().await?;
        let answer = self.work(task, &mut tx).await.unwrap_or_else(Answer::Fault);
        let commit = match &answer {
            Answer::Done(_) | Answer::Undone => decide(&answer),
            Answer::Refused(_) | Answer::Closed | Answer::Running | Answer::Fault(_) => None,
        };
        match commit {
            Some(commit) => self.store.finish(tx, &commit).await.map(|()| None),
            None => Ok(Some(answer)),
        }
    }
}

impl<S: RunIn> Handling<S> {
    async fn work(&self, task: &Task, tx: &mut S::Tx) -> Result<Answer, Fault> {
        let missing = || Fault::permanent(format!("there is no local handler for {}", task.command_type));
        match (task.direction, &task.did) {
            (Direction::Do, _) => {
                let work = self.handlers.work.get(task.command_type.as_str()).ok_or_else(missing)?;
                Ok(match watched(work(&task.body, tx)).await? {
                    Answered::Done(reply) => Answer::Done(reply),
                    Answered::Refused(why) => Answer::Refused(why),
                })
            }
            (Direction::Undo, Some(did)) => {
                let undo = self.handlers.undos.get(task.command_type.as_str()).ok_or_else(missing)?;
                watched(undo(&task.body, did, tx)).await.map(|()| Answer::Undone)
            }
            // It was awaited until now, so it was not done, and it never will be.
            (Direction::Undo, None) => Ok(Answer::Undone),
            (Direction::Close, _) => Ok(Answer::Closed),
        }
    }
}

/// Awaits a handler, within its time, and catches its panic.
async fn watched<T>(handler: impl Future<Output = Result<T, Fault>> + Send) -> Result<T, Fault> {
    match tokio::time::timeout(HANDLER_TIMEOUT, AssertUnwindSafe(handler).catch_unwind()).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(_)) => Err(Fault::temporary("the handler panicked")),
        Err(_) => Err(Fault::temporary(format!("the handler took longer than {HANDLER_TIMEOUT:?}"))),
    }
}

/// Where sagas go that may await local work. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct LocalWork(Option<mpsc::Sender<SagaId>>);

impl LocalWork {
    /// Work for whoever reads the other end.
    pub(super) fn channel() -> (Self, mpsc::Receiver<SagaId>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (LocalWork(Some(sender)), receiver)
    }

    /// Has a saga looked at, if it may await local work. If too many wait, its timer has it looked at later.
    pub(super) fn look_at(&self, saga: SagaId, plan: Option<&Arc<Plan>>) {
        if let (Some(sender), Some(plan)) = (&self.0, plan)
            && plan.steps().iter().any(is_local)
        {
            let _ = sender.try_send(saga);
        }
    }
}

/// Whether a step's work is done in the orchestrator's own database.
pub(super) fn is_local(step: &StepPlan) -> bool {
    step.command().is_some_and(|command| command.is_local())
}

/// Does what sagas await of their own orchestrator.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) steps: Arc<dyn LocalSteps>,
    pub(super) store: Arc<dyn Store>,
    pub(super) registry: Registry,
    pub(super) replies: Destination,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) relay: RelayHandle,
    pub(super) waiting: Waiting,
    /// Weak, so that the batch loop ends when the orchestrator and all feeds are done.
    pub(super) inbox: mpsc::WeakSender<Arrival>,
    pub(super) stopping: Stopping,
}

/// What became of one look at a saga.
enum Looked {
    /// It awaits no local work, or somebody else is to move it first.
    Nothing,
    /// A step was done, or undone.
    Moved,
    /// A step has an answer that is stored like any other.
    Answered(Event),
}

impl Worker {
    /// Works until the orchestrator stops; then finishes what it has begun.
    pub(super) async fn run(mut self, mut sagas: mpsc::Receiver<SagaId>) {
        let (mut under_way, places) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        loop {
            let saga = tokio::select! {
                biased;
                () = self.stopping.stopped() => break,
                saga = sagas.recv() => saga,
            };
            let (Some(saga), Ok(place)) = (saga, places.clone().acquire_owned().await) else { break };
            let worker = self.clone();
            under_way.spawn(async move {
                let _place = place;
                worker.look_after(saga).await;
            });
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Does all local work that a saga awaits. A saga that others move at the same time is looked at again, and so is
    /// one of which nobody knows whether it was moved.
    async fn look_after(mut self, saga: SagaId) {
        let mut failures = 0;
        while failures < FAILURES_MAX {
            match self.look(saga).await {
                Ok(Looked::Moved) => continue,
                Ok(Looked::Nothing) => return,
                Ok(Looked::Answered(event)) => return self.pass_on(saga, event).await,
                Err(CommitError::Conflict) => counter!("saga_local_conflicts_total").increment(1),
                Err(error) => warn!(%saga, %error, "failed to do a local step, trying again"),
            }
            failures += 1;
            if self.stopping.pause(self.stopping.delay(TRY_AGAIN, failures)).await {
                return;
            }
        }
    }

    async fn look(&self, saga: SagaId) -> Result<Looked, CommitError> {
        let mut loaded = self.store.load(&[saga]).await?;
        let Some(stored) = loaded.sagas.pop() else { return Ok(Looked::Nothing) };
        // What cannot be read is parked by whoever decides the saga's next event.
        let Ok(instance) = Instance::decode(stored) else { return Ok(Looked::Nothing) };
        let Some(plan) = self.registry.plan(&instance.definition) else { return Ok(Looked::Nothing) };
        let Some(task) = task(plan, &instance) else { return Ok(Looked::Nothing) };
        let with = Folding { now: loaded.now, replies: &self.replies, ids: &*self.ids };
        let mut after = None;
        let mut decide = |answer: &Answer| {
            let event = [task.replied(answer.clone())];
            let (commit, moved, _) = fold::fold(&with, plan, instance.clone(), event.iter());
            after = Some(moved);
            commit
        };
        let answer = match self.steps.run(&task, &mut decide).await {
            Ok(answer) => answer,
            Err(CommitError::Conflict) => return Err(CommitError::Conflict),
            Err(error) if error.is_temporary() => return Err(error),
            // The handler's own constraints refused at the commit, perhaps in passing.
            Err(error) => Some(Answer::Fault(Fault::temporary(error))),
        };
        if let Some(answer) = answer {
            return Ok(Looked::Answered(task.replied(answer)));
        }
        counter!("saga_transitions_total").increment(1);
        self.relay.wake();
        if let Some(after) = after {
            self.waiting.tell(&after);
        }
        Ok(Looked::Moved)
    }

    /// Hands an answer to the batch loop. If it is lost, the step's timer has the handler run again.
    async fn pass_on(&self, saga: SagaId, event: Event) {
        if let Some(inbox) = self.inbox.upgrade() {
            let arrival = EventArrival { saga, event, source: Source::Timer };
            drop(inbox.send(Arrival::Event(arrival)).await);
        }
    }
}

impl Task {
    fn replied(&self, answer: Answer) -> Event {
        let Task { step, direction, attempt, .. } = self;
        Event::Replied { step: step.clone(), direction: *direction, attempt: *attempt, answer }
    }
}

/// The first local work that a saga awaits.
fn task(plan: &Plan, instance: &Instance) -> Option<Task> {
    if matches!(instance.state, State::Parked(_)) {
        return None;
    }
    instance.state.steps().iter().find_map(|record| {
        let place = plan.position_of(&record.name)?;
        let (direction, asked) = record.state.awaited()?;
        let step = &plan.steps()[place];
        if !is_local(step) || asked.waiting != Awaiting::Answer {
            return None;
        }
        let did = match &record.state {
            StepState::Undoing { reply, .. } => reply.clone(),
            _ => None,
        };
        let command_type = command_type(step, direction)?;
        // A panic here parked the saga when the step was asked for.
        let body = body(plan, instance, At::of(place, &record.name), direction, did.as_ref()).ok()?;
        let (step, attempt) = (record.name.clone(), asked.attempt);
        Some(Task { step, direction, attempt, command_type, body, did })
    })
}

fn command_type(step: &StepPlan, direction: Direction) -> Option<String> {
    let command = step.command()?;
    let command_type = match direction {
        Direction::Do | Direction::Close => &command.command_type,
        Direction::Undo => &step.undo()?.command_type,
    };
    Some(command_type.to_string())
}

fn body(
    plan: &Plan,
    instance: &Instance,
    at: At<'_>,
    direction: Direction,
    did: Option<&Payload>,
) -> Result<Payload, ScriptError> {
    match direction {
        Direction::Do => plan.open(&instance.data)?.command(at),
        Direction::Undo => plan.open(&instance.data)?.undo(at, did),
        Direction::Close => Ok(Payload::default()),
    }
}

/// What a plan's local steps ask for and nobody does.
pub(super) fn missing(plan: &Plan, steps: Option<&Arc<dyn LocalSteps>>) -> Option<String> {
    let knows =
        |command_type: &str, direction| steps.is_some_and(|steps| steps.knows(command_type, direction));
    plan.steps().iter().filter(|step| is_local(step)).find_map(|step| {
        let asked = [Direction::Do, Direction::Undo].into_iter();
        let mut asked = asked.filter_map(|direction| Some((command_type(step, direction)?, direction)));
        asked.find(|(command_type, direction)| !knows(command_type, *direction)).map(|(name, _)| name)
    })
}

/// Each needs a connection for as long as its handler runs.
const AT_ONCE: usize = 8;

/// As for participants' handlers; longer work is a step of its own.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

/// Sagas that wait to be looked at. More are found again by their timers.
const WAITING_MAX: usize = 10_000;

/// How often a saga is tried that others move at the same time, before its timer has it tried again.
const FAILURES_MAX: u32 = 20;

/// After a lost race almost at once; while the store is away, up to a second.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_secs(1));
