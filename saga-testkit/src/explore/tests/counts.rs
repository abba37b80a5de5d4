//! The explorer's counts against those of two small models that others wrote of the same protocol, in other words and
//! by hand. Where their states are coarser, ours are counted as they would see them.

use std::collections::{BTreeSet, HashSet};

use saga_core::fence::{ExternalVerdict, FenceState, Progress, Recorded, decide_external};
use saga_core::id::{Direction, StepName};
use saga_core::machine::{Status, StepState};
use saga_core::message::Answer;

use super::reduction::explored_by;
use super::unreduced::{Detail, Letter, Unreduced, reach};
use crate::explore::external::{At, Outward, Worker};
use crate::explore::rules::Rules;
use crate::explore::walker::Happening;
use crate::explore::world::{Cell, Message, NONE, Said, World};
use crate::explore::{Faults, explore};
use crate::topology::{Diary, Part, Topology};

/// How many states a saga of these parts has for one who sees only so much of them.
fn count<T: Eq + std::hash::Hash>(parts: &[Part], seen: impl Fn(&Rules<()>, &World) -> T) -> usize {
    let definition = Topology::of(parts.iter().copied()).definition::<2>();
    let faults = Faults::REFUSAL | Faults::UNKNOWN;
    let (rules, start) = explore(&definition).saga(&Diary::default()).faults(faults).prepare();
    // Nobody releases what is parked, so nothing that counts lies behind it.
    let worlds = explored_by(&rules, start, |world, _| !is_parked(&rules, world));
    let worlds = worlds.iter().filter(|world| !is_parked(&rules, world));
    worlds.map(|world| seen(&rules, world)).collect::<HashSet<T>>().len()
}

/// Neither of the two models ever gives an undo up.
fn is_parked(rules: &Rules<()>, world: &World) -> bool {
    rules.instances.value(world.sagas[0].instance).state.status() == Status::Parked
}

/// One step for the first model: what the saga knows, the fence row, and the kinds of messages.
///
/// It writes a tombstone over a refusal when the undo comes, and has one word for "refused" and "closed".
type Coarse = (u32, &'static str, &'static str, [bool; 5]);

fn coarse(rules: &Rules<()>, world: &World) -> (Status, Vec<Coarse>) {
    let local = &world.sagas[0];
    let instance = rules.instances.value(local.instance);
    let cells = local.cells.iter().map(|cell| {
        let name = rules.name(cell.step);
        let record = instance.state.steps().iter().find(|record| record.name == name);
        let known = record.map_or("", |record| known(&record.state));
        let said = |said| cell.has(Message::Reply(Direction::Do, said));
        let undone = cell.has(Message::Reply(Direction::Undo, Said::Undone));
        let messages = [
            cell.has(Message::Command(Direction::Do)),
            cell.has(Message::Command(Direction::Undo)),
            said(Said::Done),
            said(Said::Refused) || said(Said::Closed),
            undone,
        ];
        (cell.step, known, row(rules, cell, undone), messages)
    });
    (instance.state.status(), cells.collect())
}

fn known(state: &StepState) -> &'static str {
    match state {
        StepState::Doing(_) => "doing",
        StepState::Closing(_) => "closing",
        StepState::Undoing { .. } => "undoing",
        StepState::Done(_) => "done",
        StepState::Refused => "refused",
        StepState::Undone => "undone",
        StepState::Early(_)
        | StepState::Waiting { .. }
        | StepState::Pausing { .. }
        | StepState::Queued
        | StepState::Skipped => "none of these",
    }
}

fn row(rules: &Rules<()>, cell: &Cell, undone: bool) -> &'static str {
    match (cell.row != NONE).then(|| rules.rows.value(cell.row)).as_deref() {
        Some(FenceState::Refused(_)) if undone => "closed",
        Some(row) => row.as_str(),
        None => "none",
    }
}

#[test]
fn sequences_have_as_many_states_as_in_the_first_model() {
    for (steps, states) in [(1, 16), (2, 51), (3, 126), (4, 281), (5, 596), (6, 1231), (8, 5061)] {
        assert_eq!(count(&vec![Part::Step; steps], coarse), states, "{steps} steps");
    }
}

#[test]
fn groups_have_as_many_states_as_in_the_first_model() {
    use Part::{Group, Step};
    let groups: [(&[Part], usize); 5] = [
        (&[Group(2)], 159),
        (&[Step, Group(2), Step], 485),
        (&[Group(2), Group(2)], 893),
        (&[Group(3)], 1758),
        (&[Step, Group(3), Step], 3016),
    ];
    for (parts, states) in groups {
        assert_eq!(count(parts, coarse), states, "{parts:?}");
    }
}

#[test]
#[ignore = "takes a minute or two without optimization"]
fn groups_of_four_have_as_many_states_as_in_the_first_model() {
    use Part::{Group, Step};
    assert_eq!(count(&[Group(4)], coarse), 20_221);
    assert_eq!(count(&[Step, Group(4), Step], coarse), 25_739);
}

/// The first model has a form with an outbox of commands, too, whose relay may die between publishing and deleting.
#[test]
fn three_steps_with_a_relay_have_as_many_states_as_in_the_first_model() {
    assert_eq!(count_with_relay([Part::Step; 3]), 4_870);
}

