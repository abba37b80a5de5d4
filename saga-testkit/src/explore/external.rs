//! Steps whose participant calls another system, between two transactions.
//!
//! A call lands while its worker lives, or not at all; its worker may die before, after, and on the way to its second
//! transaction. Two workers may be on their way with one command. The other system remembers which keys it has charged,
//! and refuses no key for having been taken back: what it does not know, nothing protects.
//!
//! A delivery whose worker died was not acked, so it is *owed*: it comes again. So does one whose connection was lost, and
//! its worker works on, which nobody owes anything any more: when that one dies, nothing comes again. For this a row is
//! watched: it is looked at at any time, and for the last time when no call can land any more.

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
    /// Whether a delivery is to come again that was not acked.
    owed: bool,
    /// Whether an undo was run and is not on record.
    undone: bool,
    /// Whether the row is watched.
    watched: bool,
}

/// Somebody who has begun a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Worker {
    pub(super) at: At,
    /// Whether its delivery comes again if it dies. It has done so already if the connection was lost.
    holds: bool,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum At {
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
    /// A worker's delivery comes again although it works on.
    LosesConnection(Worker),
    Dies(Worker),
    /// An undo that was run comes to be recorded.
    Undone,
    /// A watched row is looked at; perhaps for the last time.
    LookedAt {
        last: bool,
    },
}

impl Outside {
    /// Whether an effect that stands may yet be taken back by whoever made it.
    pub(super) fn is_busy(&self) -> bool {
        self.owed || self.watched || self.workers[0].is_some()
    }

    #[cfg(test)]
    pub(super) fn is_undone(&self) -> bool {
        self.undone
    }

    /// All of it in one word, to be hashed.
    pub(super) fn packed(&self) -> u64 {
        let worker = |worker: Worker| (worker.at as u64 + 1) << 1 | u64::from(worker.holds);
        let [first, second] = self.workers.map(|place| place.map_or(0, worker));
        let flags = [self.owed, self.undone, self.watched];
        let flags = flags.iter().rev().fold(0, |flags, flag| flags << 1 | u64::from(*flag));
        first | second << 8 | flags << 16
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

    /// What a worker may lose: its life, or its connection alone. One delivery that is owed stands for several.
    fn losses(self, worker: Worker, strays: bool) -> impl Iterator<Item = (Outward, Outside)> {
        let gone = self.without(worker);
        let owing = |outside: Outside| Outside { owed: true, ..outside };
        let works_on =
            gone.with(Worker { holds: false, ..worker }).filter(|_| strays && worker.holds && !self.owed);
        let dies = if worker.holds { (!self.owed).then(|| owing(gone)) } else { Some(gone) };
        let works_on = works_on.map(|outside| (Outward::LosesConnection(worker), owing(outside)));
        works_on.into_iter().chain(dies.map(|outside| (Outward::Dies(worker), outside)))
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
            match worker.at {
                At::Calling => moves.extend(self.ends(cell, worker).map(|(end, after)| (end, Ok(after)))),
                At::WithDone | At::WithRefused | At::WithNothing | At::Undoing => {
                    moves.push((Outward::Returns(worker), self.come_back(cell, worker)));
                }
            }
            let losses = cell.outside.losses(worker, self.faults.contains(Faults::STRAY));
            moves.extend(losses.map(|(loss, outside)| (loss, Ok(cell.with_outside(outside)))));
        }
        if cell.outside.undone {
            moves.push((Outward::Undone, self.record_undo(*cell)));
        }
        moves.extend(looks(cell).map(|(look, after)| (look, Ok(after))));
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
                cell.outside = cell.outside.with(Worker { at: At::Calling, holds: true })?;
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
    fn ends(&self, cell: &Cell, caller: Worker) -> impl Iterator<Item = (Outward, Cell)> + use<M> {
        let cell = *cell;
        let charged = cell.effects > 0;
        let retriable = matches!(self.step(cell.step).role, Role::Retriable);
        let refuses = self.faults.contains(Faults::REFUSAL) && !charged && !retriable;
        let breaks = self.faults.contains(Faults::UNKNOWN);
        let ends = [
            (true, At::WithDone, true),
            (false, At::WithRefused, refuses),
            (true, At::WithNothing, breaks),
            (false, At::WithNothing, breaks && !charged),
        ];
        ends.into_iter().filter(|(_, _, may)| *may).filter_map(move |(lands, at, _)| {
            let worker = Worker { at, ..caller };
            let outside = cell.outside.without(caller).with(worker)?;
            let mut after = cell.with_outside(outside);
            after.effects = if lands { 1 } else { cell.effects };
            Some((Outward::Ends(lands, worker), after))
        })
    }

    /// A worker comes to record what its call came to.
    fn come_back(&self, cell: &Cell, worker: Worker) -> Moved {
        let cell = cell.with_outside(cell.outside.without(worker));
        if worker.at == At::Undoing {
            return self.run_undo(cell, Direction::Do);
        }
        let (plan, place) = self.place(cell.step);
        let least = |payload: Result<Payload, ScriptError>| payload.map_err(|error| error.to_string());
        let called = match worker.at {
            At::WithDone => Called::Done(least(plan.least_reply(place))?),
            At::WithRefused => Called::Refused(least(plan.least_refusal(place))?),
            At::Calling | At::WithNothing | At::Undoing => Called::Failed(Fault::temporary("explored")),
        };
        match self.decide_outside(&cell, Direction::Do, &Progress::Called(called)) {
            ExternalVerdict::Watch(row) => {
                let outside = cell.outside.with(Worker { at: At::Undoing, ..worker }).unwrap_or(cell.outside);
                Ok(self.watched(cell.with_outside(outside), row))
            }
            verdict => self.carry_out(cell, Direction::Do, verdict),
        }
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
            ExternalVerdict::Undo(_) if !self.is_out_of_the_world(&cell) => {
                cell.undos = cell.effects;
                cell.outside.undone = true;
                Ok(cell)
            }
            // What the row says can change no more, so nothing can come between the undo and the answer.
            ExternalVerdict::Undo(_) => self.run_undo(cell, direction),
            // The undo is a move of its own: that of the next delivery.
            ExternalVerdict::Watch(row) => Ok(self.watched(cell, row)),
            ExternalVerdict::Record(row, answer) => self.say(cell, direction, Some(row), &answer),
            ExternalVerdict::Answer(answer) => self.say(cell, direction, None, &answer),
        }
    }

