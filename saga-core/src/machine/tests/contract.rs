//! The sagas that the tests drive: every role once, and functions that can be made to panic.

use serde::{Deserialize, Serialize};

use crate::definition::{
    Builder, Compensate, CompensateEach, Definition, Each, NotRun, NothingToUndo, Notification, Outcome,
    Pause, Retriable, RetriableEach, Run, Saga, Signal, Step, SubSaga, saga as define,
};
use crate::message::{Command, Participant, Undoes};
use crate::policy::{Backoff, Retry};
use std::time::Duration;

pub(super) struct Service;

impl Participant for Service {
    const NAME: &'static str = "service";
}

/// The saga's data: a diary of what its steps were told, and the function that is to panic, if any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) diary: Vec<String>,
    #[serde(default)]
    pub(super) trap: String,
    /// The steps whose conditions are not met.
    #[serde(default)]
    pub(super) unwanted: Vec<String>,
    /// What is picked and packed, each on its own.
    #[serde(default)]
    pub(super) items: Vec<String>,
    /// Whether silence is a yes.
    #[serde(default)]
    pub(super) lenient: bool,
    /// Not stored, so that a command which is written from it shows.
    #[serde(skip)]
    pub(super) unstored: bool,
}

impl Saga for Order {
    const NAME: &'static str = "order";
}

impl Order {
    pub(super) fn trapped(function: &str) -> Self {
        Order { trap: function.into(), ..Order::default() }
    }

    /// An order of these items.
    pub(super) fn of(items: &[&str]) -> Self {
        Order { items: items.iter().map(|item| (*item).to_owned()).collect(), ..Order::default() }
    }

    /// An order that does without these steps.
    pub(super) fn without(steps: &[&str]) -> Self {
        Order { unwanted: steps.iter().map(|step| (*step).to_owned()).collect(), ..Order::default() }
    }

    fn wants(&self, step: &str) -> bool {
        self.enter(format!("when {step}"));
        !self.unwanted.iter().any(|unwanted| unwanted == step)
    }

    fn enter(&self, function: String) {
        assert!(self.trap != function, "trapped in {function}");
    }
}

/// Three attempts of ten seconds, pauses of about one, two and four seconds.
fn retry() -> Retry {
    Retry::default().attempts(3).timeout(Duration::from_secs(10)).backoff(BACKOFF)
}

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));

/// A step whose command holds the diary, so that a command shows what it was written from.
macro_rules! step {
    ($step:ident, $type:literal, $retry:expr) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct $step {
            diary: Vec<String>,
            unstored: bool,
        }

        impl Command for $step {
            const TYPE: &'static str = $type;
            type Participant = Service;
            type Reply = u64;
            type Refusal = String;
        }

        impl Step<Order> for $step {
            fn command(order: &Order) -> Self {
                order.enter(format!("command {}", $type));
                $step { diary: order.diary.clone(), unstored: order.unstored }
            }

            fn on_reply(order: &mut Order, reply: u64) {
                order.diary.push(format!("{} replied {reply}", $type));
                order.unstored = true;
                order.enter(format!("on_reply {}", $type));
            }

            fn on_refused(order: &mut Order, refusal: String) {
                order.diary.push(format!("{} refused {refusal}", $type));
                order.enter(format!("on_refused {}", $type));
            }

            fn retry() -> Retry {
                $retry
            }
        }
    };
}

/// The undo of a step, whose command holds what was known and the diary.
macro_rules! undo {
    ($undo:ident, $type:literal, $step:ident) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct $undo {
            did: Option<u64>,
            diary: Vec<String>,
        }

        impl Command for $undo {
            const TYPE: &'static str = $type;
            type Participant = Service;
            type Reply = ();
            type Refusal = ();
        }

        impl Undoes<$step> for $undo {}

        impl Compensate<Order> for $step {
            type Undo = $undo;

            fn undo(order: &Order, did: Outcome<u64>) -> $undo {
                order.enter(format!("undo {}", <$step as Command>::TYPE));
                let did = match did {
                    Outcome::Done(reply) => Some(reply),
                    Outcome::Unknown => None,
                };
                $undo { did, diary: order.diary.clone() }
            }

            fn undo_retry() -> Retry {
                retry()
            }
        }
    };
}

step!(Reserve, "reserve", retry());
step!(Authorize, "authorize", retry());
step!(Invoice, "invoice", retry());
step!(Hurried, "hurried", retry().attempts(100).deadline(Duration::from_secs(25)));
step!(Screen, "screen", retry());
step!(Capture, "capture", retry());
step!(CaptureOrClose, "capture-or-close", retry().close_when_spent());
step!(Ship, "ship", retry());
step!(Thank, "thank", retry());
undo!(Release, "release", Reserve);
undo!(Void, "void", Authorize);
undo!(Annul, "annul", Invoice);
undo!(Slow, "slow", Hurried);
impl NothingToUndo<Order> for Screen {}
impl Retriable<Order> for Ship {}
impl Retriable<Order> for Thank {}

