//! A service that subscribes to a topic hears what sagas tell, at least once, and loses nothing over a failure.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saga_core::id::{CommandType, Destination, MessageId, SagaId, StepName};
use saga_core::memory::MemoryTransport;
use saga_core::message::{Envelope, Fault, Headers, NotificationMessage, Payload, TraceParent};
use saga_core::port::{DEAD_REASON, SubscribeOptions, Transport};
use saga_core::runtime::{Hear, SubscriberBuilder, SubscriberError, Subscribing, subscriber};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

const TOPIC: &str = "orders";
const PLACED: &str = "orders.placed.v1";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Placed {
    order: u64,
}

/// What happens to the first attempts at one order.
#[derive(Clone, Copy)]
enum Trouble {
    Temporary,
    Permanent,
    Panic,
    Hang,
}

#[derive(Clone, Default)]
struct Mailing(Arc<Mutex<Diary>>);

#[derive(Default)]
struct Diary {
    mailed: Vec<u64>,
    attempts: HashMap<u64, u32>,
    /// The trouble with an order, and how often there is.
    trouble: HashMap<u64, (Trouble, u32)>,
}

impl Mailing {
    fn troubled(order: u64, trouble: Trouble, times: u32) -> Self {
        let mailing = Mailing::default();
        mailing.0.lock().unwrap().trouble.insert(order, (trouble, times));
        mailing
    }

    fn mailed(&self) -> Vec<u64> {
        self.0.lock().unwrap().mailed.clone()
    }

    fn attempts(&self, order: u64) -> u32 {
        self.0.lock().unwrap().attempts.get(&order).copied().unwrap_or_default()
    }

