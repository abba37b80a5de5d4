//! Runs commands: admits each through its fence row, in the handler's own transaction, and stores the reply with it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use metrics::counter;
use tokio::sync::{Mutex, mpsc};
use tracing::{Instrument, Span, info_span, warn};

use super::external::Errand;
use super::job::Job;
use super::service::{Answered, Answering, Handlers};
use super::suspects::{Suspects, Suspicion};
use super::watching::settled_after;
use crate::fence::{self, FenceKey, FenceState, Recorded, Verdict};
use crate::id::{Direction, ParticipantName};
use crate::message::{Answer, CommandMessage, Fault, FaultKind};
use crate::port::{Fence, FenceWrite, IdSource, Outbox, StoreError, Transport, Watch};
use crate::runtime::crew::Crew;
use crate::runtime::lifecycle::Stopping;
use crate::runtime::relay::{self, RelayHandle};

/// What runs commands. Each clone works on its own.
pub(super) struct Worker<F: Fence> {
    pub(super) name: ParticipantName,
    pub(super) handlers: Arc<Handlers<F::Tx>>,
    pub(super) fence: Arc<F>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) relay: RelayHandle,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) commands_per_transaction: usize,
    pub(super) handler_timeout: Duration,
    pub(super) runs_max: u32,
    pub(super) suspects: Arc<Suspects>,
    pub(super) stopping: Stopping,
    pub(super) crew: Arc<Crew>,
    /// Whether each command of the present transaction has a savepoint.
    pub(super) savepoints: bool,
    /// How many more groups have savepoints, because a command was refused not long ago.
    pub(super) careful: u32,
}

/// What a command comes to inside its transaction.
pub(super) enum Outcome {
    /// Store this, if anything, and answer.
    Answer(Option<FenceState>, Answer),
    /// Store nothing for this command and answer with the fault.
    Fault(Fault),
    /// Store this, if anything, and go on outside of the transaction.
    Outside(Option<FenceState>, Errand),
    /// Store this, have the row watched, and go on outside of the transaction.
    Watched(FenceState, Errand),
}

/// What is left to do for a command once its transaction is committed.
pub(super) enum Rest {
    Answer(Fault),
    Outside(Errand),
}

/// Why a transaction came to nothing.
enum Failure {
    /// A handler panicked or hung, so its transaction can no longer be used: whose, and with which fault.
    Handler(usize, Fault),
    /// A command of a group that went without savepoints was refused or failed; the group runs again with them.
    NoSavepoint,
    /// The database is away, or will not take the transaction.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl<F: Watch + Outbox> Worker<F>
where
    F::Tx: 'static,
{
    pub(super) fn knows(&self, command: &CommandMessage) -> bool {
        let command_type = command.command_type.as_str();
        let local = match command.direction {
            Direction::Do => self.handlers.work.contains_key(command_type),
            Direction::Undo => self.handlers.undos.contains_key(command_type),
            Direction::Close => true,
        };
        local || self.handlers.external(command).is_some()
    }

    pub(super) fn suspect(&self, job: &Job, redelivered: bool) -> Option<Suspicion> {
        self.suspects.suspect((job.key(&self.name), job.command.direction), redelivered)
    }

    /// Works until nothing more will come.
    pub(super) async fn run(mut self, jobs: Arc<Mutex<mpsc::Receiver<Job>>>) {
        let mut batch = Vec::new();
        while self.crew.clone().gather(&jobs, &mut batch, self.group_max()).await {
            for group in distinct(batch.drain(..), &self.name) {
                self.run_group(group).await;
            }
            self.crew.done();
        }
    }

    fn group_max(&self) -> usize {
        if self.careful > 0 {
            self.commands_per_transaction.min(SAVEPOINTS_MAX)
        } else {
            self.commands_per_transaction
        }
    }

    /// Runs suspects one after the other, so that one that takes the process down is told from its neighbours.
    pub(super) async fn run_alone(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            self.run_group(vec![job]).await;
        }
    }

