//! A lock file of definitions: a change that running sagas would feel shows in a test, before it is deployed.
//!
//! The file is kept in the repository. It has a line for each definition, with its version and fingerprint, and below it
//! the definition's graph, so that a review sees what changed.
//!
//! # Example: a test that holds the file against the code
//!
//! ```no_run
//! # fn place_order() -> saga_core::Definition<PlaceOrder> { unimplemented!() }
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct PlaceOrder;
//! # impl saga_core::Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
//! saga_testkit::lock::assert_locked("sagas.lock", &[place_order().plan()]);
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use saga_core::definition::{DefinitionRef, Parting, Plan};

/// Checks that the lock file at `path` says of each definition what the code says, and names no other. An older version
/// is part of the code as long as a newer one takes its sagas.
///
/// With the environment variable `SAGA_UPDATE_LOCK` set, writes the file instead.
///
/// # Panics
///
/// If the file says something else. The message names each difference, what it would do to sagas that are under way,
/// and what to do. Also if the file cannot be read or written.
pub fn assert_locked(path: impl AsRef<Path>, plans: &[&Arc<Plan>]) {
    let (path, code) = (path.as_ref(), known(plans));
    if std::env::var_os("SAGA_UPDATE_LOCK").is_some() {
        return std::fs::write(path, written(&code))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
    let locked = std::fs::read_to_string(path).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}\nTo write it, run this test with SAGA_UPDATE_LOCK=1.", path.display())
    });
    let differences = differences(&locked, &code);
    assert!(
        differences.is_empty(),
        "{} is not what the code says:\n\n{}",
        path.display(),
        differences.join("\n\n")
    );
}

/// What the code says.
type Code = BTreeMap<DefinitionRef, Arc<Plan>>;

/// These plans, and the older versions that are known through them.
fn known(plans: &[&Arc<Plan>]) -> Code {
    let mut code = Code::new();
    for plan in plans {
        code.append(&mut known(&plan.older().collect::<Vec<_>>()));
        code.insert(plan.reference().clone(), Arc::clone(plan));
    }
    code
}

/// What the file should say.
fn written(code: &Code) -> String {
    let mut text = HEADER.to_owned();
    for (definition, plan) in code {
        let _ = writeln!(text, "\n{definition} fingerprint {}", definition.fingerprint);
        plan.graph().lines().for_each(|line| {
            let _ = writeln!(text, "    {line}");
        });
    }
    text
}

/// What the file says of each definition: the fingerprint, and below it the graph.
fn parsed(text: &str) -> BTreeMap<&str, &str> {
    let entries = text.split("\n\n").filter(|entry| !entry.starts_with('#'));
    entries.filter_map(|entry| entry.trim().split_once(" fingerprint ")).collect()
}

fn differences(locked: &str, code: &Code) -> Vec<String> {
    let now = written(code);
    let (locked, now) = (parsed(locked), parsed(&now));
    let mut found = Vec::new();
    for (definition, is) in &now {
        match locked.get(definition) {
            None => found.push(new(definition, code)),
            Some(was) if was != is => found.push(changed(definition, was, is)),
            Some(_) => {}
        }
    }
    let gone = locked.keys().filter(|definition| !now.contains_key(*definition));
    found.extend(gone.map(|definition| format!("{definition} is gone. {GONE} {UPDATE}")));
    found
}

fn new(definition: &str, code: &Code) -> String {
    let mut text = format!("{definition} is new. ");
    let Some((is, plan)) = code.iter().find(|(is, _)| is.to_string() == definition) else { return text };
    for (older, its_plan) in
        code.iter().filter(|(older, _)| older.name == is.name && older.version < is.version)
    {
        text += &match plan.older().any(|taken| taken.reference() == older) {
            true => moving(older.version, &its_plan.graph(), &plan.graph()),
            false => format!("Sagas of version {} go on as they began. ", older.version),
        };
    }
    text + UPDATE
}

/// Which sagas of an older version move to a newer one that takes them. The machine decides by the same rule.
fn moving(version: u32, older: &str, newer: &str) -> String {
    match Parting::of(older, newer) {
        None => format!("Sagas of version {version} move to it, wherever they stand. "),
        Some(Parting { was, .. }) => format!(
            "Sagas of version {version} move to it as long as they have not come to `{}`; the others go on as they began. ",
            was.trim()
        ),
    }
}

fn changed(definition: &str, was: &str, is: &str) -> String {
    let graph = |entry: &str| entry.split_once('\n').map_or_else(String::new, |(_, graph)| graph.to_owned());
    let (was, is) = (graph(was), graph(is));
    let mut text = format!("{definition} has changed. {CHANGED}");
    if let Some(Parting { was, .. }) = Parting::of(&was, &is) {
        let _ = write!(
            text,
            " Those move that have not come to `{}`, and the others go on as they began.",
            was.trim()
        );
    }
    text += NEVER_STARTED;
    let only = |of: &'_ str, other: &str, mark: char| -> String {
        let lines = of.lines().filter(|line| !other.lines().any(|same| same == *line));
        lines.map(|line| format!("\n  {mark} {}", line.trim())).collect()
    };
    text + &only(&was, &is, '-') + &only(&is, &was, '+')
}

