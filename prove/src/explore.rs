//! Searches every state of the example sagas and of sagas of all shapes.

use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::ProgressBar;
use saga_testkit::explore::Report;
use serde::Serialize;

use crate::args::ExploreArguments;
use crate::draw::Dice;
use crate::progress;
use crate::subjects::{Subject, alone, changing, examples, external, families, pairs, shapes, upgrades};

/// The line that `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Figures {
    states: usize,
    violations: usize,
    stuck_states: usize,
    seconds: f64,
}

pub(crate) fn run(arguments: &ExploreArguments) -> anyhow::Result<()> {
    if arguments.seed.is_some() && arguments.seconds.is_none() {
        bail!(
            "a seed only draws the shapes that come after all others, so it needs --seconds to draw them in"
        );
    }
    let began = now();
    let single = examples()?.into_iter().chain(shapes()).chain(changing());
    let subjects: Vec<Subject> =
        single.chain(external()).chain(families()).chain(upgrades()).chain(pairs()).collect();
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
    let found = crate::subjects::small()?.map(|subject| (subject.explored)()).find_map(|report| match report
        .violation
    {
        Some(violation) => Some(violation.what),
        None if report.stuck_states > 0 => Some("[stuck]".into()),
        None => None,
    });
    // The condition's name stands in brackets at the end.
    Ok(found.map(|what| what.rsplit_once('[').map_or(what.clone(), |(_, name)| format!("[{name}"))))
}

/// The only clock here: it measures, and decides nothing but when to stop drawing shapes.
#[expect(clippy::disallowed_methods, reason = "a proof says how long it took")]
fn now() -> Instant {
    Instant::now()
}

const TEMPLATE: &str = "{wide_bar} {pos} of {len} sagas, {elapsed}, {msg}";
