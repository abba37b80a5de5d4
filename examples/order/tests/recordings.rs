//! What became of orders on real servers, kept as files and replayed by the definition of today.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::World;
use order::saga::place_order;
use saga_core::id::SagaId;
use saga_core::machine::Status;
use saga_core::replay::Recording;
use saga_testkit::replay::{assert_replays, files};
use serde_json::{Value, json};

/// Where the recordings are. To make them anew after a change that begins a new version, run these tests with
/// `SAGA_UPDATE_RECORDINGS=1`.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings");

#[test]
fn every_recorded_order_goes_the_way_that_it_went() {
    assert_replays(FOLDER, &[place_order().unwrap().plan()]);
}

#[test]
fn every_way_to_end_is_recorded_and_no_customer() {
    let files = files(FOLDER.as_ref()).unwrap();
    let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut ends: Vec<&str> = texts
        .iter()
        .map(|text| serde_json::from_str::<Recording>(text).unwrap().end.status)
        .map(Status::as_str)
        .collect();
    ends.sort_unstable();
    ends.dedup();
    assert_eq!(ends, ["compensated", "completed", "parked", "running"]);
    for said in ["ada", "bob", "eve\\\"", "grace", "piano", "#pen", "pen\\\"", "scale"] {
        let told = files.iter().zip(&texts).find(|(_, text)| text.contains(said)).map(|(file, _)| file);
        assert_eq!(told, None, "{said}");
    }
}

/// Runs orders to every end, and records each with the command that an operator would use.
#[tokio::test]
async fn an_order_is_recorded_from_its_database_and_its_recording_replays() {
    let Some(mut world) = World::without_payment().await else { return };
    let repeated = world.place("ada", 1999, "pen", 2).await;
    world.until_told(&repeated, "do authorize-payment sent again").await;
    world.start_payment().await;
    let folder = match std::env::var_os("SAGA_UPDATE_RECORDINGS") {
        Some(_) => PathBuf::from(FOLDER),
        None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("recordings"),
    };
    std::fs::create_dir_all(&folder).unwrap();
    for (name, address) in orders(&world, repeated).await {
        let saga = saga(&world.get(&address).await.1).to_string();
        let record = Command::new(env!("CARGO_BIN_EXE_record"))
            .args(["--database-url", world.order_url(), &saga])
            .output()
            .unwrap();
        assert!(record.status.success(), "{name}: {}", String::from_utf8_lossy(&record.stderr));
        std::fs::write(folder.join(format!("{name}.json")), record.stdout).unwrap();
    }
    assert_replays(&folder, &[place_order().unwrap().plan()]);
}

/// Orders that have come to every end, and one that has not, by what became of each.
async fn orders(world: &World, repeated: String) -> Vec<(&'static str, String)> {
    let place = async |amount: i64, item: &str| world.place("ada", amount, item, 1).await;
    let orders = [
        ("completed", place(1999, "pen").await, "completed"),
        ("completed-item-by-item", place_several(world).await, "completed"),
        ("completed-after-an-outage", repeated, "completed"),
        ("approved-by-a-manager", decided(world, "ada", true).await, "completed"),
        ("rejected-by-a-manager", decided(world, "eve", false).await, "cancelled"),
        ("waits-for-a-manager", world.place("eve", MUCH, "lamp", 1).await, "pending"),
        ("cancelled", cancelled(world).await, "cancelled"),
        ("refused-by-inventory", world.place("ada", 1999, "piano", 2).await, "cancelled"),
        ("refused-by-payment", world.place("bob", 1999, "pen", 2).await, "cancelled"),
        ("unknown-and-undone", place(1999, "faulty-panics").await, "cancelled"),
        ("parked", place(100, "faulty-broken").await, "needs attention"),
        ("parked-and-compensated", compensated(world).await, "cancelled"),
    ];
    for (_, address, state) in &orders {
        world.until(address, state).await;
    }
    orders.into_iter().map(|(name, address, _)| (name, address)).collect()
}

async fn place_several(world: &World) -> String {
    let item = |name: &str| json!({ "name": name, "quantity": 2 });
    let order = json!({ "customer": "ada", "amount": 1999, "items": [item("pen"), item("lamp")] });
    world.post("/orders", &order).await.1["address"].as_str().unwrap().to_owned()
}

async fn decided(world: &World, customer: &str, approved: bool) -> String {
    let address = world.place(customer, MUCH, "pen", 1).await;
    let decision = json!({ "approved": approved, "by": "grace" });
    world.post(&format!("{address}/decision"), &decision).await;
    world.until(&address, if approved { "completed" } else { "cancelled" }).await;
    address
}

async fn cancelled(world: &World) -> String {
    let address = world.place("eve", MUCH, "pen", 1).await;
    let order = world.until_it(&address, "its turn", |order| order["awaits_decision"] == true).await;
    world.orchestrator.cancel(saga(&order), "ordered twice").await.unwrap();
    address
}

async fn compensated(world: &World) -> String {
    let address = world.place("ada", 100, "faulty-broken", 1).await;
    let order = world.until(&address, "needs attention").await;
    world.orchestrator.compensate(saga(&order), "the scale stays broken").await.unwrap();
    address
}

fn saga(order: &Value) -> SagaId {
    order["saga"].as_str().unwrap().trim_start_matches("/sagas/").parse().unwrap()
}

/// As much as a manager decides about, and half of what a customer has.
const MUCH: i64 = 500_000;