    /// The row moves on while a call may be under way.
    fn watched(&self, cell: Cell, row: FenceState) -> Cell {
        let watched = self.watches && self.faults.contains(Faults::STRAY);
        let outside = Outside { watched, ..cell.outside };
        self.stored(cell.with_outside(outside), Some(row))
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

/// Looks at a watched row. The last is taken when no call can land any more.
fn looks(cell: &Cell) -> impl Iterator<Item = (Outward, Cell)> {
    let mut looked = *cell;
    looked.undos = cell.effects;
    let is_called = cell.outside.kinds().any(|worker| worker.at == At::Calling);
    let over = looked.with_outside(Outside { watched: false, ..cell.outside });
    let looks = [(false, looked)].into_iter().chain((!is_called).then_some((true, over)));
    looks.filter(|_| cell.outside.watched).map(|(last, after)| (Outward::LookedAt { last }, after))
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
            Outward::LosesConnection(worker) => {
                format!("a worker loses its connection over {step}, {}", worker.told())
            }
            Outward::Dies(worker) => format!("a worker dies over {step}, {}", worker.told()),
            Outward::Undone => format!("{participant} comes to record that {step} is undone"),
            Outward::LookedAt { last: false } => format!("{participant} looks after calls for {step}"),
            Outward::LookedAt { last: true } => {
                format!("{participant} looks after calls for {step} for the last time")
            }
        }
    }
}

impl Worker {
    fn told(self) -> String {
        let held = if self.holds { "" } else { ", when its delivery has come again" };
        format!("{}{held}", self.at.told())
    }
}

impl At {
    const fn told(self) -> &'static str {
        match self {
            At::Calling => "before its call has ended",
            At::WithDone => "with a yes",
            At::WithRefused => "with a no",
            At::WithNothing => "without an answer",
            At::Undoing => "with an undo to run",
        }
    }
}
