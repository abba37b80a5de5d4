//! What can go wrong in a run, and how often.

use crate::suite::Dice;

/// Something that can go wrong. Each run draws which of these it has, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process dies between two calls of its ports: its memory is gone, and it is started again later.
    Crash,
    /// A process stands still for longer than its leases last, and then goes on as if nothing had happened.
    Pause,
    /// A call takes its time.
    Slow,
    /// A database is away, before anything has happened.
    Away,
    /// A database has done what was asked, and its answer is lost.
    AnswerLost,
    /// A database gives out a saga whose state this build cannot read.
    Unreadable,
    /// A database's clock jumps; the clocks differ from the beginning.
    Clock,
    /// The broker does not take a message for now.
    NotTaken,
    /// The broker says that it will never take a message.
    NeverTaken,
    /// The broker takes a message or loses it, and its confirm is lost.
    ConfirmLost,
    /// A message arrives twice.
    Doubled,
    /// A message arrives late, after others that were sent after it.
    Late,
    /// A connection is lost, and what was not settled on it comes again.
    Disconnect,
    /// A handler fails.
    HandlerFails,
    /// A handler panics.
    HandlerPanics,
    /// A handler takes longer than it may.
    HandlerHangs,
    /// A command takes its process down, each time it is run.
    Poison,
    /// Somebody publishes what is no message of the framework's, or one for a saga that does not exist.
    Garbage,
    /// An operator cancels, compensates or retries.
    Operator,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 19] = [
        Fault::Crash,
        Fault::Pause,
        Fault::Slow,
        Fault::Away,
        Fault::AnswerLost,
        Fault::Unreadable,
        Fault::Clock,
        Fault::NotTaken,
        Fault::NeverTaken,
        Fault::ConfirmLost,
        Fault::Doubled,
        Fault::Late,
        Fault::Disconnect,
        Fault::HandlerFails,
        Fault::HandlerPanics,
        Fault::HandlerHangs,
        Fault::Poison,
        Fault::Garbage,
        Fault::Operator,
    ];

    /// How often it strikes at most, of a thousand times that it could.
    const fn per_mille_max(self) -> usize {
        match self {
            Fault::Crash | Fault::Pause => 4,
            Fault::Unreadable | Fault::NeverTaken => 20,
            Fault::HandlerPanics | Fault::HandlerHangs => 80,
            Fault::Away | Fault::AnswerLost | Fault::Disconnect => 60,
            Fault::NotTaken | Fault::ConfirmLost | Fault::HandlerFails => 200,
            Fault::Doubled | Fault::Late | Fault::Slow => 400,
            Fault::Clock | Fault::Poison | Fault::Garbage | Fault::Operator => 1000,
        }
    }
}

/// How often each fault strikes in one run, of a thousand times that it could.
pub(super) struct Rates([usize; Fault::ALL.len()]);

impl Rates {
    /// Draws the rates of one run. Half of the faults stay away, so that rare meetings of the others happen as well.
    pub(super) fn draw(dice: &mut Dice, without: &[Fault]) -> Self {
        Rates(Fault::ALL.map(|fault| {
            let rate = dice.roll(2) * (1 + dice.roll(fault.per_mille_max()));
            if without.contains(&fault) { 0 } else { rate }
        }))
    }

    pub(super) const fn of(&self, fault: Fault) -> usize {
        self.0[fault as usize]
    }
}
