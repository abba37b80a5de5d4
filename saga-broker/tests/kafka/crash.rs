//! Processes that die. A reader of its own process, which is this program run again, aborts at a given point.

use std::process::{Command, Output};
use std::time::Duration;

use saga_core::id::Destination;
use tokio::time::{Instant, sleep};

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_skips_nothing_that_it_had_not_settled() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "killed").await;
    publish_all(&transport, &messages(&topic, 0..2_500)).await;
    die(&topic, "out_of_order").await;
    assert_eq!(committed(&brokers, &topic, 1), [Some(7)]);

    let mut subscription = subscribe(&transport, &topic, 3_000).await;
    let deliveries = receive(&mut subscription, 2_493).await;
    assert_eq!(numbers(&deliveries), (7..2_500).collect::<Vec<_>>());
    for delivery in &deliveries {
        let number = number(delivery);
        match number {
            0..200 => assert!(delivery.redelivered, "{number} was delivered before"),
            // What was fetched but not received counts as delivered, and then there is the reach.
            200..1_500 => {}
            _ => assert!(!delivery.redelivered, "{number} cannot have been delivered before"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_its_reader_at_once_is_marked_the_next_time() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "poison").await;
    publish_all(&transport, &messages(&topic, 0..1)).await;
    assert!(text(&die(&topic, "at_once").await).contains("redelivered: false"));
    assert!(text(&die(&topic, "at_once").await).contains("redelivered: true"));
}

/// Not a test: what the processes do that the tests above start.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs only as a process of another test"]
async fn reader() {
    let (Some(brokers), Ok(task)) = (brokers(), std::env::var("SAGA_TEST_TASK")) else { return };
    let topic = Destination::new(std::env::var("SAGA_TEST_TOPIC").unwrap()).unwrap();
    let mut subscription = subscribe(&transport(&brokers), &topic, 200).await;
    if task == "at_once" {
        let delivery = receive(&mut subscription, 1).await.remove(0);
        eprintln!("redelivered: {}", delivery.redelivered);
        std::process::abort();
    }
    let deliveries = receive(&mut subscription, 200).await;
    let settled = deliveries.iter().rev().filter(|delivery| ![7, 77].contains(&number(delivery)));
    ack(&*subscription, settled).await;
    let began = Instant::now();
    while committed(&brokers, &topic, 1) != [Some(7)] && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50)).await;
    }
    // Time to commit what must not be committed.
    sleep(Duration::from_millis(500)).await;
    std::process::abort();
}

async fn die(topic: &Destination, task: &str) -> Output {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process
        .args(["--exact", "crash::reader", "--ignored", "--nocapture"])
        .env("SAGA_TEST_TOPIC", topic.as_str())
        .env("SAGA_TEST_TASK", task);
    let output = tokio::task::spawn_blocking(move || process.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), None, "it did not abort: {}", text(&output));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
