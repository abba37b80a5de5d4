//! The simulator passes what is right, finds what is wrong, and finds it again.

mod desk;
mod errand;
mod payment;

use errand::{Errand, Giving, simulation};
use saga_testkit::simulate::{Bug, Fault, Seen, Simulation};

fn small(giving: Giving) -> Simulation<Errand> {
    simulation(giving).seeds(0..50)
}

#[test]
fn a_proper_service_keeps_every_promise_and_its_faults_were_there() {
    let report = small(Giving::Back).run();
    report.assert_ok();
    assert_eq!((report.runs, report.repeated), (50, 50));
    for seen in [Seen::Completed, Seen::Compensated, Seen::Crashed, Seen::TombstoneHit, Seen::RowsShared] {
        assert!(report.counters.of(seen) > 0, "{} was never seen", seen.as_str());
    }
}

#[test]
fn without_faults_nothing_goes_wrong() {
    let quiet = Fault::ALL.into_iter().fold(small(Giving::Back), Simulation::without);
    let report = quiet.run();
    report.assert_ok();
    assert_eq!(report.counters.of(Seen::LostAnswerCommitted), 0);
    assert_eq!(report.counters.of(Seen::Released), 0);
}

#[test]
fn an_undo_that_gives_nothing_back_is_found_and_found_again_by_its_seed() {
    let first = small(Giving::Nothing).run().first.expect("somebody is left with less");
    assert!(first.broken.iter().any(|broken| broken.contains("nothing is lost")), "{first}");
    let again = simulation(Giving::Nothing).seeds(first.seed..first.seed + 1).run();
    let again = again.first.expect("the seed decides everything");
    assert_eq!((again.seed, again.broken, again.told), (first.seed, first.broken, first.told));
}

#[test]
fn a_violation_is_told_with_its_run_and_a_test_to_keep() {
    let report = small(Giving::Nothing).run();
    let told = report.first.as_ref().map(ToString::to_string).unwrap_or_default();
    let seed = report.first.as_ref().map(|first| first.seed).unwrap_or_default();
    assert!(told.contains(&format!("seeds({seed}..{})", seed + 1)), "{told}");
    assert!(told.contains("orchestrator 0 starts"), "{told}");
    let panic = std::panic::catch_unwind(|| report.assert_ok()).expect_err("it has a violation");
    assert_eq!(panic.downcast_ref::<String>(), Some(&told));
}

#[test]
fn an_undo_that_takes_from_a_memory_of_its_own_is_found() {
    let report = small(Giving::FromMemory).run();
    assert!(report.violations > 0, "a process that has died remembers nothing");
}

#[test]
fn sagas_are_retired_and_forgotten_and_late_commands_refused() {
    let report = small(Giving::Back).run();
    for seen in [Seen::Retired, Seen::FenceForgotten, Seen::ExpiredRefused] {
        assert!(report.counters.of(seen) > 0, "{} was never seen", seen.as_str());
    }
}

#[test]
fn fences_that_are_deleted_too_early_are_found() {
    for bug in [Bug::NoticeIgnored, Bug::HorizonIgnored] {
        let first = small(Giving::Back).plant(bug).run().first.expect("rows are deleted too early");
        assert!(first.broken.iter().any(|broken| broken.starts_with("S12")), "{bug:?}: {first}");
    }
}

#[test]
fn a_bug_that_is_planted_is_found() {
    let report = small(Giving::Back).plant(Bug::NoFence).run();
    let first = report.first.expect("commands come more than once");
    assert!(first.broken.iter().any(|broken| broken.starts_with("S3")), "{first}");
}
