//! What takes time: signals, pauses, and deadlines.

use std::time::Duration;

use saga_core::{DefinitionError, Pause, Signal, saga};
use saga_testkit::story::given;
use serde::{Deserialize, Serialize};

use super::{CapturePayment, PlaceOrder, ReserveStock, failure};

#[derive(Serialize, Deserialize)]
pub(super) enum Decision {
    Approved { by: String },
    Rejected,
}

impl Signal<PlaceOrder> for Decision {
    const NAME: &'static str = "decision";

    fn deadline() -> Duration {
        Duration::from_secs(24 * 3600)
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Decision::Rejected)
    }

    fn on_signal(order: &mut PlaceOrder, decision: Decision) {
        if let Decision::Approved { by } = decision {
            order.approved_by = Some(by);
        }
    }
}

#[test]
fn waiting() -> Result<(), DefinitionError> {
    let definition = saga(1)
        .step::<ReserveStock>()
        .wait::<Decision>()
        .when(|order| order.amount > 1000)
        .pivot::<CapturePayment>()
        .build()?;

    let approved = || Decision::Approved { by: "ada".into() };
    given(&definition, PlaceOrder::of(5000))
        .expect::<ReserveStock>()
        .reply(())
        .expect_wait::<Decision>()
        .signal(approved())
        .signal_again(approved())
        .expect_signal_refused(Decision::Rejected)
        .expect_data(|order| assert_eq!(order.approved_by.as_deref(), Some("ada")))
        .expect::<CapturePayment>()
        .reply(())
        .expect_completed();

    // The decision comes before anybody waits for it, and it is a no.
    given(&definition, PlaceOrder::of(5000))
        .signal(Decision::Rejected)
        .expect::<ReserveStock>()
        .reply(())
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();

    // Nobody decides.
    given(&definition, PlaceOrder::of(5000))
        .expect::<ReserveStock>()
        .reply(())
        .pass_deadline::<Decision>()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
    Ok(())
}

struct CoolingOff;

impl Pause<PlaceOrder> for CoolingOff {
    const NAME: &'static str = "cooling-off";

    fn length(order: &PlaceOrder) -> Duration {
        Duration::from_secs(if order.amount > 1000 { 24 * 3600 } else { 600 })
    }
}

#[test]
fn pauses() -> Result<(), DefinitionError> {
    let definition =
        saga(1).step::<ReserveStock>().pause::<CoolingOff>().pivot::<CapturePayment>().build()?;

    given(&definition, PlaceOrder::of(5000))
        .expect::<ReserveStock>()
        .reply(())
        .pass_pause::<CoolingOff>(Duration::from_secs(24 * 3600))
        .expect::<CapturePayment>()
        .reply(())
        .expect_completed();

    // The customer thinks better of it.
    given(&definition, PlaceOrder::of(5000))
        .expect::<ReserveStock>()
        .reply(())
        .cancel("too much money")
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_compensated();
    Ok(())
}

#[test]
fn stories_of_pauses_can_fail() {
    let definition = saga(1).step::<ReserveStock>().pause::<CoolingOff>().build().unwrap();
    let begun = || given(&definition, PlaceOrder::of(0));
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let early = failure(|| drop(begun().pass_pause::<CoolingOff>(minutes(10))));
    assert!(early.starts_with("cooling-off does not pause"), "{early}");
    let pausing = begun().expect::<ReserveStock>().reply(());
    let longer = failure(|| drop(pausing.pass_pause::<CoolingOff>(minutes(11))));
    assert!(
        longer.starts_with("expected that cooling-off pauses for 660s, but it does for 600s"),
        "{longer}"
    );
}

#[test]
fn stories_of_signals_can_fail() {
    let definition = saga(1).step::<ReserveStock>().wait::<Decision>().build().unwrap();
    let early = || given(&definition, PlaceOrder::of(0));
    let waiting = || early().expect::<ReserveStock>().reply(());
    let no = || Decision::Rejected;
    let failures = [
        (failure(|| drop(early().expect_wait::<Decision>())), "expected that decision is waited for, but"),
        (failure(|| drop(early().pass_deadline::<Decision>())), "decision does not wait for its signal"),
        (failure(|| drop(early().signal(no()).signal(no()))), "this was ignored: given_before"),
        (failure(|| drop(early().cancel("why not").signal(no()))), "this was refused: the saga is being"),
        (failure(|| drop(early().signal_again(no()))), "expected that it was given before, but"),
        (failure(|| drop(early().expect_signal_refused(no()))), "expected that the signal comes too late"),
        (failure(|| waiting().expect_completed()), "expected the saga to be Completed, but it is Running"),
    ];
    for (said, expected) in failures {
        assert!(said.starts_with(expected), "{said}");
    }
}
