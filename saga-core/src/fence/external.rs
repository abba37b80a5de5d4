//! The table for external handlers, whose work is a call to another system that no transaction spans.
//!
//! `Started` is committed before the call, the outcome after it. So a call may land after its row has moved on: a
//! worker was slow, or died in the call. Three rules take such a call back: a worker that comes to record an outcome
//! and finds its row no longer `Started` has the undo run once more, and so has every later delivery of the command
//! that finds `Refused`, or `Compensated`. An undo is idempotent by its key, so once more does no harm.

use super::{FenceState, Recorded, Verdict, decide};
use crate::id::Direction;
use crate::message::{Answer, Fault, Payload};

/// How far an external handler has come with one delivery of a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// It was delivered, and nothing was called.
    Delivered,
    /// The call was made, and came back with this.
    Called(Called),
    /// The undo was run, given this, and is done.
    Undone(Recorded),
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Called {
    /// The work is done, with this reply.
    Done(Payload),
    /// The business said no, for this reason.
    Refused(Payload),
    /// Nobody knows: there was no answer, or none that says yes or no. The call may have landed.
    Failed(Fault),
}

/// What to do with a command of an external handler, given the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalVerdict {
    /// Store `Started` and commit; then call.
    Begin,
    /// Call again, with the same key.
    Call,
    /// Run the undo with this, then decide again.
    Undo(Recorded),
    /// Store this state and answer.
    Record(FenceState, Answer),
    /// Change nothing and answer.
    Answer(Answer),
}

/// Decides what a command in `direction` means for the row `row` of an external handler, after `progress`.
///
/// Every triple has its cell in the tables of `docs/delivery.md`, and its test.
pub fn decide_external(
    row: Option<&FenceState>,
    direction: Direction,
    progress: &Progress,
) -> ExternalVerdict {
    match (direction, progress) {
        (Direction::Do, Progress::Delivered) => delivered(row),
        (Direction::Do, Progress::Called(called)) => landed(row, called),
        (Direction::Do, Progress::Undone(_)) => taken_back(row),
        (Direction::Undo, Progress::Undone(given)) => undo(row, Some(given)),
        (Direction::Undo, Progress::Delivered | Progress::Called(_)) => undo(row, None),
        (Direction::Close, _) => unchanged(decide(row, Direction::Close)),
    }
}

fn delivered(row: Option<&FenceState>) -> ExternalVerdict {
    match row {
        None => ExternalVerdict::Begin,
        Some(FenceState::Started) => ExternalVerdict::Call,
        // A call of another worker may have landed when this was written already.
        Some(FenceState::Refused(_) | FenceState::Compensated) => ExternalVerdict::Undo(Recorded::Unknown),
        // Here no call was ever begun, or its outcome is on record.
        Some(FenceState::Applied(_) | FenceState::Closed) => taken_back(row),
    }
}

/// A call has come back, to a row that another worker or an undo may have moved on.
fn landed(row: Option<&FenceState>, called: &Called) -> ExternalVerdict {
    match (row, called) {
        (Some(FenceState::Started), Called::Done(reply)) => {
            ExternalVerdict::Record(FenceState::Applied(reply.clone()), Answer::Done(reply.clone()))
        }
        (Some(FenceState::Started), Called::Refused(why)) => {
            ExternalVerdict::Record(FenceState::Refused(why.clone()), Answer::Refused(why.clone()))
        }
        (Some(FenceState::Started), Called::Failed(fault)) => {
            ExternalVerdict::Answer(Answer::Fault(fault.clone()))
        }
        (Some(FenceState::Applied(_)), _) => taken_back(row),
        (None | Some(FenceState::Refused(_) | FenceState::Compensated | FenceState::Closed), _) => {
            ExternalVerdict::Undo(Recorded::Unknown)
        }
    }
}

/// Nothing of the command's is under way any more, so the record answers it.
fn taken_back(row: Option<&FenceState>) -> ExternalVerdict {
    match row {
        Some(FenceState::Applied(reply)) => ExternalVerdict::Answer(Answer::Done(reply.clone())),
        Some(FenceState::Refused(why)) => ExternalVerdict::Answer(Answer::Refused(why.clone())),
        Some(FenceState::Compensated | FenceState::Closed) => ExternalVerdict::Answer(Answer::Closed),
        // No row comes back from `Refused` or `Compensated`, unless somebody deleted it.
        None | Some(FenceState::Started) => ExternalVerdict::Record(FenceState::Closed, Answer::Closed),
    }
}

