//! Draws a definition, or one saga with what has become of it, as Mermaid or as DOT.
//!
//! ```
//! # use saga_core::drawing::Drawing;
//! # use saga_core::{Command, NothingToUndo, Participant, Saga, Step, saga};
//! # use serde::{Deserialize, Serialize};
//! # struct Warehouse;
//! # impl Participant for Warehouse { const NAME: &'static str = "warehouse"; }
//! # #[derive(Serialize, Deserialize)]
//! # struct CheckStock;
//! # impl Command for CheckStock {
//! #     const TYPE: &'static str = "check-stock";
//! #     type Participant = Warehouse;
//! #     type Reply = ();
//! #     type Refusal = String;
//! # }
//! # #[derive(Serialize, Deserialize)]
//! # struct PlaceOrder;
//! # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
//! # impl Step<PlaceOrder> for CheckStock { fn command(_: &PlaceOrder) -> Self { CheckStock } }
//! # impl NothingToUndo<PlaceOrder> for CheckStock {}
//! let definition = saga::<PlaceOrder>(1).check::<CheckStock>().build()?;
//! let drawing = Drawing::of_definition(definition.plan());
//! assert!(drawing.mermaid().contains(r#"step0["check-stock<br>warehouse"]"#));
//! assert!(drawing.dot().starts_with("digraph"));
//! # Ok::<(), saga_core::DefinitionError>(())
//! ```

use std::fmt::Write as _;

use crate::definition::{CommandPlan, Plan, Role, StepPlan, Work};
use crate::id::Direction;
use crate::machine::{Instance, StepRecord, StepState};

/// A drawing: groups of boxes in the order in which they are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    title: String,
    groups: Vec<Vec<Node>>,
    end: Option<String>,
}

/// One box: a step, or one item of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    id: String,
    lines: Vec<String>,
    mark: Option<Mark>,
}

/// What has become of a step, as colours tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Ahead,
    Awaited,
    Done,
    Refused,
    Undone,
    Skipped,
}

impl Mark {
    const ALL: [Mark; 6] =
        [Mark::Ahead, Mark::Awaited, Mark::Done, Mark::Refused, Mark::Undone, Mark::Skipped];

    const fn name(self) -> &'static str {
        match self {
            Mark::Ahead => "ahead",
            Mark::Awaited => "awaited",
            Mark::Done => "done",
            Mark::Refused => "refused",
            Mark::Undone => "undone",
            Mark::Skipped => "skipped",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Mark::Ahead | Mark::Skipped => "#ffffff",
            Mark::Awaited => "#ffe9a8",
            Mark::Done => "#c9efcb",
            Mark::Refused => "#f6c6c6",
            Mark::Undone => "#dddddd",
        }
    }
}

impl Drawing {
    /// Draws a definition: its steps, who takes their commands, and what undoes them.
    pub fn of_definition(plan: &Plan) -> Self {
        let node = |place: usize| Node::of_plan(&plan.steps()[place], place);
        let groups = plan.groups().iter().map(|group| group.clone().map(node).collect()).collect();
        Drawing { title: plan.reference().to_string(), groups, end: None }
    }

    /// Draws a saga: where each of its steps stands, each item by itself.
    pub fn of_saga(plan: &Plan, saga: &Instance) -> Self {
        let nodes = |place: usize| boxes(plan, place, saga.state.steps());
        let groups = plan.groups().iter().map(|group| group.clone().flat_map(nodes).collect()).collect();
        let end = match saga.state.cause() {
            Some(cause) => format!("{}: {cause}", saga.state.status().as_str()),
            None => saga.state.status().as_str().to_owned(),
        };
        Drawing { title: format!("{} {}", saga.definition, saga.id), groups, end: Some(end) }
    }

    /// The drawing in Mermaid's language.
    pub fn mermaid(&self) -> String {
        let mut text = format!("---\ntitle: {:?}\n---\nflowchart TD\n", self.title);
        for (place, group) in self.groups.iter().enumerate() {
            let frame = format!("subgraph group{place}[\" \"]");
            framed(&mut text, group.iter().map(Node::mermaid).collect(), [&frame, "end"]);
        }
        self.arrows().iter().for_each(|(from, to)| line(&mut text, &format!("{from} --> {to}")));
        if let Some(end) = &self.end {
            line(&mut text, &format!("outcome([\"{}\"])", in_mermaid(end)));
            Mark::ALL.iter().for_each(|mark| {
                line(&mut text, &format!("classDef {} fill:{}", mark.name(), mark.colour()));
            });
        }
        text
    }

    /// The drawing in the language of Graphviz.
    pub fn dot(&self) -> String {
        let mut text = format!("digraph {:?} {{\n", self.title);
        line(&mut text, "node [shape=box style=filled fillcolor=\"#ffffff\"]");
        for (place, group) in self.groups.iter().enumerate() {
            let frame = format!("subgraph cluster{place} {{");
            framed(&mut text, group.iter().map(Node::dot).collect(), [&frame, "}"]);
        }
        self.arrows().iter().for_each(|(from, to)| line(&mut text, &format!("{from} -> {to}")));
        if let Some(end) = &self.end {
            line(&mut text, &format!("outcome [label=\"{}\" shape=oval]", in_dot(end)));
        }
        text + "}\n"
    }

