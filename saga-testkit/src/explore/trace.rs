//! The way to a violation, as sentences, as a sequence diagram and as a test.

use std::fmt::{Debug, Write};
use std::hash::Hash;

use saga_core::definition::StepPlan;
use saga_core::id::Direction;
use saga_core::message::Payload;

use super::external::Outward;
use super::invariants::NOT_SO;
use super::orchestrator::{Moment, Stimulus};
use super::participants::Did;
use super::report::{Report, Violation};
use super::rules::Rules;
use super::search::{Found, Searched};
use super::walker::{Happening, Move, Walker};
use super::world::{NONE, Said, World};

/// Writes down what a search has come to.
pub(super) fn report<M>(rules: &Rules<M>, start: &World, searched: Searched) -> Report
where
    M: Clone + Debug + Eq + Hash,
{
    let Searched { states, transitions, depth, ends, stuck, cut_off, found } = searched;
    let violation = found.map(|found| Tale::of(rules, start, &found).violation());
    Report { states, transitions, depth, ends, stuck_states: stuck, cut_off, violation }
}

/// What a move is called: a sentence that is unlike that of any other move in the same state.
pub(super) fn label<M>(rules: &Rules<M>, made: Move) -> String {
    let what = match made.happening {
        Happening::Take { step, direction, did, said, body } => {
            let step = Named::of(rules, step);
            taken(&step, direction, did, said, &rules.payload(body))
        }
        Happening::Outside { step, outward } => {
            let Named { step, participant } = Named::of(rules, step);
            outward.told(&participant, &step)
        }
        Happening::Hear(stimulus, moment) => heard(rules, stimulus, moment),
    };
    match rules.given == 1 && !rules.has_sub_sagas() {
        true => what,
        false => format!("{}: {what}", rules.called(made.saga)),
    }
}

/// A step, and who takes its commands.
struct Named {
    step: String,
    participant: String,
}

impl Named {
    fn of<M>(rules: &Rules<M>, step: u32) -> Self {
        let participant =
            rules.step(step).command().map(|command| command.participant.to_string()).unwrap_or_default();
        Named { step: rules.name(step).to_string(), participant }
    }
}

fn taken(named: &Named, direction: Direction, did: Did, said: Option<Said>, body: &Payload) -> String {
    let Named { step, participant } = named;
    match did {
        Did::Do => format!("{participant} does {step}{}", with(", and answers ", body)),
        Did::Refuse => format!("{participant} refuses {step}{}", with(" with ", body)),
        Did::Undo => format!("{participant} undoes {step}"),
        Did::Close => format!("{participant} learns from {direction} that {step} is never to be done"),
        Did::Answer => {
            let said = said.map_or("a fault", Said::as_str);
            format!("{participant} answers {direction} {step} from its record: {said}{}", with(" ", body))
        }
    }
}

fn heard<M>(rules: &Rules<M>, stimulus: Stimulus, moment: Moment) -> String {
    let named = |step| Named::of(rules, step).step;
    let what = match stimulus {
        Stimulus::Reply { step, direction, said, .. } => {
            format!("{} arrives for {direction} {}", said.as_str(), named(step))
        }
        Stimulus::Timer { step, .. } if rules.pauses(step) => format!("{} is over", named(step)),
        Stimulus::Timer { step, direction } => {
            let spent = if moment == Moment::Spent { ", and no attempt is left" } else { "" };
            let what = if rules.sends_command(step) {
                format!("answer to {direction}")
            } else {
                "signal for".into()
            };
            format!("no {what} {} in time{spent}", named(step))
        }
        Stimulus::PermanentFault { step, direction } => format!("{direction} {} fails for good", named(step)),
        Stimulus::Signal { step, body } => {
            format!("{} is signalled{}", named(step), with(" ", &rules.payload(body)))
        }
        Stimulus::Asked(direction) => format!("{direction} arrives from its parent"),
        Stimulus::Released => "its parent's release arrives".into(),
        Stimulus::Upgrade { to } => {
            format!("it moves to version {}", rules.plans[to as usize].reference().version)
        }
        Stimulus::Cancel => "somebody cancels".into(),
        Stimulus::Retry => "an operator retries".into(),
        Stimulus::Compensate => "an operator has it compensated".into(),
        Stimulus::ResolveDone { step, .. } => {
            format!("an operator says that what is awaited of {} is done", named(step))
        }
        Stimulus::ResolveNotDone { step } => format!("an operator says that {} was not done", named(step)),
    };
    what + at(moment)
}

const fn at(moment: Moment) -> &'static str {
    match moment {
        Moment::Early | Moment::Spent => "",
        Moment::Overdue => ", after the saga's deadline",
        Moment::Failing => ", and the saga's own code fails",
    }
}

/// A body, if it says anything.
fn with(before: &str, body: &Payload) -> String {
    match body.as_text() {
        "" | "null" => String::new(),
        text => format!("{before}{text}"),
    }
}

/// The way to a violation, told move by move.
struct Tale<'a, M> {
    rules: &'a Rules<M>,
    wrong: String,
    lines: Vec<String>,
    arrows: Vec<String>,
    /// How many sagas there are, those that steps run included.
    sagas: usize,
}

