//! The fence's table: what a command means for the row that stands for its step. Pure; adapters only load and
//! store the row, so that memory, Postgres and an explorer follow the same rules.
//!
//! One row stands for (participant, saga, step), and it is written in the handler's own transaction. It gives
//! idempotence, the empty compensation (an undo whose command never came), and the refusal of a command that
//! arrives after its compensation. The idea of one row for both directions is that of the sub-transaction
//! barrier of DTM.

mod external;

pub use external::{Called, ExternalVerdict, Progress, decide_external, next_look};

use serde::{Deserialize, Serialize};

use crate::id::{Direction, ParticipantName, SagaId, StepName};
use crate::message::{Answer, Fault, Payload};

/// Names a fence row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FenceKey {
    /// Whose fence it is; several participants may share a database.
    pub participant: ParticipantName,
    /// The saga.
    pub saga: SagaId,
    /// The step.
    pub step: StepName,
}

/// What a fence row says about its step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceState {
    /// An external call was begun; nobody knows yet what became of it.
    Started,
    /// External calls were begun, more than one; any of them may have landed, or may yet.
    Repeated,
    /// The work is done, with this reply.
    Applied(Payload),
    /// The business said no, for this reason. There was no effect.
    Refused(Payload),
    /// The work was done and is taken back.
    Compensated,
    /// The work was not done and never will be: the tombstone.
    Closed,
}

impl FenceState {
    /// The state's name in tables.
    pub const fn as_str(&self) -> &'static str {
        match self {
            FenceState::Started => "started",
            FenceState::Repeated => "repeated",
            FenceState::Applied(_) => "applied",
            FenceState::Refused(_) => "refused",
            FenceState::Compensated => "compensated",
            FenceState::Closed => "closed",
        }
    }
}

/// What to do with a command, given the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Run the handler: `Applied` if it is done, `Refused` if it says no, no row at all if it fails.
    Run,
    /// Run the undo with what the row recorded, then store `Compensated` and answer `Undone`.
    Undo(Recorded),
    /// Run nothing; store this state and answer.
    Record(FenceState, Answer),
    /// Run nothing, change nothing; answer from the record.
    Answer(Answer),
}

/// What the fence knows of the effect that an undo is to take back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// The effect took place, with this reply.
    Reply(Payload),
    /// It may have taken place.
    Unknown,
}

/// Decides what a command in `direction` means for the row `row`, where `None` says that there is no row.
///
/// Every pair has its cell in the table of `docs/delivery.md`, and its test.
pub fn decide(row: Option<&FenceState>, direction: Direction) -> Verdict {
    match direction {
        Direction::Do => decide_do(row),
        Direction::Undo => decide_undo(row),
        Direction::Close => decide_close(row),
    }
}

fn decide_do(row: Option<&FenceState>) -> Verdict {
    planted!(NoFence: return Verdict::Run);
    planted!(RefusalForgotten: if let Some(FenceState::Refused(_)) = row { return Verdict::Run });
    match row {
        None => Verdict::Run,
        Some(FenceState::Started | FenceState::Repeated) => Verdict::Answer(Answer::Fault(Fault::permanent(
            "the fence says that an external call was begun for this step, and this handler makes none",
        ))),
        Some(FenceState::Applied(reply)) => Verdict::Answer(Answer::Done(reply.clone())),
        Some(FenceState::Refused(why)) => Verdict::Answer(Answer::Refused(why.clone())),
        Some(FenceState::Compensated | FenceState::Closed) => Verdict::Answer(Answer::Closed),
    }
}

fn decide_undo(row: Option<&FenceState>) -> Verdict {
    planted!(NoTombstone: if row.is_none() { return Verdict::Answer(Answer::Undone) });
    planted!(UndoneTwice: if row == Some(&FenceState::Compensated) { return Verdict::Undo(Recorded::Unknown) });
    match row {
        None => Verdict::Record(FenceState::Closed, Answer::Undone),
        Some(FenceState::Started | FenceState::Repeated) => Verdict::Undo(Recorded::Unknown),
        Some(FenceState::Applied(reply)) => Verdict::Undo(Recorded::Reply(reply.clone())),
        Some(FenceState::Refused(_) | FenceState::Compensated | FenceState::Closed) => {
            Verdict::Answer(Answer::Undone)
        }
    }
}

