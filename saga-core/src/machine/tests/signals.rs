//! Waiting for what comes from outside: early, in time, twice, too late or never.

use std::time::Duration;

use super::case::{
    Case, cancel, done, name, permanent, replied, resolve, resolve_not_done, retry, signal, timer,
};
use super::contract::{Approval, Order, Reserve, approved_order};
use crate::definition::saga;
use crate::id::Direction::Do;
use crate::machine::{Cause, Decision, Event, Ignored, Resolution, Status, StepState, TransitionError};
use crate::message::{Answer, Payload};

const MINUTE: Duration = Duration::from_secs(60);

fn yes() -> Event {
    signal("approve", Approval::Yes)
}

fn no() -> Event {
    signal("approve", Approval::No)
}

fn with(order: &Order) -> Case {
    Case::with(&approved_order(), order)
}

/// `approved_order` with this data, waiting.
fn waiting_with(order: &Order) -> Case {
    let mut case = with(order);
    case.done("reserve");
    assert!(case.sent.is_empty(), "nobody is asked");
    case
}

fn waiting() -> Case {
    waiting_with(&Order::default())
}

/// From now on nothing panics.
fn mend(case: &mut Case) {
    let order = Order { trap: String::new(), ..case.data() };
    case.saga.data = Payload::encode(&order).unwrap();
}

#[test]
fn a_saga_waits_until_its_signal_comes() {
    let mut case = waiting();
    assert_eq!(case.timers[&name("approve")], (Do, 1, Duration::from_secs(3600)));
    assert_eq!(case.moved(&yes()), Decision::Advanced(name("approve")));
    assert_eq!(case.sent, ["do capture"]);
    assert_eq!(case.data::<Order>().diary, ["reserve replied 7", "approve given Yes"]);
}

#[test]
fn a_signal_that_is_a_no_has_the_saga_compensated_and_noted() {
    let mut case = waiting();
    case.moved(&no());
    assert_eq!(case.sent, ["undo reserve"]);
    let why = Some(Payload::encode(&Approval::No).unwrap());
    assert_eq!(case.saga.state.cause(), Some(&Cause::Refused { step: name("approve"), why }));
    assert_eq!(case.data::<Order>().diary, ["reserve replied 7", "approve given No"]);
}

#[test]
fn without_a_signal_the_deadline_compensates_or_takes_the_default() {
    let mut strict = waiting();
    let decision = strict.time_out("approve");
    assert_eq!(decision.to_string(), "compensating: no signal came for approve in time");
    assert_eq!(strict.sent, ["undo reserve"]);

    let mut lenient = waiting_with(&Order { lenient: true, ..Order::default() });
    lenient.time_out("approve");
    assert_eq!(lenient.sent, ["do capture"]);
    assert_eq!(lenient.data::<Order>().diary.last().unwrap(), "approve given Yes");
    assert_eq!(lenient.ignored(&yes()), Ignored::GivenBefore, "it is what the default said");
    assert_eq!(lenient.refused(&no()), TransitionError::SignalTaken(name("approve")));
}

#[test]
fn a_signal_that_comes_early_is_kept_until_the_saga_waits() {
    for (early, sent) in [(yes(), "do capture"), (no(), "undo reserve")] {
        let mut case = with(&Order::default());
        assert_eq!(case.moved(&early).to_string(), "signal of approve kept");
        assert!(case.sent.is_empty());
        case.done("reserve");
        assert_eq!(case.sent, [sent]);
        assert_eq!(case.ignored(&early), Ignored::GivenBefore);
    }
}

#[test]
fn a_signal_that_came_early_survives_that_the_saga_is_parked() {
    let mut case = with(&Order::default());
    case.moved(&yes());
    case.answer("reserve", permanent());
    case.moved(&retry());
    case.done("reserve");
    assert_eq!(case.sent, ["do capture"]);
}

#[test]
fn the_same_signal_given_twice_changes_nothing_and_another_one_is_refused() {
    let mut taken = waiting();
    taken.moved(&yes());
    let mut early = with(&Order::default());
    early.moved(&yes());
    let mut completed = taken.clone();
    completed.done("capture");
    completed.done("ship");
    for case in [&mut taken, &mut early, &mut completed] {
        assert_eq!(case.ignored(&yes()), Ignored::GivenBefore);
        assert_eq!(case.refused(&no()), TransitionError::SignalTaken(name("approve")));
    }
    let mut refused = waiting();
    refused.moved(&no());
    let mut compensated = refused.clone();
    compensated.answer("reserve", Answer::Undone);
    for case in [&mut refused, &mut compensated] {
        assert_eq!(case.ignored(&no()), Ignored::GivenBefore);
        assert_eq!(case.refused(&yes()), TransitionError::SignalTaken(name("approve")));
    }
}

#[test]
fn a_signal_is_too_late_once_the_saga_goes_back_or_has_ended() {
    let mut case = waiting();
    case.moved(&cancel());
    assert_eq!(case.refused(&yes()), TransitionError::GoingBack(name("approve")));
    let mut parked = case.clone();
    parked.answer("reserve", permanent());
    assert_eq!(parked.refused(&yes()), TransitionError::GoingBack(name("approve")));
    case.answer("reserve", Answer::Undone);
    assert_eq!(case.refused(&yes()), TransitionError::Ended);
}

#[test]
fn a_wait_that_is_skipped_wants_no_signal() {
    let mut case = with(&Order::without(&["approve"]));
    case.moved(&no());
    case.done("reserve");
    assert_eq!(case.sent, ["do capture"]);
    assert_eq!(case.ignored(&yes()), Ignored::NotAwaited);
}

