//! What the explorer leaves out makes no difference: with it, exactly the same states can be reached.

use std::collections::HashSet;

use super::portrait::{Portrait, of_world};
use super::unreduced::{Detail, Unreduced, reach};
use crate::explore::rules::Rules;
use crate::explore::walker::{Move, Walker};
use crate::explore::world::World;
use crate::explore::{Faults, explore};
use crate::topology::{Diary, Part, Topology};

/// Every world that the explorer reaches.
pub(super) fn explored(rules: &Rules<()>, start: World) -> Vec<World> {
    explored_by(rules, start, |_, _| true)
}

/// Every world that it reaches by moves that may be made.
pub(super) fn explored_by(
    rules: &Rules<()>,
    start: World,
    may_be_made: impl Fn(&World, &Move) -> bool,
) -> Vec<World> {
    let mut walker = Walker::new(rules);
    let (mut worlds, mut seen) = (vec![start.clone()], HashSet::from([start]));
    let mut number = 0;
    while let Some(world) = worlds.get(number).cloned() {
        let next = walker.next(&world).into_iter().filter(|(made, _)| may_be_made(&world, made));
        let next = next.map(|(_, reached)| reached.unwrap());
        worlds.extend(next.filter(|next| seen.insert(next.clone())));
        number += 1;
    }
    worlds
}

/// Compares the two models, and prints how many states each has.
fn compare<const ATTEMPTS: u32>(parts: &[Part], faults: Faults, detail: Detail) {
    let definition = Topology::of(parts.iter().copied()).definition::<ATTEMPTS>();
    let (rules, start) = explore(&definition).saga(&Diary::default()).faults(faults).prepare();
    let reduced = explored(&rules, start);
    let unreduced = reach(&rules.plans[0], faults, detail);
    let ours: HashSet<Portrait> = reduced.iter().map(|world| of_world(&rules, world)).collect();
    let theirs: HashSet<Portrait> = unreduced.iter().map(Unreduced::portrait).collect();
    assert_eq!(ours.len(), reduced.len(), "two states of the explorer look the same");
    let missed = theirs.difference(&ours).next();
    assert!(missed.is_none(), "{parts:?}: the explorer misses {missed:#?}");
    let invented = ours.difference(&theirs).next();
    assert!(invented.is_none(), "{parts:?}: the explorer invents {invented:#?}");
    println!("{parts:?}, {faults:?}, {detail:?}: {} states come down to {}", unreduced.len(), reduced.len());
    assert!(unreduced.len() > 2 * reduced.len(), "there was nothing to leave out");
}

/// Everything that the unreduced model has.
fn all() -> Faults {
    Faults::all().without(Faults::OPERATOR | Faults::DEADLINE)
}

#[test]
fn a_relay_that_may_die_at_every_point_makes_no_difference() {
    let cases: [(&[Part], Faults); 5] = [
        (&[Part::Step], all()),
        (&[Part::ClosedPivot], all()),
        (&[Part::Step, Part::Pivot], Faults::REFUSAL),
        (&[Part::Step, Part::Step], Faults::REFUSAL),
        (&[Part::Group(2)], Faults::REFUSAL),
    ];
    for (parts, faults) in cases {
        compare::<1>(parts, faults, Detail::Relay);
    }
}

#[test]
#[ignore = "takes a minute or two without optimization"]
fn a_relay_that_may_die_makes_no_difference_to_two_steps_that_are_not_answered() {
    compare::<1>(&[Part::Step, Part::Step], Faults::UNKNOWN, Detail::Relay);
}

#[test]
fn exact_attempts_and_faults_on_their_way_make_no_difference() {
    for part in [Part::Step, Part::Check, Part::ClosedPivot, Part::Pivot] {
        let faults = Faults::REFUSAL | Faults::UNKNOWN;
        compare::<2>(&[part], faults, Detail::Attempts(2));
    }
    compare::<2>(&[Part::Pivot], all(), Detail::Attempts(2));
}

/// With a second attempt they have too many states for a test.
#[test]
fn faults_on_their_way_make_no_difference_to_two_steps_in_order_or_at_once() {
    for parts in [&[Part::Step, Part::Step][..], &[Part::Group(2)]] {
        let faults = Faults::REFUSAL | Faults::UNKNOWN;
        compare::<1>(parts, faults, Detail::Attempts(1));
    }
}
