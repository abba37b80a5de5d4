//! A saga of two steps: something is taken from a box, and then delivered. The undo puts it back, or does not.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use saga_core::memory::MemoryTx;
use saga_core::message::Fault;
use saga_core::policy::{Backoff, Retry};
use saga_core::runtime::{Handle, Handled, Reply, Undo, service};
use saga_core::{Command, Compensate, Outcome, Participant, Saga, Step, Undoes, saga};
use saga_testkit::simulate::{Simulated, Simulation, simulate};
use serde::{Deserialize, Serialize};

/// How a box gives back what was taken from it.
#[derive(Clone, Copy)]
pub(crate) enum Giving {
    /// As it should.
    Back,
    /// It does not.
    Nothing,
    /// What it remembers, outside its transaction, to have taken.
    FromMemory,
}

pub(crate) struct Box;
impl Participant for Box {
    const NAME: &'static str = "box";
}

pub(crate) struct Courier;
impl Participant for Courier {
    const NAME: &'static str = "courier";
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Take {
    errand: u64,
    things: u32,
}
impl Command for Take {
    const TYPE: &'static str = "box.take.v1";
    type Participant = Box;
    type Reply = u32;
    type Refusal = ();
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PutBack {
    errand: u64,
}
impl Command for PutBack {
    const TYPE: &'static str = "box.put-back.v1";
    type Participant = Box;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<Take> for PutBack {}

#[derive(Serialize, Deserialize)]
pub(crate) struct Deliver {
    things: u32,
}
impl Command for Deliver {
    const TYPE: &'static str = "courier.deliver.v1";
    type Participant = Courier;
    type Reply = ();
    type Refusal = String;
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Errand {
    errand: u64,
    things: u32,
}
impl Saga for Errand {
    const NAME: &'static str = "errand";
}
impl Step<Errand> for Take {
    fn command(saga: &Errand) -> Self {
        Take { errand: saga.errand, things: saga.things }
    }

    fn retry() -> Retry {
        quick()
    }
}
impl Compensate<Errand> for Take {
    type Undo = PutBack;

    fn undo(saga: &Errand, _: Outcome<u32>) -> PutBack {
        PutBack { errand: saga.errand }
    }
}
impl Step<Errand> for Deliver {
    fn command(saga: &Errand) -> Self {
        Deliver { things: saga.things }
    }

    fn retry() -> Retry {
        quick()
    }
}

fn quick() -> Retry {
    let pause = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));
    Retry::default().attempts(3).timeout(Duration::from_millis(400)).backoff(pause)
}

/// How many things are in the box, and how many were taken out.
#[derive(Clone)]
pub(crate) struct Contents {
    inside: u32,
    outside: u32,
}

struct Shelf {
    giving: Giving,
    taken: Mutex<HashMap<u64, u32>>,
}

impl Handle<Take, MemoryTx<Contents>> for Shelf {
    async fn handle(&self, Take { errand, things }: Take, tx: &mut MemoryTx<Contents>) -> Handled<Take> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(errand, things);
        tx.data_mut().inside -= things;
        tx.data_mut().outside += things;
        Ok(Reply::Done(things))
    }
}

impl Undo<Take, PutBack, MemoryTx<Contents>> for Shelf {
    async fn undo(&self, command: PutBack, did: u32, tx: &mut MemoryTx<Contents>) -> Result<(), Fault> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        tx.data_mut().outside -= did;
        tx.data_mut().inside += match self.giving {
            Giving::Back => did,
            Giving::Nothing => 0,
            Giving::FromMemory => taken.get(&command.errand).copied().unwrap_or_default(),
        };
        Ok(())
    }
}

struct Van;

impl Handle<Deliver, MemoryTx<()>> for Van {
    async fn handle(&self, Deliver { things }: Deliver, _: &mut MemoryTx<()>) -> Handled<Deliver> {
        Ok(if things > 3 { Reply::Refused("too heavy".into()) } else { Reply::Done(()) })
    }
}

pub(crate) fn simulation(giving: Giving) -> Simulation<Errand> {
    let errand = saga(1).step::<Take>().pivot::<Deliver>().build().expect("a proper definition");
    let shelf = Simulated::new(Contents { inside: 100, outside: 0 }, move |troubles| {
        let shelf = Shelf { giving, taken: Mutex::default() };
        service::<Box, _, _>(troubles.around(shelf)).handle::<Take>().undo::<Take, PutBack>()
    });
    let van =
        Simulated::new((), |troubles| service::<Courier, _, _>(troubles.around(Van)).handle::<Deliver>());
    simulate(&errand, |dice| Errand { errand: dice.roll(usize::MAX) as u64, things: 1 + dice.roll(5) as u32 })
        .participant(shelf.always("nothing is lost", |things| things.inside + things.outside == 100))
        .participant(van)
}
