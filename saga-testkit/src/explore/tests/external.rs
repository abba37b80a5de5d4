//! Calls that nobody comes back with: without the watch they are found to stand.

use super::super::search::Search;
use crate::explore::Faults;
use crate::topology::{Part, Topology};

/// What is found in a saga with a step that calls out, and after how many moves, if rows are watched or not.
fn found(watches: bool) -> Option<(String, usize)> {
    let topology = Topology::of([Part::Step, Part::Pivot]).calling_out(0);
    let faults = Faults::REFUSAL | Faults::UNKNOWN | Faults::STRAY;
    let (mut rules, start) = topology.explorer::<2>().faults(faults).prepare();
    rules.watches = watches;
    let searched = Search::new(&rules, 1_000_000).run(&start);
    searched.found.map(|found| (found.wrong, found.path.len()))
}

/// A connection is lost during a call, so its command comes again; that call ends in a fault and is acked, the step is
/// given up and undone, the first call lands, and its worker dies: nothing is left that would take it back.
#[test]
fn a_call_that_nobody_comes_back_with_stands_unless_its_row_is_watched() {
    let (what, moves) = found(false).expect("a charge that stands");
    assert!(what.ends_with("and its effect stands [truth]"), "{what}");
    assert_eq!(moves, 9);
    assert_eq!(found(true), None);
}