#[test]
fn what_is_no_signal_of_the_step_is_refused_and_the_saga_goes_on_waiting() {
    let mut case = waiting();
    let bad = Event::Signalled { step: name("approve"), signal: Payload::encode(&7).unwrap() };
    assert!(matches!(case.refused(&bad), TransitionError::BadSignal(_)));
    assert_eq!(case.refused(&signal("capture", Approval::Yes)), TransitionError::NoSignal(name("capture")));
    assert_eq!(case.refused(&signal("aprove", Approval::Yes)), TransitionError::UnknownStep("aprove".into()));
    case.moved(&yes());
}

#[test]
fn a_step_that_waits_takes_no_answers() {
    let mut case = waiting();
    for answer in [done(7), permanent(), Answer::Closed] {
        assert_eq!(case.ignored(&replied("approve", Do, 1, answer)), Ignored::NotAwaited);
    }
}

#[test]
fn a_signal_that_parks_its_saga_is_kept_and_taken_at_the_release() {
    for trap in ["on_signal approve", "command capture"] {
        let mut case = waiting_with(&Order::trapped(trap));
        case.moved(&yes());
        assert!(case.reason().contains(trap), "{}", case.reason());
        assert_eq!(case.ignored(&yes()), Ignored::GivenBefore);
        assert_eq!(case.refused(&no()), TransitionError::SignalTaken(name("approve")));
        mend(&mut case);
        case.moved(&retry());
        assert_eq!(case.sent, ["do capture"]);
        assert_eq!(case.data::<Order>().diary, ["reserve replied 7", "approve given Yes"]);
    }
}

#[test]
fn a_signal_for_a_parked_saga_is_kept_and_taken_at_the_release() {
    for (given, sent) in [(yes(), "do capture"), (no(), "undo reserve")] {
        let mut case = waiting_with(&Order::trapped("at_deadline approve"));
        case.time_out("approve");
        let reason = case.reason().to_owned();
        assert_eq!(case.moved(&given), Decision::Kept(name("approve")));
        assert_eq!(case.reason(), reason, "it is still parked");
        mend(&mut case);
        case.moved(&retry());
        assert_eq!(case.sent, [sent]);
    }
    let mut before = with(&Order::default());
    before.answer("reserve", permanent());
    before.moved(&yes());
    assert_eq!(before.status(), Status::Parked);
    before.moved(&retry());
    before.done("reserve");
    assert_eq!(before.sent, ["do capture"]);
}

#[test]
fn a_parked_saga_that_waits_gets_its_whole_time_once_it_is_released() {
    let mut case = waiting_with(&Order::trapped("at_deadline approve"));
    case.time_out("approve");
    mend(&mut case);
    case.moved(&retry());
    assert_eq!(case.timers[&name("approve")], (Do, 2, Duration::from_secs(3600)));
    assert_eq!(case.ignored(&timer("approve", Do, 1)), Ignored::StaleTimer);
    case.moved(&yes());
    assert_eq!(case.sent, ["do capture"]);
}

#[test]
fn an_operator_who_says_no_or_that_no_signal_will_come_has_the_saga_compensated() {
    let mut case = waiting();
    case.moved(&resolve_not_done("approve"));
    assert_eq!(case.sent, ["undo reserve"]);
    let resolved = Resolution::Done(Payload::encode(&Approval::No).unwrap());
    let mut by_word = waiting();
    by_word.moved(&resolve("approve", resolved));
    assert_eq!(by_word.sent, ["undo reserve"], "a no is a no, whoever says it");
    let record = case.saga.state.steps().iter().find(|record| record.name.as_str() == "approve");
    assert_eq!(record.unwrap().state, StepState::Refused);
}

#[test]
fn a_wait_ends_with_the_sagas_own_deadline_if_that_is_sooner() {
    let definition = crate::saga::<Order>(1)
        .deadline(Duration::from_secs(60))
        .step::<Reserve>()
        .wait::<Approval>()
        .build()
        .unwrap();
    let mut case = Case::with(&definition, &Order { lenient: true, ..Order::default() });
    case.done("reserve");
    assert_eq!(case.timers[&name("approve")].2, Duration::from_secs(60));
    case.time_out("approve");
    assert_eq!(case.saga.state.cause(), Some(&Cause::Overdue));
}

/// The timer was cut to a deadline that a newer build has put off.
#[test]
fn a_wait_whose_timer_is_early_goes_on_to_its_deadline() {
    let hurried = |minutes| saga(1).wait::<Approval>().deadline(MINUTE * minutes).build().unwrap();
    let mut case = Case::of(&hurried(15));
    case.plan = hurried(120).plan().clone();
    assert_eq!(case.time_out("approve"), Decision::WaitingOn(name("approve")));
    assert_eq!(case.timers[&name("approve")].2, MINUTE * 45);
    case.time_out("approve");
    assert_eq!(case.saga.state.cause(), Some(&Cause::NoSignal { step: name("approve") }));
}

#[test]
fn a_signal_that_was_kept_is_not_overridden_by_what_an_operator_says() {
    let mut case = waiting_with(&Order::trapped("at_deadline approve"));
    case.time_out("approve");
    assert_eq!(case.moved(&no()), Decision::Kept(name("approve")));
    let resolved = resolve("approve", Resolution::Done(Payload::encode(&Approval::Yes).unwrap()));
    assert_eq!(case.refused(&resolved), TransitionError::SignalTaken(name("approve")));
    mend(&mut case);
    case.moved(&retry());
    assert_eq!(case.status(), Status::Compensating, "the first word counts");
}
