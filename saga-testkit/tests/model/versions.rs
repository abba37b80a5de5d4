//! Sagas that move to a newer version.

use saga_core::{DefinitionError, saga};
use saga_testkit::story::given;

use super::{CapturePayment, PlaceOrder, ReserveStock, SendInvoice, ShipOrder, failure};

#[test]
fn versions() -> Result<(), DefinitionError> {
    let first = saga(1).step::<ReserveStock>().pivot::<CapturePayment>().then::<ShipOrder>().build()?;
    let second = saga(2)
        .step::<ReserveStock>()
        .pivot::<CapturePayment>()
        .then::<SendInvoice>()
        .then::<ShipOrder>()
        .upgrade_from(&first)
        .build()?;

    // It has not come to what has changed.
    given(&first, PlaceOrder::of(30))
        .expect::<ReserveStock>()
        .reply(())
        .upgrade(&second)
        .expect::<CapturePayment>()
        .reply(())
        .expect::<SendInvoice>()
        .reply(())
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();

    // It is being shipped already, and nobody could send the invoice before that any more.
    given(&first, PlaceOrder::of(30))
        .expect::<ReserveStock>()
        .reply(())
        .expect::<CapturePayment>()
        .reply(())
        .expect_no_upgrade(&second, "where the saga has been")
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();
    Ok(())
}

#[test]
fn stories_of_upgrades_can_fail() {
    let first = || saga(1).step::<ReserveStock>().pivot::<CapturePayment>().build().unwrap();
    let other = || saga(2).pivot::<CapturePayment>().upgrade_from(&first()).build().unwrap();
    let same =
        || saga(2).step::<ReserveStock>().pivot::<CapturePayment>().upgrade_from(&first()).build().unwrap();
    let begun = || given(&first(), PlaceOrder::of(30)).expect::<ReserveStock>().reply(());
    assert!(failure(|| drop(begun().upgrade(&other()))).contains("the saga stays with its version"));
    assert!(failure(|| drop(begun().upgrade(&first()))).contains("does not say that it takes"));
    assert!(failure(|| drop(begun().expect_no_upgrade(&same(), "where"))).contains("but it can"));
    assert!(failure(|| drop(begun().expect_no_upgrade(&other(), "ended"))).contains("it stays because"));
}