    /// Runs commands in one transaction. If that fails, one by one; if the database is away, until it is back.
    async fn run_group(&mut self, mut jobs: Vec<Job>) {
        jobs.sort_by_key(|job| job.key(&self.name));
        for failures in 1.. {
            self.savepoints = jobs.len() == 1 || self.careful > 0;
            self.careful = self.careful.saturating_sub(1);
            match self.attempt(&mut jobs).await {
                Ok(rests) => return self.settle(jobs, rests).await,
                Err(Failure::Handler(place, fault)) => {
                    let job = jobs.remove(place);
                    self.settle(vec![job], vec![(0, Rest::Answer(fault))]).await;
                    return self.run_each(jobs).await;
                }
                Err(Failure::NoSavepoint) => {
                    self.careful = CAREFUL_GROUPS;
                    if jobs.len() > SAVEPOINTS_MAX {
                        return self.run_in_parts(jobs).await;
                    }
                    continue;
                }
                Err(Failure::Store(_)) if jobs.len() > 1 => return self.run_each(jobs).await,
                Err(Failure::Store(error)) if !error.is_temporary() => {
                    // The service's own constraints refused at commit: its code's fault, and perhaps a passing one.
                    return self.settle(jobs, vec![(0, Rest::Answer(Fault::temporary(error)))]).await;
                }
                Err(Failure::Store(error)) => warn!(%error, "failed to run a command, trying again"),
            }
            if self.stopping.pause(self.stopping.delay(relay::AWAY, failures)).await {
                return give_back(jobs).await;
            }
        }
    }

