//! What is explored: the sagas of the examples, and sagas of all shapes.

use anyhow::Context;
use saga_core::Saga;
use saga_testkit::explore::{Explorer, Faults, Report, explore};
use saga_testkit::topology::{Diary, Errand, Part, Topology};

use crate::examples::{order, order_of, quickstart};

/// Something to explore.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) explored: Box<dyn FnOnce() -> Report>,
}

/// The sagas of the examples that need nothing but the framework.
pub(crate) fn examples() -> anyhow::Result<[Subject; 3]> {
    let order = order::place_order().context("the order example")?;
    let quickstart = quickstart::place_order().context("the quickstart")?;
    Ok([
        example("example order, small", explore(&order).saga(&order_of(1_000, 1))),
        example("example order, decided by a manager", explore(&order).saga(&order_of(1_000_000, 2))),
        example("example quickstart", explore(&quickstart)),
    ])
}

fn example<S: Saga>(name: &str, explorer: Explorer<S, ()>) -> Subject {
    Subject { name: name.into(), explored: Box::new(move || explorer.run()) }
}

/// A few of every kind, for a bug that is to be found in any of them.
#[cfg(saga_planted)]
pub(crate) fn small() -> anyhow::Result<impl Iterator<Item = Subject>> {
    let small = sequences().take(3).chain(groups().take(1)).chain(mixtures().map(Topology::of));
    let small = small.map(|topology| alone(&topology, 0));
    Ok(small.chain(examples()?).chain(upgrades()).chain(families().take(1)).chain(external().take(3)))
}

/// Sagas of all shapes, each alone.
pub(crate) fn shapes() -> Vec<Subject> {
    let plain = sequences().chain(groups()).chain(mixtures().map(Topology::of));
    let hurried = mixtures().map(|parts| Topology::of(parts).with_deadline());
    let mut subjects: Vec<Subject> = plain.chain(hurried).map(|topology| alone(&topology, 0)).collect();
    let conditional =
        mixtures().filter(|parts| parts.len() == 4).map(|parts| Topology::of(parts).with_conditions());
    subjects.extend(conditional.flat_map(|topology| (1..15).map(move |skips| alone(&topology, skips))));
    subjects
}

/// One to eight steps, one after another.
fn sequences() -> impl Iterator<Item = Topology> {
    (1..=8).map(|count| Topology::of(std::iter::repeat_n(Part::Step, count)))
}

/// Groups up to a width of four, alone and in company.
fn groups() -> impl Iterator<Item = Topology> {
    let alone = (2..=4).map(|width| vec![Part::Group(width)]);
    let company = [
        vec![Part::Step, Part::Group(2), Part::Step],
        vec![Part::Step, Part::Group(3), Part::Step],
        vec![Part::Group(2), Part::Group(2)],
        vec![Part::Group(2), Part::ClosedPivot, Part::Then],
        vec![Part::Check, Part::Group(3), Part::Pivot],
        vec![Part::Step, Part::Pivot, Part::ThenBoth, Part::Then],
    ];
    alone.chain(company).map(Topology::of)
}

/// Four parts, of which each role is one somewhere.
fn mixtures() -> impl Iterator<Item = Vec<Part>> {
    use Part::{Check, ClosedPivot, Loop, Notify, Pause, Pivot, Step, Then, ThenLoop, Wait};
    let mixtures: [&[Part]; 17] = [
        &[Pivot],
        &[ClosedPivot, Then],
        &[Step, Check, Step],
        &[Step, Pivot, Then],
        &[Check, Step, Pivot, Then],
        &[Step, Check, ClosedPivot, Then],
        &[Wait, Step, Check, Step],
        &[Step, Wait, Pivot, Then],
        &[Step, Wait, Wait, ClosedPivot],
        &[Step, Check, Wait, Step, ClosedPivot, Then],
        &[Check, Check, Step, Step, Pivot, Then, Then],
        &[Step, Step, Step, ClosedPivot, Then, Then, Then],
        &[Loop, Step],
        &[Notify, Step, Notify, Pivot, Notify, Then],
        &[Step, Loop, ClosedPivot, Then],
        &[Pause, Step, Pause, ClosedPivot, Pause, Then],
        &[Step, ClosedPivot, ThenLoop, Then],
    ];
    mixtures.into_iter().map(<[Part]>::to_vec)
}

