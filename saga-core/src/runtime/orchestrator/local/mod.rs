//! Local steps: work in the orchestrator's own database, in the transaction that stores the saga's transition.
//!
//! What a saga awaits is read off the saga itself, which is the fence here: effect and transition are one commit, so a
//! step that is awaited was not done, and one that is not awaited needs no work. Whoever commits a transition says
//! which saga it was; if that is lost, or the process dies, the step's timer has the saga moved, and so looked at, again.

mod handling;
mod task;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use metrics::counter;
use tokio::sync::{Mutex, mpsc};
use tracing::{error, warn};

use handling::Became;
pub(super) use handling::{Handling, LocalSteps};
use task::Task;
pub(super) use task::{is_local, missing};

use super::arrival::{Arrival, EventArrival, Source};
use super::fold::{self, Folding};
use super::mover::Mover;
use crate::definition::Plan;
use crate::id::SagaId;
use crate::machine::{Event, Instance};
use crate::message::{Answer, Fault};
use crate::policy::Backoff;
use crate::port::{Commit, CommitError, Stored};
use crate::runtime::crew::Crew;
use crate::runtime::lifecycle::{Stopping, Tasks};

/// Where sagas go that may await local work. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct LocalWork(Option<mpsc::Sender<SagaId>>);

impl LocalWork {
    /// Starts the workers. So many sagas may share a transaction, and what has no place in it goes to `inbox`.
    pub(super) fn start(
        steps: Arc<dyn LocalSteps>,
        steps_per_transaction: usize,
        mover: Mover,
        inbox: mpsc::WeakSender<Arrival>,
        tasks: &mut Tasks,
    ) -> Self {
        let (sender, sagas) = mpsc::channel(WAITING_MAX);
        let (crew, again, stopping) = (Arc::default(), sender.downgrade(), tasks.stopping());
        let worker = Worker { steps, steps_per_transaction, crew, mover, inbox, again, stopping };
        let sagas = Arc::new(Mutex::new(sagas));
        for _ in 0..WORKERS {
            tasks.spawn(worker.clone().run(sagas.clone()));
        }
        LocalWork(Some(sender))
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

/// Does what sagas await of their own orchestrator. Each clone works on its own.
#[derive(Clone)]
struct Worker {
    steps: Arc<dyn LocalSteps>,
    /// How many sagas may share a transaction.
    steps_per_transaction: usize,
    crew: Arc<Crew>,
    mover: Mover,
    /// Weak, so that the batch loop ends when the orchestrator and all feeds are done.
    inbox: mpsc::WeakSender<Arrival>,
    /// Where sagas go back to that shared a transaction with one that was slow or broke it. Weak, as the inbox is.
    again: mpsc::WeakSender<SagaId>,
    stopping: Stopping,
}

/// A saga that awaits local work.
struct Awaiting<'a> {
    plan: &'a Plan,
    instance: Instance,
    /// The saga once its work is stored.
    moved: Option<Instance>,
}

/// What is left to do for a saga once it was looked at.
enum Left {
    Nothing,
    /// It awaits more.
    More(SagaId),
    /// It is to have a transaction of its own.
    Alone(SagaId),
}

impl Worker {
    /// Works until the orchestrator stops; then finishes what it has begun.
    async fn run(mut self, sagas: Arc<Mutex<mpsc::Receiver<SagaId>>>) {
        let mut batch = Vec::new();
        loop {
            let is_gathered = tokio::select! {
                biased;
                () = self.stopping.stopped() => false,
                gathered = self.crew.gather(&sagas, &mut batch, self.steps_per_transaction) => gathered,
            };
            if !is_gathered {
                return;
            }
            batch.sort_unstable();
            batch.dedup();
            let looking = AssertUnwindSafe(self.look_after(std::mem::take(&mut batch), 0)).catch_unwind();
            if looking.await.is_err() {
                error!("what was left of local steps panicked; their timers have them tried again");
            }
            self.crew.done();
        }
    }

    /// Does all local work that these sagas await. Sagas that others move at the same time are looked at again, and so
    /// are those of which nobody knows whether they were moved; if that does not help, one by one.
    async fn look_after(&mut self, mut sagas: Vec<SagaId>, mut failures: u32) {
        while !sagas.is_empty() && failures < FAILURES_MAX {
            let error = match self.look(&sagas).await {
                Ok((more, alone)) => {
                    sagas = more;
                    self.look_after_each(alone, 0).await;
                    continue;
                }
                Err(error) => error,
            };
            if sagas.len() > 1 && (is_final(&error) || failures == TOGETHER_MAX) {
                return self.look_after_each(sagas, FAILURES_MAX - ALONE_MAX).await;
            }
            match error {
                CommitError::Conflict => counter!("saga_local_conflicts_total").increment(1),
                error => warn!(%error, "failed to do a local step, trying again"),
            }
            failures += 1;
            if self.stopping.pause(self.stopping.delay(TRY_AGAIN, failures)).await {
                return;
            }
        }
    }

    async fn look_after_each(&mut self, sagas: Vec<SagaId>, failures: u32) {
        for saga in sagas {
            Box::pin(self.look_after(vec![saga], failures)).await;
        }
    }

