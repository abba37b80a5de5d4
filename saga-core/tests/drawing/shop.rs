//! An order with every kind of step.

use std::time::Duration;

use saga_core::policy::{Backoff, Retry};
use saga_core::{
    Command, Compensate, CompensateEach, Each, Local, NothingToUndo, Notification, Outcome, Participant,
    Pause, Retriable, RetriableEach, Run, Saga, Signal, Step, SubSaga, Undoes,
};
use serde::{Deserialize, Serialize};

pub(crate) struct Shop;
impl Participant for Shop {
    const NAME: &'static str = "shop";
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) unasked: bool,
    pub(crate) has_one_item: bool,
    pub(crate) silence: Silence,
}
impl Saga for Order {
    const NAME: &'static str = "order";
}

/// What it means if nobody approves.
#[derive(Default, Serialize, Deserialize)]
pub(crate) enum Silence {
    #[default]
    No,
    Yes,
    Panic(String),
}

macro_rules! commands {
    ($($command:ident $type:literal to $participant:ident $(retried $retry:expr)?;)+) => {$(
        #[derive(Serialize, Deserialize)]
        pub(crate) struct $command;
        impl Command for $command {
            const TYPE: &'static str = $type;
            type Participant = $participant;
            type Reply = ();
            type Refusal = String;
        }
        impl Step<Order> for $command {
            fn command(_: &Order) -> Self {
                $command
            }
            $(fn retry() -> Retry {
                $retry
            })?
        }
    )+};
}
commands! {
    Reserve "reserve" to Shop;
    Hold "hold" to Shop;
    Release "release" to Shop;
    Void "void" to Shop;
    Pay "pay" to Shop;
    Ship "ship" to Shop;
    PutBack "put-back" to Shop;
    Invoice "invoice" to Shop retried often();
    Look "look" to Shop retried Retry::default().attempts(1);
    Charge "charge" to Shop retried often().close_when_spent();
    Note "note" to Local;
    Erase "erase" to Local;
}

/// Every option of a retry, none as by default.
fn often() -> Retry {
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    Retry::default().attempts(9).timeout(second).backoff(Backoff::new(second, minute)).deadline(minute)
}

macro_rules! undone {
    ($($command:ident by $undo:ident $(retried $retry:expr)?;)+) => {$(
        impl Undoes<$command> for $undo {}
        impl Compensate<Order> for $command {
            type Undo = $undo;
            fn undo(_: &Order, _: Outcome<()>) -> $undo {
                $undo
            }
            $(fn undo_retry() -> Retry {
                $retry
            })?
        }
    )+};
}
undone! {
    Reserve by Release;
    Hold by Void retried Retry::for_undo().attempts(1);
    Note by Erase;
}
impl NothingToUndo<Order> for Look {}
impl Retriable<Order> for Ship {}
impl Retriable<Order> for Invoice {}

/// A command whose step has a name of its own.
#[derive(Serialize, Deserialize)]
pub(crate) struct Weigh;
impl Command for Weigh {
    const TYPE: &'static str = "scales:weigh.v2";
    type Participant = Shop;
    type Reply = ();
    type Refusal = String;
}
impl Step<Order> for Weigh {
    const NAME: &'static str = "weigh";
    fn command(_: &Order) -> Self {
        Weigh
    }
}
impl NothingToUndo<Order> for Weigh {}

macro_rules! each {
    ($command:ident $type:literal $width:literal at once) => {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct $command;
        impl Command for $command {
            const TYPE: &'static str = $type;
            type Participant = Shop;
            type Reply = ();
            type Refusal = String;
        }
        impl Each<Order> for $command {
            const AT_ONCE: usize = $width;
            fn items(order: &Order) -> Vec<String> {
                let all = ["pen", "ink", "cap"].into_iter().map(String::from);
                all.take(if order.has_one_item { 1 } else { 3 }).collect()
            }
            fn command(_: &Order, _: &str) -> Self {
                $command
            }
        }
    };
}
each!(Pick "pick" 2 at once);
each!(Pack "pack" 3 at once);
impl RetriableEach<Order> for Pack {}
impl Undoes<Pick> for PutBack {}
impl CompensateEach<Order> for Pick {
    type Undo = PutBack;
    fn undo(_: &Order, _: &str, _: Outcome<()>) -> PutBack {
        PutBack
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Approval;
impl Signal<Order> for Approval {
    const NAME: &'static str = "approval";
    fn deadline() -> Duration {
        Duration::from_secs(60)
    }
    fn at_deadline(order: &Order) -> Option<Self> {
        match &order.silence {
            Silence::No => None,
            Silence::Yes => Some(Approval),
            Silence::Panic(why) => panic!("{why}"),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Placed;
impl Notification<Order> for Placed {
    const TYPE: &'static str = "orders.placed.v1";
    const NAME: &'static str = "placed";
    const TOPICS: &'static [&'static str] = &["mailing", "statistics"];
    fn of(_: &Order) -> Self {
        Placed
    }
}

pub(crate) struct Rest;
impl Pause<Order> for Rest {
    const NAME: &'static str = "rest";
    fn length(_: &Order) -> Duration {
        Duration::from_secs(3600)
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Delivery;
impl Saga for Delivery {
    const NAME: &'static str = "delivery";
}

pub(crate) struct Shipping;
impl Participant for Shipping {
    const NAME: &'static str = "shipping";
}
impl SubSaga for Delivery {
    type Orchestrator = Shipping;
}
impl Step<Order> for Run<Delivery> {
    const NAME: &'static str = "deliver";
    fn command(_: &Order) -> Self {
        Run(Delivery)
    }
}
