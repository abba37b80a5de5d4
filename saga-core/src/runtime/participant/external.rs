//! External handlers. Their calls are made between two transactions, by tasks that hold neither a transaction nor a
//! connection nor a worker.
//!
//! A command goes through the workers like any other. Where the fence says so, it leaves them after the commit, as an
//! errand; it comes back to their queue with what it has come to, and the fence decides again.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::job::Job;
use super::service::{Answered, Answering, Calling};
use super::worker::{Outcome, Worker, expired, from_record, give_back, span_of};
use crate::fence::{self, Called, ExternalVerdict, FenceState, Progress, Recorded};
use crate::id::{Direction, MessageId};
use crate::message::{CommandMessage, Fault, FaultKind};
use crate::policy::Backoff;
use crate::port::{Fence, Outbox, Watch};

/// What is to be done outside of the transactions.
pub(super) enum Errand {
    /// Make the call.
    Call,
    /// Run the undo, with this.
    Undo(Recorded),
}

/// What a command has with it that an external handler runs. When the last of these is gone, the queues close, so a
/// participant that stops waits for its calls.
pub(super) struct Outside {
    pub(super) progress: Progress,
    handler: Arc<dyn Calling>,
    out: mpsc::Sender<(Job, Errand)>,
    back: mpsc::Sender<Job>,
    _place: OwnedSemaphorePermit,
}

/// The way out, with a limit on how many commands are on it.
pub(super) struct Outward {
    out: mpsc::Sender<(Job, Errand)>,
    places: Arc<Semaphore>,
}

impl Outward {
    /// A way for at most `places` commands, and the end where their errands arrive.
    pub(super) fn channel(places: usize) -> (Self, mpsc::Receiver<(Job, Errand)>) {
        let (out, errands) = mpsc::channel(places.max(1));
        (Outward { out, places: Arc::new(Semaphore::new(places)) }, errands)
    }

    /// Gives a command a place, and `back` as its way back; a fault if all places are taken.
    pub(super) fn admit(&self, handler: Arc<dyn Calling>, back: mpsc::Sender<Job>) -> Result<Outside, Fault> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Fault::temporary("too many commands wait for external calls"))?;
        Ok(Outside { progress: Progress::Delivered, handler, out: self.out.clone(), back, _place: place })
    }
}

impl Job {
    /// Leaves the workers. The way is as wide as there are places, so nobody waits here.
    pub(super) async fn go_outside(self, errand: Errand) {
        if let Some(outside) = &self.outside {
            let out = outside.out.clone();
            // The way closes only when the participant is torn down; the command then comes again.
            drop(out.send((self, errand)).await);
        }
    }

    /// Comes back to the workers.
    async fn come_back(mut self, progress: Progress) {
        if let Some(outside) = &mut self.outside {
            outside.progress = progress;
            let back = outside.back.clone();
            drop(back.send(self).await);
        }
    }
}

impl<F: Watch + Outbox> Worker<F>
where
    F::Tx: 'static,
{
    /// What the fence says to a command of an external handler, carried out as far as a transaction goes.
    pub(super) fn admit_external(
        &self,
        command: &CommandMessage,
        progress: &Progress,
        row: Option<&FenceState>,
        tx: &F::Tx,
    ) -> Outcome {
        match fence::decide_external(row, command.direction, progress) {
            ExternalVerdict::Call(Some(FenceState::Started)) if self.is_expired(command, tx) => {
                Outcome::Fault(expired())
            }
            ExternalVerdict::Call(store) => Outcome::Outside(store, Errand::Call),
            ExternalVerdict::Undo(recorded) => {
                if command.direction == Direction::Do {
                    counter!("saga_late_undos_total").increment(1);
                }
                Outcome::Outside(None, Errand::Undo(recorded))
            }
            ExternalVerdict::Watch(state) => Outcome::Watched(state, Errand::Undo(Recorded::Unknown)),
            ExternalVerdict::Record(state, answer) => Outcome::Answer(Some(state), answer),
            ExternalVerdict::Answer(answer) => from_record(command.direction, answer),
        }
    }
}

/// Makes the calls.
pub(super) struct Caller<F: Fence> {
    worker: Worker<F>,
    at_once: Arc<Semaphore>,
    /// Suspects run one after the other, so that one that takes the process down is told from its neighbours. They
    /// do not wait for suspects that run in a transaction, nor those for them: a gateway may be slow.
    alone: Arc<Semaphore>,
}

