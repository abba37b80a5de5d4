//! The scenarios. Each that sends a bad message ends by showing that a healthy saga still completes.

use bytes::Bytes;
use saga_core::id::{CommandType, Destination, Direction, MessageId, SagaId, StepName};
use saga_core::message::{Answer, CommandMessage, Envelope, Headers, Payload, ReplyMessage, TraceParent};
use saga_core::policy::Timestamp;
use saga_core::port::{IdSource, RandomIds};
use saga_core::runtime::{SagaOutcome, StartError};
use tokio::time::timeout;

use super::order::{Announce, Audit, PATIENCE, PlaceOrder, REPLIES, World};
use crate::suite::transport::Harness;
use crate::suite::{Skipped, require};

/// Of many sagas at once, those that are refused are undone and the others complete.
pub async fn sagas_end_as_their_participants_say(harness: &dyn Harness) -> Result<(), Skipped> {
    let world = World::start(harness, 1).await;
    assert_eq!(end(&world, 200).await, (160, 40), "completed and compensated");
    assert_eq!(
        world.left().await,
        [1000 - 160, 1000 - 160],
        "stock and money are what the completed sagas left"
    );
    Ok(())
}

/// Two orchestrators over one store need no leader: whoever gets the reply moves the saga.
pub async fn two_orchestrators_share_the_work(harness: &dyn Harness) -> Result<(), Skipped> {
    let world = World::start(harness, 2).await;
    assert_eq!(end(&world, 200).await, (160, 40), "completed and compensated");
    assert_eq!(
        world.left().await,
        [1000 - 160, 1000 - 160],
        "stock and money are what the completed sagas left"
    );
    Ok(())
}

/// Garbage on the commands' and on the replies' destination.
pub async fn a_message_that_cannot_be_read_is_dead_lettered_with_its_reason(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    let world = World::start(harness, 1).await;
    for destination in ["inventory", REPLIES] {
        world.inject(garbage(destination)).await;
        let (reason, body) = world.dead_letter(destination).await;
        assert!(reason.contains("saga-wire"), "the reason names the header that is missing: {reason}");
        assert_eq!(body, GARBAGE, "a dead letter keeps its body");
    }
    assert_healthy(&world).await;
    Ok(())
}

/// A message that a newer build wrote.
pub async fn a_message_of_a_newer_version_is_dead_lettered_with_its_reason(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    let world = World::start(harness, 1).await;
    let mut newer = garbage("inventory");
    newer.headers.insert("saga-wire", "99");
    world.inject(newer).await;
    let (reason, _) = world.dead_letter("inventory").await;
    assert!(reason.contains("upgrade"), "the reason says who must act: {reason}");
    assert_healthy(&world).await;
    Ok(())
}

/// A reply for a saga that nobody started.
pub async fn a_reply_for_an_unknown_saga_is_dead_lettered_with_its_reason(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    let world = World::start(harness, 1).await;
    let saga = RandomIds.saga();
    let reply = ReplyMessage {
        saga,
        step: StepName::new("inventory.reserve.v1").expect("a proper name"),
        direction: Direction::Do,
        attempt: 1,
        answer: Answer::Done(Payload::encode(&1).expect("a number is JSON")),
        trace: TraceParent::of_message(saga, MessageId::from_uuid(RandomIds.uuid())),
    };
    world.inject(reply.encode(Destination::new(REPLIES).expect("a proper name"))).await;
    let (reason, _) = world.dead_letter(REPLIES).await;
    assert!(reason.contains(&saga.to_string()), "the reason names the saga: {reason}");
    assert_healthy(&world).await;
    Ok(())
}

/// A command of a type that the participant does not know: the saga parks, the message is kept, others go on.
pub async fn a_command_that_nobody_handles_parks_its_saga_alone(
    harness: &dyn Harness,
) -> Result<(), Skipped> {
    let world = World::start(harness, 1).await;
    let audit = world.orchestrators[0].start(Audit).await.expect("the saga starts");
    let outcome =
        timeout(PATIENCE, audit.outcome()).await.expect("the saga parks").expect("its outcome is told");
    let SagaOutcome::Parked { reason } = outcome else { panic!("the saga parks, instead of {outcome:?}") };
    assert!(reason.contains("payment.audit.v1"), "the reason names the command: {reason}");
    let (reason, _) = world.dead_letter("payment").await;
    assert!(reason.contains("payment.audit.v1"), "the reason names the command: {reason}");
    let unknown_direction = command_of(audit.id(), "payment.capture.v1", Direction::Undo);
    world.inject(unknown_direction.encode(Destination::new("payment").expect("a proper name"))).await;
    let (reason, _) = world.dead_letter("payment").await;
    assert!(reason.contains("no handler"), "an undo that nobody handles is kept, too: {reason}");
    assert_healthy(&world).await;
    Ok(())
}