/// Sagas whose conditions and items read what every answer changes.
pub(crate) fn changing() -> impl Iterator<Item = Subject> {
    use Part::{Check, ClosedPivot, Group, Loop, Notify, Run, Step, Then, ThenBoth, Wait};
    let more: [&[Part]; 5] = [
        &[Step, Group(2), Check],
        &[Group(3), ClosedPivot, ThenBoth],
        &[Loop, Group(2), Loop],
        &[Wait, Loop, Notify, Check],
        &[Step, Run(Errand::Short), ClosedPivot, Then],
    ];
    let shapes = mixtures().chain(more.into_iter().map(<[Part]>::to_vec));
    shapes.flat_map(|parts| {
        let topology = Topology::of(parts).with_conditions();
        [0b0101_0101_0101_0101, 0b0011_0011_0011_0011, 0b1001_1001_1001_1001].map(|skips| {
            let diary = Diary::of(ITEMS).skipping(skips).changing();
            let name = format!("{}, and all answers change that", named(&topology.to_string(), skips));
            Subject { name, explored: explored(&topology, diary) }
        })
    })
}

/// Sagas that run others, which may run others.
pub(crate) fn families() -> impl Iterator<Item = Subject> {
    use Errand::{Checked, Nested, Short};
    use Part::{Beside, Check, ClosedPivot, Run, RunEach, Step, Then};
    let shapes: [&[Part]; 7] = [
        &[Run(Short)],
        &[Run(Checked)],
        &[Run(Nested)],
        &[Step, Run(Short), Check],
        &[Run(Short), ClosedPivot, Then],
        &[Run(Short), Run(Checked)],
        &[Beside(Short)],
    ];
    let shapes = shapes.into_iter().map(|parts| Topology::of(parts.iter().copied()));
    let newer = [&[Run(Short), Check][..], &[Run(Checked), Check], &[Run(Nested)]];
    let newer = newer.into_iter().map(|parts| Topology::of(parts.iter().copied()).with_newer_errands());
    let each = Topology::of([RunEach(Short)]);
    let each = Subject { name: format!("{each} (two)"), explored: explored(&each, Diary::of(2)) };
    shapes.chain(newer).map(|topology| alone(&topology, 0)).chain([each])
}

/// Sagas one of whose steps is done by calling another system.
pub(crate) fn external() -> impl Iterator<Item = Subject> {
    use Part::{Check, ClosedPivot, Group, Pivot, Step, Then, ThenBoth};
    let shapes: [(&[Part], usize); 10] = [
        (&[Step], 0),
        (&[Check, Step], 0),
        (&[Step, ClosedPivot, Then], 0),
        (&[Step, ClosedPivot, Then], 1),
        (&[Step, ClosedPivot, Then], 2),
        (&[Group(2)], 0),
        (&[Group(2), ClosedPivot], 1),
        (&[Step, Step, Pivot], 0),
        (&[Step, Pivot, ThenBoth], 1),
        (&[Step, Pivot, ThenBoth], 2),
    ];
    let of = |parts: &[Part]| Topology::of(parts.iter().copied());
    let alone_each = shapes.into_iter().map(move |(parts, step)| alone(&of(parts).calling_out(step), 0));
    let newer: [(&[Part], &[Part]); 2] = [
        (&[Step, Step, Pivot], &[Step, Step, Pivot, Then]),
        (&[Step, ClosedPivot], &[Step, Step, ClosedPivot]),
    ];
    let moving =
        newer.into_iter().map(move |(older, newer)| upgrade(&of(older).calling_out(0), &of(newer), 0));
    [unwatched(&of(&[Step, ClosedPivot, Then]).calling_out(0))].into_iter().chain(alone_each).chain(moving)
}

/// Without strays no row is watched, so each rule that takes a late call back must do so by itself.
fn unwatched(topology: &Topology) -> Subject {
    let explorer = topology.explorer::<5>().faults(Faults::all().without(Faults::STRAY));
    let explored = Box::new(move || explorer.saga(&Diary::of(ITEMS)).run());
    Subject { name: format!("{topology}, without strays"), explored }
}

