//! Steps whose participant calls another system, between two transactions.
//!
//! A call lands while its worker lives, or not at all; its worker may die before, after, and on the way to its second
//! transaction. A delivery whose worker died was not acked, so it is *owed*: it comes again. Two workers may be on their
//! way with one command. The other system remembers which keys it has charged, and refuses no key for having been
//! taken back: what it does not know, nothing protects.

use std::hash::Hash;

use saga_core::definition::{Role, ScriptError};
use saga_core::fence::{Called, ExternalVerdict, FenceState, Progress, Recorded};
use saga_core::id::Direction;
use saga_core::message::{Answer, Fault, Payload};

use super::Faults;
use super::participants::Did;
use super::rules::Rules;
use super::world::{Cell, NONE};

/// The fence's table for external handlers.
pub(super) type DecideExternal = fn(Option<&FenceState>, Direction, &Progress) -> ExternalVerdict;

/// What is under way of a step outside of all transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Outside {
    /// The workers that call, or come back with what they were told; in order, since they have no names.
    workers: [Option<Worker>; 2],
    /// Whether a worker died whose delivery has not come again.
    owed: bool,
    /// Whether an undo was run and is not on record.
    undone: bool,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Worker {
    Calling,
    WithDone,
    WithRefused,
    /// Without an answer: the call has landed, or never will.
    WithNothing,
    /// It has recorded a refusal, and has yet to run the undo and answer.
    Undoing,
}

/// One thing that happens to a step's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outward {
    Delivered(Direction),
    /// A call comes back: whether it has landed, and what its worker knows.
    Ends(bool, Worker),
    Returns(Worker),
    Dies(Worker),
    /// An undo that was run comes to be recorded.
    Undone,
}

impl Outside {
    /// Whether an effect that stands may yet be taken back by whoever made it.
    pub(super) fn is_busy(&self) -> bool {
        self.owed || self.workers[0].is_some()
    }

    #[cfg(test)]
    pub(super) fn is_undone(&self) -> bool {
        self.undone
    }

    /// All of it in one word, to be hashed.
    pub(super) fn packed(&self) -> u64 {
        let worker = |worker: Option<Worker>| worker.map_or(0, |worker| worker as u64 + 1);
        let [first, second] = self.workers;
        worker(first) | worker(second) << 8 | u64::from(self.owed) << 16 | u64::from(self.undone) << 17
    }

    fn with(mut self, worker: Worker) -> Option<Self> {
        let free = self.workers.iter_mut().find(|place| place.is_none())?;
        *free = Some(worker);
        self.workers.sort_by_key(|worker| (worker.is_none(), *worker));
        Some(self)
    }

    fn without(mut self, worker: Worker) -> Self {
        if let Some(place) = self.workers.iter_mut().find(|place| **place == Some(worker)) {
            *place = None;
        }
        self.workers.sort_by_key(|worker| (worker.is_none(), *worker));
        self
    }

    /// The workers, each kind once.
    fn kinds(&self) -> impl Iterator<Item = Worker> + use<> {
        let [first, second] = self.workers;
        first.into_iter().chain(second.filter(|_| second != first))
    }
}

impl<M: Clone + Eq + Hash> Rules<M> {
    pub(super) fn is_external(&self, step: u32) -> bool {
        !self.external.is_empty()
            && self
                .step(step)
                .command()
                .is_some_and(|command| self.external.contains(command.command_type.as_str()))
    }

    /// Everything that may happen to an external step, and the cell afterwards.
    pub(super) fn outward(
        &self,
        cell: &Cell,
        sent: impl Iterator<Item = Direction>,
    ) -> Vec<(Outward, Moved)> {
        let mut moves: Vec<(Outward, Moved)> = Vec::new();
        for direction in sent {
            moves.extend(self.deliver(cell, direction).map(|moved| (Outward::Delivered(direction), moved)));
        }
        for worker in cell.outside.kinds() {
            match worker {
                Worker::Calling => moves.extend(self.ends(cell).map(|(end, after)| (end, Ok(after)))),
                Worker::WithDone | Worker::WithRefused | Worker::WithNothing | Worker::Undoing => {
                    moves.push((Outward::Returns(worker), self.come_back(cell, worker)));
                }
            }
            if !cell.outside.owed {
                let outside = Outside { owed: true, ..cell.outside.without(worker) };
                moves.push((Outward::Dies(worker), Ok(cell.with_outside(outside))));
            }
        }
        if cell.outside.undone {
            moves.push((Outward::Undone, self.record_undo(*cell)));
        }
        moves
    }

    /// A delivery; `None` if there are workers enough.
    fn deliver(&self, cell: &Cell, direction: Direction) -> Option<Moved> {
        let mut cell = *cell;
        if direction == Direction::Do {
            cell.outside.owed = false;
        }
        match self.decide_outside(&cell, direction, &Progress::Delivered) {
            ExternalVerdict::Call(row) => {
                cell.outside = cell.outside.with(Worker::Calling)?;
                Some(Ok(self.stored(cell, row)))
            }
            verdict => Some(self.carry_out(cell, direction, verdict)),
        }
    }

    fn stored(&self, mut cell: Cell, row: Option<FenceState>) -> Cell {
        if let Some(row) = row {
            cell.row = self.rows.number(row);
        }
        cell
    }

