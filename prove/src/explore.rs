//! Searches every state of the example sagas and of sagas of all shapes.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use saga_core::Saga;
use saga_testkit::explore::{Explorer, Report, explore};
use saga_testkit::topology::{Diary, Errand, Part, Topology};
use serde::Serialize;

use crate::args::ExploreArguments;
use crate::draw::Dice;
use crate::examples::{order, order_of, quickstart};
use crate::progress;

/// The line that `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Figures {
    states: usize,
    violations: usize,
    stuck_states: usize,
    seconds: f64,
}

/// Something to explore.
struct Subject {
    name: String,
    explored: Box<dyn FnOnce() -> Report>,
}

pub(crate) fn run(arguments: &ExploreArguments) -> anyhow::Result<()> {
    if arguments.seed.is_some() && arguments.seconds.is_none() {
        bail!(
            "a seed only draws the shapes that come after all others, so it needs --seconds to draw them in"
        );
    }
    let began = now();
    let subjects: Vec<Subject> =
        examples()?.into_iter().chain(shapes()).chain(families()).chain(upgrades()).chain(pairs()).collect();
    let mut proof = Proof::begin(arguments.json, subjects.len());
    subjects.into_iter().for_each(|subject| proof.explore(subject));
    let limit = Duration::from_secs(arguments.seconds.unwrap_or_default());
    let mut dice = Dice::of(arguments.seed.unwrap_or(1));
    while began.elapsed() < limit {
        proof.bar.inc_length(1);
        proof.explore(alone(&dice.topology(), 0));
    }
    proof.end(began.elapsed())
}

/// A proof under way.
struct Proof {
    json: bool,
    bar: ProgressBar,
    figures: Figures,
    /// What was not searched to its end.
    cut_off: Vec<String>,
}

impl Proof {
    fn begin(json: bool, subjects: usize) -> Self {
        Proof {
            json,
            bar: progress::bar(subjects, TEMPLATE),
            figures: Figures::default(),
            cut_off: Vec::new(),
        }
    }

    fn explore(&mut self, subject: Subject) {
        self.bar.set_message(format!("{} states, {}", self.figures.states, subject.name));
        let began = now();
        let report = (subject.explored)();
        if !self.json {
            self.bar.suspend(|| print(&subject.name, &report, began.elapsed()));
        } else if let Some(violation) = &report.violation {
            self.bar.suspend(|| eprintln!("{}: {violation}", subject.name));
        }
        self.figures.states += report.states;
        self.figures.stuck_states += report.stuck_states;
        self.figures.violations += usize::from(report.violation.is_some());
        if report.cut_off {
            self.cut_off.push(subject.name);
        }
        self.bar.inc(1);
    }

    fn end(mut self, took: Duration) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        self.figures.seconds = took.as_secs_f64();
        let Figures { states, violations, stuck_states, seconds } = &self.figures;
        if self.json {
            println!("{}", serde_json::to_string(&self.figures)?);
        } else {
            println!("{states} states, {violations} violations, {stuck_states} stuck states, {seconds:.1} s");
        }
        match (violations + stuck_states, self.cut_off.as_slice()) {
            (0, []) => Ok(()),
            (0, cut_off) => bail!("not searched to the end: {}", cut_off.join("; ")),
            _ => bail!("{violations} violations, {stuck_states} stuck states"),
        }
    }
}

fn print(name: &str, report: &Report, took: Duration) {
    println!("{name}: {report}, {:.2} s", took.as_secs_f64());
}

/// What is found in a few sagas of every kind, by the name of the condition.
#[cfg(saga_planted)]
pub(crate) fn first_violation() -> anyhow::Result<Option<String>> {
    let small = sequences().take(3).chain(groups().take(1)).chain(mixtures().map(Topology::of));
    let subjects = small.map(|topology| alone(&topology, 0)).chain(examples()?).chain(upgrades());
    let found = subjects.map(|subject| (subject.explored)()).find_map(|report| match report.violation {
        Some(violation) => Some(violation.what),
        None if report.stuck_states > 0 => Some("[stuck]".into()),
        None => None,
    });
    // The condition's name stands in brackets at the end.
    Ok(found.map(|what| what.rsplit_once('[').map_or(what.clone(), |(_, name)| format!("[{name}"))))
}

/// The sagas of the examples that need nothing but the framework.
fn examples() -> anyhow::Result<[Subject; 3]> {
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

/// Sagas of all shapes, each alone.
fn shapes() -> Vec<Subject> {
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

/// Sagas that run others, which may run others.
fn families() -> impl Iterator<Item = Subject> {
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

/// Sagas that may move to a newer version at any moment.
fn upgrades() -> Vec<Subject> {
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
fn pairs() -> impl Iterator<Item = Subject> {
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

fn alone(topology: &Topology, skips: u16) -> Subject {
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

/// The only clock here: it measures, and decides nothing but when to stop drawing shapes.
#[expect(clippy::disallowed_methods, reason = "a proof says how long it took")]
fn now() -> Instant {
    Instant::now()
}

/// One more than a loop has under way at once.
const ITEMS: usize = 3;

/// Twice what the largest pair has.
const STATES_MAX: usize = 10_000_000;

const TEMPLATE: &str = "{wide_bar} {pos} of {len} sagas, {elapsed}, {msg}";
