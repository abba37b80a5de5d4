//! Recordings as tests: what sagas went through in production, replayed by the definitions of today.
//!
//! A recording is a file that is kept in the repository; `saga_core::replay` makes it of a saga in a store. A change of
//! a definition under which one of them goes another way shows in a test, with the event at which it does, and with
//! what that means for the sagas that are under way.
//!
//! # Example: a test that replays all of a folder
//!
//! ```no_run
//! # fn place_order() -> saga_core::Definition<PlaceOrder> { unimplemented!() }
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct PlaceOrder;
//! # impl saga_core::Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
//! saga_testkit::replay::assert_replays("recordings", &[place_order().plan()]);
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use saga_core::definition::Plan;
use saga_core::replay::Recording;

/// Replays the recording at `path`, or all of that folder, each by the plan of its name: the version that it was
/// recorded with, if that is among `plans`, or else the newest.
///
/// # Panics
///
/// If one of them comes out otherwise. The message has the first difference of each. Also if there is none, if one
/// cannot be read, or if `plans` has no definition of its name.
pub fn assert_replays(path: impl AsRef<Path>, plans: &[&Arc<Plan>]) {
    let files = files(path.as_ref())
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.as_ref().display()));
    assert!(!files.is_empty(), "there is no recording in {}", path.as_ref().display());
    let differences: Vec<String> = files.iter().filter_map(|file| replay(file, plans).err()).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// The recordings of a folder, or `path` itself if it is a file.
///
/// # Errors
///
/// Those of reading.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

/// Replays one file, and returns how many transitions it has.
///
/// # Errors
///
/// What is wrong, in words that begin with the file's name.
pub fn replay(file: &Path, plans: &[&Arc<Plan>]) -> Result<usize, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let recording: Recording = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let plan = plan_for(&recording, plans).ok_or_else(|| {
        wrong(&format_args!("there is no definition of {} to replay it by", recording.definition.name))
    })?;
    recording.replay(plan).map_err(|difference| wrong(&difference))?;
    Ok(recording.journal.len())
}

/// The version that it was recorded with comes before every other, and a newer one before an older.
fn plan_for<'a>(recording: &Recording, plans: &[&'a Arc<Plan>]) -> Option<&'a Arc<Plan>> {
    let of_its_name = plans.iter().filter(|plan| plan.reference().name == recording.definition.name);
    let rank = |plan: &&&Arc<Plan>| {
        let version = plan.reference().version;
        (version == recording.definition.version, version)
    };
    of_its_name.copied().max_by_key(|plan| rank(&plan))
}