    /// How a call may end. A key that was charged before is answered as it was then.
    fn ends(&self, cell: &Cell) -> impl Iterator<Item = (Outward, Cell)> + use<M> {
        let cell = *cell;
        let charged = cell.effects > 0;
        let retriable = matches!(self.step(cell.step).role, Role::Retriable);
        let refuses = self.faults.contains(Faults::REFUSAL) && !charged && !retriable;
        let breaks = self.faults.contains(Faults::UNKNOWN);
        let ends = [
            (true, Worker::WithDone, true),
            (false, Worker::WithRefused, refuses),
            (true, Worker::WithNothing, breaks),
            (false, Worker::WithNothing, breaks && !charged),
        ];
        ends.into_iter().filter(|(_, _, may)| *may).filter_map(move |(lands, worker, _)| {
            let outside = cell.outside.without(Worker::Calling).with(worker)?;
            let mut after = cell.with_outside(outside);
            after.effects = if lands { 1 } else { cell.effects };
            Some((Outward::Ends(lands, worker), after))
        })
    }

    /// A worker comes to record what its call came to.
    fn come_back(&self, cell: &Cell, worker: Worker) -> Moved {
        let cell = cell.with_outside(cell.outside.without(worker));
        if worker == Worker::Undoing {
            return self.run_undo(cell, Direction::Do);
        }
        let (plan, place) = self.place(cell.step);
        let least = |payload: Result<Payload, ScriptError>| payload.map_err(|error| error.to_string());
        let called = match worker {
            Worker::WithDone => Called::Done(least(plan.least_reply(place))?),
            Worker::WithRefused => Called::Refused(least(plan.least_refusal(place))?),
            Worker::Calling | Worker::WithNothing | Worker::Undoing => {
                Called::Failed(Fault::temporary("explored"))
            }
        };
        let verdict = self.decide_outside(&cell, Direction::Do, &Progress::Called(called));
        self.carry_out(cell, Direction::Do, verdict)
    }

    fn record_undo(&self, mut cell: Cell) -> Moved {
        cell.outside.undone = false;
        let row = (cell.row != NONE).then(|| self.rows.value(cell.row));
        let given = match row.as_deref() {
            Some(FenceState::Applied(reply)) => Recorded::Reply(reply.clone()),
            // Another undo was faster.
            _ => Recorded::Unknown,
        };
        let verdict = self.decide_outside(&cell, Direction::Undo, &Progress::Undone(given));
        self.carry_out(cell, Direction::Undo, verdict)
    }

    fn carry_out(&self, mut cell: Cell, direction: Direction, verdict: ExternalVerdict) -> Moved {
        match verdict {
            ExternalVerdict::Call(_) => Err("a call is made again after it came back [once]".into()),
            ExternalVerdict::Undo(None, _) if !self.is_out_of_the_world(&cell) => {
                cell.undos = cell.effects;
                cell.outside.undone = true;
                Ok(cell)
            }
            // What the row says can change no more, so nothing can come between the undo and the answer.
            ExternalVerdict::Undo(None, _) => self.run_undo(cell, direction),
            // The undo is a move of its own: that of a worker, or of the next delivery.
            ExternalVerdict::Undo(row, _) => {
                if direction == Direction::Do {
                    cell.outside = cell.outside.with(Worker::Undoing).unwrap_or_default();
                }
                Ok(self.stored(cell, row))
            }
            ExternalVerdict::Record(row, answer) => self.say(cell, direction, Some(row), &answer),
            ExternalVerdict::Answer(answer) => self.say(cell, direction, None, &answer),
        }
    }

    fn run_undo(&self, mut cell: Cell, direction: Direction) -> Moved {
        cell.undos = cell.effects;
        let verdict = self.decide_outside(&cell, direction, &Progress::Undone(Recorded::Unknown));
        self.carry_out(cell, direction, verdict)
    }

    fn say(&self, cell: Cell, direction: Direction, row: Option<FenceState>, answer: &Answer) -> Moved {
        self.taken(NONE, Did::Answer, row, answer).applied(&cell, direction)
    }

    fn decide_outside(&self, cell: &Cell, direction: Direction, progress: &Progress) -> ExternalVerdict {
        let row = (cell.row != NONE).then(|| self.rows.value(cell.row));
        (self.decide_external)(row.as_deref(), direction, progress)
    }
}

/// A step afterwards, or what is wrong with it.
type Moved = Result<Cell, String>;

impl Outward {
    /// The move as a sentence.
    pub(super) fn told(self, participant: &str, step: &str) -> String {
        match self {
            Outward::Delivered(direction) => format!("{participant} gets {direction} {step}"),
            Outward::Ends(lands, worker) => {
                let lands = if lands { "has landed" } else { "has no effect" };
                format!("a call for {step} {lands}, and comes back {}", worker.told())
            }
            Outward::Returns(worker) => format!("a worker comes to record {step}, {}", worker.told()),
            Outward::Dies(worker) => format!("a worker dies over {step}, {}", worker.told()),
            Outward::Undone => format!("{participant} comes to record that {step} is undone"),
        }
    }
}

impl Worker {
    const fn told(self) -> &'static str {
        match self {
            Worker::Calling => "before its call has ended",
            Worker::WithDone => "with a yes",
            Worker::WithRefused => "with a no",
            Worker::WithNothing => "without an answer",
            Worker::Undoing => "with an undo to run",
        }
    }
}
