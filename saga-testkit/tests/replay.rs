//! Recordings as tests: which plan each is replayed by, and what is said when one comes out otherwise.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use saga_core::definition::Plan;
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::replay::Recording;
use saga_core::runtime::Orchestrator;
use saga_core::{Notification, Saga, saga};
use saga_testkit::replay::assert_replays;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Greet;

impl Saga for Greet {
    const NAME: &'static str = "greet";
}

#[derive(Serialize, Deserialize)]
struct Hello;

impl Notification<Greet> for Hello {
    const TYPE: &'static str = "hello";
    const TOPICS: &'static [&'static str] = &["guests"];

    fn of(_: &Greet) -> Self {
        Hello
    }
}

fn greeting(version: u32) -> Arc<Plan> {
    saga::<Greet>(version).notify::<Hello>().build().unwrap().plan().clone()
}

fn silent(version: u32) -> Arc<Plan> {
    saga::<Greet>(version).notify::<Hello>().when(|_| false).build().unwrap().plan().clone()
}

/// A folder with a recording of version 1.
async fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let builder = Orchestrator::builder(
        Arc::new(MemoryStore::default()),
        Arc::new(MemoryTransport::default()),
        "greeters.replies",
    );
    let definition = saga(1).notify::<Hello>().build().unwrap();
    let orchestrator = builder.register(&definition).start().await.unwrap();
    let greet = orchestrator.start(Greet).await.unwrap().id();
    let shown = orchestrator.show(greet).await.unwrap().unwrap();
    let recording = Recording::of(definition.plan(), &shown).unwrap();
    std::fs::write(folder.join("greet.json"), serde_json::to_string(&recording).unwrap()).unwrap();
    folder
}

/// What the test would say.
fn said(folder: &PathBuf, plans: &[&Arc<Plan>]) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| assert_replays(folder, plans))).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test]
async fn a_recording_is_replayed_by_its_own_version_or_else_by_the_newest() {
    let folder = folder("own").await;
    assert_replays(&folder, &[&greeting(1)]);
    assert_replays(&folder, &[&silent(2), &greeting(1), &silent(3)]);
    assert_replays(folder.join("greet.json"), &[&silent(2), &greeting(3)]);
    let said = said(&folder, &[&greeting(2), &silent(3)]);
    assert!(said.contains("greet.json: saga ") && said.contains("replayed by greet version 3"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_replayed_is_said() {
    let folder = folder("unknown").await;
    assert!(said(&folder, &[]).contains("there is no definition of greet"));
    std::fs::write(folder.join("greet.json"), "{}").unwrap();
    assert!(said(&folder, &[&greeting(1)]).contains("missing field"));
    std::fs::remove_file(folder.join("greet.json")).unwrap();
    assert!(said(&folder, &[&greeting(1)]).contains("there is no recording"));
}