impl<F: Watch + Outbox> Caller<F>
where
    F::Tx: 'static,
{
    pub(super) fn new(worker: Worker<F>, at_once: usize) -> Self {
        Caller { worker, at_once: Arc::new(Semaphore::new(at_once)), alone: Arc::new(Semaphore::new(1)) }
    }

    /// Runs errands until no command can bring one any more.
    pub(super) async fn run(self, mut errands: mpsc::Receiver<(Job, Errand)>) {
        let mut under_way = JoinSet::new();
        while let Some((job, errand)) = errands.recv().await {
            under_way.spawn(self.clone().carry_out(job, errand));
            while under_way.try_join_next().is_some() {}
        }
    }

    async fn carry_out(mut self, mut job: Job, errand: Errand) {
        let Some(handler) = job.outside.as_ref().map(|outside| outside.handler.clone()) else { return };
        match errand {
            Errand::Call => {
                let called = self.call(&mut job, &*handler).await;
                job.come_back(Progress::Called(called)).await;
            }
            Errand::Undo(recorded) => self.take_back(job, &*handler, recorded).await,
        }
    }

    async fn call(&self, job: &mut Job, handler: &dyn Calling) -> Called {
        let body = job.command.body.clone();
        match self.guarded(job, handler.call(&body, key(&job.command))).await {
            Ok(Answered::Done(reply)) => Called::Done(reply),
            Ok(Answered::Refused(why)) => Called::Refused(why),
            Err(fault) => Called::Failed(fault),
        }
    }

    /// Runs the undo. What an undo command could not do is asked for again by the orchestrator. A command that landed
    /// late is nobody's but ours: it is tried until it succeeds, and not acked before.
    async fn take_back(&mut self, mut job: Job, handler: &dyn Calling, recorded: Recorded) {
        let key = key(&job.command);
        for failures in 1.. {
            let undone = self.guarded(&mut job, handler.undo(key, &recorded)).await;
            let fault = match undone {
                Ok(()) => return job.come_back(Progress::Undone(recorded)).await,
                Err(fault) => fault,
            };
            if job.command.direction == Direction::Undo {
                self.worker.answer_fault(&job, fault).await;
                return job.settling.ack(job.token).await;
            }
            if fault.kind == FaultKind::Permanent {
                return stands(job, &fault).await;
            }
            warn!(saga = %job.command.saga, step = %job.command.step, %fault, "a late call could not be undone");
            let stopping = &mut self.worker.stopping;
            if stopping.pause(stopping.delay(UNDO_AGAIN, failures)).await {
                return give_back(vec![job]).await;
            }
        }
    }

    /// Awaits a handler, as one of so many; a suspect alone, and counted.
    async fn guarded<T>(&self, job: &mut Job, handler: Answering<'_, T>) -> Result<T, Fault> {
        let lane = if job.suspicion.is_some() { &self.alone } else { &self.at_once };
        // Nobody closes the lanes, so this is a place in one.
        let _place = lane.acquire().await;
        let key = job.key(&self.worker.name);
        if let Some(fault) = self.worker.count_denied(job, &key).await? {
            return Err(fault);
        }
        let answered = self.worker.bounded(span_of(&job.command), handler).await.flatten();
        self.worker.forget_runs(std::iter::once(&*job)).await;
        job.counted = false;
        answered
    }
}

impl<F: Fence> Clone for Caller<F> {
    fn clone(&self) -> Self {
        let Caller { worker, at_once, alone } = self;
        Caller { worker: worker.clone(), at_once: at_once.clone(), alone: alone.clone() }
    }
}

/// The idempotency key of a step's calls: the id of its command, for its undo as well.
fn key(command: &CommandMessage) -> MessageId {
    MessageId::command(command.saga, &command.step, Direction::Do)
}

/// The effect of a late call may stand, and only a human can take it back. Its saga may have ended long ago, so there
/// is nothing to park: the command is kept for a look.
async fn stands(job: Job, fault: &Fault) {
    let CommandMessage { saga, step, .. } = &job.command;
    error!(%saga, %step, %fault, "a late call cannot be undone, and its effect may stand");
    counter!("saga_late_undos_failed_total").increment(1);
    job.settling.dead_letter(job.token, format!("a late call cannot be undone: {fault}")).await;
}

/// From a hiccup of the gateway to its outage.
const UNDO_AGAIN: Backoff =
    Backoff::new(std::time::Duration::from_millis(100), std::time::Duration::from_secs(30));