const HEADER: &str =
    "# The sagas that may be under way, held against the code by a test. Not to be edited by hand.\n";

const UPDATE: &str = "To note that, run this test with SAGA_UPDATE_LOCK=1.";

const GONE: &str = "Sagas of it that are under way would be left alone: they wait for a process that knows it, and their \
    timers do not fire. Take it out once none is left.";

const CHANGED: &str = "A process with the changed graph would refuse to start while sagas of the former are under way, \
    since they could not go on as they began. Give the changed definition a new version, and register both until the \
    former have ended, or have the new one `upgrade_from` the former.";

const NEVER_STARTED: &str = " If none was ever started, run this test with SAGA_UPDATE_LOCK=1.";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use saga_core::{Definition, Pause, Saga, saga};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::topology::Part::{Check, Gone, Group, Step};
    use crate::topology::{Diary, Part, Topology};

    fn diary(parts: &[Part]) -> Definition<Diary> {
        Topology::of(parts.iter().copied()).definition::<1>()
    }

    fn newer(parts: &[Part], older: &Definition<Diary>) -> Definition<Diary> {
        Topology::of(parts.iter().copied()).upgrade_of::<1>(older)
    }

    /// What is said if the file was written of `was`, and the code has `is`.
    fn said(was: &[&Definition<Diary>], is: &[&Definition<Diary>]) -> Vec<String> {
        let code = |definitions: &[&Definition<Diary>]| {
            known(&definitions.iter().map(|definition| definition.plan()).collect::<Vec<_>>())
        };
        differences(&written(&code(was)), &code(is))
    }

    fn the_only(said: Vec<String>) -> String {
        let [said] = said.try_into().unwrap();
        said
    }

    #[test]
    fn the_same_is_no_difference() {
        let was = diary(&[Step, Group(2)]);
        assert!(said(&[&was], &[&was]).is_empty());
    }

    #[test]
    fn a_step_that_changed_is_named_and_how_far_sagas_could_move() {
        let said = the_only(said(&[&diary(&[Step, Step, Step])], &[&diary(&[Step, Check, Step])]));
        assert!(said.starts_with("diary version 1 has changed."), "{said}");
        assert!(said.contains("Those move that have not come to `s1 compensatable service s1 u1`"), "{said}");
        let lines = "\n  - s1 compensatable service s1 u1\n  + s1 nothing-to-undo service s1 -";
        assert!(said.ends_with(lines), "{said}");
    }

    #[test]
    fn steps_in_another_order_are_a_change() {
        let said = changed("order version 1", "aa\n    ask\n    pay", "bb\n    pay\n    ask");
        assert!(said.contains("Those move that have not come to `ask`"), "{said}");
    }

    #[test]
    fn a_newer_version_says_which_sagas_move_to_it() {
        let first = diary(&[Step, Step]);
        let appended = the_only(said(&[&first], &[&newer(&[Step, Step, Check], &first)]));
        assert!(
            appended.starts_with("diary version 2 is new. Sagas of version 1 move to it, wherever"),
            "{appended}"
        );

        let second = newer(&[Step, Gone, Check], &first);
        let taken_out = the_only(said(&[&first], &[&first, &second]));
        let moves =
            "Sagas of version 1 move to it as long as they have not come to `s1 compensatable service s1 u1`";
        assert!(taken_out.contains(moves), "{taken_out}");
        assert!(said(&[&second], &[&second]).is_empty(), "the first is known through the second");
    }

    #[test]
    fn a_newer_version_that_takes_no_sagas_says_that_they_stay() {
        let nap = |version| saga(version).pause::<Rest>().build().unwrap();
        let (first, second) = (nap(1), nap(2));
        let first_alone = written(&known(&[first.plan()]));
        let said = the_only(differences(&first_alone, &known(&[first.plan(), second.plan()])));
        assert!(said.starts_with("nap version 2 is new. Sagas of version 1 go on as they began."), "{said}");
    }

    #[derive(Serialize, Deserialize)]
    struct Nap;
    impl Saga for Nap {
        const NAME: &'static str = "nap";
    }

    struct Rest;
    impl Pause<Nap> for Rest {
        const NAME: &'static str = "rest";

        fn length(_: &Nap) -> Duration {
            Duration::from_secs(60)
        }
    }

    #[test]
    fn what_is_gone_is_named() {
        let (first, second) = (diary(&[Step]), newer(&[Step, Step], &diary(&[Step])));
        let said = the_only(said(&[&second], &[&first]));
        assert!(said.starts_with("diary version 2 is gone."), "{said}");
    }
}