/// A command for each item, two at once.
macro_rules! each {
    ($step:ident, $type:literal) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct $step {
            item: String,
            diary: Vec<String>,
        }

        impl Command for $step {
            const TYPE: &'static str = $type;
            type Participant = Service;
            type Reply = u64;
            type Refusal = String;
        }

        impl Each<Order> for $step {
            const AT_ONCE: usize = 2;

            fn items(order: &Order) -> Vec<String> {
                order.enter(format!("items {}", $type));
                order.items.clone()
            }

            fn command(order: &Order, item: &str) -> Self {
                order.enter(format!("command {} {item}", $type));
                $step { item: item.into(), diary: order.diary.clone() }
            }

            fn on_reply(order: &mut Order, item: &str, reply: u64) {
                order.diary.push(format!("{} {item} replied {reply}", $type));
            }

            fn on_refused(order: &mut Order, item: &str, refusal: String) {
                order.diary.push(format!("{} {item} refused {refusal}", $type));
            }

            fn retry() -> Retry {
                retry()
            }
        }
    };
}
each!(Pick, "pick");
each!(Pack, "pack");
impl RetriableEach<Order> for Pack {}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PutBack {
    item: String,
    did: Option<u64>,
}

impl Command for PutBack {
    const TYPE: &'static str = "put-back";
    type Participant = Service;
    type Reply = ();
    type Refusal = ();
}

impl Undoes<Pick> for PutBack {}

impl CompensateEach<Order> for Pick {
    type Undo = PutBack;

    fn undo(_: &Order, item: &str, did: Outcome<u64>) -> PutBack {
        let did = match did {
            Outcome::Done(reply) => Some(reply),
            Outcome::Unknown => None,
        };
        PutBack { item: item.into(), did }
    }

    fn undo_retry() -> Retry {
        retry()
    }
}

/// `reserve`, `pick` for each item, `capture`, `pack` for each item.
pub(super) fn picked_order() -> Definition<Order> {
    define(1)
        .step::<Reserve>()
        .for_each::<Pick>()
        .when(|order| order.wants("pick"))
        .pivot::<Capture>()
        .then_for_each::<Pack>()
        .build()
        .unwrap()
}

/// A notification that shows the diary.
macro_rules! notification {
    ($notification:ident, $type:literal, $topics:expr) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct $notification(Vec<String>);

        impl Notification<Order> for $notification {
            const TYPE: &'static str = $type;
            const TOPICS: &'static [&'static str] = &$topics;

            fn of(order: &Order) -> Self {
                order.enter(format!("tell {}", $type));
                $notification(order.diary.clone())
            }
        }
    };
}
notification!(Begun, "begun", ["mailing"]);
notification!(Reserved, "reserved", ["mailing", "statistics"]);
notification!(Ended, "ended", ["mailing"]);

/// `order` without its check, which tells others at its beginning, after `reserve` and at its end.
pub(super) fn told_order() -> Definition<Order> {
    define(1)
        .notify::<Begun>()
        .step::<Reserve>()
        .notify::<Reserved>()
        .when(|order| order.wants("reserved"))
        .pivot::<Capture>()
        .notify::<Ended>()
        .build()
        .unwrap()
}

/// What a human decides within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Approval {
    Yes,
    No,
}

impl Signal<Order> for Approval {
    const NAME: &'static str = "approve";

    fn deadline() -> Duration {
        Duration::from_secs(3600)
    }

    fn is_refusal(&self) -> bool {
        *self == Approval::No
    }

    fn on_signal(order: &mut Order, approval: Approval) {
        order.diary.push(format!("approve given {approval:?}"));
        order.enter("on_signal approve".into());
    }

    fn at_deadline(order: &Order) -> Option<Self> {
        order.enter("at_deadline approve".into());
        order.lenient.then_some(Approval::Yes)
    }
}

/// `reserve`, a wait for `approve` on a condition, `capture`, `ship`.
pub(super) fn approved_order() -> Definition<Order> {
    define(1)
        .step::<Reserve>()
        .wait::<Approval>()
        .when(|order| order.wants("approve"))
        .pivot::<Capture>()
        .then::<Ship>()
        .build()
        .unwrap()
}

/// An hour, and three centuries for the lenient.
pub(super) struct Rest;

impl Pause<Order> for Rest {
    const NAME: &'static str = "rest";

    fn length(order: &Order) -> Duration {
        order.enter("length rest".into());
        if order.lenient { Duration::MAX } else { Duration::from_secs(3600) }
    }
}

