//! What participants and the broker have to do already.

use std::time::Duration;

use saga_core::memory::MemoryTransport;
use saga_core::runtime::{ParticipantLimits, SagaLimits};
use tokio::time::Instant;

use crate::errands::{Delivery, Errand, Warehouse, answer, busy, count, fetching, over, waiting};

#[tokio::test(start_paused = true)]
async fn a_participant_with_too_much_to_do_holds_back_those_who_would_ask_it_by_priority() {
    let transport = MemoryTransport::default();
    let patient = SagaLimits::default().wait(Duration::from_secs(60));
    let builder = over(&transport).register(&fetching::<Errand>()).register(&fetching::<Delivery>());
    let builder = builder.limit::<Errand>(patient).limit::<Delivery>(patient.priority(1));
    let builder = builder.limit_participant::<Warehouse>(ParticipantLimits::default().in_flight(1));
    let orchestrator = builder.start().await.unwrap();
    let first = orchestrator.start(Errand(0)).await.unwrap().id();
    let begun = Instant::now();
    let (errand, delivery, ()) = tokio::join!(
        async { (orchestrator.start(Errand(1)).await.unwrap().id(), begun.elapsed()).1 },
        async {
            let delivery = orchestrator.start(Delivery(1)).await.unwrap().id();
            let started = begun.elapsed();
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer(&transport, delivery).await;
            started
        },
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer(&transport, first).await;
        }
    );
    assert!(delivery >= Duration::from_secs(1), "the warehouse was free after {delivery:?}");
    assert!(errand >= delivery + Duration::from_secs(1), "{errand:?} and {delivery:?}");
}

#[tokio::test(start_paused = true)]
async fn so_many_that_ask_a_participant_start_in_a_second_and_a_refused_start_takes_no_token() {
    let builder = over(&MemoryTransport::default()).register(&fetching::<Errand>());
    let builder =
        builder.register(&fetching::<Delivery>()).limit::<Delivery>(SagaLimits::default().per_second(3));
    let builder = builder.limit_participant::<Warehouse>(ParticipantLimits::default().per_second(2));
    let orchestrator = builder.start().await.unwrap();
    assert_eq!((busy(&orchestrator).await, busy(&orchestrator).await), (None, None));
    let refused = busy(&orchestrator).await.unwrap().to_string();
    assert_eq!(refused, "2 sagas that ask warehouse may start in a second, and have");
    for _ in 0..5 {
        assert!(orchestrator.start(Delivery(0)).await.is_err());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(orchestrator.start(Delivery(1)).await.is_ok(), "it has three tokens of its own");
    assert!(orchestrator.start(Delivery(2)).await.is_ok());
    assert!(orchestrator.start(Delivery(3)).await.is_err());
}

/// Who does not wait would be there whenever a token is, and those who wait would never start.
#[tokio::test(start_paused = true)]
async fn nobody_passes_those_who_wait_for_the_same_and_have_no_lower_priority() {
    let patient = SagaLimits::default().wait(Duration::from_secs(60)).priority(1);
    let builder = over(&MemoryTransport::default()).register(&fetching::<Errand>());
    let builder = builder.register(&fetching::<Delivery>()).limit::<Delivery>(patient);
    let builder = builder.limit_participant::<Warehouse>(ParticipantLimits::default().per_second(3));
    let orchestrator = builder.start().await.unwrap();
    for _ in 0..3 {
        assert_eq!(busy(&orchestrator).await, None, "there are tokens");
    }
    let begun = Instant::now();
    let delivered = async {
        for delivery in 0..3 {
            orchestrator.start(Delivery(delivery)).await.unwrap();
        }
        begun.elapsed()
    };
    let pushing = async {
        while begun.elapsed() < Duration::from_millis(950) {
            tokio::time::sleep(Duration::from_millis(3)).await;
            let refused = busy(&orchestrator).await.map(|busy| busy.to_string());
            assert_eq!(
                refused.as_deref(),
                Some("3 sagas that ask warehouse may start in a second, and have")
            );
        }
    };
    let (delivered, ()) = tokio::join!(delivered, pushing);
    assert!(delivered < Duration::from_millis(1_200), "three were delivered after {delivered:?}");
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_does_not_answer_is_spared_until_it_does() {
    let transport = MemoryTransport::default();
    let builder = over(&transport).register(&fetching::<Errand>()).register(&waiting::<Delivery>());
    let limits = ParticipantLimits::default().unanswered(1);
    let orchestrator = builder.limit_participant::<Warehouse>(limits).start().await.unwrap();
    let first = orchestrator.start(Errand(0)).await.unwrap().id();
    assert_eq!(busy(&orchestrator).await, None, "nothing was sent twice yet");
    tokio::time::sleep(Duration::from_secs(12)).await;
    let refused = busy(&orchestrator).await.unwrap().to_string();
    assert_eq!(refused, "warehouse does not answer: 2 commands were sent to it again and again");
    assert!(orchestrator.start(Delivery(0)).await.is_ok(), "it does not ask the warehouse");
    answer(&transport, first).await;
    count().await;
    assert!(busy(&orchestrator).await.is_some(), "the other is not answered");
    let others = orchestrator.list(&Default::default(), 10).await.unwrap();
    for other in others {
        answer(&transport, other.id).await;
    }
    count().await;
    assert_eq!(busy(&orchestrator).await, None);
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_while_the_broker_takes_nothing() {
    let transport = MemoryTransport::default();
    let builder = over(&transport).register(&fetching::<Errand>()).limit_unsent(1);
    let orchestrator = builder.start().await.unwrap();
    transport.go_away();
    assert_eq!(busy(&orchestrator).await, None);
    count().await;
    assert_eq!(
        busy(&orchestrator).await.unwrap().to_string(),
        "1 messages wait for the broker, and 1 are enough"
    );
    transport.come_back();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(busy(&orchestrator).await, None);
}
