//! What a saga can be made of, end to end over the adapters in memory.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::runtime::{Orchestrator, SagaOutcome};
use saga_core::{Command, Definition, NothingToUndo, Participant, Saga, Step, saga};
use serde::{Deserialize, Serialize};

struct Nobody;

impl Participant for Nobody {
    const NAME: &'static str = "nobody";
}

#[derive(Serialize, Deserialize)]
struct Ask;

impl Command for Ask {
    const TYPE: &'static str = "ask";
    type Participant = Nobody;
    type Reply = ();
    type Refusal = ();
}

#[derive(Serialize, Deserialize)]
struct Errand {
    asks: bool,
}

impl Saga for Errand {
    const NAME: &'static str = "errand";
}

impl Step<Errand> for Ask {
    fn command(_: &Errand) -> Self {
        Ask
    }
}

impl NothingToUndo<Errand> for Ask {}

/// An orchestrator without participants.
async fn orchestrator(definition: &Definition<Errand>) -> Orchestrator<MemoryStore> {
    let (store, transport) = (Arc::new(MemoryStore::default()), Arc::new(MemoryTransport::default()));
    Orchestrator::builder(store, transport, "errands.replies").register(definition).start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_has_nothing_to_do_completes_at_its_start_and_those_who_wait_are_told() {
    let definition = saga(1).check::<Ask>().when(|errand: &Errand| errand.asks).build().unwrap();
    let orchestrator = orchestrator(&definition).await;
    let begun = tokio::time::Instant::now();
    let errand = orchestrator.start(Errand { asks: false }).await.unwrap();
    assert!(matches!(errand.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody had to look");
}
