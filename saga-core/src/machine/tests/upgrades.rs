//! Moving to a newer version: where a saga may stand, what comes with it, and how it goes on.

use super::case::{Case, cancel, name, signal};
use super::contract::{
    Approval, Authorize, Capture, Order, Reserve, Screen, Ship, Thank, approved_order, child_order, order,
};
use crate::definition::{Definition, saga};
use crate::id::Direction::Do;
use crate::machine::{Decision, Event, StepState, TransitionError, UpgradeError, upgrade};
use crate::message::Answer;

/// Moves a saga, if it may, and has it go on with the newer version.
fn moves(case: &mut Case, newer: &Definition<Order>) -> Result<Decision, UpgradeError> {
    let event = upgrade(newer.plan(), &case.saga)?;
    case.plan = newer.plan().clone();
    Ok(case.moved(&event))
}

/// `order`, for which as many of its first steps as this are done.
fn with_done(steps: usize) -> Case {
    let mut case = Case::of(&order());
    ["reserve", "screen", "capture"].into_iter().take(steps).for_each(|step| drop(case.done(step)));
    case
}

/// `order` without its check, and with thanks instead of shipping.
fn unscreened() -> Definition<Order> {
    saga(2).step::<Reserve>().pivot::<Capture>().then::<Thank>().upgrade_from(&order()).build().unwrap()
}

#[test]
fn a_saga_moves_where_both_versions_are_the_same_and_goes_on_with_the_newer_one() {
    let mut case = with_done(0);
    let timers = case.timers.clone();
    assert_eq!(moves(&mut case, &unscreened()), Ok(Decision::Upgraded(1, 2)));
    assert_eq!(case.saga.definition, *unscreened().plan().reference());
    assert!(case.sent.is_empty(), "{:?}", case.sent);
    assert_eq!(case.timers, timers);
    case.done("reserve");
    assert_eq!(case.awaited("capture"), Some((Do, 1)));
}

#[test]
fn a_saga_stays_once_it_has_entered_what_is_not_the_same() {
    let begins_otherwise =
        saga(2).step::<Authorize>().pivot::<Capture>().upgrade_from(&order()).build().unwrap();
    let ends_there = saga(2).step::<Reserve>().check::<Screen>().upgrade_from(&order()).build().unwrap();
    let cases = [
        (0, begins_otherwise, "reserve", "authorize"),
        (1, unscreened(), "screen", "capture"),
        (2, unscreened(), "screen", "capture"),
        (2, ends_there, "capture", ""),
    ];
    for (done, newer, older_step, newer_step) in cases {
        match upgrade(newer.plan(), &with_done(done).saga) {
            Err(UpgradeError::Different { was, is }) => {
                assert!(was.contains(older_step) && is.contains(newer_step), "{done}: {was:?}, {is:?}");
                assert_eq!(is.is_empty(), newer_step.is_empty(), "{done}");
            }
            other => panic!("{done}: {other:?}"),
        }
    }
}

#[test]
fn a_version_is_asked_for_sagas_of_those_only_that_it_takes_and_that_have_not_ended() {
    let newest = saga(3).step::<Reserve>().upgrade_from(&unscreened()).build().unwrap();
    assert_eq!(upgrade(newest.plan(), &with_done(0).saga), Err(UpgradeError::NotOffered(1)));
    let mut ended = with_done(0);
    ended.moved(&cancel());
    ended.answer("reserve", Answer::Undone);
    assert_eq!(upgrade(unscreened().plan(), &ended.saga), Err(UpgradeError::Ended));
}

#[test]
fn a_saga_that_is_through_as_a_step_stays_for_what_comes_behind_would_never_be_done() {
    let mut child = Case::run_by(&child_order(), Do);
    child.done("reserve");
    let newer = saga(2).step::<Reserve>().check::<Screen>().step::<Authorize>().upgrade_from(&child_order());
    let newer = newer.build().unwrap();
    assert!(upgrade(newer.plan(), &child.saga).is_ok());
    child.done("screen");
    assert_eq!(upgrade(newer.plan(), &child.saga), Err(UpgradeError::Through));
}

/// Behind a pivot its parent could not take it back, and would take it for taken back.
#[test]
fn a_saga_that_is_a_step_of_another_one_moves_to_no_version_with_a_pivot() {
    let child = Case::run_by(&child_order(), Do);
    let newer = saga(2).step::<Reserve>().pivot::<Capture>().upgrade_from(&child_order()).build().unwrap();
    assert_eq!(upgrade(newer.plan(), &child.saga), Err(UpgradeError::Pivot));
    let alone = Case::of(&child_order());
    assert!(upgrade(newer.plan(), &alone.saga).is_ok());
}

#[test]
fn the_data_comes_as_the_newer_version_makes_it() {
    let noted = |old: Order| Order { diary: vec!["moved".into()], ..old };
    let newer = saga(2).step::<Reserve>().pivot::<Ship>().upgrade_from_with(&order(), noted).build().unwrap();
    let mut case = with_done(0);
    moves(&mut case, &newer).unwrap();
    assert_eq!(case.data::<Order>().diary, ["moved"]);
}

#[test]
fn a_signal_that_came_early_is_kept_for_a_step_that_waits_for_it() {
    let early = || {
        let mut case = Case::of(&approved_order());
        case.moved(&signal("approve", Approval::Yes));
        case
    };
    let still = saga(2).step::<Reserve>().wait::<Approval>().pivot::<Capture>().then::<Ship>();
    let still = still.upgrade_from(&approved_order()).build().unwrap();
    let mut case = early();
    assert!(moves(&mut case, &still).is_ok());
    assert!(case.saga.state.steps().iter().any(|record| matches!(record.state, StepState::Early(_))));
    case.done("reserve");
    assert_eq!(case.awaited("capture"), Some((Do, 1)), "it need not be given again");

    let no_more =
        saga(2).step::<Reserve>().pivot::<Capture>().upgrade_from(&approved_order()).build().unwrap();
    let stays = upgrade(no_more.plan(), &early().saga);
    assert_eq!(stays, Err(UpgradeError::NoSignal(name("approve"))));
}

#[test]
fn a_move_that_nobody_has_checked_is_refused() {
    let data = with_done(0).saga.data;
    for (done, newer) in [(2, unscreened()), (0, order())] {
        let mut case = with_done(done);
        case.plan = newer.plan().clone();
        let refused = case.refused(&Event::Upgraded { from: 1, to: 2, data: data.clone() });
        assert!(matches!(refused, TransitionError::NotUpgraded(_)), "{refused:?}");
    }
}
