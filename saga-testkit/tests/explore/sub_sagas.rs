//! Sagas that run others, which may run others: nothing goes wrong in any of them, whatever fails.

use saga_testkit::explore::Faults;
use saga_testkit::topology::Errand::{Checked, Nested, Short};
use saga_testkit::topology::Part::{Beside, Check, ClosedPivot, Run, RunEach, Step};
use saga_testkit::topology::{Diary, Part, Topology};

fn assert_right(shape: &[Part], faults: Faults) {
    let topology = Topology::of(shape.iter().copied());
    for topology in [topology.clone(), topology.with_deadline()] {
        let report = topology.explorer::<5>().faults(faults).run();
        assert!(report.violation.is_none() && !report.cut_off, "{topology}: {report}");
    }
}

#[test]
fn nothing_goes_wrong_when_a_saga_runs_another() {
    let shapes: [&[Part]; 5] = [
        &[Run(Short)],
        &[Step, Run(Short)],
        &[Run(Short), Check],
        &[Run(Short), ClosedPivot],
        &[Run(Checked)],
    ];
    shapes.into_iter().for_each(|shape| assert_right(shape, Faults::all()));
}

#[test]
fn nothing_goes_wrong_when_what_a_saga_runs_runs_another() {
    assert_right(&[Run(Nested)], Faults::all().without(Faults::OPERATOR));
}

#[test]
fn nothing_goes_wrong_when_a_saga_runs_two_or_one_beside_a_step() {
    let faults = Faults::all().without(Faults::OPERATOR | Faults::PERMANENT);
    assert_right(&[Beside(Short)], faults);
    assert_right(&[Run(Short), Run(Checked)], faults);
}

#[test]
fn nothing_goes_wrong_when_each_item_runs_a_saga() {
    let each = || Topology::of([RunEach(Short), Check]).explorer::<5>();
    let one_by_one = each().saga(&Diary::of(1)).run();
    assert!(one_by_one.violation.is_none() && !one_by_one.cut_off, "{one_by_one}");
    let at_once = each().faults(Faults::REFUSAL).saga(&Diary::of(2)).run();
    assert!(at_once.violation.is_none() && !at_once.cut_off, "{at_once}");
}

#[test]
fn nothing_goes_wrong_when_what_a_saga_runs_moves_to_a_newer_version() {
    for shape in [[Run(Short), Check], [Run(Checked), Check]] {
        let report = Topology::of(shape).with_newer_errands().explorer::<5>().run();
        assert!(report.violation.is_none() && !report.cut_off, "{shape:?}: {report}");
    }
}

#[test]
fn nothing_goes_wrong_when_commands_are_sent_once() {
    let report = Topology::of([Run(Short), Check]).explorer::<1>().run();
    assert!(report.violation.is_none() && !report.cut_off, "{report}");
}

#[test]
#[should_panic(expected = "add the definition of short with `sub_saga`")]
fn a_saga_that_is_run_must_be_known() {
    let _ = saga_testkit::explore::explore(&Topology::of([Run(Short)]).definition::<5>()).run();
}