/// Takes a call back, `given` what the row said when the undo was run. If it says something else by now, a call has
/// landed meanwhile, perhaps behind the undo: the undo is run again.
fn undo(row: Option<&FenceState>, given: Option<&Recorded>) -> ExternalVerdict {
    match decide(row, Direction::Undo) {
        Verdict::Undo(recorded) if given == Some(&recorded) => {
            ExternalVerdict::Record(FenceState::Compensated, Answer::Undone)
        }
        verdict => unchanged(verdict),
    }
}

/// Where an external handler makes no difference.
fn unchanged(verdict: Verdict) -> ExternalVerdict {
    match verdict {
        Verdict::Run => ExternalVerdict::Begin,
        Verdict::Undo(recorded) => ExternalVerdict::Undo(recorded),
        Verdict::Record(state, answer) => ExternalVerdict::Record(state, answer),
        Verdict::Answer(answer) => ExternalVerdict::Answer(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Close, Do, Undo};
    use ExternalVerdict as Says;
    use FenceState::{Applied, Closed, Compensated, Refused, Started};

    /// Every row, in the order of the table's columns.
    fn rows() -> [Option<FenceState>; 6] {
        let applied = Applied(reply("r"));
        [None, Some(Started), Some(applied), Some(Refused(reply("no"))), Some(Compensated), Some(Closed)]
    }

    fn reply(text: &str) -> Payload {
        Payload::encode(&text).unwrap()
    }

    fn assert_row(direction: Direction, progress: &Progress, expected: [ExternalVerdict; 6]) {
        for (row, expected) in rows().into_iter().zip(expected) {
            let says = decide_external(row.as_ref(), direction, progress);
            assert_eq!(says, expected, "{direction} on {row:?} after {progress:?}");
        }
    }

    const AGAIN: ExternalVerdict = Says::Undo(Recorded::Unknown);

    fn done() -> ExternalVerdict {
        Says::Answer(Answer::Done(reply("r")))
    }

    fn refused() -> ExternalVerdict {
        Says::Answer(Answer::Refused(reply("no")))
    }

    #[test]
    fn a_do_calls_unless_its_outcome_is_known_and_what_may_have_landed_late_is_undone() {
        let closed = Says::Answer(Answer::Closed);
        let expected = [Says::Begin, Says::Call, done(), AGAIN, AGAIN, closed];
        assert_row(Do, &Progress::Delivered, expected);
    }

    #[test]
    fn what_a_call_came_to_is_recorded_only_where_the_row_still_waits_for_it() {
        let fault = Fault::temporary("no answer");
        let cases = [
            (Called::Done(reply("new")), Says::Record(Applied(reply("new")), Answer::Done(reply("new")))),
            (
                Called::Refused(reply("why")),
                Says::Record(Refused(reply("why")), Answer::Refused(reply("why"))),
            ),
            (Called::Failed(fault.clone()), Says::Answer(Answer::Fault(fault))),
        ];
        for (called, recorded) in cases {
            let expected = [AGAIN, recorded, done(), AGAIN, AGAIN, AGAIN];
            assert_row(Do, &Progress::Called(called), expected);
        }
    }

    #[test]
    fn a_do_that_was_taken_back_is_answered_from_the_record() {
        let closed = || Says::Answer(Answer::Closed);
        let close = || Says::Record(Closed, Answer::Closed);
        let expected = [close(), close(), done(), refused(), closed(), closed()];
        assert_row(Do, &Progress::Undone(Recorded::Unknown), expected);
    }

    #[test]
    fn an_undo_is_recorded_only_if_it_was_given_what_the_row_still_says() {
        let undone = || Says::Answer(Answer::Undone);
        let close = || Says::Record(Closed, Answer::Undone);
        let compensate = || Says::Record(Compensated, Answer::Undone);
        let with_reply = || Says::Undo(Recorded::Reply(reply("r")));
        let rest = || [undone(), undone(), undone()];
        let expected = |started, applied| {
            let [refused, compensated, closed] = rest();
            [close(), started, applied, refused, compensated, closed]
        };
        assert_row(Undo, &Progress::Delivered, expected(AGAIN, with_reply()));
        let unknown = Progress::Undone(Recorded::Unknown);
        assert_row(Undo, &unknown, expected(compensate(), with_reply()));
        let known = Progress::Undone(Recorded::Reply(reply("r")));
        assert_row(Undo, &known, expected(AGAIN, compensate()));
    }

    #[test]
    fn a_close_is_told_that_a_call_is_under_way() {
        let expected = [
            Says::Record(Closed, Answer::Closed),
            Says::Answer(Answer::Running),
            done(),
            refused(),
            Says::Answer(Answer::Undone),
            Says::Answer(Answer::Closed),
        ];
        assert_row(Close, &Progress::Delivered, expected);
    }
}
