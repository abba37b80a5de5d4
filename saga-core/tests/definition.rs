//! What the compiler cannot see of a definition, its builder says; and what makes two definitions differ.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use saga_core::definition::{Group, Steps};
use saga_core::policy::{Backoff, Retry};
use saga_core::{
    Command, Compensate, CompensateEach, Definition, DefinitionError, Each, NothingToUndo, Notification,
    Outcome, Participant, Pause, Retriable, RetriableEach, Saga, Signal, Step, Undoes, saga,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Order;

impl Saga for Order {
    const NAME: &'static str = "order";
}

#[derive(Serialize, Deserialize)]
struct Misnamed;

impl Saga for Misnamed {
    const NAME: &'static str = "an order";
}

struct Service;

impl Participant for Service {
    const NAME: &'static str = "service";
}

struct Nameless;

impl Participant for Nameless {
    const NAME: &'static str = "";
}

/// A step, its undo, and how both are retried.
macro_rules! step {
    ($step:ident, $name:expr, $type:expr, $participant:ident, $retry:expr, $undo:ident, $undo_type:expr, $undo_retry:expr) => {
        #[derive(Serialize, Deserialize)]
        struct $step;

        impl Command for $step {
            const TYPE: &'static str = $type;
            type Participant = $participant;
            type Reply = ();
            type Refusal = ();
        }

        impl<S: Saga> Step<S> for $step {
            const NAME: &'static str = $name;

            fn command(_: &S) -> Self {
                $step
            }

            fn retry() -> Retry {
                $retry
            }
        }

        #[derive(Serialize, Deserialize)]
        struct $undo;

        impl Command for $undo {
            const TYPE: &'static str = $undo_type;
            type Participant = $participant;
            type Reply = ();
            type Refusal = ();
        }

        impl Undoes<$step> for $undo {}

        impl<S: Saga> Compensate<S> for $step {
            type Undo = $undo;

            fn undo(_: &S, _: Outcome<()>) -> $undo {
                $undo
            }

            fn undo_retry() -> Retry {
                $undo_retry
            }
        }

        impl<S: Saga> NothingToUndo<S> for $step {}
        impl<S: Saga> Retriable<S> for $step {}
    };
    ($step:ident, $name:expr, $undo:ident) => {
        step!($step, $name, $name, Service, Retry::default(), $undo, "undo", Retry::for_undo());
    };
    ($step:ident, $retry:expr, $undo_retry:expr, $undo:ident) => {
        step!($step, "step", "step", Service, $retry, $undo, "undo", $undo_retry);
    };
}

step!(First, "first", UndoFirst);
step!(Second, "second", UndoSecond);
step!(FirstAgain, "first", "second", Service, Retry::default(), UndoFirstAgain, "undo", Retry::default());
step!(BadName, "a step", "step", Service, Retry::default(), UndoBadName, "undo", Retry::default());
step!(BadType, "step", "a step", Service, Retry::default(), UndoBadType, "undo", Retry::default());
step!(BadUndo, "step", "step", Service, Retry::default(), UndoBadUndo, "an undo", Retry::default());
step!(
    BadParticipant,
    "step",
    "step",
    Nameless,
    Retry::default(),
    UndoBadParticipant,
    "undo",
    Retry::default()
);
step!(Marked, "a#b", "step", Service, Retry::default(), UndoMarked, "undo", Retry::default());
step!(NoAttempts, Retry::default().attempts(0), Retry::default(), UndoNoAttempts);
step!(NoUndoAttempts, Retry::default(), Retry::default().attempts(0), UndoNoUndoAttempts);
step!(NoTime, Retry::default().timeout(Duration::ZERO), Retry::default(), UndoNoTime);
step!(NoPause, Retry::default().backoff(NO_PAUSE), Retry::default(), UndoNoPause);
step!(Closing, Retry::default().close_when_spent(), Retry::default(), UndoClosing);
step!(ClosingUndo, Retry::default(), Retry::default().close_when_spent(), UndoClosingUndo);
step!(
    Patient,
    "first",
    "first",
    Service,
    Retry::default().attempts(99),
    UndoPatient,
    "undo",
    Retry::default()
);
step!(OtherUndo, "first", "first", Service, Retry::default(), UndoOther, "another-undo", Retry::default());

const NO_PAUSE: Backoff = Backoff::new(Duration::ZERO, Duration::ZERO);

fn error_of(built: Result<Definition<Order>, DefinitionError>) -> String {
    built.unwrap_err().to_string()
}

/// What is wrong with a saga of this one step.
fn error_with<T: Compensate<Order>>() -> String {
    error_of(saga(1).step::<T>().build())
}

#[test]
fn a_saga_without_steps_is_an_error() {
    let error = error_of(saga(1).build());
    assert_eq!(error, "saga \"order\" has no steps; add one with `.step`, `.pivot` or `.then`");
}

#[test]
fn a_name_that_occurs_twice_is_an_error() {
    let error = error_of(saga(1).step::<First>().step::<FirstAgain>().build());
    assert!(error.starts_with("saga \"order\" has two steps named \"first\""), "{error}");
    let error = error_of(saga(1).step::<First>().pivot::<First>().build());
    assert!(error.contains("two steps named \"first\""), "{error}");
}

#[test]
fn a_name_that_no_broker_can_carry_is_an_error() {
    let errors = [
        (error_with::<BadName>(), "step \"a step\": the name \"a step\" may hold only"),
        (error_with::<BadType>(), "step \"step\": the name \"a step\" may hold only"),
        (error_with::<BadUndo>(), "step \"step\": the name \"an undo\" may hold only"),
        (error_with::<BadParticipant>(), "step \"step\": the name \"\" is empty"),
    ];
    for (error, expected) in errors {
        assert!(error.starts_with(expected), "{error}");
    }
    let error = saga::<Misnamed>(1).step::<First>().build().unwrap_err().to_string();
    assert!(error.starts_with("step \"an order\": the name \"an order\" may hold only"), "{error}");
}

#[test]
fn a_retry_that_makes_no_sense_is_an_error() {
    let errors = [
        (error_with::<NoAttempts>(), "step \"step\" has zero attempts"),
        (error_with::<NoUndoAttempts>(), "step \"step\" has zero attempts"),
        (error_with::<NoTime>(), "step \"step\" has a timeout under 1 millisecond"),
        (error_with::<NoPause>(), "step \"step\" has a backoff under 1 millisecond"),
    ];
    for (error, expected) in errors {
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn only_a_pivot_may_be_closed_when_its_attempts_are_spent() {
    let wrong: [Result<Definition<Order>, DefinitionError>; 4] = [
        saga(1).step::<Closing>().build(),
        saga(1).check::<Closing>().build(),
        saga(1).pivot::<First>().then::<Closing>().build(),
        saga(1).step::<ClosingUndo>().build(),
    ];
    for built in wrong {
        let error = error_of(built);
        assert!(error.contains("`close_when_spent`, which means something for a pivot only"), "{error}");
    }
    saga::<Order>(1).pivot::<Closing>().build().unwrap();
}

#[test]
fn a_deadline_that_makes_no_sense_is_an_error() {
    let with = |deadline| error_of(saga(1).deadline(deadline).step::<First>().build());
    assert_eq!(with(Duration::ZERO), "saga \"order\" has a deadline of zero");
    assert_eq!(with(Duration::MAX), "saga \"order\" has a deadline over 365 days");
}

#[test]
fn versions_count_from_one() {
    let error = error_of(saga(0).step::<First>().build());
    assert_eq!(error, "saga \"order\" has version 0; versions count from 1");
}

/// A command for each item, so many at once.
#[derive(Serialize, Deserialize)]
struct Pick<const AT_ONCE: usize>;

impl<const AT_ONCE: usize> Command for Pick<AT_ONCE> {
    const TYPE: &'static str = "first";
    type Participant = Service;
    type Reply = ();
    type Refusal = ();
}

impl<S: Saga, const AT_ONCE: usize> Each<S> for Pick<AT_ONCE> {
    const AT_ONCE: usize = AT_ONCE;

    fn items(_: &S) -> Vec<String> {
        Vec::new()
    }

    fn command(_: &S, _: &str) -> Self {
        Pick
    }
}

impl<const AT_ONCE: usize> Undoes<Pick<AT_ONCE>> for UndoFirst {}

impl<S: Saga, const AT_ONCE: usize> CompensateEach<S> for Pick<AT_ONCE> {
    type Undo = UndoFirst;

    fn undo(_: &S, _: &str, _: Outcome<()>) -> UndoFirst {
        UndoFirst
    }
}

impl<S: Saga, const AT_ONCE: usize> RetriableEach<S> for Pick<AT_ONCE> {}

#[test]
fn a_step_with_items_has_from_1_to_64_at_once_and_no_step_is_named_like_an_item() {
    for (error, width) in [
        (error_of(saga(1).for_each::<Pick<0>>().build()), 0),
        (error_of(saga(1).for_each::<Pick<65>>().build()), 65),
    ] {
        let expected = format!("step \"first\" is run for {width} items at once; it may be from 1 to 64");
        assert_eq!(error, expected);
    }
    saga::<Order>(1).for_each::<Pick<64>>().build().unwrap();
    assert!(error_with::<Marked>().starts_with("step \"a#b\" has a # in its name"));
}

/// A pause of so many seconds.
struct Rest<const SECONDS: u64>;

impl<const SECONDS: u64> Pause<Order> for Rest<SECONDS> {
    const NAME: &'static str = "rest";

    fn length(_: &Order) -> Duration {
        Duration::from_secs(SECONDS)
    }
}

/// A signal that is awaited for so many seconds.
#[derive(Serialize, Deserialize)]
struct Word<const SECONDS: u64>;

impl<S: Saga, const SECONDS: u64> Signal<S> for Word<SECONDS> {
    const NAME: &'static str = "word";

    fn deadline() -> Duration {
        Duration::from_secs(SECONDS)
    }
}

#[test]
fn a_wait_that_makes_no_sense_is_an_error() {
    let error = error_of(saga(1).wait::<Word<0>>().build());
    assert_eq!(error, "step \"word\" waits with a deadline of zero");
    let error = error_of(saga(1).wait::<Word<{ u64::MAX }>>().build());
    assert_eq!(error, "step \"word\" waits with a deadline over 365 days");
    let error = error_of(saga(1).wait::<Word<1>>().wait::<Word<2>>().build());
    assert!(error.contains("two steps named \"word\""), "{error}");
}

/// A notification to no topic, to one with a bad name, and to a good one.
macro_rules! notification {
    ($notification:ident, $topics:expr) => {
        #[derive(Serialize, Deserialize)]
        struct $notification;

        impl<S: Saga> Notification<S> for $notification {
            const TYPE: &'static str = "note";
            const TOPICS: &'static [&'static str] = &$topics;

            fn of(_: &S) -> Self {
                $notification
            }
        }
    };
}
notification!(ToNobody, []);
notification!(ToNowhere, ["a topic"]);
notification!(ToAll, ["topic"]);

#[test]
fn a_notification_that_goes_nowhere_is_an_error() {
    let error = error_of(saga(1).notify::<ToNobody>().build());
    assert_eq!(error, "step \"note\" notifies 0 topics; it may be from 1 to 64");
    let error = error_of(saga(1).notify::<ToNowhere>().build());
    assert!(error.starts_with("step \"note\": the name \"a topic\""), "{error}");
}

#[test]
fn a_condition_follows_its_step_and_a_step_has_one() {
    let never = |_: &Order| false;
    let error = error_of(saga(1).when(never).step::<First>().build());
    assert_eq!(error, "saga \"order\" begins with a condition; `.when` follows the step that it is for");
    let error = error_of(saga(1).step::<First>().step::<Second>().when_step::<First>(never).build());
    assert!(error.starts_with("saga \"order\" has a condition for step \"first\" that does not"), "{error}");
    let error = error_of(saga(1).step::<First>().when(never).when_step::<First>(never).build());
    assert!(error.starts_with("saga \"order\" has two conditions for step \"first\""), "{error}");
    let error = error_of(saga(1).when(never).step::<First>().when(never).when(never).build());
    assert!(error.contains("begins with a condition"), "the first mistake is told: {error}");
}

#[test]
fn a_saga_has_at_most_256_steps() {
    let long = |steps| (0..steps).fold(saga(1), |builder, _| builder.step::<First>()).build();
    let error = error_of(long(257));
    assert_eq!(error, "saga \"order\" has 257 steps, and the limit is 256; split it into several sagas");
    assert!(error_of(long(256)).contains("two steps named"), "256 are not too many");
}

/// A group of `STEPS` steps.
struct Wide<const STEPS: usize>;

impl<S: Saga, const STEPS: usize> Group<S> for Wide<STEPS> {
    fn add_to(steps: &mut Steps<S>) {
        (0..STEPS / 2).for_each(|_| <(First, Second)>::add_to(steps));
    }
}

#[test]
fn a_group_has_at_most_64_steps() {
    let error = error_of(saga(1).parallel::<Wide<66>>().build());
    assert!(error.starts_with("saga \"order\" has 66 parallel steps, and the limit is 64"), "{error}");
    assert!(error_of(saga(1).parallel::<Wide<64>>().build()).contains("two steps named"));
}

#[test]
fn a_group_without_steps_is_no_group() {
    let error = error_of(saga(1).parallel::<Wide<0>>().build());
    assert!(error.contains("has no steps"), "{error}");
    let definition = saga::<Order>(1).step::<First>().parallel::<Wide<0>>().build().unwrap();
    assert_eq!(definition.plan().groups().len(), 1);
}

#[test]
fn a_step_is_found_by_its_name_and_never_by_its_place() {
    let definition = saga::<Order>(3).parallel::<(First, Second)>().build().unwrap();
    let plan = definition.plan();
    assert_eq!(plan.groups(), std::slice::from_ref(&(0..2)));
    let names: Vec<&str> = plan.steps().iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(plan.position(&"second".parse().unwrap()), Some(1));
    assert_eq!(plan.position(&"third".parse().unwrap()), None);
    assert_eq!(plan.reference().to_string(), "order version 3");
}

#[test]
fn two_definitions_differ_exactly_if_their_graphs_do() {
    let fingerprint =
        |built: Result<Definition<Order>, DefinitionError>| built.unwrap().plan().reference().fingerprint;
    let first = fingerprint(saga(1).step::<First>().step::<Second>().build());
    let same = [
        saga(2).step::<First>().step::<Second>().build(),
        saga(1).deadline(Duration::from_secs(1)).step::<First>().step::<Second>().build(),
        saga(1).step::<Patient>().step::<Second>().build(),
    ];
    for built in same {
        assert_eq!(fingerprint(built), first);
    }
    let others = [
        saga(1).step::<Second>().step::<First>().build(),
        saga(1).step::<First>().build(),
        saga(1).parallel::<(First, Second)>().build(),
        saga(1).step::<OtherUndo>().step::<Second>().build(),
        saga(1).check::<First>().step::<Second>().build(),
        saga(1).step::<First>().pivot::<Second>().build(),
        saga(1).pivot::<First>().then::<Second>().build(),
        saga(1).step::<First>().wait::<Word<1>>().step::<Second>().build(),
        saga(1).for_each::<Pick<1>>().step::<Second>().build(),
        saga(1).step::<First>().notify::<ToAll>().step::<Second>().build(),
        saga(1).step::<First>().pause::<Rest<1>>().step::<Second>().build(),
        saga(1).pivot::<Second>().then_for_each::<Pick<1>>().build(),
        saga(1).step::<First>().step::<Second>().when(|_| true).build(),
        saga(1).step::<First>().when(|_| true).step::<Second>().build(),
        saga(1).parallel::<(First, Second)>().when(|_| true).build(),
        saga(1).parallel::<(First, Second)>().when_step::<Second>(|_| true).build(),
    ];
    let distinct: std::collections::BTreeSet<_> =
        others.into_iter().map(fingerprint).chain([first]).collect();
    assert_eq!(distinct.len(), 17);
}