    /// Does the first work that each of these sagas awaits, in one transaction. Returns the sagas that await more, and
    /// those that are to have one of their own.
    async fn look(&self, sagas: &[SagaId]) -> Result<(Vec<SagaId>, Vec<SagaId>), CommitError> {
        let loaded = self.mover.store.load(sagas).await?;
        let with = self.mover.folding(loaded.now);
        let awaiting = loaded.sagas.into_iter().filter_map(|stored| self.awaiting(stored));
        let (mut awaiting, tasks): (Vec<_>, Vec<_>) = awaiting.unzip();
        if tasks.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut decide = |place: usize, answer| awaiting[place].decide(&with, &tasks[place], answer);
        let became = match self.steps.run(&tasks, &mut decide).await {
            Ok(became) => became,
            // It would be refused as often as the handler is run.
            Err(CommitError::Rejected(why)) if tasks.len() == 1 => {
                let fault = Fault::permanent(format!("the store refused the saga's move: {why}"));
                vec![Became::Answered(Answer::Fault(fault))]
            }
            // The handler's own constraints refused at the commit, perhaps in passing.
            Err(error) if tasks.len() == 1 && is_final(&error) => {
                vec![Became::Answered(Answer::Fault(Fault::temporary(error)))]
            }
            Err(error) => return Err(error),
        };
        let (mut more, mut alone) = (Vec::new(), Vec::new());
        for ((saga, task), became) in awaiting.into_iter().zip(&tasks).zip(became) {
            match self.settle(saga, task, became).await {
                Left::Nothing => {}
                Left::More(saga) => more.push(saga),
                Left::Alone(saga) => alone.push(saga),
            }
        }
        Ok((more, alone))
    }

    /// A saga's first local work, if it awaits any.
    fn awaiting(&self, stored: Stored) -> Option<(Awaiting<'_>, Task)> {
        // What cannot be read is parked by whoever decides the saga's next event.
        let instance = Instance::decode(stored).ok()?;
        let plan = self.mover.registry.plan(&instance.definition)?;
        let task = Task::of(plan, &instance)?;
        Some((Awaiting { plan, instance, moved: None }, task))
    }

    /// Tells of what became of a saga's work.
    async fn settle(&self, saga: Awaiting<'_>, task: &Task, became: Became) -> Left {
        let Awaiting { plan, instance, moved } = saga;
        match (became, moved) {
            (Became::Stored, Some(moved)) => {
                counter!("saga_transitions_total").increment(1);
                self.mover.relay.wake();
                self.mover.waiting.moved(&moved);
                Task::of(plan, &moved).map_or(Left::Nothing, |_| Left::More(moved.id))
            }
            (Became::Stored, None) | (Became::Untouched, _) => self.put_back(instance.id),
            (Became::Broken, _) => Left::Alone(instance.id),
            (Became::Answered(answer), _) => {
                self.pass_on(instance.id, task.replied(answer)).await;
                Left::Nothing
            }
        }
    }

    /// Has a saga looked at by whoever is free first.
    fn put_back(&self, saga: SagaId) -> Left {
        match self.again.upgrade().map(|again| again.try_send(saga)) {
            Some(Ok(())) => Left::Nothing,
            Some(Err(_)) | None => Left::More(saga),
        }
    }

    /// Hands an answer to the batch loop. If it is lost, the step's timer has the handler run again.
    async fn pass_on(&self, saga: SagaId, event: Event) {
        if let Some(inbox) = self.inbox.upgrade() {
            let arrival = EventArrival { saga, event, source: Source::Timer };
            drop(inbox.send(Arrival::Event(arrival)).await);
        }
    }
}

impl Awaiting<'_> {
    /// The commit of an answer whose work is to stand, or the answer that there is to be without the work.
    ///
    /// If the saga's own code fails on the answer, the work must not stand: the saga parks as if it was not done, and who
    /// releases it has it done again, or goes back without an undo.
    fn decide(&mut self, with: &Folding<'_>, task: &Task, answer: Answer) -> Result<Commit, Answer> {
        match &answer {
            Answer::Done(_) | Answer::Undone => {}
            Answer::Refused(_) | Answer::Closed | Answer::Running | Answer::Fault(_) => return Err(answer),
        }
        let event = [task.replied(answer)];
        let (commit, after, _) = fold::fold(with, self.plan, self.instance.clone(), event.iter());
        let failed = |why: &str| Err(Answer::Fault(Fault::permanent(why)));
        match (commit, after.state.parked()) {
            (_, Some(why)) => failed(why),
            (None, None) => failed("the saga takes no answer to it"),
            (Some(commit), None) => {
                self.moved = Some(after);
                Ok(commit)
            }
        }
    }
}

/// Whether a transaction would be refused again.
fn is_final(error: &CommitError) -> bool {
    !matches!(error, CommitError::Conflict) && !error.is_temporary()
}

/// How many transactions run at the same time. Each needs a connection for as long as its handlers run.
const WORKERS: usize = 8;

/// Half of the subtransactions that Postgres keeps in fast memory for a transaction.
pub(super) const STEPS_MAX: usize = 32;

/// Sagas that wait to be looked at. More are found again by their timers.
const WAITING_MAX: usize = 10_000;

/// How often a saga is tried that others move at the same time, before its timer has it tried again.
const FAILURES_MAX: u32 = 20;

/// How often sagas fail together before each is tried alone.
const TOGETHER_MAX: u32 = 2;

/// How often each is tried then: not for long, for the others wait.
const ALONE_MAX: u32 = 5;

/// After a lost race almost at once; while the store is away, up to a second.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_secs(1));