/// Sagas that may move to a newer version at any moment.
pub(crate) fn upgrades() -> Vec<Subject> {
    use Part::{Check, ClosedPivot, Elsewhere, Gone, Group, Loop, Pause, Pivot, Run, Step, Then, Wait};
    let changes: [(&[Part], &[Part]); 14] = [
        (&[Step, Step], &[Step, Step, Step]),
        (&[Step, Pivot], &[Step, Pivot, Then]),
        (&[Step, Gone, Pivot, Then], &[Step, Check, Pivot, Then]),
        (&[Step, Step, ClosedPivot, Then], &[Step, Gone, ClosedPivot, Then]),
        (&[Step, Step, Pivot], &[Step, Elsewhere, Pivot]),
        (&[Step, Step, ClosedPivot, Then], &[Step, ClosedPivot, Then, Then]),
        (&[Step, ClosedPivot, Then, Then], &[Step, Step, ClosedPivot, Then]),
        (&[Step, Check, Step], &[Step, Step, Check]),
        (&[Step, Gone, Wait, ClosedPivot], &[Step, Step, Wait, ClosedPivot]),
        (&[Step, Wait, Pivot], &[Step, Gone, Pivot]),
        (&[Loop, Check], &[Loop, Step, Check]),
        (&[Group(2), ClosedPivot], &[Group(2), Step, ClosedPivot]),
        (&[Pause, Step, Pivot], &[Pause, Step, Pivot, Pause]),
        (&[Run(Errand::Short), Check], &[Run(Errand::Short), Step]),
    ];
    let of = |parts: &[Part]| Topology::of(parts.iter().copied());
    let mut subjects: Vec<Subject> =
        changes.into_iter().map(|(older, newer)| upgrade(&of(older), &of(newer), 0)).collect();
    let (older, newer) = (of(&[Step, Step, Check, Pivot]), of(&[Step, Step, Step, Pivot, Then]));
    subjects.push(upgrade(&older, &newer.clone().with_deadline(), 0));
    let (older, newer) = (older.with_conditions(), newer.with_conditions());
    subjects.extend((0..15).map(|skips| upgrade(&older, &newer, skips)));
    subjects
}

fn upgrade(older: &Topology, newer: &Topology, skips: u16) -> Subject {
    let second = newer.upgrade_of::<5>(&older.definition::<5>());
    let diary = Diary::of(ITEMS).skipping(skips);
    let explorer = older.explorer::<5>().upgrade_to(&second).saga(&diary);
    let name = named(&format!("{older}, later {newer}"), skips);
    Subject { name, explored: Box::new(move || explorer.run()) }
}

/// Two sagas of one shape at once.
pub(crate) fn pairs() -> impl Iterator<Item = Subject> {
    use Part::{Check, ClosedPivot, Group, Pivot, Step, Then, Wait};
    let shapes: [&[Part]; 6] = [
        &[Step, Step],
        &[Step, Step, Step],
        &[Step, ClosedPivot, Then],
        &[Check, Step, Pivot],
        &[Wait, Step],
        &[Group(2)],
    ];
    shapes.into_iter().map(|parts| pair(&Topology::of(parts.iter().copied())))
}

pub(crate) fn alone(topology: &Topology, skips: u16) -> Subject {
    let diary = Diary::of(ITEMS).skipping(skips);
    Subject { name: named(&topology.to_string(), skips), explored: explored(topology, diary) }
}

fn named(shape: &str, skips: u16) -> String {
    if skips == 0 { shape.to_owned() } else { format!("{shape}, {skips:#b} skipped") }
}

fn explored(topology: &Topology, diary: Diary) -> Box<dyn FnOnce() -> Report> {
    let explorer = topology.explorer::<5>();
    Box::new(move || explorer.saga(&diary).run())
}

fn pair(topology: &Topology) -> Subject {
    let definition = topology.definition::<5>();
    let both = explore(&definition).saga(&Diary::of(ITEMS)).saga(&Diary::of(ITEMS));
    let explored = move || both.states_max(STATES_MAX).run();
    Subject { name: format!("two of: {topology}"), explored: Box::new(explored) }
}

/// One more than a loop has under way at once.
const ITEMS: usize = 3;

/// Twice what the largest pair has.
const STATES_MAX: usize = 10_000_000;
