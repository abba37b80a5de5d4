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
//! assert!(drawing.mermaid().contains(r#"step0["check-stock<br>warehouse<br>a check: nothing to undo"]"#));
//! assert!(drawing.dot().starts_with("digraph"));
//! # Ok::<(), saga_core::DefinitionError>(())
//! ```

mod date;
mod dot;
mod happened;
mod mark;
mod mermaid;
mod planned;

use std::ops::Range;

use crate::definition::Plan;
use crate::machine::Instance;
use happened::Telling;
use mark::Mark;

/// A drawing: groups of boxes in the order in which they are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    title: String,
    start: Option<Oval>,
    groups: Vec<Group>,
    outcome: Option<Oval>,
}

/// What is said of the saga as a whole, before its first step or behind its last one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Oval {
    id: &'static str,
    lines: Vec<String>,
}

/// The boxes of what runs at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    /// The step that the boxes are items of, if they are.
    heading: Vec<String>,
    nodes: Vec<Node>,
}

/// One box: a step, or one item of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    id: String,
    lines: Vec<String>,
    mark: Option<Mark>,
}

impl Drawing {
    /// Draws a definition: its steps, who takes their commands, when they are given up and what undoes them; and what
    /// holds for the saga as a whole, its deadline and which older versions may move to it.
    pub fn of_definition(plan: &Plan) -> Self {
        let group = |steps: &Range<usize>| Group {
            heading: Vec::new(),
            nodes: steps.clone().map(|place| Node::of_plan(plan, place)).collect(),
        };
        Drawing {
            title: plan.reference().to_string(),
            start: Oval::of("start", planned::saga(plan)),
            groups: plan.groups().iter().map(group).collect(),
            outcome: None,
        }
    }

    /// Draws a saga: its definition, and where each of its steps stands, each item by itself.
    ///
    /// What follows if a signal does not come may hang on the saga's data: the drawing asks
    /// [`at_deadline`](crate::Signal::at_deadline). It shows refusals and reasons as they were given, and nothing else
    /// of the data. Until when a signal is awaited is what `plan` says; a saga that was upgraded while it waited keeps
    /// the timer that it had, which [`SagaDetails::timers`](crate::port::SagaDetails::timers) shows.
    pub fn of_saga(plan: &Plan, saga: &Instance) -> Self {
        let telling = Telling { plan, saga };
        Drawing {
            title: format!("{} {}", saga.definition, saga.id),
            start: Oval::of("start", telling.start()),
            groups: plan.groups().iter().map(|steps| telling.group(steps)).collect(),
            outcome: Oval::of("outcome", telling.outcome()),
        }
    }

    /// The drawing in Mermaid's language.
    pub fn mermaid(&self) -> String {
        mermaid::written(self)
    }

    /// The drawing in the language of Graphviz.
    pub fn dot(&self) -> String {
        dot::written(self)
    }

    /// From the start to every box of the first group, from every box of a group to every box of the next, and from
    /// the last to the outcome.
    fn arrows(&self) -> Vec<(&str, &str)> {
        let oval = |oval: &'_ Option<Oval>| oval.as_ref().map(|oval| vec![oval.id]);
        let mut stations: Vec<Vec<&str>> = oval(&self.start).into_iter().collect();
        stations.extend(self.groups.iter().map(Group::ids));
        stations.extend(oval(&self.outcome));
        let pairs = stations.windows(2).map(|pair| (&pair[0], &pair[1]));
        pairs
            .flat_map(|(from, to)| from.iter().flat_map(move |from| to.iter().map(move |to| (*from, *to))))
            .collect()
    }
}

impl Oval {
    fn of(id: &'static str, lines: Vec<String>) -> Option<Self> {
        (!lines.is_empty()).then_some(Oval { id, lines })
    }
}

impl Group {
    fn ids(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.id.as_str()).collect()
    }

    /// Whether a frame is drawn around it.
    fn is_framed(&self) -> bool {
        self.nodes.len() > 1 || !self.heading.is_empty()
    }
}

impl Node {
    fn of_plan(plan: &Plan, place: usize) -> Self {
        Node { id: format!("step{place}"), lines: planned::step(&plan.steps()[place]), mark: None }
    }
}
