//! Prints a saga's journal for a person to read.

use std::time::Duration;

use saga_core::machine::Status;
use saga_core::port::SagaDetails;

/// Prints what became of one saga, and when.
pub(crate) fn print(title: &str, saga: &SagaDetails) {
    println!("{title}");
    println!("  saga {}", saga.summary.id);
    for line in &saga.journal {
        println!("  {:>8}  {}", since(line.at.since(saga.summary.started)), line.entry.decision);
    }
    println!("  {:>8}  {}\n", "=>", ending(saga.summary.status));
}

fn since(elapsed: Duration) -> String {
    format!("{} ms", elapsed.as_millis())
}

fn ending(status: Status) -> &'static str {
    match status {
        Status::Completed => "completed: every effect stands",
        Status::Compensated => "compensated: nothing stands that was to be undone",
        Status::Parked => "parked: a human is needed",
        Status::Running | Status::Compensating | Status::Provisional => "still under way",
    }
}
