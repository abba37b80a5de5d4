//! A saga that pays through a gateway which answers late, twice or not at all.

use std::time::Duration;

use saga_core::id::MessageId;
use saga_core::memory::MemoryTx;
use saga_core::message::Fault;
use saga_core::policy::{Backoff, Retry};
use saga_core::runtime::{External, Handle, Handled, Reply, service};
use saga_core::{Command, Compensate, Outcome, Participant, Saga, Step, Undoes, saga};
use saga_testkit::simulate::{Gateway, Seen, Simulated, Simulation, simulate};
use serde::{Deserialize, Serialize};

#[test]
fn a_gateway_that_answers_late_twice_or_not_at_all_charges_for_what_is_done_and_no_more() {
    let report = simulation(true).seeds(0..50).run();
    report.assert_ok();
    for seen in [Seen::Completed, Seen::Compensated, Seen::Crashed] {
        assert!(report.counters.of(seen) > 0, "{} was never seen", seen.as_str());
    }
}

#[test]
fn a_charge_that_is_left_standing_is_found() {
    let first = simulation(false).seeds(0..50).run().first.expect("some charge is left standing");
    assert!(first.broken.iter().any(|broken| broken.starts_with("S4: the charge")), "{first}");
}

struct Payment;
impl Participant for Payment {
    const NAME: &'static str = "payment";
}

struct Courier;
impl Participant for Courier {
    const NAME: &'static str = "courier";
}

macro_rules! commands {
    ($($name:ident $type:literal to $participant:ty;)+) => {
        $(
            #[derive(Serialize, Deserialize)]
            struct $name(u64);
            impl Command for $name {
                const TYPE: &'static str = $type;
                type Participant = $participant;
                type Reply = ();
                type Refusal = String;
            }
        )+
    };
}
commands!(Charge "charge" to Payment; Refund "refund" to Payment; Deliver "deliver" to Courier;);
impl Undoes<Charge> for Refund {}

#[derive(Serialize, Deserialize)]
struct Order(u64);
impl Saga for Order {
    const NAME: &'static str = "order";
}
impl Step<Order> for Charge {
    fn command(order: &Order) -> Self {
        Charge(order.0)
    }

    /// Given up so soon that many a call lands after its undo.
    fn retry() -> Retry {
        quick().attempts(1).timeout(Duration::from_millis(80))
    }
}
impl Compensate<Order> for Charge {
    type Undo = Refund;

    fn undo(order: &Order, _: Outcome<()>) -> Refund {
        Refund(order.0)
    }
}
impl Step<Order> for Deliver {
    fn command(order: &Order) -> Self {
        Deliver(order.0)
    }

    fn retry() -> Retry {
        quick()
    }
}

fn quick() -> Retry {
    let pause = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));
    Retry::default().attempts(3).timeout(Duration::from_millis(400)).backoff(pause)
}

/// The payment service, which may forget to void.
struct Accounts {
    gateway: Gateway,
    voids: bool,
}

impl External<Charge> for Accounts {
    async fn call(&self, Charge(order): Charge, key: MessageId) -> Handled<Charge> {
        if order % 5 == 0 {
            return Ok(Reply::Refused("the card is declined".into()));
        }
        self.gateway.charge(key).await?;
        Ok(Reply::Done(()))
    }

    async fn undo(&self, key: MessageId, _: Outcome<()>) -> Result<(), Fault> {
        if self.voids { self.gateway.void(key).await } else { Ok(()) }
    }
}

struct Van;

impl Handle<Deliver, MemoryTx<()>> for Van {
    async fn handle(&self, Deliver(order): Deliver, _: &mut MemoryTx<()>) -> Handled<Deliver> {
        Ok(if order % 3 == 0 { Reply::Refused("too far".into()) } else { Reply::Done(()) })
    }
}

fn simulation(voids: bool) -> Simulation<Order> {
    let order = saga(1).step::<Charge>().pivot::<Deliver>().build().expect("a proper definition");
    let accounts = Simulated::new((), move |troubles| {
        let accounts = Accounts { gateway: troubles.gateway(), voids };
        service::<Payment, _, _>(troubles.around(accounts))
            .external::<Charge>()
            .external_undo::<Charge, Refund>()
    });
    let van =
        Simulated::new((), |troubles| service::<Courier, _, _>(troubles.around(Van)).handle::<Deliver>());
    simulate(&order, |dice| Order(dice.roll(usize::MAX) as u64)).participant(accounts).participant(van)
}
