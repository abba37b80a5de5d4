//! A saga that waits for a yes, and notes what it is about in a local step: at most two of them at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use saga_core::memory::{MemoryTx, MemoryWorkTx};
use saga_core::message::Fault;
use saga_core::policy::{Backoff, Retry};
use saga_core::runtime::{Handle, Handled, Reply, Undo, service};
use saga_core::{Command, Compensate, Local, Outcome, Participant, Saga, Signal, Step, Undoes, saga};
use saga_testkit::simulate::{LocalData, Seen, Simulated, SimulatedLocal, Simulation, simulate};
use serde::{Deserialize, Serialize};

#[test]
fn a_local_step_and_its_saga_are_one_and_everybody_gets_through() {
    let report = simulation(true).seeds(0..50).run();
    report.assert_ok();
    for seen in [Seen::LocalDone, Seen::SignalEarly, Seen::SignalMissed, Seen::StartRefused] {
        assert!(report.counters.of(seen) > 0, "{} was never seen", seen.as_str());
    }
}

#[test]
fn a_local_undo_that_does_nothing_is_found() {
    let first = simulation(false).seeds(0..50).run().first.expect("a note is left standing");
    assert!(first.broken.iter().any(|broken| broken.starts_with("S4: local steps")), "{first}");
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
commands!(Note "note" to Local; Strike "strike" to Local; Deliver "deliver" to Courier;);
impl Undoes<Note> for Strike {}

#[derive(Serialize, Deserialize)]
struct Order(u64);
impl Saga for Order {
    const NAME: &'static str = "order";
}
impl Step<Order> for Note {
    fn command(order: &Order) -> Self {
        Note(order.0)
    }

    fn retry() -> Retry {
        quick()
    }
}
impl Compensate<Order> for Note {
    type Undo = Strike;

    fn undo(order: &Order, _: Outcome<()>) -> Strike {
        Strike(order.0)
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

#[derive(Serialize, Deserialize)]
struct Approval(bool);
impl Signal<Order> for Approval {
    const NAME: &'static str = "approval";

    fn deadline() -> Duration {
        Duration::from_secs(1)
    }

    fn is_refusal(&self) -> bool {
        !self.0
    }
}

/// Writes orders down, and may forget to strike them out.
struct Desk {
    notes: LocalData<BTreeSet<u64>>,
    strikes: bool,
}

impl Handle<Note, MemoryWorkTx> for Desk {
    async fn handle(&self, Note(order): Note, tx: &mut MemoryWorkTx) -> Handled<Note> {
        self.notes.on_commit(tx, move |notes| {
            notes.insert(order);
        });
        Ok(Reply::Done(()))
    }
}

impl Undo<Note, Strike, MemoryWorkTx> for Desk {
    async fn undo(&self, Strike(order): Strike, _: (), tx: &mut MemoryWorkTx) -> Result<(), Fault> {
        if self.strikes {
            self.notes.on_commit(tx, move |notes| {
                notes.remove(&order);
            });
        }
        Ok(())
    }
}

struct Van;

impl Handle<Deliver, MemoryTx<()>> for Van {
    async fn handle(&self, Deliver(order): Deliver, _: &mut MemoryTx<()>) -> Handled<Deliver> {
        Ok(if order % 3 == 0 { Reply::Refused("too far".into()) } else { Reply::Done(()) })
    }
}

fn simulation(strikes: bool) -> Simulation<Order> {
    let order = saga(1).step::<Note>().wait::<Approval>().pivot::<Deliver>().build();
    let desk = SimulatedLocal::new(BTreeSet::new(), move |troubles, notes| {
        let desk = Desk { notes: notes.clone(), strikes };
        service::<Local, _, _>(troubles.around(desk)).handle::<Note>().undo::<Note, Strike>()
    });
    let desk = desk.finally("what is noted is what was delivered", |notes, completed: &[Order]| {
        notes.iter().copied().eq(completed.iter().map(|order| order.0).collect::<BTreeSet<_>>())
    });
    let van =
        Simulated::new((), |troubles| service::<Courier, _, _>(troubles.around(Van)).handle::<Deliver>());
    simulate(&order.expect("a proper definition"), |dice| Order(dice.roll(usize::MAX) as u64))
        .local(desk)
        .signal(|dice| Approval(dice.roll(4) > 0))
        .in_flight(2)
        .participant(van)
}
