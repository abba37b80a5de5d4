//! What takes time: signals, pauses, and deadlines.

use std::time::Duration;

use saga_core::policy::Retry;
use saga_core::{Command, Compensate, DefinitionError, Outcome, Pause, Signal, Step, Undoes, saga};
use saga_testkit::story::given;
use serde::{Deserialize, Serialize};

use super::{CapturePayment, PickItem, PlaceOrder, ReserveStock, ShipOrder, Shop, failure};

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

#[derive(Serialize, Deserialize)]
enum Objection {
    None,
    Raised,
}

commands! {
    BookCourier "book"
    DismissCourier "dismiss"
}
impl Undoes<BookCourier> for DismissCourier {}

impl Compensate<PlaceOrder> for BookCourier {
    type Undo = DismissCourier;

    fn undo(_: &PlaceOrder, _: Outcome<()>) -> DismissCourier {
        DismissCourier {}
    }
}

impl Step<PlaceOrder> for BookCourier {
    fn command(_: &PlaceOrder) -> Self {
        BookCourier {}
    }

    fn retry() -> Retry {
        Retry::default().timeout(Duration::from_secs(10)).deadline(Duration::from_secs(15))
    }
}

impl Signal<PlaceOrder> for Objection {
    const NAME: &'static str = "objection";

    fn deadline() -> Duration {
        Duration::from_secs(24 * 3600)
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Objection::Raised)
    }

    fn at_deadline(_: &PlaceOrder) -> Option<Self> {
        Some(Objection::None)
    }
}

#[test]
fn time() -> Result<(), DefinitionError> {
    let definition = saga(1)
        .wait::<Objection>()
        .step::<BookCourier>()
        .step::<ReserveStock>()
        .pivot::<CapturePayment>()
        .then_pause::<CoolingOff>()
        .then::<ShipOrder>()
        .deadline(Duration::from_secs(24 * 3600 + 25))
        .build()?;

    // Silence is consent. The courier has fifteen seconds, of which the second attempt gets what is left.
    let agreed = || given(&definition, PlaceOrder::of(30)).pass_deadline::<Objection>();
    agreed()
        .expect::<BookCourier>()
        .time_out()
        .expect::<BookCourier>()
        .time_out()
        .expect_undo::<BookCourier>()
        .undone()
        .expect_compensated();

    // The saga has a day and twenty-five seconds to come to its pivot, and ten of them went to the courier.
    agreed()
        .expect::<BookCourier>()
        .time_out()
        .expect::<BookCourier>()
        .reply(())
        .expect::<ReserveStock>()
        .time_out()
        .expect::<ReserveStock>()
        .time_out()
        .expect_undo::<ReserveStock>()
        .undone()
        .expect_undo::<BookCourier>()
        .undone()
        .expect_compensated();

    // Once its pivot is asked for, it has all the time that it needs.
    agreed()
        .expect::<BookCourier>()
        .reply(())
        .expect::<ReserveStock>()
        .reply(())
        .expect::<CapturePayment>()
        .time_out()
        .expect::<CapturePayment>()
        .time_out()
        .expect::<CapturePayment>()
        .reply(())
        .pass_pause::<CoolingOff>(Duration::from_secs(600))
        .expect::<ShipOrder>()
        .reply(())
        .expect_completed();
    Ok(())
}

#[test]
fn an_item_that_is_never_answered_is_undone_with_those_that_are() -> Result<(), DefinitionError> {
    let definition = saga(1).for_each::<PickItem>().pivot::<CapturePayment>().build()?;
    let order = PlaceOrder { items: vec!["pen".into(), "ink".into(), "lamp".into()], ..PlaceOrder::of(7) };

    // Two at once, and the lamp is not asked for any more.
    given(&definition, order)
        .expect_item::<PickItem>("pen")
        .answer_later()
        .expect_item::<PickItem>("ink")
        .never_answer()
        .expect_undo_item::<PickItem>("pen")
        .undone()
        .expect_undo_item::<PickItem>("ink")
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