pub(super) struct RestAgain;

impl Pause<Order> for RestAgain {
    const NAME: &'static str = "rest-again";

    fn length(_: &Order) -> Duration {
        Duration::from_secs(7200)
    }
}

/// `reserve`, the pause `rest`, `capture`, the pause `rest-again`, `ship`.
pub(super) fn rested_order() -> Definition<Order> {
    define(1)
        .step::<Reserve>()
        .pause::<Rest>()
        .pivot::<Capture>()
        .then_pause::<RestAgain>()
        .then::<Ship>()
        .build()
        .unwrap()
}

/// Nothing but `rest`.
pub(super) fn only_rest(deadline: Option<Duration>) -> Definition<Order> {
    let rest = define(1).pause::<Rest>();
    deadline.into_iter().fold(rest, Builder::deadline).build().unwrap()
}

/// Every role once: `reserve`, `screen`, the pivot `capture`, `ship`.
pub(super) fn order() -> Definition<Order> {
    define(1).step::<Reserve>().check::<Screen>().pivot::<Capture>().then::<Ship>().build().unwrap()
}

/// The same with a pivot that is closed when its attempts are spent.
pub(super) fn closing_order() -> Definition<Order> {
    define(1).step::<Reserve>().check::<Screen>().pivot::<CaptureOrClose>().then::<Ship>().build().unwrap()
}

/// A step, two at once, and the pivot: `reserve`, `authorize` with `invoice`, `capture`.
pub(super) fn parallel_order() -> Definition<Order> {
    define(1)
        .step::<Reserve>()
        .parallel::<(Authorize, Invoice)>()
        .pivot::<Capture>()
        .then::<Ship>()
        .then::<Thank>()
        .build()
        .unwrap()
}

/// The pivot, two steps at once behind it, and a notification.
pub(super) fn order_shipped_and_thanked_for() -> Definition<Order> {
    define(1).pivot::<Capture>().then_parallel::<(Ship, Thank)>().notify::<Ended>().build().unwrap()
}

/// `parallel_order` with a check, and a condition for each step.
pub(super) fn picky_order() -> Definition<Order> {
    define(1)
        .step::<Reserve>()
        .when(|order| order.wants("reserve"))
        .parallel::<(Authorize, Invoice)>()
        .when_step::<Authorize>(|order| order.wants("authorize"))
        .when_step::<Invoice>(|order| order.wants("invoice"))
        .check::<Screen>()
        .when(|order| order.wants("screen"))
        .pivot::<Capture>()
        .when(|order| order.wants("capture"))
        .then::<Ship>()
        .when(|order| order.wants("ship"))
        .build()
        .unwrap()
}

/// `reserve`, which is wanted while the diary is empty, and `authorize`, which is not.
pub(super) fn moody_order() -> Definition<Order> {
    define(1)
        .step::<Reserve>()
        .when(|order| order.diary.is_empty())
        .step::<Authorize>()
        .when(|order| order.diary.is_empty())
        .step::<Invoice>()
        .build()
        .unwrap()
}

/// `order`, which has 15 seconds to come to its pivot.
pub(super) fn overdue_order() -> Definition<Order> {
    let deadline = Duration::from_secs(15);
    define(1)
        .deadline(deadline)
        .step::<Reserve>()
        .check::<Screen>()
        .pivot::<Capture>()
        .then::<Ship>()
        .build()
        .unwrap()
}

/// A step that has 25 seconds for all its attempts.
pub(super) fn hurried_order() -> Definition<Order> {
    define(1).step::<Reserve>().step::<Hurried>().build().unwrap()
}

/// A saga that others run as a step: `reserve`, `screen`.
pub(super) fn child_order() -> Definition<Order> {
    define(1).step::<Reserve>().check::<Screen>().build().unwrap()
}

/// What other sagas run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parcel {
    pub(super) weight: u32,
}

impl Saga for Parcel {
    const NAME: &'static str = "parcel";
}

impl SubSaga for Parcel {
    type Orchestrator = Service;
}

impl Step<Order> for Run<Parcel> {
    fn command(order: &Order) -> Self {
        Run(Parcel { weight: order.diary.len() as u32 })
    }

    fn on_reply(order: &mut Order, parcel: Parcel) {
        order.diary.push(format!("a parcel of {}", parcel.weight));
    }

    fn on_refused(order: &mut Order, refusal: NotRun<Parcel>) {
        order.diary.push(format!("no parcel of {}: {}", refusal.data.weight, refusal.why));
    }

    fn retry() -> Retry {
        retry()
    }
}

/// A saga that runs another one: `parcel`, `screen`.
pub(super) fn parent_order() -> Definition<Order> {
    define(1).step::<Run<Parcel>>().check::<Screen>().build().unwrap()
}
