//! Limits that let nothing through, or nobody comes to.

use saga_core::memory::MemoryTransport;
use saga_core::runtime::{ParticipantLimits, SagaLimits};

use crate::errands::{Delivery, Errand, Warehouse, over, waiting};

#[tokio::test]
async fn a_limit_that_makes_no_sense_keeps_the_orchestrator_from_starting() {
    let transport = MemoryTransport::default();
    let builder = || over(&transport).register(&waiting::<Errand>());
    let none = SagaLimits::default().in_flight(0);
    let bad = [
        (builder().limit::<Errand>(none), "a limit of zero keeps every errand from starting"),
        (
            builder().limit::<Delivery>(SagaLimits::default()),
            "a limit is set for delivery, which is not registered",
        ),
        (
            builder().limit_participant::<Warehouse>(ParticipantLimits::default()),
            "a limit is set for warehouse, which no registered saga asks",
        ),
        (builder().limit_unsent(0), "a limit of zero keeps all from starting"),
    ];
    for (builder, expected) in bad {
        assert_eq!(builder.start().await.err().unwrap().to_string(), expected);
    }
}
