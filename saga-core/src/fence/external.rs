//! The table for external handlers, whose work is a call to another system that no transaction spans.
//!
//! `Started` is committed before the call, the outcome after it. So a call may land after its row has moved on: a
//! worker was slow, or died in the call. Three rules take such a call back: a worker that comes to record an outcome
//! and finds its row no longer `Started` has the undo run once more, and so has every later delivery of the command
//! that finds `Refused`, or `Compensated`.
//!
//! Nobody comes back with a call that ended in a fault. Therefore whoever ends `Started` with a refusal or an undo
//! stores that first, then has the undo run, and then answers: what lands before the row moves on is taken back by
//! that undo, and what lands later by the three rules. An undo is idempotent by its key, so once more does no harm.

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
    /// Store this, if anything, and commit; then call.
    Call(Option<FenceState>),
    /// Store this, if anything, and commit; then run the undo with what is known, and decide again.
    Undo(Option<FenceState>, Recorded),
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
    planted!(CallBehindRefusalStands: if let Some(FenceState::Refused(_)) = row { return taken_back(row) });
    planted!(CallBehindUndoStands: if let Some(FenceState::Compensated) = row { return taken_back(row) });
    match row {
        None => ExternalVerdict::Call(Some(FenceState::Started)),
        Some(FenceState::Started) => ExternalVerdict::Call(None),
        // A call of another worker may have landed when this was written already.
        Some(FenceState::Refused(_) | FenceState::Compensated) => undo_unknown(None),
        // Here no call was ever begun, or its outcome is on record.
        Some(FenceState::Applied(_) | FenceState::Closed) => taken_back(row),
    }
}

/// A call has come back, to a row that another worker or an undo may have moved on.
fn landed(row: Option<&FenceState>, called: &Called) -> ExternalVerdict {
    planted!(LateCallStands: if row != Some(&FenceState::Started) { return taken_back(row) });
    match (row, called) {
        (Some(FenceState::Started), Called::Done(reply)) => {
            ExternalVerdict::Record(FenceState::Applied(reply.clone()), Answer::Done(reply.clone()))
        }
        (Some(FenceState::Started), Called::Refused(why)) => {
            // Another call with this key may have landed, and its worker have answered with a fault and gone.
            undo_unknown(Some(FenceState::Refused(why.clone())))
        }
        (Some(FenceState::Started), Called::Failed(fault)) => {
            ExternalVerdict::Answer(Answer::Fault(fault.clone()))
        }
        (Some(FenceState::Applied(_)), _) => taken_back(row),
        (None | Some(FenceState::Refused(_) | FenceState::Compensated | FenceState::Closed), _) => {
            undo_unknown(None)
        }
    }
}

const fn undo_unknown(store: Option<FenceState>) -> ExternalVerdict {
    ExternalVerdict::Undo(store, Recorded::Unknown)
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

/// Takes a call back, after the undo was run with what was `given`, if it was.
fn undo(row: Option<&FenceState>, given: Option<&Recorded>) -> ExternalVerdict {
    match (row, given) {
        (Some(FenceState::Started), _) => undo_unknown(Some(FenceState::Compensated)),
        // Whoever stored this may have died before the undo was run.
        (Some(FenceState::Compensated), None) => undo_unknown(None),
        // The key has had its effect, so nothing can land behind this undo, and the reply is kept until it is done.
        (Some(FenceState::Applied(reply)), Some(Recorded::Reply(given))) if given == reply => {
            ExternalVerdict::Record(FenceState::Compensated, Answer::Undone)
        }
        (_, _) => unchanged(decide(row, Direction::Undo)),
    }
}

/// Where an external handler makes no difference.
fn unchanged(verdict: Verdict) -> ExternalVerdict {
    match verdict {
        Verdict::Run => ExternalVerdict::Call(Some(FenceState::Started)),
        Verdict::Undo(recorded) => ExternalVerdict::Undo(None, recorded),
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

    const AGAIN: ExternalVerdict = Says::Undo(None, Recorded::Unknown);

    fn done() -> ExternalVerdict {
        Says::Answer(Answer::Done(reply("r")))
    }

    fn refused() -> ExternalVerdict {
        Says::Answer(Answer::Refused(reply("no")))
    }

    #[test]
    fn a_do_calls_unless_its_outcome_is_known_and_what_may_have_landed_late_is_undone() {
        let closed = Says::Answer(Answer::Closed);
        let expected = [Says::Call(Some(Started)), Says::Call(None), done(), AGAIN, AGAIN, closed];
        assert_row(Do, &Progress::Delivered, expected);
    }

    #[test]
    fn what_a_call_came_to_is_recorded_only_where_the_row_still_waits_for_it() {
        let fault = Fault::temporary("no answer");
        let cases = [
            (Called::Done(reply("new")), Says::Record(Applied(reply("new")), Answer::Done(reply("new")))),
            (Called::Refused(reply("why")), Says::Undo(Some(Refused(reply("why"))), Recorded::Unknown)),
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
    fn an_undo_of_an_unknown_outcome_is_stored_before_it_is_run_and_of_a_known_one_after_it() {
        let undone = || Says::Answer(Answer::Undone);
        let close = || Says::Record(Closed, Answer::Undone);
        let begun = || Says::Undo(Some(Compensated), Recorded::Unknown);
        let with_reply = || Says::Undo(None, Recorded::Reply(reply("r")));
        let expected = [close(), begun(), with_reply(), undone(), AGAIN, undone()];
        assert_row(Undo, &Progress::Delivered, expected);
        let expected = [close(), begun(), with_reply(), undone(), undone(), undone()];
        assert_row(Undo, &Progress::Undone(Recorded::Unknown), expected);
        let done = Says::Record(Compensated, Answer::Undone);
        let expected = [close(), begun(), done, undone(), undone(), undone()];
        assert_row(Undo, &Progress::Undone(Recorded::Reply(reply("r"))), expected);
        let expected = [close(), begun(), with_reply(), undone(), undone(), undone()];
        assert_row(Undo, &Progress::Undone(Recorded::Reply(reply("another"))), expected);
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
