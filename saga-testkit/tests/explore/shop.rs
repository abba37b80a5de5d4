//! Mistakes in a user's own saga, and what the explorer makes of them.

use std::sync::atomic::{AtomicU32, Ordering};

use saga_core::runtime::Reply;
use saga_core::{Command, Compensate, Definition, Outcome, Participant, Retriable, Saga, Step, Undoes, saga};
use saga_testkit::explore::{Explorer, Faults, explore};
use serde::{Deserialize, Serialize};

struct Inventory;
impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

#[derive(Serialize, Deserialize)]
struct Reserve {
    items: u32,
}
impl Command for Reserve {
    const TYPE: &'static str = "inventory.reserve.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = String;
}

#[derive(Serialize, Deserialize)]
struct Release {
    items: u32,
}
impl Command for Release {
    const TYPE: &'static str = "inventory.release.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<Reserve> for Release {}

#[derive(Serialize, Deserialize)]
struct Pay;
impl Command for Pay {
    const TYPE: &'static str = "payment.pay.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}

#[derive(Serialize, Deserialize)]
struct Ship {
    items: u32,
}
impl Command for Ship {
    const TYPE: &'static str = "inventory.ship.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = String;
}

#[derive(Serialize, Deserialize)]
struct Order {
    items: u32,
}
impl Saga for Order {
    const NAME: &'static str = "order";
}

impl Step<Order> for Reserve {
    const NAME: &'static str = "reserve";

    fn command(order: &Order) -> Self {
        Reserve { items: order.items }
    }
}
impl Compensate<Order> for Reserve {
    type Undo = Release;

    fn undo(order: &Order, _: Outcome<()>) -> Release {
        Release { items: order.items }
    }
}
impl Step<Order> for Pay {
    const NAME: &'static str = "pay";

    fn command(_: &Order) -> Self {
        Pay
    }
}
impl Step<Order> for Ship {
    const NAME: &'static str = "ship";

    fn command(order: &Order) -> Self {
        Ship { items: order.items }
    }
}
impl Retriable<Order> for Ship {}

fn order() -> Definition<Order> {
    saga(1).step::<Reserve>().pivot::<Pay>().then::<Ship>().build().unwrap()
}

/// What is on the shelf, what is set aside, and what has left the house.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stock {
    free: u32,
    held: u32,
    shipped: u32,
}

fn orders(count: u32) -> Explorer<Order, Stock> {
    let explorer = explore(&order())
        .model(Stock { free: 3, held: 0, shipped: 0 })
        .handle::<Reserve>(|stock, Reserve { items }| {
            if stock.free < items {
                return Reply::Refused(format!("{} are left", stock.free));
            }
            stock.free -= items;
            stock.held += items;
            Reply::Done(())
        })
        .handle::<Ship>(|stock, Ship { items }| {
            stock.held -= items;
            stock.shipped += items;
            Reply::Done(())
        })
        .invariant("nothing is lost", |scene| scene.model.free + scene.model.held + scene.model.shipped == 3)
        .finally("nothing is held for ever", |scene| scene.model.held == 0);
    (0..count).fold(explorer, |explorer, _| explorer.saga(&Order { items: 2 }))
}

fn right(count: u32) -> Explorer<Order, Stock> {
    orders(count).undo::<Reserve, Release>(|stock, Release { items }, ()| {
        stock.held -= items;
        stock.free += items;
    })
}

#[test]
fn an_order_is_right_alone_and_beside_another() {
    right(1).run().assert_ok();
    let report = right(2).faults(Faults::REFUSAL | Faults::UNKNOWN).run();
    report.assert_ok();
    assert!(report.states > 1_000, "{report}");
}

#[test]
fn an_undo_that_forgets_something_is_found() {
    let forgetful = || orders(1).undo::<Reserve, Release>(|stock, Release { items }, ()| stock.held -= items);
    let violation = forgetful().run().violation.unwrap();
    assert_eq!(violation.what, "it is not so that nothing is lost");
    let trace = [
        "inventory does reserve",
        "no answer to do reserve in time, and no attempt is left",
        "inventory undoes reserve",
    ];
    assert_eq!(violation.trace, trace);
    assert_eq!(forgetful().replay(&trace).violation.unwrap().trace, trace);
    right(1).replay(&trace).assert_ok();
}

#[test]
fn what_is_left_behind_is_found_once_the_sagas_have_ended() {
    let lazy = orders(1).undo::<Reserve, Release>(|_, _, ()| ());
    let violation = lazy.run().violation.unwrap();
    assert_eq!(violation.what, "it is not so that nothing is held for ever");
    assert_eq!(violation.trace.last().unwrap(), "undone arrives for undo reserve");
}

#[test]
fn a_step_after_the_pivot_that_is_refused_has_no_way_out() {
    let stubborn = right(1).handle::<Ship>(|_, _| Reply::Refused("closed on Sundays".into()));
    let report = stubborn.run();
    assert!(report.stuck_states > 0);
    let violation = report.violation.unwrap();
    assert_eq!(violation.what, "no end can be reached from here [stuck]");
    // Nobody has refused anything yet, but from here on there is only one way to go.
    assert_eq!(
        violation.trace,
        ["inventory does reserve", "done arrives for do reserve", "inventory does pay"]
    );
}

#[test]
fn a_fix_that_closes_the_way_ends_a_replay() {
    right(1).replay(&["inventory refuses reserve with \"no such move\""]).assert_ok();
}

#[test]
#[should_panic(expected = "say with `undo` how its work is taken back")]
fn a_handler_without_its_undo_is_a_mistake() {
    let _ = orders(1).run();
}

#[test]
#[should_panic(expected = "sends no")]
fn a_handler_of_a_command_that_is_not_sent_is_a_mistake() {
    let reserving: Definition<Order> = saga(1).step::<Reserve>().build().unwrap();
    let _ = explore(&reserving).handle::<Ship>(|(), _| Reply::Done(())).run();
}

#[test]
fn a_search_that_reached_its_limit_proves_nothing() {
    let report = right(1).states_max(10).run();
    assert!(report.cut_off && report.violation.is_none());
    assert!(std::panic::catch_unwind(|| report.assert_ok()).is_err());
}

#[derive(Serialize, Deserialize)]
struct Unsteady(u32);
impl Command for Unsteady {
    const TYPE: &'static str = "unsteady.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}
impl Step<Order> for Unsteady {
    fn command(_: &Order) -> Self {
        static SENT: AtomicU32 = AtomicU32::new(0);
        Unsteady(SENT.fetch_add(1, Ordering::Relaxed))
    }
}

#[test]
fn a_command_that_is_another_when_it_is_sent_again_is_found() {
    let unsteady: Definition<Order> = saga(1).pivot::<Unsteady>().build().unwrap();
    let violation = explore(&unsteady).run().violation.unwrap();
    assert_eq!(violation.what, "do unsteady.v1 is sent again with another body [resend]");
    assert_eq!(violation.trace, ["no answer to do unsteady.v1 in time"]);
}
