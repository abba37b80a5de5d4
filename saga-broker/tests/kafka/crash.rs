//! Processes that die. A reader of its own process, which is this program run again, aborts at a given point.

use std::process::{Child, Command, Output};
use std::time::Duration;

use saga_core::id::Destination;
use saga_core::port::{Settlement, Subscription, Transport};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_slept_while_another_took_over_takes_no_commit_back() {
    let Some(brokers) = brokers() else { return };
    let (transport, topic) = declared(config(&brokers), "asleep").await;
    publish_all(&transport, &messages(&topic, 0..100)).await;
    let mut sleeper = process(&topic, "asleep").spawn().unwrap();
    eventually(|| !committed(&brokers, &topic, 1).contains(&None)).await;
    signal("STOP", &sleeper);
    let mut subscription = subscribe(&transport, &topic, 100).await;
    let deliveries = receive(&mut subscription, 100).await;
    assert!(deliveries[..50].iter().all(|delivery| delivery.redelivered));
    ack(&*subscription, &deliveries).await;
    eventually(|| committed(&brokers, &topic, 1) == [Some(100)]).await;
    transport.close().await;

    signal("CONT", &sleeper);
    while sleeper.try_wait().unwrap().is_none() {
        assert_eq!(committed(&brokers, &topic, 1), [Some(100)]);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(committed(&brokers, &topic, 1), [Some(100)]);
}

/// Not a test: what the processes do that the tests above start.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs only as a process of another test"]
async fn reader() {
    let (Some(brokers), Ok(task)) = (brokers(), std::env::var("SAGA_TEST_TASK")) else { return };
    let topic = Destination::new(std::env::var("SAGA_TEST_TOPIC").unwrap()).unwrap();
    let transport = transport(&brokers);
    match task.as_str() {
        "at_once" => die_at_once(&mut subscribe(&transport, &topic, 200).await).await,
        "out_of_order" => settle_out_of_order(&mut subscribe(&transport, &topic, 200).await).await,
        "asleep" => settle_after_sleep(&mut subscribe(&transport, &topic, 50).await).await,
        unknown => panic!("{unknown}"),
    }
    // Time to commit what must not be committed.
    sleep(Duration::from_secs(1)).await;
    std::process::abort();
}

async fn die_at_once(subscription: &mut Box<dyn Subscription>) {
    let delivery = receive(subscription, 1).await.remove(0);
    eprintln!("redelivered: {}", delivery.redelivered);
    std::process::abort();
}

async fn settle_out_of_order(subscription: &mut Box<dyn Subscription>) {
    let deliveries = receive(subscription, 200).await;
    let settled = deliveries.iter().rev().filter(|delivery| ![7, 77].contains(&number(delivery)));
    ack(&**subscription, settled).await;
}

async fn settle_after_sleep(subscription: &mut Box<dyn Subscription>) {
    let deliveries = receive(subscription, 50).await;
    loop {
        let before = Instant::now();
        sleep(Duration::from_millis(100)).await;
        if before.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    let settled = settle(&**subscription, &deliveries, Settlement::Ack).await;
    eprintln!("{settled:?}");
}

async fn die(topic: &Destination, task: &str) -> Output {
    let mut process = process(topic, task);
    let output = tokio::task::spawn_blocking(move || process.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), None, "it did not abort: {}", text(&output));
    output
}

fn process(topic: &Destination, task: &str) -> Command {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process
        .args(["--exact", "crash::reader", "--ignored", "--nocapture"])
        .env("SAGA_TEST_TOPIC", topic.as_str())
        .env("SAGA_TEST_TASK", task);
    process
}

fn signal(signal: &str, process: &Child) {
    let sent = Command::new("kill").args(["-s", signal, &process.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