/// A command over the limit is refused when its row would be inserted, not by the relay later.
pub async fn a_command_that_is_too_large_parks_its_saga_alone(harness: &dyn Harness) -> Result<(), Skipped> {
    let world = World::start(harness, 1).await;
    let note = "x".repeat(world.transport.capabilities().body_bytes_max + 1);
    let order = PlaceOrder { items: 1, amount: 1, note };
    let started = world.orchestrators[0].start(order).await.expect("the first command is small");
    let outcome =
        timeout(PATIENCE, started.outcome()).await.expect("the saga parks").expect("its outcome is told");
    assert!(matches!(outcome, SagaOutcome::Parked { .. }), "the second command is too large: {outcome:?}");
    assert_healthy(&world).await;
    Ok(())
}

/// What sagas tell reaches each service that has subscribed, and what cannot be read harms none of it.
pub async fn each_subscriber_hears_what_sagas_tell(harness: &dyn Harness) -> Result<(), Skipped> {
    let world = World::start(harness, 1).await;
    let topics = world.transport.capabilities().topics;
    require(topics, "capability: all readers of a topic share its messages")?;
    let services = [world.subscribe("mailing").await, world.subscribe("statistics").await];
    world.inject(Envelope { destination: announcements(), ..garbage("announcements") }).await;
    for number in 0..50 {
        world.orchestrators[0].start(Announce(number)).await.expect("the saga starts");
    }
    for (listener, _) in &services {
        listener.until_heard(50).await;
    }
    let (reason, body) = world.dead_letter("announcements").await;
    assert!(reason.contains("saga-wire"), "the reason names the header that is missing: {reason}");
    assert_eq!(body, GARBAGE, "a dead letter keeps its body");
    assert_healthy(&world).await;
    Ok(())
}

fn announcements() -> Destination {
    Destination::topic("announcements").expect("a proper name")
}

/// Starts many sagas, every fifth of which payment refuses, by all orchestrators in turn; counts how they end.
async fn end(world: &World, sagas: usize) -> (usize, usize) {
    let mut started = Vec::new();
    for number in 0..sagas {
        let amount = if number % 5 == 0 { 1_000_000 } else { 1 };
        let orchestrator = &world.orchestrators[number % world.orchestrators.len()];
        started.push(orchestrator.start(order(amount)).await.expect("the saga starts"));
    }
    let (mut completed, mut compensated) = (0, 0);
    for saga in started {
        let outcome =
            timeout(PATIENCE, saga.outcome()).await.expect("the saga ends").expect("its outcome is told");
        match outcome {
            SagaOutcome::Completed(_) => completed += 1,
            SagaOutcome::Compensated { .. } => compensated += 1,
            SagaOutcome::Parked { reason } => panic!("saga {} parks: {reason}", saga.id()),
        }
    }
    (completed, compensated)
}

async fn assert_healthy(world: &World) {
    let saga = world.orchestrators[0].start(order(1)).await;
    let saga = saga.unwrap_or_else(|error: StartError| panic!("a healthy saga starts: {error}"));
    let outcome =
        timeout(PATIENCE, saga.outcome()).await.expect("a healthy saga ends").expect("its outcome is told");
    assert!(matches!(outcome, SagaOutcome::Completed(_)), "a healthy saga completes, instead of {outcome:?}");
}

fn order(amount: u32) -> PlaceOrder {
    PlaceOrder { items: 1, amount, note: String::new() }
}

fn command_of(saga: SagaId, command_type: &str, direction: Direction) -> CommandMessage {
    CommandMessage {
        saga,
        step: StepName::new("by-hand").expect("a proper name"),
        direction,
        attempt: 1,
        command_type: CommandType::new(command_type).expect("a proper name"),
        reply_to: Destination::new(REPLIES).expect("a proper name"),
        not_after: Timestamp::from_micros(i64::MAX),
        trace: TraceParent::of_message(saga, MessageId::from_uuid(RandomIds.uuid())),
        body: Payload::default(),
    }
}

/// A message that somebody else's program left on our destination.
fn garbage(destination: &str) -> Envelope {
    Envelope {
        id: MessageId::from_uuid(RandomIds.uuid()),
        destination: Destination::new(destination).expect("a proper name"),
        key: RandomIds.saga(),
        headers: Headers::default(),
        body: Bytes::from_static(GARBAGE),
    }
}

/// Neither text nor JSON.
const GARBAGE: &[u8] = b"\xff\x00 not a saga's business";