    /// Runs a large group again in parts that may have a savepoint for each command.
    async fn run_in_parts(&mut self, mut jobs: Vec<Job>) {
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(SAVEPOINTS_MAX));
            Box::pin(self.run_group(std::mem::replace(&mut jobs, rest))).await;
        }
    }

    async fn run_each(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            Box::pin(self.run_group(vec![job])).await;
        }
    }

    /// One transaction over several commands. Returns what is left to do now that it is committed.
    async fn attempt(&self, jobs: &mut [Job]) -> Result<Vec<(usize, Rest)>, Failure> {
        let keys: Vec<FenceKey> = jobs.iter().map(|job| job.key(&self.name)).collect();
        let (mut tx, rows) = self.fence.begin(&keys).await?;
        let room = self.relay.room(jobs.len());
        let mut writes = Vec::with_capacity(jobs.len());
        let mut rests = Vec::new();
        for (place, ((job, key), row)) in jobs.iter_mut().zip(keys).zip(rows).enumerate() {
            let (state, reply) = match self.admit(place, job, &key, row.as_ref(), &mut tx).await? {
                Outcome::Answer(state, answer) => {
                    (state, Some(job.reply_row(answer, &*self.ids, room.is_some())))
                }
                Outcome::Fault(fault) => {
                    rests.push((place, Rest::Answer(fault)));
                    (None, None)
                }
                Outcome::Outside(state, errand) => {
                    rests.push((place, Rest::Outside(errand)));
                    (state, None)
                }
                Outcome::Watched(state, errand) => {
                    self.watch(job, &key, &mut tx).await?;
                    rests.push((place, Rest::Outside(errand)));
                    (Some(state), None)
                }
            };
            writes.push(FenceWrite { key, state, reply });
        }
        planted!(FenceAfterEffect: let tx = {
            let keys: Vec<FenceKey> = writes.iter().map(|write| write.key.clone()).collect();
            let nothing = |key: &FenceKey| FenceWrite { key: key.clone(), state: None, reply: None };
            self.fence.commit(tx, &keys.iter().map(nothing).collect::<Vec<_>>(), relay::LEASE).await?;
            self.fence.begin(&keys).await?.0
        });
        self.fence.commit(tx, &writes, relay::LEASE).await?;
        self.relay.hand_over(writes.into_iter().filter_map(|write| write.reply).collect(), room);
        Ok(rests)
    }

    /// Has the row of a job watched from this transaction on, because a call may land behind it.
    async fn watch(&self, job: &Job, key: &FenceKey, tx: &mut F::Tx) -> Result<(), StoreError> {
        planted!(RowUnwatched: return Ok(()));
        counter!("saga_calls_watched_total").increment(1);
        self.fence.watch(tx, key, &job.command.command_type, settled_after(self.handler_timeout)).await
    }

    /// What the fence says to one command, carried out.
    async fn admit(
        &self,
        place: usize,
        job: &mut Job,
        key: &FenceKey,
        row: Option<&FenceState>,
        tx: &mut F::Tx,
    ) -> Result<Outcome, Failure> {
        if let Some(outside) = &job.outside {
            return Ok(self.admit_external(&job.command, &outside.progress, row, tx));
        }
        let direction = job.command.direction;
        match fence::decide(row, direction) {
            Verdict::Answer(answer) => Ok(from_record(direction, answer)),
            Verdict::Record(state, answer) => {
                counter!("saga_tombstones_set_total").increment(1);
                Ok(Outcome::Answer(Some(state), answer))
            }
            Verdict::Run if self.is_expired(&job.command, tx) => Ok(Outcome::Fault(expired())),
            Verdict::Run => match self.count_denied(job, key).await? {
                Some(fault) => Ok(Outcome::Fault(fault)),
                None => self.run_work(place, &job.command, tx).await,
            },
            Verdict::Undo(recorded) => match self.count_denied(job, key).await? {
                Some(fault) => Ok(Outcome::Fault(fault)),
                None => self.run_undo(place, &job.command, recorded, tx).await,
            },
        }
    }

    /// Whether a command is so old that its fence row may have been deleted.
    pub(super) fn is_expired(&self, command: &CommandMessage, tx: &F::Tx) -> bool {
        planted!(ExpiredIsRun: return false);
        self.fence.began(tx) > command.not_after
    }

    /// Counts a suspect's run before it begins, in a transaction of its own. Returns the fault to answer with if its
    /// handler took the process down too often.
    pub(super) async fn count_denied(
        &self,
        job: &mut Job,
        key: &FenceKey,
    ) -> Result<Option<Fault>, StoreError> {
        planted!(CountedAfterwards: return Ok(None));
        let Some(suspicion) = &job.suspicion else { return Ok(None) };
        if !job.counted && !suspicion.is_confirmed() {
            let runs = self.fence.count_runs(std::slice::from_ref(key)).await?;
            job.counted = true;
            if runs.first().is_some_and(|runs| *runs > self.runs_max) {
                suspicion.confirm();
            }
        }
        Ok(suspicion.is_confirmed().then(|| {
            counter!("saga_poison_commands_total").increment(1);
            Fault::permanent(format!("the handler took the whole process down {} times", self.runs_max))
        }))
    }

    async fn run_work(
        &self,
        place: usize,
        command: &CommandMessage,
        tx: &mut F::Tx,
    ) -> Result<Outcome, Failure> {
        let Some(work) = self.handlers.work.get(command.command_type.as_str()) else {
            return Ok(Outcome::Fault(Fault::permanent("there is no handler for this command")));
        };
        self.mark(tx).await?;
        match self.guarded(place, command, work(&command.body, tx)).await? {
            Ok(Answered::Done(reply)) => {
                Ok(Outcome::Answer(Some(FenceState::Applied(reply.clone())), Answer::Done(reply)))
            }
            Ok(Answered::Refused(why)) => {
                self.roll_back(tx).await?;
                Ok(Outcome::Answer(Some(FenceState::Refused(why.clone())), Answer::Refused(why)))
            }
            Err(fault) => self.rolled_back(tx, fault).await,
        }
    }

    async fn run_undo(
        &self,
        place: usize,
        command: &CommandMessage,
        recorded: Recorded,
        tx: &mut F::Tx,
    ) -> Result<Outcome, Failure> {
        let undo = self.handlers.undos.get(command.command_type.as_str());
        let (Some(undo), Recorded::Reply(reply)) = (undo, recorded) else {
            return Ok(Outcome::Fault(Fault::permanent(
                "there is no undo for this command and what its fence recorded",
            )));
        };
        self.mark(tx).await?;
        match self.guarded(place, command, undo(&command.body, &reply, tx)).await? {
            Ok(()) => Ok(Outcome::Answer(Some(FenceState::Compensated), Answer::Undone)),
            Err(fault) => self.rolled_back(tx, fault).await,
        }
    }

    async fn rolled_back(&self, tx: &mut F::Tx, fault: Fault) -> Result<Outcome, Failure> {
        self.roll_back(tx).await?;
        Ok(Outcome::Fault(fault))
    }

    /// Marks what a refusal or a fault rolls back to. A savepoint is a round trip, so a group goes without at first.
    async fn mark(&self, tx: &mut F::Tx) -> Result<(), Failure> {
        if self.savepoints {
            self.fence.savepoint(tx).await?;
        }
        Ok(())
    }

    async fn roll_back(&self, tx: &mut F::Tx) -> Result<(), Failure> {
        planted!(RefusedWritesKept: return Ok(()));
        if !self.savepoints {
            return Err(Failure::NoSavepoint);
        }
        Ok(self.fence.rollback(tx).await?)
    }

    /// Awaits a handler, within its time, and catches its panic. After either, the transaction can no longer be used.
    async fn guarded<T>(
        &self,
        place: usize,
        command: &CommandMessage,
        handler: Answering<'_, T>,
    ) -> Result<Result<T, Fault>, Failure> {
        let bounded = self.bounded(span_of(command), handler).await;
        bounded.map_err(|fault| Failure::Handler(place, fault))
    }

    /// Awaits a handler, or says how it broke off: it took too long, or it panicked.
    pub(super) async fn bounded<T>(
        &self,
        span: Span,
        handler: Answering<'_, T>,
    ) -> Result<Result<T, Fault>, Fault> {
        let handler = AssertUnwindSafe(handler.instrument(span)).catch_unwind();
        match tokio::time::timeout(self.handler_timeout, handler).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(_)) => Err(Fault::temporary("the handler panicked")),
            Err(_) => {
                let limit = self.handler_timeout;
                Err(Fault::temporary(format!("the handler took longer than {limit:?}")))
            }
        }
    }

    /// Answers the faults, forgets the counted runs that came to an end, and acks what does not go on outside.
    async fn settle(&self, jobs: Vec<Job>, rests: Vec<(usize, Rest)>) {
        self.forget_runs(jobs.iter()).await;
        let mut rests = rests.into_iter().peekable();
        for (place, job) in jobs.into_iter().enumerate() {
            match rests.next_if(|(of, _)| *of == place) {
                Some((_, Rest::Outside(errand))) => job.go_outside(errand).await,
                Some((_, Rest::Answer(fault))) => {
                    self.answer_fault(&job, fault).await;
                    job.settling.ack(job.token).await;
                }
                None => job.settling.ack(job.token).await,
            }
        }
    }

    /// Forgets the counts of runs that came to an end.
    pub(super) async fn forget_runs(&self, jobs: impl Iterator<Item = &Job>) {
        let counted: Vec<FenceKey> = jobs.filter(|job| job.counted).map(|job| job.key(&self.name)).collect();
        if !counted.is_empty()
            && let Err(error) = self.fence.forget_runs(&counted).await
        {
            warn!(%error, "counts of runs could not be forgotten; they only matter if the process dies again");
        }
    }

    /// Answers with a fault, past the outbox: if it is lost, the orchestrator's timer makes it good.
    pub(super) async fn answer_fault(&self, job: &Job, fault: Fault) {
        let kind = match fault.kind {
            FaultKind::Temporary => "temporary",
            FaultKind::Permanent => "permanent",
        };
        counter!("saga_faults_total", "kind" => kind).increment(1);
        let CommandMessage { saga, step, direction, attempt, .. } = &job.command;
        warn!(%saga, %step, %direction, attempt, kind, %fault, "a command failed");
        let reply = job.reply(Answer::Fault(fault));
        for result in self.transport.publish(std::slice::from_ref(&reply)).await {
            if let Err(error) = result {
                warn!(%saga, %error, "a fault could not be answered");
            }
        }
    }
}

