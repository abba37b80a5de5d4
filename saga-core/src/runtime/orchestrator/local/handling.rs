//! Runs the handlers of local steps, several in one transaction, with a savepoint for each.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::task::Task;
use crate::id::Direction;
use crate::message::{Answer, Fault};
use crate::port::{Commit, CommitError, RunIn};
use crate::runtime::participant::{Answered, Handlers};

/// The code of all local steps, over whatever store.
#[async_trait]
pub(in crate::runtime::orchestrator) trait LocalSteps: Send + Sync {
    /// Whether there is a handler for a command of this type.
    fn knows(&self, command_type: &str, direction: Direction) -> bool;

    /// Runs the handlers of several tasks in one transaction. `decide` makes commits of their answers, which are stored
    /// with what the handlers wrote, all or none. Says of each task what became of it.
    async fn run(&self, tasks: &[Task], decide: &mut Decide<'_>) -> Result<Vec<Became>, CommitError>;
}

/// Makes a commit of the answer to the task at this place, or says what it is to be answered with if its work is not to
/// stand.
pub(super) type Decide<'a> = dyn FnMut(usize, Answer) -> Result<Commit, Answer> + Send + 'a;

/// What became of a task.
#[derive(Clone)]
pub(in crate::runtime::orchestrator) enum Became {
    /// Its work and its saga's move are stored.
    Stored,
    /// Nothing of its work is stored, and this is to be its answer.
    Answered(Answer),
    /// It was not run, or rolled back because of another one.
    Untouched,
    /// Its handler broke off a transaction that it shared.
    Broken,
}

/// The handlers of a service that works in the transactions of a store.
pub(in crate::runtime::orchestrator) struct Handling<S: RunIn> {
    pub(in crate::runtime::orchestrator) store: Arc<S>,
    pub(in crate::runtime::orchestrator) handlers: Handlers<S::Tx>,
}

/// How a handler broke off. Its transaction can no longer be used.
struct Broken(Fault);

#[async_trait]
impl<S: RunIn> LocalSteps for Handling<S> {
    fn knows(&self, command_type: &str, direction: Direction) -> bool {
        match direction {
            Direction::Do => self.handlers.work.contains_key(command_type),
            Direction::Undo => self.handlers.undos.contains_key(command_type),
            Direction::Close => true,
        }
    }

    async fn run(&self, tasks: &[Task], decide: &mut Decide<'_>) -> Result<Vec<Became>, CommitError> {
        let mut tx = self.store.begin_work().await?;
        let (began, mut became, mut commits) =
            (Instant::now(), vec![Became::Untouched; tasks.len()], Vec::new());
        // A savepoint is a round trip, and a task that is alone has its transaction to roll back.
        let is_shared = tasks.len() > 1;
        let limit = if is_shared { SHARED_MAX } else { HANDLER_TIMEOUT };
        for (place, task) in tasks.iter().enumerate() {
            if place > 0 && began.elapsed() >= SHARED_MAX {
                break;
            }
            if is_shared {
                self.store.savepoint(&mut tx).await?;
            }
            let answer = match self.answer(task, limit, &mut tx).await {
                Ok(answer) => answer,
                Err(Broken(fault)) => return Ok(broken(place, tasks.len(), fault)),
            };
            match decide(place, answer) {
                Ok(commit) => {
                    commits.push(commit);
                    became[place] = Became::Stored;
                }
                Err(answer) => {
                    if is_shared {
                        self.store.rollback(&mut tx).await?;
                    }
                    became[place] = Became::Answered(answer);
                }
            }
        }
        if !commits.is_empty() {
            planted!(LocalEffectApart: {
                self.store.finish(tx, &[]).await?;
                tx = self.store.begin_work().await?;
            });
            self.store.finish(tx, &commits).await?;
        }
        Ok(became)
    }
}

impl<S: RunIn> Handling<S> {
    async fn answer(&self, task: &Task, limit: Duration, tx: &mut S::Tx) -> Result<Answer, Broken> {
        let answered = match (task.direction, &task.did) {
            (Direction::Do, _) => match self.handlers.work.get(task.command_type.as_str()) {
                None => Err(missing(task)),
                Some(work) => watched(limit, work(&task.body, tx)).await?.map(|answered| match answered {
                    Answered::Done(reply) => Answer::Done(reply),
                    Answered::Refused(why) => Answer::Refused(why),
                }),
            },
            (Direction::Undo, Some(did)) => match self.handlers.undos.get(task.command_type.as_str()) {
                None => Err(missing(task)),
                Some(undo) => watched(limit, undo(&task.body, did, tx)).await?.map(|()| Answer::Undone),
            },
            // It was awaited until now, so it was not done, and it never will be.
            (Direction::Undo, None) => Ok(Answer::Undone),
            (Direction::Close, _) => Ok(Answer::Closed),
        };
        Ok(answered.unwrap_or_else(Answer::Fault))
    }
}

fn missing(task: &Task) -> Fault {
    Fault::permanent(format!("there is no local handler for {}", task.command_type))
}

/// What became of tasks of which the handler of one broke off, so that the transaction is rolled back.
fn broken(place: usize, tasks: usize, fault: Fault) -> Vec<Became> {
    let mut became = vec![Became::Untouched; tasks];
    became[place] = if tasks > 1 { Became::Broken } else { Became::Answered(Answer::Fault(fault)) };
    became
}

/// Awaits a handler, within this time, and catches its panic.
async fn watched<T>(
    limit: Duration,
    handler: impl Future<Output = Result<T, Fault>> + Send,
) -> Result<Result<T, Fault>, Broken> {
    match tokio::time::timeout(limit, AssertUnwindSafe(handler).catch_unwind()).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(_)) => Err(Broken(Fault::temporary("the handler panicked"))),
        Err(_) => Err(Broken(Fault::temporary(format!("the handler took longer than {limit:?}")))),
    }
}

/// As for participants' handlers; longer work is a step of its own.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a transaction that is shared takes more handlers, and waits for one of them: far below the time after which a
/// step is asked for again, so that nobody's timer fires because of others. Whoever needs longer is run alone.
const SHARED_MAX: Duration = Duration::from_millis(500);
