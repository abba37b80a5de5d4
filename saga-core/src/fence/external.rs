//! The table for external handlers, whose work is a call to another system that no transaction spans.
//!
//! `Started` is committed before the call, the outcome after it. So a call may land after its row has moved on: a
//! worker was slow, or died in the call. Three rules take such a call back: a worker that comes to record an outcome
//! and finds its row moved on has the undo run once more, and so has every later delivery of the command that finds
//! `Refused`, or `Compensated`.
//!
//! They are not enough where nobody comes back with a call: it ended in a fault, its worker died, its delivery went to
//! another worker. Therefore whoever ends a call's row with an undo, or with a refusal of which it was not the only call,
//! stores that first, then has the undo run, and then answers: what lands before the row moves on is taken back by that
//! undo. For what lands later the row is watched: the undo is run again and again, until no call can land any more. An
//! undo is idempotent by its key, so once more does no harm.

use std::time::Duration;

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
    /// Run the undo with what is known, and decide again.
    Undo(Recorded),
    /// A call may land behind this state, and nobody come back with it. Store it, have the row watched, and commit; then
    /// run the undo with an outcome that is unknown, and decide again.
    Watch(FenceState),
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
        Some(FenceState::Started) => ExternalVerdict::Call(Some(FenceState::Repeated)),
        Some(FenceState::Repeated) => ExternalVerdict::Call(None),
        // A call of another worker may have landed when this was written already.
        Some(FenceState::Refused(_) | FenceState::Compensated) => UNDO_AGAIN,
        // Here no call was ever begun, or its outcome is on record.
        Some(FenceState::Applied(_) | FenceState::Closed) => taken_back(row),
    }
}

/// A call has come back, to a row that another worker or an undo may have moved on.
fn landed(row: Option<&FenceState>, called: &Called) -> ExternalVerdict {
    use FenceState::{Applied, Closed, Compensated, Refused, Repeated, Started};
    planted!(LateCallStands: if !matches!(row, Some(Started | Repeated)) { return taken_back(row) });
    planted!(RefusalOfOneTrusted: if let (Some(Repeated), Called::Refused(why)) = (row, called) {
        return ExternalVerdict::Record(Refused(why.clone()), Answer::Refused(why.clone()))
    });
    match (row, called) {
        (Some(Started | Repeated), Called::Done(reply)) => {
            ExternalVerdict::Record(Applied(reply.clone()), Answer::Done(reply.clone()))
        }
        // The only call there ever was.
        (Some(Started), Called::Refused(why)) => {
            ExternalVerdict::Record(Refused(why.clone()), Answer::Refused(why.clone()))
        }
        // Another call with this key may have landed, or may yet, and nobody come back with it.
        (Some(Repeated), Called::Refused(why)) => ExternalVerdict::Watch(Refused(why.clone())),
        (Some(Started | Repeated), Called::Failed(fault)) => {
            ExternalVerdict::Answer(Answer::Fault(fault.clone()))
        }
        (Some(Applied(_)), _) => taken_back(row),
        (None | Some(Refused(_) | Compensated | Closed), _) => UNDO_AGAIN,
    }
}

const UNDO_AGAIN: ExternalVerdict = ExternalVerdict::Undo(Recorded::Unknown);

/// Nothing of the command's is under way any more, so the record answers it.
fn taken_back(row: Option<&FenceState>) -> ExternalVerdict {
    match row {
        Some(FenceState::Applied(reply)) => ExternalVerdict::Answer(Answer::Done(reply.clone())),
        Some(FenceState::Refused(why)) => ExternalVerdict::Answer(Answer::Refused(why.clone())),
        Some(FenceState::Compensated | FenceState::Closed) => ExternalVerdict::Answer(Answer::Closed),
        // No row comes back from `Refused` or `Compensated`, unless somebody deleted it.
        None | Some(FenceState::Started | FenceState::Repeated) => {
            ExternalVerdict::Record(FenceState::Closed, Answer::Closed)
        }
    }
}

/// Takes a call back, after the undo was run with what was `given`, if it was.
fn undo(row: Option<&FenceState>, given: Option<&Recorded>) -> ExternalVerdict {
    match (row, given) {
        (Some(FenceState::Started | FenceState::Repeated), _) => {
            ExternalVerdict::Watch(FenceState::Compensated)
        }
        // Whoever stored this may have died before the undo was run, or is still at it.
        (Some(FenceState::Compensated | FenceState::Refused(_)), None) => UNDO_AGAIN,
        // The key has had its effect, so nothing can land behind this undo, and the reply is kept until it is done.
        (Some(FenceState::Applied(reply)), Some(Recorded::Reply(given))) if given == reply => {
            ExternalVerdict::Record(FenceState::Compensated, Answer::Undone)
        }
        (_, _) => unchanged(decide(row, Direction::Undo)),
    }
}

/// How long after a look at a watched row the next one is due, if the row has been watched for so long: `None` if no
/// call can land any more, because it would have done so within `calls_land_within`.
///
/// Each look is four times as old as the one before, so a day has seven of them after one of half a minute. The last is
/// taken when the time is over, not before.
pub fn next_look(watched_for: Duration, calls_land_within: Duration) -> Option<Duration> {
    let left = calls_land_within.checked_sub(watched_for).filter(|left| !left.is_zero())?;
    Some(left.min(watched_for * 3).max(LOOK_PAUSE_MIN))
}