impl<'a, M: Clone + Debug + Eq + Hash> Tale<'a, M> {
    fn of(rules: &'a Rules<M>, start: &'a World, found: &Found) -> Self {
        let wrong = found.wrong.clone();
        let mut tale = Tale { rules, wrong, lines: Vec::new(), arrows: Vec::new(), sagas: start.sagas.len() };
        let (mut world, mut walker) = (start.clone(), Walker::new(rules));
        for made in &found.path {
            tale.lines.push(label(rules, *made));
            let next = walker.next(&world).into_iter().find(|(other, _)| other == made);
            let next = next.and_then(|(_, reached)| reached.ok()).unwrap_or_else(|| world.clone());
            tale.draw(*made, &world, &next);
            world = next;
        }
        tale
    }

    fn violation(self) -> Violation {
        let (diagram, test) = (self.diagram(), self.test());
        Violation { what: self.wrong, trace: self.lines, diagram, test }
    }

    fn draw(&mut self, made: Move, before: &World, after: &World) {
        let saga = made.saga + 1;
        self.sagas = self.sagas.max(saga);
        match made.happening {
            Happening::Take { step, direction, did, .. } => {
                let named = Named::of(self.rules, step);
                let place = self.place_of(&named.participant);
                let body = before.sagas[made.saga].cell(step).map_or(NONE, |cell| cell.body(direction));
                let body = with(" ", &self.rules.payload(body));
                self.arrows.push(format!("S{saga}->>P{place}: {direction} {}{body}", named.step));
                self.arrows.push(format!("Note over P{place}: {}{}", deed(did), self.changed(before, after)));
            }
            Happening::Outside { step, outward } => {
                let Named { step, participant } = Named::of(self.rules, step);
                let place = self.place_of(&participant);
                if let Outward::Delivered(direction) = outward {
                    self.arrows.push(format!("S{saga}->>P{place}: {direction} {step}"));
                }
                self.arrows.push(format!("Note over P{place}: {}", outward.told(&participant, &step)));
            }
            Happening::Hear(Stimulus::Reply { step, direction, said, body }, moment) => {
                let named = Named::of(self.rules, step);
                let place = self.place_of(&named.participant);
                let (said, body) = (said.as_str(), with(" ", &self.rules.payload(body)));
                let moment = at(moment);
                self.arrows
                    .push(format!("P{place}-->>S{saga}: {direction} {} {said}{body}{moment}", named.step));
                self.note_status(made.saga, before, after);
            }
            Happening::Hear(stimulus, moment) => {
                self.arrows.push(format!("Note over S{saga}: {}", heard(self.rules, stimulus, moment)));
                self.note_status(made.saga, before, after);
            }
        }
    }

    /// The model, if it is another than before.
    fn changed(&self, before: &World, after: &World) -> String {
        match before.model == after.model {
            true => String::new(),
            false => format!(", now {:?}", self.rules.models.value(after.model)),
        }
    }

    fn note_status(&mut self, saga: usize, before: &World, after: &World) {
        let status = |world: &World| {
            let saga = world.instance(saga);
            (saga != NONE).then(|| self.rules.instances.value(saga).state.status().as_str())
        };
        if let Some(after) = status(after).filter(|after| status(before) != Some(after)) {
            self.arrows.push(format!("Note over S{}: {after}", saga + 1));
        }
    }

    /// The participants, in the order of the definition.
    fn participants(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let steps = self.rules.plans.iter().flat_map(|plan| plan.steps());
        for command in steps.filter_map(StepPlan::command) {
            if !names.contains(&command.participant.as_str()) {
                names.push(command.participant.as_str());
            }
        }
        names
    }

    fn place_of(&self, participant: &str) -> usize {
        self.participants().iter().position(|name| *name == participant).map_or(1, |place| place + 1)
    }

    fn diagram(&self) -> String {
        let participants = self.participants();
        let mut text = String::from("sequenceDiagram\n");
        for saga in 0..self.sagas {
            let _ = writeln!(text, "    participant S{} as {}", saga + 1, self.rules.called(saga));
        }
        for (place, name) in participants.iter().enumerate() {
            let _ = writeln!(text, "    participant P{} as {name}", place + 1);
        }
        let last = if participants.is_empty() { String::new() } else { format!(",P{}", participants.len()) };
        let end = format!("Note over S1{last}: {}", self.wrong);
        for arrow in self.arrows.iter().chain([&end]) {
            let _ = writeln!(text, "    {}", plain(arrow));
        }
        text
    }

    fn test(&self) -> String {
        let mut text = format!("#[test]\nfn {}() {{\n", identifier(self.wrong.trim_start_matches(NOT_SO)));
        text += "    // `explorer()` is what found this: everything between `explore` and `run`.\n";
        text += "    explorer()\n        .replay(&[\n";
        for line in &self.lines {
            let _ = writeln!(text, "            {line:?},");
        }
        text += "        ])\n        .assert_ok();\n}\n";
        text
    }
}

const fn deed(did: Did) -> &'static str {
    match did {
        Did::Do => "does it",
        Did::Refuse => "refuses",
        Did::Undo => "undoes it",
        Did::Close => "will never do it",
        Did::Answer => "answers from its record",
    }
}

/// What Mermaid takes for the end of a line is something else in a text.
fn plain(text: &str) -> String {
    text.replace(';', ",").replace('#', "")
}

/// A function's name made of a sentence.
fn identifier(sentence: &str) -> String {
    let words = sentence.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_").to_lowercase();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}