fn decide_close(row: Option<&FenceState>) -> Verdict {
    planted!(ProbeForClose: if row.is_none() { return Verdict::Answer(Answer::Closed) });
    match row {
        None => Verdict::Record(FenceState::Closed, Answer::Closed),
        Some(FenceState::Started | FenceState::Repeated) => Verdict::Answer(Answer::Running),
        Some(FenceState::Applied(reply)) => Verdict::Answer(Answer::Done(reply.clone())),
        Some(FenceState::Refused(why)) => Verdict::Answer(Answer::Refused(why.clone())),
        Some(FenceState::Compensated) => Verdict::Answer(Answer::Undone),
        Some(FenceState::Closed) => Verdict::Answer(Answer::Closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_the_table_is_as_the_protocol_says() {
        let reply = Payload::encode(&"r").unwrap();
        let why = Payload::encode(&"no").unwrap();
        let applied = || Some(FenceState::Applied(reply.clone()));
        let refused = || Some(FenceState::Refused(why.clone()));
        let done = || Verdict::Answer(Answer::Done(reply.clone()));
        let no = || Verdict::Answer(Answer::Refused(why.clone()));
        let answer = |answer| Verdict::Answer(answer);
        use Direction::{Close, Do, Undo};
        use FenceState::{Closed, Compensated, Repeated, Started};
        let table = [
            (Do, None, Verdict::Run),
            (Do, applied(), done()),
            (Do, refused(), no()),
            (Do, Some(Compensated), answer(Answer::Closed)),
            (Do, Some(Closed), answer(Answer::Closed)),
            (Undo, None, Verdict::Record(Closed, Answer::Undone)),
            (Undo, Some(Started), Verdict::Undo(Recorded::Unknown)),
            (Undo, Some(Repeated), Verdict::Undo(Recorded::Unknown)),
            (Undo, applied(), Verdict::Undo(Recorded::Reply(reply.clone()))),
            (Undo, refused(), answer(Answer::Undone)),
            (Undo, Some(Compensated), answer(Answer::Undone)),
            (Undo, Some(Closed), answer(Answer::Undone)),
            (Close, None, Verdict::Record(Closed, Answer::Closed)),
            (Close, Some(Started), answer(Answer::Running)),
            (Close, Some(Repeated), answer(Answer::Running)),
            (Close, applied(), done()),
            (Close, refused(), no()),
            (Close, Some(Compensated), answer(Answer::Undone)),
            (Close, Some(Closed), answer(Answer::Closed)),
        ];
        for (direction, row, expected) in table {
            assert_eq!(decide(row.as_ref(), direction), expected, "{direction} on {row:?}");
        }
    }

    #[test]
    fn a_state_has_one_name_in_tables_and_in_json() {
        let states = [
            FenceState::Started,
            FenceState::Repeated,
            FenceState::Applied(Payload::default()),
            FenceState::Refused(Payload::default()),
            FenceState::Compensated,
            FenceState::Closed,
        ];
        for state in states {
            assert!(serde_json::to_string(&state).unwrap().contains(&format!("{:?}", state.as_str())));
        }
    }

    #[test]
    fn a_local_handler_never_runs_on_a_row_that_an_external_one_began() {
        for begun in [FenceState::Started, FenceState::Repeated] {
            let verdict = decide(Some(&begun), Direction::Do);
            assert!(matches!(verdict, Verdict::Answer(Answer::Fault(_))), "{verdict:?}");
        }
    }

    #[test]
    fn an_answer_is_one_that_its_direction_can_have() {
        let payload = Payload::encode(&()).unwrap();
        let rows = [
            None,
            Some(FenceState::Started),
            Some(FenceState::Repeated),
            Some(FenceState::Applied(payload.clone())),
            Some(FenceState::Refused(payload)),
            Some(FenceState::Compensated),
            Some(FenceState::Closed),
        ];
        for direction in Direction::ALL {
            for row in &rows {
                match decide(row.as_ref(), direction) {
                    Verdict::Answer(answer) | Verdict::Record(_, answer) => {
                        assert!(answer.answers(direction))
                    }
                    Verdict::Run => assert_eq!(direction, Direction::Do),
                    Verdict::Undo(_) => assert_eq!(direction, Direction::Undo),
                }
            }
        }
    }
}
