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

use saga_core::definition::Plan;

/// Checks that the lock file at `path` says of each definition what the code says, and names no other.
///
/// With the environment variable `SAGA_UPDATE_LOCK` set, writes the file instead.
///
/// # Panics
///
/// If the file says something else. The message names each difference, what it would do to sagas that are under way,
/// and what to do. Also if the file cannot be read or written.
pub fn assert_locked(path: impl AsRef<Path>, plans: &[&Arc<Plan>]) {
    let (path, now) = (path.as_ref(), written(plans));
    if std::env::var_os("SAGA_UPDATE_LOCK").is_some() {
        return std::fs::write(path, now)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
    let locked = std::fs::read_to_string(path).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}\nTo write it, run this test with SAGA_UPDATE_LOCK=1.", path.display())
    });
    let differences = differences(&locked, &now);
    assert!(
        differences.is_empty(),
        "{} is not what the code says:\n\n{}",
        path.display(),
        differences.join("\n\n")
    );
}

/// What the file should say.
fn written(plans: &[&Arc<Plan>]) -> String {
    let mut text = HEADER.to_owned();
    let mut plans = plans.to_vec();
    plans.sort_by_key(|plan| plan.reference());
    for plan in plans {
        let _ = writeln!(text, "\n{} fingerprint {}", plan.reference(), plan.reference().fingerprint);
        plan.graph().lines().for_each(|line| {
            let _ = writeln!(text, "    {line}");
        });
    }
    text
}

/// What each definition says: its first line's name and version, and the rest.
fn parsed(text: &str) -> BTreeMap<&str, &str> {
    let entries = text.split("\n\n").filter(|entry| !entry.starts_with('#'));
    entries.filter_map(|entry| entry.trim().split_once(" fingerprint ")).collect()
}

fn differences(locked: &str, now: &str) -> Vec<String> {
    let (locked, now) = (parsed(locked), parsed(now));
    let mut found = Vec::new();
    for (definition, is) in &now {
        match locked.get(definition) {
            None => found.push(format!("{definition} is new. {UPDATE}")),
            Some(was) if was != is => found.push(changed(definition, was, is)),
            Some(_) => {}
        }
    }
    let gone = locked.keys().filter(|definition| !now.contains_key(*definition));
    found.extend(gone.map(|definition| format!("{definition} is gone. {GONE} {UPDATE}")));
    found
}

fn changed(definition: &str, was: &str, is: &str) -> String {
    let lines = |text| str::lines(text).skip(1).map(str::trim);
    let only = |of, other| lines(of).filter(move |line| !lines(other).any(|same| same == *line));
    let mut text = format!("{definition} has changed. {CHANGED}");
    only(was, is).for_each(|line| {
        let _ = write!(text, "\n  - {line}");
    });
    only(is, was).for_each(|line| {
        let _ = write!(text, "\n  + {line}");
    });
    text
}

const HEADER: &str =
    "# The sagas that may be under way, held against the code by a test. Not to be edited by hand.\n";

const UPDATE: &str = "To note that, run this test with SAGA_UPDATE_LOCK=1.";

const GONE: &str = "Sagas of it that are under way would be left alone: they wait for a process that knows it, and their \
    timers do not fire. Take it out once none is left.";

const CHANGED: &str = "A process with the changed graph would refuse to start while sagas of the former are under way, \
    since they could not go on as they began. Give the changed definition a new version, and register both until the \
    former have ended, or have the new one `upgrade_from` the former: then those move that are not yet past the first \
    line that differs, and the others go on as they began. If none was ever started, run this test with SAGA_UPDATE_LOCK=1.";

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: &str = "# a comment\n\norder version 1 fingerprint aa\n    reserve compensatable\n    pay pivot\n\n\
        refund version 1 fingerprint bb\n    ask pivot\n";

    #[test]
    fn the_same_is_no_difference() {
        assert!(differences(LOCKED, LOCKED).is_empty());
    }

    #[test]
    fn a_step_that_changed_is_named() {
        let now = LOCKED.replace("aa\n    reserve compensatable", "cc\n    reserve nothing-to-undo");
        let [difference] = differences(LOCKED, &now).try_into().unwrap();
        assert!(difference.starts_with("order version 1 has changed."), "{difference}");
        assert!(
            difference.ends_with("\n  - reserve compensatable\n  + reserve nothing-to-undo"),
            "{difference}"
        );
    }

    #[test]
    fn steps_in_another_order_are_a_change() {
        let now = LOCKED.replace("aa", "cc");
        assert_eq!(differences(LOCKED, &now).len(), 1);
    }

    #[test]
    fn what_is_new_and_what_is_gone_is_named() {
        let now = LOCKED.replace("refund version 1", "refund version 2");
        let [new, gone] = differences(LOCKED, &now).try_into().unwrap();
        assert!(new.starts_with("refund version 2 is new."), "{new}");
        assert!(gone.starts_with("refund version 1 is gone."), "{gone}");
    }
}