    async fn until_mailed(&self, count: usize) {
        let mailed = async {
            while self.mailed().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = timeout(Duration::from_secs(600), mailed).await;
        assert!(waited.is_ok(), "only {:?} are mailed", self.mailed());
    }
}

impl Hear<Placed> for Mailing {
    async fn hear(&self, told: Placed, message: &NotificationMessage) -> Result<(), Fault> {
        assert_eq!(message.id(), self::message(told.order).id);
        let trouble = {
            let mut diary = self.0.lock().unwrap();
            let attempts = diary.attempts.entry(told.order).or_default();
            *attempts += 1;
            let attempts = *attempts;
            diary
                .trouble
                .get(&told.order)
                .filter(|(_, times)| attempts <= *times)
                .map(|(trouble, _)| *trouble)
        };
        match trouble {
            Some(Trouble::Temporary) => return Err(Fault::temporary("the mail server is away")),
            Some(Trouble::Permanent) => return Err(Fault::permanent("nobody has this address")),
            Some(Trouble::Panic) => panic!("a bug"),
            Some(Trouble::Hang) => std::future::pending().await,
            None => self.0.lock().unwrap().mailed.push(told.order),
        }
        Ok(())
    }
}

fn topic() -> Destination {
    Destination::topic(TOPIC).unwrap()
}

fn notification(order: u64, notification_type: &str, body: &str) -> Envelope {
    let saga = SagaId::from_uuid(Uuid::from_u128(order.into()));
    let message = NotificationMessage {
        saga,
        step: StepName::new("placed").unwrap(),
        notification_type: CommandType::new(notification_type).unwrap(),
        trace: TraceParent::of_message(saga, MessageId::from_uuid(Uuid::nil())),
        body: Payload::from_bytes(body.to_owned().into()).unwrap(),
    };
    message.encode(topic())
}

fn message(order: u64) -> Envelope {
    notification(order, PLACED, &format!(r#"{{"order":{order}}}"#))
}

async fn publish(transport: &MemoryTransport, messages: &[Envelope]) {
    for result in transport.publish(messages).await {
        result.unwrap();
    }
}

fn subscribing(transport: &MemoryTransport, group: &str, mailing: &Mailing) -> SubscriberBuilder<Mailing> {
    let transport = Arc::new(transport.connect());
    subscriber(transport, TOPIC, group, mailing.clone()).hears::<Placed>(PLACED)
}

async fn start(transport: &MemoryTransport, mailing: &Mailing) -> Subscribing {
    subscribing(transport, "mailing", mailing).start().await.unwrap()
}

/// The reasons among the topic's dead letters, once there are `count`.
async fn dead(transport: &MemoryTransport, count: usize) -> Vec<String> {
    let source = topic().dead_letters();
    let options = SubscribeOptions { source, group: "morgue".into(), in_flight_max: count };
    let mut morgue = transport.subscribe(options).await.unwrap();
    let mut reasons = Vec::new();
    while reasons.len() < count {
        let received = timeout(Duration::from_secs(60), morgue.receive(count)).await.unwrap().unwrap();
        let reason = |envelope: &Envelope| envelope.headers.value(DEAD_REASON).unwrap().to_owned();
        reasons.extend(received.iter().map(|delivery| reason(&delivery.envelope)));
    }
    reasons.sort();
    reasons
}

#[tokio::test(start_paused = true)]
async fn each_group_is_told_and_the_processes_of_one_group_share() {
    let transport = MemoryTransport::default();
    let (mailing, statistics) = (Mailing::default(), Mailing::default());
    let one = start(&transport, &mailing).await;
    let _another = start(&transport, &mailing).await;
    let _other = subscribing(&transport, "statistics", &statistics).start().await.unwrap();
    let messages: Vec<_> = (0..100).map(message).collect();
    publish(&transport, &messages).await;
    for service in [&mailing, &statistics] {
        service.until_mailed(100).await;
        let mut mailed = service.mailed();
        mailed.sort_unstable();
        assert_eq!(mailed, (0..100).collect::<Vec<_>>(), "each once");
    }
    one.stop(Duration::from_secs(1)).await;
    publish(&transport, &[message(100)]).await;
    mailing.until_mailed(101).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_told_while_a_service_is_down_waits_for_it() {
    let transport = MemoryTransport::default();
    let mailing = Mailing::default();
    start(&transport, &mailing).await.stop(Duration::from_secs(1)).await;
    publish(&transport, &[message(1), message(2)]).await;
    let _again = start(&transport, &mailing).await;
    mailing.until_mailed(2).await;
    assert_eq!(mailing.mailed(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_now_is_told_again_after_growing_pauses_and_holds_back_no_other() {
    for (trouble, least) in [(Trouble::Temporary, 1), (Trouble::Panic, 1), (Trouble::Hang, 50)] {
        let transport = MemoryTransport::default();
        let mailing = Mailing::troubled(1, trouble, 5);
        let _mailing = start(&transport, &mailing).await;
        let begun = Instant::now();
        publish(&transport, &[message(1), message(2), message(3)]).await;
        mailing.until_mailed(2).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "the others do not wait");
        mailing.until_mailed(3).await;
        assert_eq!((mailing.mailed(), mailing.attempts(1)), (vec![2, 3, 1], 6));
        assert!(begun.elapsed() >= Duration::from_secs(least), "{:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(mailing.attempts(1), 6, "what was heard is not told again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_make_anything_of_goes_to_the_dead_letters_with_the_reason() {
    let transport = MemoryTransport::default();
    let mailing = Mailing::troubled(1, Trouble::Permanent, u32::MAX);
    let _mailing = start(&transport, &mailing).await;
    let garbage = Envelope { headers: Headers::default(), ..message(4) };
    let misfit = notification(5, PLACED, r#"{"order":"seven"}"#);
    publish(&transport, &[message(1), garbage, misfit, message(6)]).await;
    let reasons = dead(&transport, 3).await;
    assert_eq!(reasons[0], "nobody has this address");
    assert!(reasons[1].contains("does not fit orders.placed.v1"), "{reasons:?}");
    assert!(reasons[2].contains("saga-wire"), "{reasons:?}");
    mailing.until_mailed(1).await;
    assert_eq!((mailing.mailed(), mailing.attempts(1)), (vec![6], 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_of_no_type_that_a_service_hears_is_passed_over() {
    let transport = MemoryTransport::default();
    let mailing = Mailing::default();
    let running = subscribing(&transport, "mailing", &mailing).at_once(1).start().await.unwrap();
    publish(&transport, &[notification(1, "orders.lost.v1", "7"), message(2)]).await;
    mailing.until_mailed(1).await;
    running.stop(Duration::from_secs(1)).await;
    let options = SubscribeOptions { source: topic(), group: "mailing".into(), in_flight_max: 10 };
    let mut rest = transport.subscribe(options).await.unwrap();
    let left = timeout(Duration::from_secs(1), rest.receive(10)).await;
    assert!(left.is_err(), "{left:?}");
    let dead = timeout(Duration::from_secs(1), dead(&transport, 1)).await;
    assert!(dead.is_err(), "a saga may tell something new: {dead:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_are_heard_at_once_than_is_allowed() {
    let transport = MemoryTransport::default();
    let mailing = Mailing::troubled(1, Trouble::Temporary, 3);
    let _mailing = subscribing(&transport, "mailing", &mailing).at_once(1).start().await.unwrap();
    publish(&transport, &[message(1), message(2)]).await;
    mailing.until_mailed(2).await;
    assert_eq!(mailing.mailed(), [1, 2], "one after the other");
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_back_what_has_failed_and_waits_for_nothing_else() {
    let transport = MemoryTransport::default();
    let mailing = Mailing::troubled(1, Trouble::Temporary, 12);
    let first = start(&transport, &mailing).await;
    publish(&transport, &[message(1)]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (begun, attempts) = (Instant::now(), mailing.attempts(1));
    first.stop(Duration::from_secs(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "the pause of what failed is not waited for");
    let _second = start(&transport, &mailing).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(mailing.attempts(1), attempts + 1, "it came again at once");
    mailing.until_mailed(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_loses_no_notification() {
    let transport = MemoryTransport::default();
    let mailing = Mailing::troubled(1, Trouble::Temporary, 2);
    let _mailing = start(&transport, &mailing).await;
    publish(&transport, &[message(1), message(2)]).await;
    mailing.until_mailed(1).await;
    transport.go_away();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(mailing.attempts(1), 1, "a message that is lost is not told again before it has come again");
    transport.come_back();
    publish(&transport, &[message(3)]).await;
    mailing.until_mailed(3).await;
}

#[tokio::test]
async fn a_name_that_no_broker_can_carry_is_refused() {
    let transport = Arc::new(MemoryTransport::default());
    for (topic, group) in [("a topic", "mailing"), (TOPIC, "topic:mailing")] {
        let refused = subscriber(transport.clone(), topic, group, Mailing::default()).start().await;
        assert!(matches!(refused.err(), Some(SubscriberError::BadName(_))), "{topic} {group}");
    }
}