impl<F: Fence> Clone for Worker<F> {
    fn clone(&self) -> Self {
        Worker {
            name: self.name.clone(),
            handlers: self.handlers.clone(),
            fence: self.fence.clone(),
            transport: self.transport.clone(),
            relay: self.relay.clone(),
            ids: self.ids.clone(),
            commands_per_transaction: self.commands_per_transaction,
            handler_timeout: self.handler_timeout,
            runs_max: self.runs_max,
            suspects: self.suspects.clone(),
            stopping: self.stopping.clone(),
            crew: self.crew.clone(),
            savepoints: self.savepoints,
            careful: self.careful,
        }
    }
}

/// What a handler's own spans and events belong to.
pub(super) fn span_of(command: &CommandMessage) -> Span {
    let CommandMessage { saga, step, direction, attempt, trace, .. } = command;
    info_span!("saga.handle", %saga, %step, %direction, attempt, traceparent = trace.as_str())
}

/// Answers with what the fence has on record.
pub(super) fn from_record(direction: Direction, answer: Answer) -> Outcome {
    match answer {
        Answer::Fault(fault) => return Outcome::Fault(fault),
        Answer::Running => {}
        Answer::Done(_) | Answer::Refused(_) | Answer::Undone | Answer::Closed => {
            counter!("saga_duplicates_absorbed_total").increment(1);
        }
    }
    if answer == Answer::Closed && direction == Direction::Do {
        counter!("saga_tombstones_hit_total").increment(1);
    }
    Outcome::Answer(None, answer)
}

pub(super) fn expired() -> Fault {
    Fault::temporary("the command is expired and was not run")
}

/// Splits commands into groups in which no fence key occurs twice; nearly always one group.
fn distinct(jobs: impl Iterator<Item = Job>, name: &ParticipantName) -> Vec<Vec<Job>> {
    let mut groups: Vec<(std::collections::HashSet<FenceKey>, Vec<Job>)> = Vec::new();
    for job in jobs {
        let key = job.key(name);
        match groups.iter_mut().find(|(keys, _)| !keys.contains(&key)) {
            Some((keys, group)) => {
                keys.insert(key);
                group.push(job);
            }
            None => groups.push(([key].into(), vec![job])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Gives commands back untouched, because this process stops.
pub(super) async fn give_back(jobs: Vec<Job>) {
    for job in jobs {
        job.settling.release(job.token).await;
    }
}

/// Half of the subtransactions that Postgres keeps in fast memory for a transaction.
const SAVEPOINTS_MAX: usize = 32;

/// Where refusals are common, one group in so many runs twice; where they are rare, hardly any has savepoints.
const CAREFUL_GROUPS: u32 = 64;
