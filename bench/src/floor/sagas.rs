//! The sagas under way, and what each does next: `steps` steps in a row, taken back in reverse if the last is refused.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use saga_core::port::{Clock, IdSource, RandomIds, SystemClock};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::Job;
use super::message::{Answer, Command, Direction, Order, Outgoing, Reply};
use crate::args::Workload;
use crate::latency::{Pace, Stopwatch};

/// The sagas of a run.
pub(super) struct Sagas {
    workload: Workload,
    reply_to: String,
    not_after: String,
    started: u64,
    live: HashMap<Uuid, Live>,
    stopwatch: Stopwatch,
}

/// A saga that has not ended. The loop is the only one that moves it, so memory and table agree.
struct Live {
    version: i64,
    awaited: Awaited,
    data: Vec<u8>,
    began: Instant,
}

/// The command whose reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Awaited {
    step: u16,
    direction: Direction,
}

/// One transition, and so one row in most tables.
pub(super) struct Transition {
    pub(super) saga: Uuid,
    /// The version that it makes.
    pub(super) version: i64,
    pub(super) status: Status,
    pub(super) event: Event,
    /// What is asked next.
    pub(super) next: Option<Next>,
}

/// What came, as the journal keeps it.
pub(super) enum Event {
    Started,
    Answered(Reply),
}

/// A command to send, and the step whose timer is set.
pub(super) struct Next {
    pub(super) step: u16,
    pub(super) direction: Direction,
    pub(super) command: Outgoing,
}

/// Where a saga stands, as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Running = 0,
    Compensating = 1,
    Completed = 2,
    Compensated = 3,
}

impl Sagas {
    /// No saga yet; the clock runs from now on.
    pub(super) fn new(job: &Job) -> Sagas {
        Sagas {
            workload: job.workload.clone(),
            reply_to: job.replies.clone(),
            not_after: SystemClock.now().plus(NOT_AFTER).as_micros().to_string(),
            started: 0,
            live: HashMap::new(),
            stopwatch: Stopwatch::start(job.workload.sagas),
        }
    }

    pub(super) fn all_ended(&self) -> bool {
        self.ended() == self.workload.sagas
    }

    pub(super) fn ended(&self) -> u64 {
        self.stopwatch.ended()
    }

    pub(super) fn into_pace(self) -> Pace {
        self.stopwatch.stop()
    }

    /// Starts as many sagas as there is room for, up to `limit`.
    pub(super) fn start(&mut self, limit: usize) -> Result<Vec<Transition>> {
        let room = self.workload.in_flight - self.live.len() as u64;
        let waiting = self.workload.sagas - self.started;
        (0..room.min(waiting).min(limit as u64)).map(|_| self.start_one()).collect()
    }

    fn start_one(&mut self) -> Result<Transition> {
        let number = self.started;
        self.started += 1;
        let data = serde_json::to_vec(&Order {
            order: number,
            customer: format!("customer-{}", number % 10_000),
            amount_cents: 1_999,
            refuse: self.workload.refuses(number),
        })?;
        let saga = RandomIds.uuid();
        let awaited = Awaited { step: 1, direction: Direction::Do };
        let began = Instant::now();
        self.live.insert(saga, Live { version: 0, awaited, data, began });
        self.transition(saga, Event::Started, Ok(awaited))
    }

    /// Decides what a reply means.
    pub(super) fn apply(&mut self, reply: Reply) -> Result<Transition> {
        let live = self.live.get(&reply.saga).context("a reply for a saga that is not under way")?;
        let answered = Awaited { step: reply.step, direction: reply.direction };
        ensure!(live.awaited == answered, "a reply that is not awaited");
        let next = next(answered, reply.answer, self.workload.steps)?;
        self.transition(reply.saga, Event::Answered(reply), next)
    }

    fn transition(&mut self, saga: Uuid, event: Event, next: Result<Awaited, Status>) -> Result<Transition> {
        let live = self.live.get_mut(&saga).context("no such saga")?;
        live.version += 1;
        live.awaited = next.unwrap_or(live.awaited);
        let ask = |Awaited { step, direction }| {
            let body = live.data.clone();
            let command = Command::write(saga, step, direction, &self.reply_to, &self.not_after, body);
            Next { step, direction, command }
        };
        Ok(Transition {
            saga,
            version: live.version,
            status: next.map_or_else(|ended| ended, Awaited::status),
            event,
            next: next.ok().map(ask),
        })
    }

    /// Forgets the sagas that these transitions ended, now that they are stored.
    pub(super) fn stored(&mut self, transitions: &[Transition]) {
        for ended in transitions.iter().filter(|transition| transition.next.is_none()) {
            if let Some(live) = self.live.remove(&ended.saga) {
                self.stopwatch.saga_ended(live.began);
            }
        }
    }
}

impl Awaited {
    fn status(self) -> Status {
        match self.direction {
            Direction::Do => Status::Running,
            Direction::Undo => Status::Compensating,
        }
    }
}

/// What is awaited after `answer`, or how the saga ended.
fn next(Awaited { step, direction }: Awaited, answer: Answer, steps: u16) -> Result<Result<Awaited, Status>> {
    let undo_before = match step {
        1 => Err(Status::Compensated),
        _ => Ok(Awaited { step: step - 1, direction: Direction::Undo }),
    };
    Ok(match (direction, answer) {
        (Direction::Do, Answer::Done) if step == steps => Err(Status::Completed),
        (Direction::Do, Answer::Done) => Ok(Awaited { step: step + 1, direction }),
        (Direction::Do, Answer::Refused) | (Direction::Undo, Answer::Undone) => undo_before,
        (Direction::Do, Answer::Undone) | (Direction::Undo, Answer::Done | Answer::Refused) => {
            bail!("{direction:?} was answered with {answer:?}")
        }
    })
}

/// As the framework has it by default.
const NOT_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: u16, refuse_last: bool) -> Vec<String> {
        let mut awaited = Awaited { step: 1, direction: Direction::Do };
        let mut path = Vec::new();
        loop {
            path.push(format!("{:?} {}", awaited.direction, awaited.step));
            let answer = match awaited.direction {
                Direction::Do if refuse_last && awaited.step == steps => Answer::Refused,
                Direction::Do => Answer::Done,
                Direction::Undo => Answer::Undone,
            };
            match next(awaited, answer, steps).unwrap() {
                Ok(then) => awaited = then,
                Err(status) => {
                    path.push(format!("{status:?}"));
                    return path;
                }
            }
        }
    }

    #[test]
    fn steps_follow_one_another() {
        assert_eq!(path(3, false), ["Do 1", "Do 2", "Do 3", "Completed"]);
        assert_eq!(path(1, false), ["Do 1", "Completed"]);
    }

    #[test]
    fn a_refusal_is_taken_back_in_reverse() {
        assert_eq!(path(3, true), ["Do 1", "Do 2", "Do 3", "Undo 2", "Undo 1", "Compensated"]);
        assert_eq!(path(1, true), ["Do 1", "Compensated"]);
    }

    #[test]
    fn an_answer_to_another_question_ends_the_run() {
        let awaited = Awaited { step: 2, direction: Direction::Undo };
        assert!(next(awaited, Answer::Done, 3).is_err());
    }
}
