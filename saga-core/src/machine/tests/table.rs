//! Every state x every event, in every stance that makes a difference: what is awaited of which role of step.

use super::case::{
    Case, asked, cancel, compensate, done, name, no, parent, permanent, replied, resolve_done,
    resolve_not_done, retry, signal, temporary, timer,
};
use super::contract::{
    Approval, Order, approved_order, child_order, closing_order, order, picked_order, picky_order,
    rested_order,
};
use crate::definition::Role;
use crate::id::Direction;
use crate::machine::{Applied, Event, Status, StepState};
use crate::message::{Answer, FaultKind, Payload};

/// A column: a saga, and the step that the events are about.
pub(super) struct Stance {
    pub(super) label: &'static str,
    pub(super) step: &'static str,
    pub(super) case: Case,
}

/// A row: something that can happen to a step.
pub(super) struct Row {
    /// `do`, `undo` or `close` for an answer, `timer`, or the verb itself.
    pub(super) what: String,
    /// Which answer or timer; empty for a verb.
    pub(super) which: String,
    /// Whether it happens to the last attempt that the policy allows.
    at_last_attempt: bool,
    /// Whether it happens when the step's timer is due, and not at once.
    when_due: bool,
    event: Box<dyn Fn(&Stance) -> Event>,
}

impl Row {
    pub(super) fn event(&self, stance: &Stance) -> Event {
        (self.event)(stance)
    }

