//! Sagas that other sagas run.

use std::time::Duration;

use saga_core::{Compensate, DefinitionError, Outcome, Participant, Pause, Run, Saga, Step, SubSaga, saga};
use saga_testkit::explore::explore;
use saga_testkit::story::{given, given_by_parent};
use serde::{Deserialize, Serialize};

use super::{CapturePayment, PlaceOrder, ReleaseStock, ReserveStock};

/// Where other sagas send what they ask of deliveries.
struct Shipping;

impl Participant for Shipping {
    const NAME: &'static str = "shipping";
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Delivery {
    address: String,
}

impl Saga for Delivery {
    const NAME: &'static str = "delivery";
}

impl SubSaga for Delivery {
    type Orchestrator = Shipping;
}

impl Step<Delivery> for ReserveStock {
    fn command(_: &Delivery) -> Self {
        ReserveStock {}
    }
}

impl Compensate<Delivery> for ReserveStock {
    type Undo = ReleaseStock;

    fn undo(_: &Delivery, _: Outcome<()>) -> ReleaseStock {
        ReleaseStock {}
    }
}

impl Step<PlaceOrder> for Run<Delivery> {
    fn command(order: &PlaceOrder) -> Self {
        Run(Delivery { address: format!("order of {}", order.amount) })
    }
}

#[test]
fn sub_sagas() -> Result<(), DefinitionError> {
    let definition = saga(1).step::<Run<Delivery>>().pivot::<CapturePayment>().build()?;
    let delivery = saga(1).step::<ReserveStock>().build()?;

    // The payment is refused, so the delivery is compensated.
    given(&definition, PlaceOrder::of(30))
        .expect::<Run<Delivery>>()
        .reply(Delivery::default())
        .expect::<CapturePayment>()
        .refuse("no funds".into())
        .expect_undo::<Run<Delivery>>()
        .undone()
        .expect_compensated();

    // The same from the delivery's side: it is through, and taken back.
    given_by_parent(&delivery, Delivery::default())
        .expect::<ReserveStock>()
        .reply(())
        .expect_through()
        .take_back()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();

    // Both together, whatever fails.
    explore(&definition).sub_saga(&delivery).run().assert_ok();
    given_by_parent(&delivery, Delivery::default())
        .expect::<ReserveStock>()
        .reply(())
        .expect_through()
        .release()
        .expect_completed();
    Ok(())
}

#[test]
fn a_parent_asks_on_as_long_as_its_child_is_under_way() -> Result<(), DefinitionError> {
    let definition = saga(1).step::<Run<Delivery>>().pivot::<CapturePayment>().build()?;
    let asked_often = (0..20).fold(given(&definition, PlaceOrder::of(30)), |story, _| {
        story.expect::<Run<Delivery>>().still_running()
    });

    // None of that was an attempt: there are still five for an orchestrator that does not answer.
    asked_often
        .expect::<Run<Delivery>>()
        .time_out()
        .expect::<Run<Delivery>>()
        .reply(Delivery::default())
        .expect::<CapturePayment>()
        .reply(())
        .expect_completed();
    Ok(())
}

#[test]
fn a_saga_that_is_through_stays_with_its_version() -> Result<(), DefinitionError> {
    struct Unpacking;
    impl Pause<Delivery> for Unpacking {
        const NAME: &'static str = "unpacking";

        fn length(_: &Delivery) -> Duration {
            Duration::from_secs(60)
        }
    }
    let first = saga(1).step::<ReserveStock>().build()?;
    let second = saga(2).step::<ReserveStock>().pause::<Unpacking>().upgrade_from(&first).build()?;

    // It would be released with a step that it has never come to.
    given_by_parent(&first, Delivery::default())
        .expect::<ReserveStock>()
        .reply(())
        .expect_through()
        .expect_no_upgrade(&second, "every step is done")
        .release()
        .expect_completed();

    // Before that it may move, and once it is taken back.
    given_by_parent(&first, Delivery::default())
        .upgrade(&second)
        .expect::<ReserveStock>()
        .reply(())
        .pass_pause::<Unpacking>(Duration::from_secs(60))
        .expect_through();
    given_by_parent(&first, Delivery::default())
        .expect::<ReserveStock>()
        .reply(())
        .expect_through()
        .take_back()
        .upgrade(&second)
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
    Ok(())
}
