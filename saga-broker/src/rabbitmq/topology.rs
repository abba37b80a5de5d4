//! Queues: one per destination, and one for its dead letters.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use saga_core::id::Destination;
use saga_core::port::TransportError;
use tokio::time::Instant;

use super::RabbitMqConfig;
use super::error::{is_mismatch, transport_error};
use super::line::Line;

/// Declares a destination's queue and the queue of its dead letters.
///
/// The dead letters come first: nothing may reach the queue before there is a place for what it gives up.
pub(super) async fn declare(
    line: &Line,
    config: &RabbitMqConfig,
    destination: &Destination,
    until: Instant,
) -> Result<(), TransportError> {
    let dead = destination.dead_letters();
    queue(line, &dead, quorum(), until).await?;
    queue(line, destination, dead_lettering(&dead, config.delivery_limit), until).await
}

/// A refused declaration closes its channel, so each has its own.
async fn queue(
    line: &Line,
    name: &Destination,
    arguments: FieldTable,
    until: Instant,
) -> Result<(), TransportError> {
    let channel = line.channel(until).await.map_err(|error| transport_error(&error))?;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declaring = channel.queue_declare(name.as_str().into(), options, arguments);
    match line.ask(until, "queue.declare", declaring).await {
        Ok(_) => Ok(()),
        Err(error) if is_mismatch(&error) => Err(mismatch(name, &error)),
        Err(error) => Err(transport_error(&error)),
    }
}

fn mismatch(name: &Destination, error: &lapin::Error) -> TransportError {
    TransportError::Permanent(format!(
        "the queue {name} exists and is of another kind; let its readers empty it, delete it, and start again, \
         or choose another name ({error})"
    ))
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

/// All that differs between versions of RabbitMQ is said here, so that nothing hangs on its defaults: 4.0 gives up
/// after 20 deliveries, older ones never do; dead letters are moved "at most once" unless told otherwise, and
/// "at least once" asks for a queue that refuses what it cannot hold.
fn dead_lettering(dead: &Destination, delivery_limit: u32) -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(dead.as_str()));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(delivery_limit.into()));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