#[test]
#[ignore = "takes a minute or two without optimization"]
fn four_steps_with_a_relay_have_as_many_states_as_in_the_first_model() {
    assert_eq!(count_with_relay([Part::Step; 4]), 39_006);
}

fn count_with_relay<const STEPS: usize>(parts: [Part; STEPS]) -> usize {
    let definition = Topology::of(parts).definition::<1>();
    let faults = Faults::REFUSAL | Faults::UNKNOWN;
    let worlds = reach(definition.plan(), faults, Detail::RelayOfCommands);
    let worlds = worlds.iter().filter(|world| world.saga.state.status() != Status::Parked);
    worlds.map(coarse_with_outbox).collect::<HashSet<_>>().len()
}

/// One step of it: what the saga knows, the fence row, and what is in the outbox and on the network.
type Relayed = (StepName, &'static str, &'static str, [bool; 4], [bool; 3]);

fn coarse_with_outbox(world: &Unreduced) -> (Status, Vec<Relayed>) {
    let steps = world.saga.state.steps().iter().map(|record| {
        let is_of = |letter: &&Letter, is_reply, direction| {
            letter.step == record.name && letter.is_reply == is_reply && letter.direction == direction
        };
        let sent = |letters: &BTreeSet<Letter>, direction| {
            letters.iter().any(|letter| is_of(&letter, false, direction))
        };
        let said = |direction, words: &[&str]| {
            let replies = world.network.iter().filter(|letter| is_of(letter, true, direction));
            replies.into_iter().any(|letter| words.iter().any(|word| letter.says.contains(word)))
        };
        let undone = said(Direction::Undo, &["undone"]);
        let row = match world.fences.get(&record.name) {
            Some(FenceState::Refused(_)) if undone => "closed",
            Some(row) => row.as_str(),
            None => "none",
        };
        let commands = [Direction::Do, Direction::Undo];
        let [waits_to_do, waits_to_undo] = commands.map(|direction| sent(&world.outbox, direction));
        let [does, undoes] = commands.map(|direction| sent(&world.network, direction));
        let replies = [said(Direction::Do, &["done"]), said(Direction::Do, &["refused", "closed"]), undone];
        let messages = [waits_to_do, waits_to_undo, does, undoes];
        (record.name.clone(), known(&record.state), row, messages, replies)
    });
    (world.saga.state.status(), steps.collect())
}

/// The second model has three steps of three roles, and the close; it sees all but the cause.
#[test]
fn a_step_a_pivot_and_a_step_have_as_many_states_as_in_the_second_model() {
    let parts = [Part::Step, Part::ClosedPivot, Part::Then];
    assert_eq!(count(&parts, seen_by_the_second), 61);
}

fn seen_by_the_second(rules: &Rules<()>, world: &World) -> (Status, Vec<&'static str>, Vec<Cell>) {
    let local = &world.sagas[0];
    let instance = rules.instances.value(local.instance);
    let known: Vec<&str> = instance.state.steps().iter().map(|record| known(&record.state)).collect();
    let cells = local.cells.iter().map(|cell| {
        let mut cell = cell.armed(false);
        cell.undo = NONE;
        cell
    });
    (instance.state.status(), known, cells.collect())
}

/// The second model has an external handler, too. There every call comes back with an answer, unless its worker dies,
/// and an undo is one move; so it needs the three rules, and no more.
#[test]
fn a_step_that_calls_out_has_as_many_states_as_in_the_second_model() {
    let topology = Topology::of([Part::Step, Part::ClosedPivot, Part::Then]).calling_out(0);
    let explorer = topology.explorer::<2>().faults(Faults::REFUSAL | Faults::UNKNOWN);
    let (rules, start) = explorer.external_fence(three_rules).prepare();

    let worlds = explored_by(&rules, start, |world, made| {
        let undone = world.sagas[0].cells.iter().any(|cell| cell.outside.is_undone());
        match made.happening {
            Happening::Outside { outward: Outward::Ends(_, Worker { at: At::WithNothing, .. }), .. } => false,
            Happening::Outside { outward: Outward::Undone, .. } => true,
            Happening::Outside { .. } | Happening::Take { .. } | Happening::Hear(..) => !undone,
        }
    });
    let quiet = |world: &&World| !world.sagas[0].cells.iter().any(|cell| cell.outside.is_undone());
    let worlds = worlds.iter().filter(quiet).filter(|world| !is_parked(&rules, world));
    let states: HashSet<_> = worlds.map(|world| seen_by_the_second(&rules, world)).collect();
    assert_eq!(states.len(), 463);
}

/// The table with the three rules, and nothing against calls that nobody comes back with.
fn three_rules(row: Option<&FenceState>, direction: Direction, progress: &Progress) -> ExternalVerdict {
    match (row, direction, progress) {
        (Some(FenceState::Started), Direction::Do, Progress::Delivered) => ExternalVerdict::Call(None),
        (Some(FenceState::Started), Direction::Undo, Progress::Delivered) => {
            ExternalVerdict::Undo(Recorded::Unknown)
        }
        (Some(FenceState::Started), Direction::Undo, _) => {
            ExternalVerdict::Record(FenceState::Compensated, Answer::Undone)
        }
        (Some(FenceState::Compensated | FenceState::Refused(_)), Direction::Undo, _) => {
            ExternalVerdict::Answer(Answer::Undone)
        }
        _ => decide_external(row, direction, progress),
    }
}
