//! Sagas of any shape: nothing goes wrong in any of them, whatever fails.

use saga_testkit::explore::{Faults, explore};
use saga_testkit::topology::{Diary, Errand, Part, Topology};

fn small() -> Vec<Topology> {
    use Part::{Check, ClosedPivot, Group, Notify, Pause, Pivot, Step, Then, ThenBoth, Wait};
    let shapes: [&[Part]; 14] = [
        &[Step],
        &[Step, Step, Step],
        &[Check, Step],
        &[Step, Check, Pivot],
        &[Step, ClosedPivot, Then],
        &[Pivot, Then, Then],
        &[Group(2)],
        &[Step, Group(2), ClosedPivot],
        &[Check, ClosedPivot],
        &[Wait, Step],
        &[Notify, Step, Notify, Pivot, Notify, Then],
        &[Step, Wait, Wait, Pivot],
        &[Step, Pause, Step, Pivot, Pause],
        &[Step, ClosedPivot, ThenBoth],
    ];
    shapes.into_iter().map(|parts| Topology::of(parts.iter().copied())).collect()
}

#[test]
fn nothing_goes_wrong_in_a_saga_of_any_shape() {
    for topology in small() {
        for topology in [topology.clone(), topology.with_deadline()] {
            let report = explore(&topology.definition::<5>()).run();
            assert!(report.violation.is_none() && !report.cut_off, "{topology}: {report}");
        }
    }
}

#[test]
fn nothing_goes_wrong_when_parts_are_skipped() {
    for topology in small().into_iter().map(Topology::with_conditions) {
        for skips in 0..8 {
            let explorer = explore(&topology.definition::<5>()).saga(&Diary::default().skipping(skips));
            let report = explorer.run();
            assert!(report.violation.is_none() && !report.cut_off, "{topology}: {report}");
        }
    }
}

#[test]
fn nothing_goes_wrong_when_what_conditions_and_items_read_changes() {
    use Part::{Check, ClosedPivot, Loop, Run, Step, Then, ThenLoop};
    let more: [&[Part]; 4] = [
        &[Step, Loop, Check],
        &[Loop, Loop],
        &[Step, ClosedPivot, ThenLoop, Then],
        &[Step, Run(Errand::Short)],
    ];
    let more = more.into_iter().map(|parts| Topology::of(parts.iter().copied()));
    let faults = Faults::all().without(Faults::OPERATOR);
    for topology in small().into_iter().chain(more).map(Topology::with_conditions) {
        for skips in [0, 0x5555, 0x9999, 0xcccc] {
            let diary = Diary::of(1).skipping(skips).changing();
            let report = topology.explorer::<5>().faults(faults).saga(&diary).run();
            assert!(report.violation.is_none() && !report.cut_off, "{topology}, {skips:#b}: {report}");
        }
    }
}

#[test]
fn nothing_goes_wrong_in_loops() {
    let parts = [Part::Step, Part::Loop, Part::ClosedPivot];
    for items in 0..=3 {
        let topology = Topology::of(parts.into_iter().skip(usize::from(items > 2)));
        let faults = Faults::all().without(Faults::OPERATOR);
        let report = explore(&topology.definition::<5>()).faults(faults).saga(&Diary::of(items)).run();
        assert!(report.violation.is_none() && !report.cut_off, "{topology}, {items} items: {report}");
    }
}

#[test]
fn nothing_goes_wrong_when_commands_are_sent_once() {
    for topology in small() {
        let report = explore(&topology.definition::<1>()).run();
        assert!(report.violation.is_none() && !report.cut_off, "{topology}: {report}");
    }
}

/// `docs/explorer.md` has these figures.
#[test]
fn each_fault_that_is_left_out_makes_the_search_smaller() {
    let parts = [Part::Step, Part::Step, Part::Pivot, Part::Then];
    let definition = Topology::of(parts).definition::<5>();
    let states = |faults| explore(&definition).faults(faults).run().states;
    assert_eq!(states(Faults::all()), 468);
    assert_eq!(states(Faults::all().without(Faults::OPERATOR)), 208);
    assert_eq!(states(Faults::REFUSAL | Faults::UNKNOWN), 120);
    assert_eq!(states(Faults::REFUSAL), 31);
}

#[test]
fn two_sagas_that_share_nothing_have_the_product_of_their_states() {
    let topology = Topology::of([Part::Step, Part::ClosedPivot]);
    let faults = Faults::REFUSAL | Faults::UNKNOWN;
    let definition = topology.definition::<5>();
    let alone = explore(&definition).faults(faults).run();
    let both = explore(&definition).faults(faults).saga(&Diary::default()).saga(&Diary::default()).run();
    both.assert_ok();
    assert_eq!(both.states, alone.states * alone.states);
    assert_eq!(both.ends, alone.ends * alone.ends);
}

#[test]
fn nothing_goes_wrong_when_a_saga_moves_to_a_newer_version() {
    use Part::{ClosedPivot, Elsewhere, Gone, Loop, Pivot, Step, Then, Wait};
    let changes: [(&[Part], &[Part]); 6] = [
        (&[Step, Pivot], &[Step, Pivot, Then]),
        (&[Step, Step, ClosedPivot], &[Step, Gone, ClosedPivot]),
        (&[Step, Step, Pivot], &[Step, Elsewhere, Pivot]),
        (&[Step, Step, Pivot, Then], &[Step, Pivot, Then, Then]),
        (&[Step, Gone, Wait], &[Step, Step, Wait]),
        (&[Loop, Pivot], &[Loop, Step, Pivot]),
    ];
    for (older, newer) in changes {
        let first = Topology::of(older.iter().copied()).definition::<5>();
        let second = Topology::of(newer.iter().copied()).upgrade_of::<5>(&first);
        let of_first = || explore(&first).saga(&Diary::of(1));
        let report = of_first().upgrade_to(&second).run();
        assert!(report.violation.is_none() && !report.cut_off, "{older:?}, {newer:?}: {report}");
        assert!(report.states > of_first().run().states, "{older:?}, {newer:?}: sagas move");
    }
}