    /// What the event does to a saga in this stance.
    pub(super) fn cell(&self, stance: &Stance) -> String {
        let mut case = stance.case.clone();
        if self.at_last_attempt {
            wear_out(&mut case, stance.step);
        }
        if let Some((_, _, after)) = case.timers.get(&name(stance.step)).filter(|_| self.when_due) {
            case.now = case.now.plus(*after);
        }
        let event = self.event(&Stance { case: case.clone(), ..*stance });
        match case.apply(&event) {
            Ok(Applied::Moved(_)) => moved(&case, stance.step),
            Ok(Applied::Ignored(ignored)) => format!("ignored: {}", ignored.as_str().replace('_', " ")),
            Err(error) => {
                let error = format!("{error:?}");
                format!("error: {}", error.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
            }
        }
    }

    /// The status that the event leads to, if it moves the saga.
    pub(super) fn leads_to(&self, stance: &Stance) -> Option<Status> {
        let cell = self.cell(stance);
        let word = cell.split(':').next().unwrap_or_default().to_lowercase();
        Status::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// The status, and what was sent: `Compensating: undo reserve`.
fn moved(case: &Case, step: &str) -> String {
    let status = format!("{:?}", case.status());
    let sent = case.sent.iter().map(|sent| match sent.split_once(" #") {
        Some((message, _)) => format!("{message} again"),
        None => sent.clone(),
    });
    match sent.collect::<Vec<_>>().join(", ") {
        sent if !sent.is_empty() => format!("{status}: {sent}"),
        _ if case.awaited(step).is_some() && case.status() != Status::Parked => format!("{status}: waits"),
        _ => status,
    }
}

/// Lets the step that is awaited reach the last of its three attempts. A signal is awaited once, and so is the end of a pause.
fn wear_out(case: &mut Case, step: &str) {
    let attempts = if ["approve", "rest"].contains(&step) { 1 } else { 3 };
    for _ in 1..attempts {
        if case.timers.contains_key(&name(step)) {
            case.time_out(step);
        }
    }
}

/// A saga after these steps were done.
fn after(definition: crate::Definition<Order>, steps: &[&str]) -> Case {
    let mut case = Case::of(&definition);
    for step in steps {
        case.done(step);
    }
    case
}

fn parked(mut case: Case, step: &str) -> Case {
    case.answer(step, permanent());
    case
}

fn set_aside(mut case: Case, step: &str) -> Case {
    case.moved(&Event::Undeliverable { step: name(step), reason: "too large".into() });
    case
}

fn given(mut case: Case) -> Case {
    case.moved(&signal("approve", Approval::Yes));
    case
}

fn exhausted(mut case: Case, step: &str) -> Case {
    case.exhaust(step);
    case
}

fn cancelled(mut case: Case) -> Case {
    case.moved(&cancel());
    case
}

fn answered(mut case: Case, step: &str, answer: Answer) -> Case {
    case.answer(step, answer);
    case
}

pub(super) fn stances() -> Vec<Stance> {
    let stance = |label, step, case| Stance { label, step, case };
    let screening = || after(order(), &["reserve"]);
    let at_pivot = || after(order(), &["reserve", "screen"]);
    let at_closing_pivot = || after(closing_order(), &["reserve", "screen"]);
    let shipping = || after(order(), &["reserve", "screen", "capture"]);
    let closing_screen = || exhausted(screening(), "screen");
    let picking = |items: &[&str]| {
        let mut case = Case::with(&picked_order(), &Order::of(items));
        case.done("reserve");
        case
    };
    let waiting = || after(approved_order(), &["reserve"]);
    let skipping = || {
        let unwanted = ["authorize", "invoice", "screen"];
        let mut case = Case::with(&picky_order(), &Order::without(&unwanted));
        case.done("reserve");
        case
    };
    let undoing = || answered(at_pivot(), "capture", no("no funds"));
    vec![
        stance("do `reserve`, compensatable", "reserve", after(order(), &[])),
        stance("do `screen`, nothing to undo", "screen", screening()),
        stance("do `capture`, pivot", "capture", at_pivot()),
        stance("do `capture-or-close`, pivot, `close_when_spent`", "capture-or-close", at_closing_pivot()),
        stance("do `ship`, retriable", "ship", shipping()),
        stance("close `screen`", "screen", closing_screen()),
        stance(
            "close `capture-or-close`",
            "capture-or-close",
            exhausted(at_closing_pivot(), "capture-or-close"),
        ),
        stance("nothing of `reserve`: it is done", "reserve", screening()),
        stance("signal `approve`", "approve", waiting()),
        stance("nothing of `approve`: the saga did not come to it", "approve", after(approved_order(), &[])),
        stance("nothing of `approve`: the signal came early", "approve", given(after(approved_order(), &[]))),
        stance("nothing of `approve`: the signal was taken", "approve", given(waiting())),
        stance("pause `rest`", "rest", after(rested_order(), &["reserve"])),
        stance("do `pick#a`, compensatable item", "pick#a", picking(&["a"])),
        stance("nothing of `pick#c`: it is queued", "pick#c", picking(&["a", "b", "c"])),
        stance("nothing of `screen`: it was skipped", "screen", skipping()),
        stance("undo `reserve`", "reserve", undoing()),
        stance("close `screen`", "screen", cancelled(screening())),
        stance("nothing of `capture`: it was refused", "capture", undoing()),
        stance("do `reserve`, compensatable", "reserve", parked(after(order(), &[]), "reserve")),
        stance("do `screen`, nothing to undo", "screen", parked(screening(), "screen")),
        stance("do `capture`, pivot", "capture", parked(at_pivot(), "capture")),
        stance("do `ship`, retriable", "ship", parked(shipping(), "ship")),
        stance("close `screen`", "screen", parked(closing_screen(), "screen")),
        stance("undo `reserve`, going back", "reserve", parked(undoing(), "reserve")),
        stance("close `screen`, going back", "screen", parked(cancelled(screening()), "screen")),
        stance("signal `approve`", "approve", set_aside(waiting(), "approve")),
        stance("pause `rest`", "rest", set_aside(after(rested_order(), &["reserve"]), "rest")),
        stance("nothing of `approve`: it was cancelled", "approve", cancelled(waiting())),
        stance("nothing", "ship", after(order(), &["reserve", "screen", "capture", "ship"])),
        stance("nothing", "reserve", answered(undoing(), "reserve", Answer::Undone)),
    ]
    .into_iter()
    .chain(stances_of_children())
    .collect()
}

/// Sagas that another one runs.
fn stances_of_children() -> Vec<Stance> {
    let stance = |label, step, case| Stance { label, step, case };
    let child = |steps: &[&str]| {
        let mut case = Case::run_by(&child_order(), Direction::Do);
        steps.iter().for_each(|step| drop(case.done(step)));
        case
    };
    let asked_to = |mut case: Case, direction| {
        case.moved(&asked(direction, 1));
        case
    };
    let released = |mut case: Case| {
        case.moved(&Event::Released);
        case
    };
    let through = || child(&["reserve", "screen"]);
    let undoing = || asked_to(through(), Direction::Undo);
    let refused = || answered(child(&["reserve"]), "screen", no("suspicious"));
    let undone = |case| answered(case, "reserve", Answer::Undone);
    let mut trapped = through();
    trapped.saga.data = Payload::encode(&Order::trapped("undo reserve")).unwrap();
    vec![
        stance("a child: do `reserve`", "reserve", child(&[])),
        stance("a child: do `screen`, its last step", "screen", child(&["reserve"])),
        stance("a child, released: do `reserve`", "reserve", released(child(&[]))),
        stance("a child: do `reserve`", "reserve", parked(child(&[]), "reserve")),
        stance("a child that is through", "reserve", asked_to(trapped, Direction::Undo)),
        stance("a child, refused: undo `reserve`", "reserve", refused()),
        stance("a child, taken back: undo `reserve`", "reserve", undoing()),
        stance("a child that is through", "reserve", through()),
        stance("a child", "reserve", released(through())),
        stance("a child, refused", "reserve", undone(refused())),
        stance("a child, taken back", "reserve", undone(undoing())),
        stance("a child that never began", "reserve", Case::run_by(&child_order(), Direction::Undo)),
    ]
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![plain("started", |_| Event::Started { data: Payload::default() })];
    rows.push(plain("started by", |_| {
        let parent = parent(Some(Direction::Do));
        Event::StartedBy { parent, data: Payload::default() }
    }));
    for direction in Direction::ALL {
        let row = plain("asked", move |_| asked(direction, 2));
        rows.push(Row { which: direction.to_string(), ..row });
    }
    rows.push(plain("released", |_| Event::Released));
    for direction in Direction::ALL {
        rows.extend(answers().into_iter().flat_map(|answer| replies(direction, &answer)));
    }
    rows.push(timer_row("of the present attempt", false, |present| present));
    let early = timer_row("of the present attempt, early", false, |present| present);
    rows.push(Row { when_due: false, ..early });
    rows.push(timer_row("of the last attempt", true, |present| present));
    rows.push(timer_row("of an earlier attempt", false, |(direction, _)| (direction, 0)));
    rows.push(timer_row("of another direction", false, |(direction, attempt)| match direction {
        Direction::Do | Direction::Close => (Direction::Undo, attempt),
        Direction::Undo => (Direction::Do, attempt),
    }));
    rows.push(plain("undeliverable", |stance| Event::Undeliverable {
        step: name(stance.step),
        reason: "too large".into(),
    }));
    for (which, approval) in [("a yes", Approval::Yes), ("a no", Approval::No)] {
        let event = move |stance: &Stance| signal(stance.step, approval);
        rows.push(Row { which: which.into(), ..plain("signal", event) });
    }
    rows.push(plain("cancel", |_| cancel()));
    rows.push(plain("retry", |_| retry()));
    rows.push(plain("resolve as done", |stance| resolve_done(stance.step)));
    rows.push(plain("resolve as not done", |stance| resolve_not_done(stance.step)));
    rows.push(plain("compensate", |_| compensate()));
    rows.push(plain("upgraded", |_| Event::Upgraded { from: 1, to: 2, data: Payload::default() }));
    rows
}

fn plain(verb: &str, event: impl Fn(&Stance) -> Event + 'static) -> Row {
    let (at_last_attempt, when_due, event) = (false, false, Box::new(event));
    Row { what: verb.into(), which: String::new(), at_last_attempt, when_due, event }
}

/// What the step awaits, and which attempt; a first `do` if it awaits nothing.
fn present(stance: &Stance) -> (Direction, u32) {
    stance.case.awaited(stance.step).unwrap_or((Direction::Do, 1))
}

fn timer_row(which: &str, at_last_attempt: bool, of: fn((Direction, u32)) -> (Direction, u32)) -> Row {
    let event = move |stance: &Stance| {
        let (direction, attempt) = of(present(stance));
        timer(stance.step, direction, attempt)
    };
    Row { what: "timer".into(), which: which.into(), at_last_attempt, when_due: true, event: Box::new(event) }
}

/// An answer to the present attempt; one that says nothing final also to the last and to an earlier one.
fn replies(direction: Direction, answer: &Answer) -> Vec<Row> {
    let row = |age: &str, at_last_attempt, earlier| {
        let (what, which) = (direction.to_string(), format!("{}{age}", answer.name().replace('-', " ")));
        let answer = answer.clone();
        let event = move |stance: &Stance| {
            let attempt = if earlier { 0 } else { present(stance).1 };
            replied(stance.step, direction, attempt, answer.clone())
        };
        Row { what, which, at_last_attempt, when_due: false, event: Box::new(event) }
    };
    match answer {
        _ if !answer.answers(direction) => vec![row("", false, false)],
        Answer::Done(_) | Answer::Refused(_) | Answer::Undone | Answer::Closed => vec![row("", false, false)],
        Answer::Running => vec![row("", false, false), row(" of an earlier attempt", false, true)],
        Answer::Fault(_) => {
            let last = row(" of the last attempt", true, false);
            vec![row("", false, false), last, row(" of an earlier attempt", false, true)]
        }
    }
}

pub(super) fn answers() -> [Answer; ANSWER_KINDS] {
    [done(7), no("no"), Answer::Undone, Answer::Closed, Answer::Running, temporary(), permanent()]
}

/// The place of an event's kind. A new kind does not compile until it is added here, and is missed in the table
/// until it has a row.
pub(super) fn event_kind(event: &Event) -> usize {
    match event {
        Event::Started { .. } => 0,
        Event::Replied { .. } => 1,
        Event::TimerDue { .. } => 2,
        Event::Undeliverable { .. } => 3,
        Event::Cancel { .. } => 4,
        Event::Retry { .. } => 5,
        Event::Resolve { .. } => 6,
        Event::Compensate { .. } => 7,
        Event::Signalled { .. } => 8,
        Event::StartedBy { .. } => 9,
        Event::Asked { .. } => 10,
        Event::Released => 11,
        Event::Upgraded { .. } => 12,
    }
}

pub(super) const EVENT_NAMES: [&str; 13] = [
    "started",
    "replied",
    "timer due",
    "undeliverable",
    "cancel",
    "retry",
    "resolve",
    "compensate",
    "signal",
    "started by",
    "asked",
    "released",
    "upgraded",
];

fn answer_kind(answer: &Answer) -> usize {
    match answer {
        Answer::Done(_) => 0,
        Answer::Refused(_) => 1,
        Answer::Undone => 2,
        Answer::Closed => 3,
        Answer::Running => 4,
        Answer::Fault(fault) => match fault.kind {
            FaultKind::Temporary => 5,
            FaultKind::Permanent => 6,
        },
    }
}

pub(super) const ANSWER_KINDS: usize = 7;

fn role_kind(role: &Role) -> usize {
    match role {
        Role::Compensatable(_) => 0,
        Role::NothingToUndo => 1,
        Role::Pivot => 2,
        Role::Retriable => 3,
    }
}

fn step_kind(state: Option<&StepState>) -> usize {
    match state {
        Some(StepState::Doing(_)) => 0,
        Some(StepState::Closing(_)) => 1,
        Some(StepState::Undoing { .. }) => 2,
        Some(StepState::Done(_)) => 3,
        Some(StepState::Refused) => 4,
        Some(StepState::Undone) => 5,
        Some(StepState::Skipped) => 6,
        Some(StepState::Early(_)) => 7,
        Some(StepState::Waiting { .. }) => 8,
        Some(StepState::Queued) => 9,
        Some(StepState::Pausing { .. }) => 10,
        None => 11,
    }
}

fn distinct(kinds: impl Iterator<Item = usize>) -> Vec<usize> {
    kinds.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

#[test]
fn every_event_and_every_answer_in_every_direction_has_a_row() {
    let stance = &stances()[0];
    let events: Vec<Event> = rows().iter().map(|row| row.event(stance)).collect();
    assert_eq!(distinct(events.iter().map(event_kind)), Vec::from_iter(0..EVENT_NAMES.len()));
    let replies = events.iter().filter_map(|event| match event {
        Event::Replied { direction, answer, .. } => {
            Some(*direction as usize * ANSWER_KINDS + answer_kind(answer))
        }
        Event::Signalled { .. } => None,
        Event::Started { .. }
        | Event::Upgraded { .. }
        | Event::TimerDue { .. }
        | Event::Undeliverable { .. }
        | Event::Cancel { .. } => None,
        Event::Retry { .. } | Event::Resolve { .. } | Event::Compensate { .. } => None,
        Event::StartedBy { .. } | Event::Asked { .. } | Event::Released => None,
    });
    assert_eq!(distinct(replies), Vec::from_iter(0..Direction::ALL.len() * ANSWER_KINDS));
}

#[test]
fn every_status_every_role_and_every_state_of_a_step_has_a_column() {
    let stances = stances();
    let statuses = distinct(stances.iter().map(|stance| stance.case.status() as usize));
    assert_eq!(statuses.len(), Status::ALL.len());
    let roles = stances.iter().map(|stance| {
        let place = stance.case.plan.position_of(&name(stance.step)).unwrap();
        role_kind(&stance.case.plan.steps()[place].role)
    });
    assert_eq!(distinct(roles), Vec::from_iter(0..4));
    let states = stances.iter().map(|stance| {
        let mut steps = stance.case.saga.state.steps().iter();
        step_kind(steps.find(|record| record.name.as_str() == stance.step).map(|record| &record.state))
    });
    assert_eq!(distinct(states), Vec::from_iter(0..12));
}
