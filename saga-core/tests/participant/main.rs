//! What a participant is told about how much to do at once: transactions, commands in one, calls to other systems.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod counting;
mod office;

use std::time::Duration;

use office::{File, Office, Phone};
use saga_core::message::{Answer, Fault};

#[tokio::test(start_paused = true)]
async fn so_many_transactions_run_at_the_same_time_as_there_are_workers() {
    for workers in [1, 2, 5] {
        let office = Office::closed().await;
        office.send::<File>(40).await;
        let _open = office.open(|participant| participant.workers(workers)).await;
        office.answers(40).await;
        assert_eq!(office.fence.open_max(), workers);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_commands_share_a_transaction_as_are_allowed_to() {
    for commands in [1, 8, 64] {
        let office = Office::closed().await;
        office.send::<File>(100).await;
        let one_worker = |participant: office::Builder| participant.workers(1);
        let open = |participant| one_worker(participant).commands_per_transaction(commands);
        let _open = office.open(open).await;
        office.answers(100).await;
        let committed = office.fence.committed();
        assert_eq!(committed.iter().sum::<usize>(), 100, "each once");
        assert_eq!(committed.iter().max(), Some(&commands), "{committed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_are_made_at_once_and_sixteen_times_as_many_commands_have_a_place() {
    let office = Office::closed().await;
    office.send::<Phone>(35).await;
    let _open = office.open(|participant| participant.calls_at_once(2)).await;
    let refused = office.answers(3).await;
    let too_many = Answer::Fault(Fault::temporary("too many commands wait for external calls"));
    assert_eq!(refused, vec![too_many; 3], "there are 32 places");
    assert_eq!(office.line.calling(), 2);
    office.line.pick_up();
    assert_all_done(&office.answers(32).await);
    assert_eq!(office.line.calling_max(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_makes_no_sense_is_taken_for_the_nearest_that_does() {
    let office = Office::closed().await;
    office.send::<File>(3).await;
    office.send::<Phone>(1).await;
    office.line.pick_up();
    let none = |participant: office::Builder| participant.workers(0).commands_per_transaction(0);
    let _open = office.open(|participant| none(participant).calls_at_once(0)).await;
    assert_all_done(&office.answers(4).await);
}

fn assert_all_done(answers: &[Answer]) {
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Done(_))), "{answers:?}");
}

/// Long enough for all that does not wait for something.
const A_WHILE: Duration = Duration::from_secs(1);
