//! The order saga end to end over the in-memory adapters: the real runtimes, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Duration;

use common::{Bench, Captured, PlaceOrder};
use saga_core::machine::{Cause, Status};
use saga_core::runtime::{OutcomeError, SagaOutcome};

#[tokio::test(start_paused = true)]
async fn a_saga_whose_steps_are_all_done_completes() {
    let bench = Bench::start().await;
    let handle = bench.orchestrator.start(PlaceOrder::of(3, 30)).await.unwrap();
    let outcome = handle.outcome().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Completed(order) if order.reservation.is_some()));
    assert_eq!(bench.left().await, (97, 970));
    bench.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_payment_is_refused_gives_back_what_it_reserved() {
    let bench = Bench::start().await;
    let handle = bench.orchestrator.start(PlaceOrder::of(3, 5000)).await.unwrap();
    let outcome = handle.outcome().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Compensated { cause: Cause::Refused { .. }, .. }), "{outcome:?}");
    assert_eq!(bench.left().await, (100, 1000));
    bench.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_comes_late_is_asked_again_and_works_once() {
    let bench = Bench::without_payment().await;
    let handle = bench.orchestrator.start(PlaceOrder::of(1, 10)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(25)).await;
    let _payment = bench.start_payment().await;
    let outcome = handle.outcome().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
    assert_eq!(bench.left().await, (99, 990));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_is_repeated_until_it_succeeds() {
    let bench = Bench::start().await;
    bench.stock.fail_releases(4);
    let handle = bench.orchestrator.start(PlaceOrder::of(3, 5000)).await.unwrap();
    let outcome = handle.outcome().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Compensated { .. }), "{outcome:?}");
    assert_eq!(bench.left().await, (100, 1000));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sagas_at_once_all_end_and_conserve_stock_and_money() {
    end_a_thousand(1).await;
}

#[tokio::test(start_paused = true)]
async fn refusals_in_a_transaction_of_many_commands_keep_nothing_and_harm_no_other() {
    end_a_thousand(32).await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_too_many_commands_for_savepoints_runs_again_in_parts() {
    end_a_thousand(256).await;
}

/// A fifth of the sagas is refused by payment, after its handler has taken the money.
async fn end_a_thousand(group: usize) {
    let bench = Bench::with(Captured { stock: 10_000, money: 100_000, group }).await;
    let mut handles = Vec::new();
    for n in 0..1000 {
        let amount = if n % 5 == 0 { 1_000_000 } else { 10 };
        handles.push(bench.orchestrator.start(PlaceOrder::of(1, amount)).await.unwrap());
    }
    let mut completed = 0;
    for handle in handles {
        completed += u32::from(matches!(handle.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    }
    assert_eq!(completed, 800);
    assert_eq!(bench.left().await, (10_000 - 800, 100_000 - 8_000));
    bench.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_or_hangs_parks_or_ends_its_own_saga_while_others_go_on() {
    let bench = Bench::start().await;
    let hung = bench.orchestrator.start(PlaceOrder::named("hangs", 1, 10)).await.unwrap();
    let panicked = bench.orchestrator.start(PlaceOrder::named("panics", 1, 10)).await.unwrap();
    let healthy = bench.orchestrator.start(PlaceOrder::of(1, 10)).await.unwrap();
    assert!(matches!(healthy.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    for unlucky in [hung, panicked] {
        let outcome = unlucky.outcome().await.unwrap();
        assert!(
            matches!(outcome, SagaOutcome::Compensated { cause: Cause::Unanswered { .. }, .. }),
            "{outcome:?}"
        );
    }
    assert_eq!(bench.left().await, (99, 990));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_panics_parks_its_saga_alone_and_a_retry_releases_it() {
    let bench = Bench::start().await;
    let bad = bench.orchestrator.start(PlaceOrder::named("bad-command", 1, 10)).await.unwrap();
    let good = bench.orchestrator.start(PlaceOrder::of(1, 10)).await.unwrap();
    assert!(matches!(good.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    let outcome = bad.outcome().await.unwrap();
    assert!(matches!(&outcome, SagaOutcome::Parked { reason } if reason.contains("panicked")), "{outcome:?}");
    assert_eq!(bench.orchestrator.health().await.unwrap().parked, 1);
    let status = bench.orchestrator.compensate(bad.id(), "the customer gave up").await.unwrap();
    assert_eq!(status, Status::Compensating);
    assert!(matches!(bad.outcome().await.unwrap(), SagaOutcome::Compensated { .. }));
    assert_eq!(bench.left().await, (99, 990));
    let journal = bench.orchestrator.show(bad.id()).await.unwrap().unwrap().journal;
    assert!(journal.iter().any(|line| line.entry.decision.contains("the customer gave up")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_drains_and_stopping_twice_is_harmless() {
    let bench = Bench::start().await;
    let mut handles = Vec::new();
    for _ in 0..50 {
        handles.push(bench.orchestrator.start(PlaceOrder::of(1, 10)).await.unwrap());
    }
    bench.orchestrator.stop(Duration::from_secs(5)).await;
    bench.orchestrator.stop(Duration::from_secs(5)).await;
    assert!(bench.orchestrator.start(PlaceOrder::of(1, 10)).await.is_err());
    assert_eq!(bench.orchestrator.health().await.unwrap().outbox.unsent, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_an_outcome_is_told_that_the_orchestrator_stops() {
    let bench = Bench::without_payment().await;
    let handle = bench.orchestrator.start(PlaceOrder::of(1, 10)).await.unwrap();
    let waiting = async { handle.outcome().await.map(drop) };
    let (early, ()) = tokio::join!(waiting, bench.orchestrator.stop(Duration::from_secs(5)));
    assert!(matches!(early, Err(OutcomeError::Stopping)), "{early:?}");
    let late = handle.outcome().await;
    assert!(matches!(late, Err(OutcomeError::Stopping)), "{late:?}");
}