/// Where an external handler makes no difference.
fn unchanged(verdict: Verdict) -> ExternalVerdict {
    match verdict {
        Verdict::Run => ExternalVerdict::Call(Some(FenceState::Started)),
        Verdict::Undo(recorded) => ExternalVerdict::Undo(recorded),
        Verdict::Record(state, answer) => ExternalVerdict::Record(state, answer),
        Verdict::Answer(answer) => ExternalVerdict::Answer(answer),
    }
}

/// So that a row which was looked at as soon as it was written is not looked at all the time.
const LOOK_PAUSE_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Close, Do, Undo};
    use ExternalVerdict as Says;
    use FenceState::{Applied, Closed, Compensated, Refused, Repeated, Started};

    /// Every row, in the order of the table's columns.
    fn rows() -> [Option<FenceState>; 7] {
        let (applied, refused) = (Applied(reply("r")), Refused(reply("no")));
        let rows = [Started, Repeated, applied, refused, Compensated, Closed].map(Some);
        std::array::from_fn(|place| place.checked_sub(1).and_then(|place| rows[place].clone()))
    }

    fn reply(text: &str) -> Payload {
        Payload::encode(&text).unwrap()
    }

    fn assert_row(direction: Direction, progress: &Progress, expected: [ExternalVerdict; 7]) {
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
        let (first, second) = (Says::Call(Some(Started)), Says::Call(Some(Repeated)));
        let expected = [first, second, Says::Call(None), done(), AGAIN, AGAIN, closed];
        assert_row(Do, &Progress::Delivered, expected);
    }

    #[test]
    fn what_a_call_came_to_is_recorded_only_where_the_row_still_waits_for_it() {
        let (new, why, fault) = (|| reply("new"), || reply("why"), Fault::temporary("no answer"));
        let applied = || Says::Record(Applied(new()), Answer::Done(new()));
        let refused = Says::Record(Refused(why()), Answer::Refused(why()));
        let failed = || Says::Answer(Answer::Fault(fault.clone()));
        let cases = [
            (Called::Done(new()), applied(), applied()),
            (Called::Refused(why()), refused, Says::Watch(Refused(why()))),
            (Called::Failed(fault.clone()), failed(), failed()),
        ];
        for (called, of_one, of_several) in cases {
            let expected = [AGAIN, of_one, of_several, done(), AGAIN, AGAIN, AGAIN];
            assert_row(Do, &Progress::Called(called), expected);
        }
    }

    #[test]
    fn a_do_that_was_taken_back_is_answered_from_the_record() {
        let closed = || Says::Answer(Answer::Closed);
        let close = || Says::Record(Closed, Answer::Closed);
        let expected = [close(), close(), close(), done(), refused(), closed(), closed()];
        assert_row(Do, &Progress::Undone(Recorded::Unknown), expected);
    }

    #[test]
    fn an_undo_of_an_unknown_outcome_is_stored_before_it_is_run_and_of_a_known_one_after_it() {
        let undone = || Says::Answer(Answer::Undone);
        let close = || Says::Record(Closed, Answer::Undone);
        let watch = || Says::Watch(Compensated);
        let with_reply = || Says::Undo(Recorded::Reply(reply("r")));
        let expected = [close(), watch(), watch(), with_reply(), AGAIN, AGAIN, undone()];
        assert_row(Undo, &Progress::Delivered, expected);
        let expected = [close(), watch(), watch(), with_reply(), undone(), undone(), undone()];
        assert_row(Undo, &Progress::Undone(Recorded::Unknown), expected);
        let done = Says::Record(Compensated, Answer::Undone);
        let expected = [close(), watch(), watch(), done, undone(), undone(), undone()];
        assert_row(Undo, &Progress::Undone(Recorded::Reply(reply("r"))), expected);
        let expected = [close(), watch(), watch(), with_reply(), undone(), undone(), undone()];
        assert_row(Undo, &Progress::Undone(Recorded::Reply(reply("another"))), expected);
    }

    #[test]
    fn a_close_is_told_that_a_call_is_under_way() {
        let expected = [
            Says::Record(Closed, Answer::Closed),
            Says::Answer(Answer::Running),
            Says::Answer(Answer::Running),
            done(),
            refused(),
            Says::Answer(Answer::Undone),
            Says::Answer(Answer::Closed),
        ];
        assert_row(Close, &Progress::Delivered, expected);
    }

    #[test]
    fn looks_become_rare_and_the_last_one_is_taken_when_no_call_can_land_any_more() {
        let second = Duration::from_secs(1);
        let (mut age, mut looks) = (30 * second, vec![]);
        while let Some(pause) = next_look(age, 86_400 * second) {
            age += pause;
            looks.push(age.as_secs());
        }
        assert_eq!(looks, [120, 480, 1_920, 7_680, 30_720, 86_400]);
        assert_eq!(next_look(Duration::ZERO, second), Some(second), "no look follows another at once");
        assert_eq!(next_look(second, second), None);
    }
}
