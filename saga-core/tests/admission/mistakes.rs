//! Limits that let nothing through, or nobody comes to.

use saga_core::id::SagaName;
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::runtime::{OrchestratorBuilder, ParticipantLimits, SagaLimits};
use saga_core::{Participant, Saga};
use serde::{Deserialize, Serialize};

use crate::errands::{Delivery, Errand, Warehouse, fetching, over, waiting};

#[tokio::test]
async fn a_limit_that_makes_no_sense_keeps_the_orchestrator_from_starting() {
    let none = SagaLimits::default();
    let every_errand = "a limit of zero keeps every errand from starting";
    let bad = [
        (builder().limit::<Errand>(none.in_flight(0)), every_errand),
        (builder().limit::<Errand>(none.per_second(0)), every_errand),
        (builder().limit::<Errand>(none.in_flight(7).per_second(0)), every_errand),
        (builder().limit::<Delivery>(none), "a limit is set for delivery, which is not registered"),
        (builder().limit_unsent(0), "a limit of zero keeps all from starting"),
    ];
    for (builder, expected) in bad {
        assert_refused(builder, expected).await;
    }
}

#[tokio::test]
async fn a_limit_that_keeps_a_participant_from_being_asked_keeps_the_orchestrator_from_starting() {
    let none = ParticipantLimits::default();
    for nothing in
        [none.in_flight(0), none.per_second(0), none.unanswered(0), none.in_flight(1).unanswered(0)]
    {
        let builder = over(&MemoryTransport::default()).register(&fetching::<Errand>());
        let refused = "a limit of zero keeps all from starting that ask warehouse";
        assert_refused(builder.limit_participant::<Warehouse>(nothing), refused).await;
    }
    let stray = "a limit is set for warehouse, which no registered saga asks";
    assert_refused(builder().limit_participant::<Warehouse>(none), stray).await;
}

#[tokio::test]
async fn a_limit_for_a_name_that_nobody_can_have_keeps_the_orchestrator_from_starting() {
    let unfit = SagaName::new(Unnamed::NAME).unwrap_err();
    let refused = format!("limits are set for what has no name: {unfit}");
    let bad = [
        builder().limit::<Unnamed>(SagaLimits::default().in_flight(1)),
        builder().limit_participant::<Unnamed>(ParticipantLimits::default().in_flight(1)),
    ];
    for builder in bad {
        assert_refused(builder, &refused).await;
    }
}

fn builder() -> OrchestratorBuilder<MemoryStore> {
    over(&MemoryTransport::default()).register(&waiting::<Errand>())
}

async fn assert_refused(builder: OrchestratorBuilder<MemoryStore>, expected: &str) {
    let refused = builder.start().await.err().unwrap().to_string();
    assert_eq!(refused, expected);
}

#[derive(Serialize, Deserialize)]
struct Unnamed;
impl Unnamed {
    const NAME: &'static str = "no name";
}
impl Saga for Unnamed {
    const NAME: &'static str = Unnamed::NAME;
}
impl Participant for Unnamed {
    const NAME: &'static str = Unnamed::NAME;
}