    /// From every box of a group to every box of the next, and from the last to the outcome.
    fn arrows(&self) -> Vec<(&str, &str)> {
        let mut stations: Vec<Vec<&str>> =
            self.groups.iter().map(|group| group.iter().map(|node| node.id.as_str()).collect()).collect();
        stations.extend(self.end.as_ref().map(|_| vec!["outcome"]));
        let pairs = stations.windows(2).map(|pair| (&pair[0], &pair[1]));
        pairs
            .flat_map(|(from, to)| from.iter().flat_map(move |from| to.iter().map(move |to| (*from, *to))))
            .collect()
    }
}

impl Node {
    fn of_plan(step: &StepPlan, place: usize) -> Self {
        Node { id: format!("step{place}"), lines: planned(step), mark: None }
    }

    fn of_record(record: &StepRecord, id: String) -> Self {
        let (mark, what) = happened(&record.state);
        Node { id, lines: vec![record.name.to_string(), what], mark: Some(mark) }
    }

    fn mermaid(&self) -> String {
        let label: Vec<String> = self.lines.iter().map(|line| in_mermaid(line)).collect();
        let class = self.mark.map(|mark| format!(":::{}", mark.name())).unwrap_or_default();
        format!("{}[\"{}\"]{class}", self.id, label.join("<br>"))
    }

    fn dot(&self) -> String {
        let label: Vec<String> = self.lines.iter().map(|line| in_dot(line)).collect();
        let colour = self.mark.map(|mark| format!(" fillcolor=\"{}\"", mark.colour())).unwrap_or_default();
        format!("{} [label=\"{}\"{colour}]", self.id, label.join("\\n"))
    }
}

/// The boxes of one step of a saga: one for each of its items, or one for itself.
fn boxes(plan: &Plan, place: usize, records: &[StepRecord]) -> Vec<Node> {
    let mine = records.iter().filter(|record| plan.position_of(&record.name) == Some(place));
    let found: Vec<Node> = mine
        .enumerate()
        .map(|(item, record)| Node::of_record(record, format!("step{place}_{item}")))
        .collect();
    if !found.is_empty() {
        return found;
    }
    let lines = vec![plan.steps()[place].name.to_string(), "not reached".into()];
    vec![Node { id: format!("step{place}"), lines, mark: Some(Mark::Ahead) }]
}

/// What a definition says of a step.
fn planned(step: &StepPlan) -> Vec<String> {
    let mut lines = vec![step.name.to_string()];
    lines.push(match &step.work {
        Work::Command(CommandPlan { participant, sub_saga: Some(saga), .. }) => {
            format!("{participant} runs the saga {saga}")
        }
        Work::Command(command) => command.participant.to_string(),
        Work::Notification(notification) => {
            let topics: Vec<&str> = notification.topics.iter().map(|topic| topic.as_str()).collect();
            format!("tells {}", topics.join(", "))
        }
        Work::Signal { deadline } => format!("waits for a signal, at most {deadline:?}"),
        Work::Pause => "pauses".into(),
    });
    lines.extend(step.items_at_once.map(|width| format!("for each item, {width} at once")));
    lines.extend(step.conditional.then(|| "if its condition holds".into()));
    match &step.role {
        Role::Compensatable(_) if step.sub_saga().is_some() => lines.push("undo: compensates it".into()),
        Role::Compensatable(undo) => lines.push(format!("undo: {}", undo.command_type)),
        Role::Pivot | Role::Retriable => lines.push(step.role.as_str().into()),
        Role::NothingToUndo => {}
    }
    lines
}

/// What has become of a step, in a colour and in words.
fn happened(state: &StepState) -> (Mark, String) {
    let mark = match state {
        StepState::Queued => Mark::Ahead,
        StepState::Early(_) | StepState::Waiting { .. } | StepState::Pausing { .. } => Mark::Awaited,
        StepState::Doing(_) | StepState::Closing(_) | StepState::Undoing { .. } => Mark::Awaited,
        StepState::Done(_) => Mark::Done,
        StepState::Refused => Mark::Refused,
        StepState::Undone => Mark::Undone,
        StepState::Skipped => Mark::Skipped,
    };
    let words = match (state, state.awaited()) {
        (StepState::Early(_), _) => "signalled early".into(),
        (StepState::Waiting { .. }, _) => "waits for its signal".into(),
        (StepState::Pausing { .. }, _) => "pauses".into(),
        (_, Some((Direction::Do, asked))) => format!("asked, attempt {}", asked.attempt),
        (_, Some((Direction::Undo, asked))) => format!("being undone, attempt {}", asked.attempt),
        (_, Some((Direction::Close, asked))) => format!("being closed, attempt {}", asked.attempt),
        (_, None) => mark.name().into(),
    };
    (mark, words)
}

/// Boxes in a frame, if there are several of them.
fn framed(text: &mut String, boxes: Vec<String>, [open, close]: [&str; 2]) {
    if boxes.len() < 2 {
        return boxes.iter().for_each(|one| line(text, one));
    }
    line(text, open);
    boxes.iter().for_each(|one| line(text, &format!("    {one}")));
    line(text, close);
}

fn line(text: &mut String, content: &str) {
    let _ = writeln!(text, "    {content}");
}

/// Mermaid reads what stands between `#` and `;` as a character, and a quote ends a label.
fn in_mermaid(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('\n', " ")
}

fn in_dot(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}
