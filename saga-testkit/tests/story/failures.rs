//! Stories that are not so, and what they say.

use std::panic::catch_unwind;

use saga_testkit::story::given;

use super::{
    AuthorizePayment, CheckFraud, PlaceOrder, ReserveStock, ShipOrder, capturing, order, place_order,
    reserving, shipping,
};

/// What the story that fails says.
fn failure(story: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(story).unwrap_err();
    panic.downcast::<String>().map_or_else(|_| "no text".into(), |text| *text)
}

#[test]
fn a_failure_shows_the_story_so_far_and_what_came_instead() {
    let said = failure(|| drop(capturing().expect::<ShipOrder>()));
    let expected = "\
expected do ship, but this was sent and is not told yet: do capture {\"amount\":30}

the story so far:
   1. place-order version 1 starts
       sends do check {}
   2. do check is answered with done null: check done, next step sent
       sends do reserve {\"items\":3}
       sends do authorize {\"amount\":30}
   3. do reserve is answered with done 7: reserve done
   4. do authorize is answered with done null: authorize done, next step sent
       sends do capture {\"amount\":30}

the saga is Running, awaits do capture (attempt 1)";
    assert_eq!(said, expected);
}

#[test]
fn every_assertion_can_fail() {
    let failures = [
        (failure(|| drop(order().expect::<ReserveStock>())), "expected do reserve, but"),
        (failure(|| drop(reserving().expect_undo::<ReserveStock>())), "expected undo reserve, but"),
        (failure(|| drop(order().expect_close::<CheckFraud>())), "expected close check, but"),
        (failure(|| drop(order().back_to::<CheckFraud>())), "no unanswered command of check was told"),
        (
            failure(|| drop(reserving().expect::<ReserveStock>().equal_to(ReserveStock { items: 4 }))),
            "expected ReserveStock { items: 4 }, but ReserveStock { items: 3 } was sent",
        ),
        (failure(|| order().expect_completed()), "expected the saga to be Completed, but it is Running"),
        (failure(|| order().expect_compensated()), "expected the saga to be Compensated, but it is Running"),
        (
            failure(|| drop(order().expect_parked("a bug"))),
            "expected the saga to be Parked, but it is Running",
        ),
        (
            failure(|| {
                drop(shipping().expect::<ShipOrder>().refuse("no truck".into()).expect_parked("a bug"))
            }),
            "expected it to be parked for \"a bug\", but it is for",
        ),
        (
            failure(|| drop(order().expect_skipped::<AuthorizePayment>())),
            "expected that authorize was skipped, but it was not come to",
        ),
        (
            failure(|| drop(reserving().expect_skipped::<AuthorizePayment>())),
            "expected that authorize was skipped, but it was not",
        ),
        (failure(|| drop(order().expect_cancel_refused())), "expected that it is too late to cancel"),
        (failure(|| drop(shipping().cancel("too late"))), "this was refused: the pivot capture is under way"),
        (failure(|| drop(shipping().compensate("too late"))), "this was refused: the pivot capture is"),
        (failure(|| drop(order().cancel("once").cancel("twice"))), "this was ignored: under_way"),
        (
            failure(|| drop(shipping().resolve_not_done::<ShipOrder>("wrong"))),
            "this was refused: step ship stands after the pivot",
        ),
        (
            failure(|| drop(order().resolve_undone::<ReserveStock>("wrong"))),
            "this was refused: step reserve is",
        ),
        (
            failure(|| drop(order().resolve_done::<AuthorizePayment>(&(), "wrong"))),
            "this was refused: step authorize is not awaited",
        ),
        (failure(|| drop(shipping().expect::<ShipOrder>().never_answer())), "do ship is never given up"),
    ];
    for (said, expected) in failures {
        assert!(said.starts_with(expected), "{said}");
        assert!(said.contains("the story so far:\n   1. place-order version 1 starts"), "{said}");
    }
}

#[test]
fn what_a_story_looks_at_can_fail() {
    let looks: [fn(); 3] = [
        || drop(reserving().expect::<ReserveStock>().that(|command| assert_eq!(command.items, 4))),
        || drop(order().expect_data(|order| assert_eq!(order.items, 4))),
        || {
            let undo =
                order().expect::<CheckFraud>().answer_later().cancel("why not").expect_undo::<ReserveStock>();
            drop(undo.that(|_| ()));
        },
    ];
    for look in looks {
        assert!(catch_unwind(look).is_err());
    }
}

#[test]
fn a_story_that_leaves_something_untold_fails() {
    let untold = failure(|| {
        reserving()
            .expect::<AuthorizePayment>()
            .refuse("no funds".into())
            .expect_undo::<ReserveStock>()
            .undone()
            .expect_compensated();
    });
    assert!(
        untold.starts_with("the saga is Compensated, but this was sent and is not told yet: do reserve"),
        "{untold}"
    );
}

#[test]
fn a_timer_that_no_longer_runs_fails_the_story() {
    let said = failure(|| {
        let story = reserving().expect::<AuthorizePayment>().answer_later().cancel("why not");
        drop(story.back_to::<AuthorizePayment>().time_out());
    });
    assert!(said.starts_with("do authorize is not awaited any more"), "{said}");
}

#[test]
fn a_saga_that_cannot_start_has_no_story() {
    let said = failure(|| {
        let data = PlaceOrder { items: 100, amount: 30, reservation: None };
        drop(given(&place_order(), data));
    });
    assert!(
        said.starts_with("place-order version 1 cannot start: `command` of \"check\" panicked"),
        "{said}"
    );
}
