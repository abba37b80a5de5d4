//! Another system, which external handlers call: it answers late, twice or not at all, and has no part in any
//! transaction.

use std::sync::Arc;
use std::time::Duration;

use saga_core::id::MessageId;
use saga_core::message::Fault as HandlerFault;
use tokio::time::Instant;

use super::counters::Seen;
use super::fault::Fault;
use super::participants::HANDLER_TIMEOUT;
use super::process::Process;

/// A payment gateway of a simulation: one for all processes of a run. What it has charged must stand, at the end, exactly
/// for the steps that are done.
///
/// It charges a key once, however often it is asked. It refuses no key for having been voided before, so all that
/// comes late has to be taken back. A call that its caller has dropped may land yet, many times a handler's time later.
#[derive(Clone)]
pub struct Gateway(pub(super) Arc<Process>);

impl Gateway {
    /// Charges a key, unless it was charged before.
    ///
    /// # Errors
    ///
    /// Whether it was charged or not, there may be an answer that says nothing.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped, the key may or may not be charged, now or later.
    pub async fn charge(&self, key: MessageId) -> Result<(), HandlerFault> {
        let (world, is_lost) = (&self.0.world, self.0.world.strikes(Fault::HandlerFails));
        let late = match world.strikes(Fault::HandlerHangs) {
            true => world.millis(0..HANGS_MS),
            false => world.millis(0..THERE_MS),
        };
        if is_lost {
            tokio::time::sleep(late).await;
            return Err(no_answer());
        }
        let landed = tokio::spawn(Request::begun(self.0.clone()).land(late, key));
        if landed.await.is_err() {
            return Err(no_answer());
        }
        self.travel(BACK_MS).await
    }

    /// Voids the charge of a key, if there is one.
    ///
    /// # Errors
    ///
    /// Whether it was voided or not, there may be an answer that says nothing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: voiding again is harmless.
    pub async fn void(&self, key: MessageId) -> Result<(), HandlerFault> {
        // Faster than a charge, so that it may come before one that it is to take back.
        self.travel(BACK_MS).await?;
        self.0.world.void(key);
        self.0.note(format_args!("the gateway voids {key}"));
        self.travel(BACK_MS).await
    }

    /// A way there or back, on which a message is up to so late, or lost.
    async fn travel(&self, late_ms: u64) -> Result<(), HandlerFault> {
        let world = &self.0.world;
        if world.strikes(Fault::HandlerHangs) {
            tokio::time::sleep(2 * HANDLER_TIMEOUT).await;
        }
        tokio::time::sleep(world.millis(0..late_ms)).await;
        match world.strikes(Fault::HandlerFails) {
            true => Err(no_answer()),
            false => Ok(()),
        }
    }
}

/// A request on its way. It lands whether or not its caller still waits.
struct Request {
    process: Arc<Process>,
    begun: Instant,
}

impl Request {
    fn begun(process: Arc<Process>) -> Self {
        process.world.request_begins();
        Request { process, begun: Instant::now() }
    }

    async fn land(self, late: Duration, key: MessageId) {
        tokio::time::sleep(late).await;
        let Request { process, begun } = self;
        if begun.elapsed() > HANDLER_TIMEOUT || process.is_dead() {
            process.world.count(Seen::CallLandedLate);
        }
        process.world.charge(key);
        process.note(format_args!("the gateway charges {key}"));
    }
}

fn no_answer() -> HandlerFault {
    HandlerFault::temporary("the gateway does not answer")
}

/// Nearly all of a handler's time, so that a resend, an undo or a death comes before a request does.
const THERE_MS: u64 = HANDLER_TIMEOUT.as_millis() as u64 * 9 / 10;

/// Many times a handler's time: the caller has given up by then, and so perhaps has the saga.
const HANGS_MS: u64 = HANDLER_TIMEOUT.as_millis() as u64 * 20;

/// The rest of it, and a little more.
const BACK_MS: u64 = HANDLER_TIMEOUT.as_millis() as u64 / 5;
